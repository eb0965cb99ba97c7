//! Reads settings and turns every mistake into a sentence that names the key, the value and the remedy.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::Dict;

use super::Config;

/// Settings and where they came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named on the command line is not there.
    #[error(
        "the configuration file {path} cannot be read: {source}. Check the path after --config."
    )]
    File {
        /// As given.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or a value is wrong.
    #[error("{0}")]
    Setting(String),
}

/// Reads `file` (when given) and the environment over the defaults.
///
/// # Errors
/// [`ConfigError`] naming the key, its value, where it stands, and the nearest known key.
pub fn load(file: Option<&Path>) -> Result<Loaded, ConfigError> {
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            path: path.display().to_string(),
            source,
        })?;
        figment = figment.merge(NamedToml::new(path, &text)?);
    }
    single_underscores(
        Env::prefixed("OPTIDEV_")
            .iter()
            .map(|(name, _)| name.to_string()),
    )?;
    // Only names with a section count: other programs' OPTIDEV_ variables are none of ours.
    let env = Env::prefixed("OPTIDEV_")
        .filter(|key| key.as_str().contains("__"))
        .split("__");
    figment = figment.merge(env);
    let config: Config = figment
        .extract()
        .map_err(|error| ConfigError::Setting(explain(error, &figment)))?;
    let contradiction = config.vault.contradiction();
    let contradiction = contradiction.or_else(|| config.redactor.contradiction(&config.vault));
    let contradiction = contradiction.or_else(|| config.objects.contradiction());
    let contradiction = contradiction.or_else(|| config.metrics.contradiction());
    let contradiction = contradiction.or_else(|| config.kubernetes.contradiction(&config));
    if let Some(contradiction) = contradiction {
        return Err(ConfigError::Setting(contradiction));
    }
    Ok(Loaded {
        config,
        file: file.map(Path::to_path_buf),
    })
}

/// Refuses variables that name a setting but for an underscore: ignored, they would leave a default in force.
fn single_underscores(names: impl Iterator<Item = String>) -> Result<(), ConfigError> {
    let defaults = Figment::from(Serialized::defaults(Config::default()));
    let defaults = defaults
        .extract::<Dict>()
        .map_err(|error| ConfigError::Setting(explain(error, &defaults)))?;
    let mut known = Vec::new();
    settings("", &defaults, &mut known);
    for name in names.filter(|name| !name.contains("__")) {
        let meant = known
            .iter()
            .find(|setting| setting.replace("__", "_").eq_ignore_ascii_case(&name));
        if let Some(meant) = meant {
            return Err(ConfigError::Setting(format!(
                "the variable OPTIDEV_{} sets nothing: did you mean OPTIDEV_{meant}? Two underscores part section and \
                 key.",
                name.to_ascii_uppercase()
            )));
        }
    }
    Ok(())
}

/// The names of all settings as variables have them, without the prefix.
fn settings(above: &str, part: &Dict, found: &mut Vec<String>) {
    for (key, value) in part {
        let name = format!("{above}{}", key.to_ascii_uppercase());
        match value.as_dict() {
            Some(below) => settings(&format!("{name}__"), below, found),
            None => found.push(name),
        }
    }
}

/// TOML with the file's name in error messages.
struct NamedToml;

impl NamedToml {
    #[expect(
        clippy::new_ret_no_self,
        reason = "a constructor for figment's own provider"
    )]
    fn new(path: &Path, text: &str) -> Result<figment::providers::Data<Toml>, ConfigError> {
        // Parsed here once more so that syntax errors carry figment's line and column with the file's name.
        if let Err(error) = Figment::from(Toml::string(text)).extract::<Dict>() {
            return Err(ConfigError::Setting(format!("{}: {error}", path.display())));
        }
        Ok(Toml::file_exact(path))
    }
}

