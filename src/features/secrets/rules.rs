//! What a secret may be called, and what may be its value.

use super::model::DeliveredAs;

/// Names that containers set themselves, and such with which a value makes a common program run or load something: whoever sets
/// a secret would run it in everybody's container. In capitals, for names in any case.
const RESERVED: &[&str] = &[
    // The container's own.
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "PWD",
    "OLDPWD",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    // Shells.
    "IFS",
    "ENV",
    "CDPATH",
    "SHELLOPTS",
    "PROMPT_COMMAND",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "INPUTRC",
    "ZDOTDIR",
    "FPATH",
    // What programs start.
    "EDITOR",
    "VISUAL",
    "PAGER",
    "MANPAGER",
    "LESSOPEN",
    "LESSCLOSE",
    "BROWSER",
    "VIMINIT",
    "EXINIT",
    "MAKEFLAGS",
    "SSH_ASKPASS",
    "GIT_ASKPASS",
    "GIT_EDITOR",
    "GIT_SEQUENCE_EDITOR",
    "GIT_PAGER",
    "GIT_EXEC_PATH",
    "GIT_EXTERNAL_DIFF",
    "GIT_PROXY_COMMAND",
    "GIT_TEMPLATE_DIR",
    // Compilers and interpreters.
    "NODE_OPTIONS",
    "NODE_PATH",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JDK_JAVAC_OPTIONS",
    "MAVEN_OPTS",
    "GRADLE_OPTS",
    "GOFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "GCONV_PATH",
];

/// What the names of such begin with.
const PREFIXES: &[&str] = &[
    "BASH_",
    "DYLD_",
    "GIT_CONFIG",
    "GIT_SSH",
    "LD_",
    "NPM_CONFIG_",
    "OPTIDEV_",
    "PERL5",
    "PERLLIB",
    "PYTHON",
    "RUBY",
    "XDG_",
];

/// Names that are paths of the API and of pages beside the secrets' own.
const PATHS: &[&str] = &["bulk", "containers", "deliver", "export", "import", "run"];

/// The folder of projects' files, beside those of the workspace's secrets.
const PROJECTS: &str = "projects";

/// The names that no secret has, for a page that says so early. Those in capitals stand for any case, those with `*` for
/// whatever begins so.
pub fn reserved() -> String {
    let prefixes = PREFIXES.iter().map(|prefix| format!("{prefix}*"));
    let words = RESERVED.iter().chain(PATHS).map(|name| (*name).to_owned());
    words.chain(prefixes).collect::<Vec<_>>().join(" ")
}

/// Why a name is not taken.
pub fn name_complaint(name: &str) -> Option<String> {
    let mut characters = name.chars();
    let well_formed = characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 128;
    if !well_formed {
        return Some(format!(
            "{name:?} is not the name of an environment variable: letters, digits and _, not starting with a digit, at \
             most 128 characters."
        ));
    }
    let upper = name.to_ascii_uppercase();
    if taken(&upper) {
        return Some(format!(
            "{name} is a variable of the container's own, or one that makes programs run something. Choose another name."
        ));
    }
    if PATHS.contains(&name) {
        return Some(format!(
            "{name} has a meaning of its own in the API. Choose another name, such as {upper}."
        ));
    }
    None
}

fn taken(upper: &str) -> bool {
    let begins = PREFIXES.iter().any(|prefix| upper.starts_with(prefix));
    begins || RESERVED.contains(&upper)
}

/// Why a value is not taken.
pub fn value_complaint(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("The value is empty. To remove a secret, delete it.".to_owned());
    }
    if value.len() > 64 * 1024 {
        return Some(format!(
            "The value has {} bytes; a secret holds at most 65536.",
            value.len()
        ));
    }
    if value.contains('\0') {
        return Some(
            "The value holds a NUL character, which an environment variable cannot. Encode it."
                .to_owned(),
        );
    }
    None
}

/// Why a description is not taken.
pub fn description_complaint(text: Option<&str>) -> Option<String> {
    let long = text.is_some_and(|text| text.chars().count() > 500);
    let nul = text.is_some_and(|text| text.contains('\0'));
    (long || nul).then(|| "description: At most 500 characters, none of them NUL.".to_owned())
}

/// Why a secret of this name cannot be given to containers in this way.
pub fn delivered_as_complaint(name: &str, form: Option<DeliveredAs>) -> Option<String> {
    let file = matches!(form, Some(DeliveredAs::File | DeliveredAs::Both));
    if file && name == PROJECTS {
        return Some(format!(
            "delivered_as: {name} cannot be a file: below /run/secrets the folder of projects' files has this name. Choose \
             another name, or environment."
        ));
    }
    let pointer = format!("{name}_FILE");
    (form == Some(DeliveredAs::File) && taken(&pointer.to_ascii_uppercase())).then(|| {
        format!(
            "delivered_as: {name} cannot be a file alone: {pointer}, which has its path then, is a variable of the container's \
             own. Choose another name, both, or environment."
        )
    })
}

/// Why an end is not taken.
pub fn expiry_complaint(at_ms: Option<i64>, now_ms: i64) -> Option<String> {
    const CENTURY_MS: i64 = 36_525 * 24 * 60 * 60 * 1_000;
    let at = at_ms?;
    let why = if at <= now_ms {
        "has passed"
    } else if at > now_ms.saturating_add(CENTURY_MS) {
        "is more than a hundred years away"
    } else {
        return None;
    };
    Some(format!(
        "expires_at_ms: {at} {why}. Give a time to come, in milliseconds since 1970."
    ))
}

/// Why declared references are not taken.
pub fn references_complaint(names: Option<&[String]>) -> Option<String> {
    let names = names.unwrap_or_default();
    if names.len() > 100 {
        return Some("references: A value refers to 100 others at most.".to_owned());
    }
    let wrong = names.iter().find_map(|name| name_complaint(name));
    wrong.map(|message| format!("references: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_variables_and_not_the_containers_own() {
        assert!(name_complaint("DATABASE_URL").is_none());
        assert!(name_complaint("BULK").is_none());
        for bad in [
            "",
            "1A",
            "A-B",
            "A B",
            "PATH",
            "ld_preload",
            "OPTIDEV_X",
            "é",
            "bulk",
            &"A".repeat(129),
        ] {
            assert!(name_complaint(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn names_that_run_something_are_refused_in_any_case() {
        for name in [
            "PATH",
            "path",
            "PROMPT_COMMAND",
            "Prompt_Command",
            "PS1",
            "LD_PRELOAD",
            "BASH_ENV",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "PERL5OPT",
            "PYTHONSTARTUP",
            "RUBYOPT",
            "JAVA_TOOL_OPTIONS",
            "npm_config_prefix",
            "XDG_CONFIG_HOME",
            "EDITOR",
            "OPTIDEV_X",
        ] {
            assert!(name_complaint(name).is_some(), "{name}");
        }
        for name in [
            "GIT_TOKEN",
            "NPM_TOKEN",
            "CARGO_REGISTRY_TOKEN",
            "PATHS",
            "MY_PATH",
            "PS5",
            "PROJECTS",
        ] {
            assert_eq!(name_complaint(name), None, "{name}");
        }
    }

    #[test]
    fn a_files_pointer_replaces_no_variable_of_the_container() {
        let refused = |name, form| delivered_as_complaint(name, Some(form)).is_some();
        assert!(refused("SSL_CERT", DeliveredAs::File));
        assert!(!refused("SSL_CERT", DeliveredAs::Both), "it has no pointer");
        assert!(!refused("CERT", DeliveredAs::File));
        assert!(refused("projects", DeliveredAs::Both));
    }
}