fn explain(error: figment::Error, figment: &Figment) -> String {
    let mut lines: Vec<String> = Vec::new();
    for one in error {
        let place = match &one.metadata {
            Some(metadata) => match &metadata.source {
                Some(source) => format!(" in {source}"),
                None if metadata.name.contains("environment") => {
                    " in the environment (OPTIDEV_SECTION__KEY)".to_owned()
                }
                None => String::new(),
            },
            None => String::new(),
        };
        let path = one.path.join(".");
        lines.push(match &one.kind {
            Kind::UnknownField(name, known) => {
                let section = one
                    .path
                    .iter()
                    .filter(|part| part.as_str() != name)
                    .cloned()
                    .collect::<Vec<_>>();
                let whole = if section.is_empty() {
                    name.clone()
                } else {
                    format!("{}.{name}", section.join("."))
                };
                match nearest(name, known) {
                    Some(near) => {
                        format!("unknown setting {whole:?}{place}: did you mean {near:?}?")
                    }
                    None => format!(
                        "unknown setting {whole:?}{place}: known here are {}",
                        known.join(", ")
                    ),
                }
            }
            Kind::Message(why) => {
                let value =
                    shown(figment, &path).map_or_else(String::new, |value| format!(": {value:?}"));
                format!("setting {path:?}{place}{value}: {why}")
            }
            // These name the value themselves.
            kind => format!("setting {path:?}{place}: {kind}"),
        });
    }
    lines.join("\n")
}

/// The value of a setting as it was written, unless it may hold a password, as addresses of services do.
fn shown(figment: &Figment, path: &str) -> Option<String> {
    let value = figment.find_value(path).ok()?.into_string()?;
    (!path.ends_with("url") && !value.contains('@')).then_some(value)
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|&candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Result<Loaded, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("optidev.toml");
        std::fs::write(&file, text).unwrap();
        load(Some(&file))
    }

    #[test]
    fn defaults_and_the_example_parse() {
        assert_eq!(load(None).unwrap().config.server.listen.port(), 8080);
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
        load(Some(&example)).unwrap();
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = load_text("[server]\nlisten_on = \"127.0.0.1:1\"\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("server.listen_on") && error.contains("\"listen\""),
            "{error}"
        );
    }

    #[test]
    fn a_variable_with_one_underscore_names_the_one_with_two() {
        let check = |name: &str| {
            let result = single_underscores(std::iter::once(name.to_owned()));
            result.map_err(|error| error.to_string())
        };
        for (wrong, right) in [
            ("server_listen", "OPTIDEV_SERVER__LISTEN"),
            ("SERVER_MAX_IMPORT_MIB", "OPTIDEV_SERVER__MAX_IMPORT_MIB"),
            ("tls_key_file", "OPTIDEV_TLS__KEY_FILE"),
            (
                "runtime_local_toolchains",
                "OPTIDEV_RUNTIME__LOCAL__TOOLCHAINS",
            ),
        ] {
            let said = check(wrong).unwrap_err();
            assert!(said.contains(&format!("{right}?")), "{said}");
        }
        // What is right, and what is none of ours.
        for other in ["server__listen", "test_database", "home", "servers_listen"] {
            check(other).unwrap();
        }
    }

    #[test]
    fn a_vault_of_somebody_else_goes_with_no_master_file() {
        let socket = "[vault]\nsocket = \"/run/v.sock\"\n";
        load_text(socket).unwrap();
        let error = load_text(&format!("{socket}master_file = \"/etc/master\"\n"))
            .unwrap_err()
            .to_string();
        for part in [
            "vault.socket",
            "/run/v.sock",
            "vault.master_file",
            "/etc/master",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_redactor_of_somebody_else_goes_with_a_vault_of_somebody_else() {
        let redactor = "[redactor]\nsocket = \"/run/r.sock\"\n";
        let error = load_text(redactor).unwrap_err().to_string();
        for part in ["redactor.socket", "/run/r.sock", "vault.socket"] {
            assert!(error.contains(part), "{error}");
        }
        load_text(&format!("{redactor}[vault]\nsocket = \"/run/v.sock\"\n")).unwrap();
    }

    #[test]
    fn a_wrong_value_names_key_value_and_file() {
        let error = load_text("[server]\nlisten = \"nowhere\"\n")
            .unwrap_err()
            .to_string();
        for part in ["server.listen", "optidev.toml", "\"nowhere\""] {
            assert!(error.contains(part), "{error}");
        }
        // What may hold a password is not repeated.
        let text = "[a]\nurl = \"nonsense:hunter2\"\nto = \"me:hunter2@there\"\nplain = \"text\"\n";
        let figment = Figment::from(Toml::string(text));
        assert_eq!(shown(&figment, "a.url"), None);
        assert_eq!(shown(&figment, "a.to"), None);
        assert_eq!(shown(&figment, "a.plain").as_deref(), Some("text"));
        let error = load_text("[server\n").unwrap_err().to_string();
        assert!(error.contains("optidev.toml"), "{error}");
    }
}
