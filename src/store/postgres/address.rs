//! `[database]` as the options of a connection: what is wrong with the settings, and how the server must prove itself.

use std::net::IpAddr;
use std::path::Path;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::Url;

use crate::config::{DatabaseConfig, ServiceUrl};
use crate::store::OpenError;

/// What an address may say after its question mark. Others are refused, so that none is ignored that was relied upon,
/// and none names a second host or role behind the first.
const PARAMETERS: [&str; 5] = [
    "sslmode",
    "sslcert",
    "sslkey",
    "application_name",
    "statement-cache-capacity",
];

/// Where PostgreSQL is and who connects; made from settings that were checked.
#[derive(Clone)]
pub struct Address {
    /// The options, password included. `sqlx` prints none of them, and statements are not logged.
    pub options: PgConnectOptions,
    /// The role.
    pub role: String,
    /// Host and port, or the socket, for messages.
    pub place: String,
    /// The database's name.
    pub database: String,
    /// Whether the role has a password in the settings.
    pub password: Option<Password>,
}

/// A password from the settings; printed by nobody.
#[derive(Clone)]
pub struct Password(std::sync::Arc<crate::kernel::SecretString>);

impl Password {
    fn new(text: String) -> Self {
        Self(std::sync::Arc::new(text.into()))
    }

    /// The text, for the statement that sets it.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl Address {
    /// The server's own role, from `url`.
    ///
    /// # Errors
    /// [`OpenError::Setting`] naming the setting and the remedy.
    pub fn runtime(config: &DatabaseConfig) -> Result<Self, OpenError> {
        parse(config, "url", &config.url, config.password_file.as_deref())
    }

    /// The role of `optidev controller`, from `controller_url`, where there is one.
    ///
    /// # Errors
    /// [`OpenError::Setting`] naming the setting and the remedy.
    pub fn controller(config: &DatabaseConfig) -> Result<Option<Self>, OpenError> {
        if config.controller_url.is_empty() {
            return Ok(None);
        }
        parse(config, "controller_url", &config.controller_url, None).map(Some)
    }

    /// The role that owns the tables, from `migrate_url`.
    ///
    /// # Errors
    /// [`OpenError::Setting`] naming the setting and the remedy.
    pub fn owner(config: &DatabaseConfig) -> Result<Self, OpenError> {
        if config.migrate_url.is_empty() {
            return Err(OpenError::Setting(
                "[database] migrate_url is not set: `optidev migrate` connects with it, as the role that owns the tables. \
                 Example: \"postgres://optidev_owner@db.example.com/optidev\""
                    .to_owned(),
            ));
        }
        parse(
            config,
            "migrate_url",
            &config.migrate_url,
            config.migrate_password_file.as_deref(),
        )
    }
}

fn parse(
    config: &DatabaseConfig,
    setting: &str,
    text: &ServiceUrl,
    password_file: Option<&Path>,
) -> Result<Address, OpenError> {
    let wrong = |what: String| OpenError::Setting(format!("[database] {setting}: {what}"));
    // None of these messages repeats the address: a password may stand anywhere in one that is mistyped.
    let form = "write it like postgres://role@host:5432/database, with the password in a file, and %XX for special characters";
    let url = Url::parse(text.expose()).map_err(|error| wrong(format!("{error}; {form}")))?;
    if !["postgres", "postgresql"].contains(&url.scheme()) {
        return Err(wrong(format!("not a PostgreSQL address; {form}")));
    }
    if url.username().is_empty() || url.path().trim_start_matches('/').is_empty() {
        return Err(wrong(format!("it names no role or no database; {form}")));
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() {
        return Err(wrong(format!(
            "it names no host; {form}; a socket's folder as %2Frun%2Fpostgresql"
        )));
    }
    let mut mode = None;
    for (key, value) in url.query_pairs() {
        if !PARAMETERS.contains(&key.as_ref()) {
            return Err(wrong(format!(
                "{key:?} is not taken after the question mark; known there are {}",
                PARAMETERS.join(", ")
            )));
        }
        if key == "sslmode" {
            mode = Some(value.into_owned());
        }
    }
    let mut options: PgConnectOptions = text
        .expose()
        .parse()
        .map_err(|error| wrong(format!("{error}; {form}")))?;
    let local = is_local(host);
    let place = match options.get_socket() {
        Some(socket) => format!("the socket in {}", socket.display()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    options = match (mode.as_deref(), local) {
        (None, false) => options.ssl_mode(PgSslMode::VerifyFull),
        (None, true) if config.ca_file.is_some() && options.get_socket().is_none() => {
            options.ssl_mode(PgSslMode::VerifyFull)
        }
        // Whatever the environment says: nobody is between.
        (None, true) => options.ssl_mode(PgSslMode::Prefer),
        (Some("verify-full"), _) | (Some(_), true) => options,
        (Some(_), false) if config.allow_unverified_server => options,
        (Some(less), false) => {
            return Err(wrong(format!(
                "sslmode={less} would let anybody between here and {place} read and change everything. Leave sslmode out, \
                 and name the server's authority in [database] ca_file unless it is a public one; where the network \
                 itself protects the way, set [database] allow_unverified_server = true"
            )));
        }
    };
    let mut password = decoded_password(&url).map(Password::new);
    if let Some(file) = password_file {
        let read = read(file_setting(setting), file)?;
        let line = read.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(OpenError::Setting(format!(
                "[database] {}: {} is empty; write the password as its first line",
                file_setting(setting),
                file.display()
            )));
        }
        options = options.password(line);
        password = Some(Password::new(line.to_owned()));
    }
    if let Some(file) = &config.ca_file {
        let pem = read("ca_file", file)?;
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(OpenError::Setting(format!(
                "[database] ca_file: {} holds no certificate in PEM form",
                file.display()
            )));
        }
        options = options.ssl_root_cert_from_pem(pem.into_bytes());
    }
    Ok(Address {
        role: options.get_username().to_owned(),
        database: options.get_database().unwrap_or_default().to_owned(),
        place,
        password,
        options: options
            .application_name("optidev")
            .disable_statement_logging(),
    })
}

fn file_setting(setting: &str) -> &'static str {
    if setting == "url" {
        "password_file"
    } else {
        "migrate_password_file"
    }
}

fn read(setting: &str, file: &Path) -> Result<String, OpenError> {
    std::fs::read_to_string(file).map_err(|error| {
        OpenError::Setting(format!(
            "[database] {setting}: {} cannot be read: {error}",
            file.display()
        ))
    })
}

/// The password as the server knows it.
fn decoded_password(url: &Url) -> Option<String> {
    // The form decoder alone would turn a plus sign into a space.
    let escaped = url.password()?.replace('+', "%2B");
    url::form_urlencoded::parse(format!("p={escaped}").replace('&', "%26").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
}

/// Whether nobody can be between: a Unix socket, or this machine's own address.
fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("%2f"))
        || bare == "localhost"
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str, change: impl FnOnce(&mut DatabaseConfig)) -> Result<Address, String> {
        let mut config = DatabaseConfig {
            url: url.into(),
            ..DatabaseConfig::default()
        };
        change(&mut config);
        Address::runtime(&config).map_err(|error| error.to_string())
    }

    fn mode(url: &str) -> PgSslMode {
        address(url, |_| {}).unwrap().options.get_ssl_mode()
    }

    #[test]
    fn a_server_elsewhere_must_prove_its_name() {
        let full = |mode| matches!(mode, PgSslMode::VerifyFull);
        assert!(full(mode("postgres://a@db.example.com/d")));
        assert!(full(mode("postgres://a@192.0.2.1/d")));
        assert!(!full(mode("postgres://a@localhost/d")));
        assert!(!full(mode("postgres://a@%2Frun%2Fpostgresql/d")));
        for less in ["disable", "allow", "prefer", "require", "verify-ca"] {
            let url = format!("postgres://a@db.example.com/d?sslmode={less}");
            let error = address(&url, |_| {}).err().unwrap();
            assert!(error.contains("allow_unverified_server"), "{error}");
            address(&url, |config| config.allow_unverified_server = true).unwrap();
        }
    }

    #[test]
    fn names_that_only_look_local_are_not() {
        for host in ["localhost.example.com", "127.0.0.1.example.com", "0.0.0.0"] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn no_second_host_or_unknown_parameter_is_taken() {
        for more in [
            "host=db.example.com",
            "hostaddr=192.0.2.1",
            "passwort=hunter2",
            "user=b",
        ] {
            let error = address(&format!("postgres://a@localhost/d?{more}"), |_| {});
            let error = error.err().unwrap();
            assert!(
                error.contains("sslmode") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn mistakes_are_explained_without_the_password() {
        for url in [
            "postgres://a:hunter2@/d",
            "postgres://:hunter2@localhost/d",
            "postgres://a:hunter2@localhost",
            "mysql://a:hunter2@localhost/d",
            "a:hunter2@localhost/d",
            "postgres://a:hunter2@local host/d",
        ] {
            let error = address(url, |_| {}).err().unwrap();
            assert!(error.contains("postgres://role@host"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let shown = format!("{:?}", ServiceUrl::from("postgres://a:hunter2@h/d"));
        assert!(!shown.contains("hunter2"));
        let missing = address("postgres://a@localhost/d", |config| {
            config.password_file = Some("/nowhere/password".into());
        });
        assert!(
            missing
                .err()
                .unwrap()
                .contains("password_file: /nowhere/password")
        );
    }

    #[test]
    fn a_password_is_decoded_as_the_server_knows_it() {
        let address = address("postgres://a:q%27%25+%26&x@localhost/d", |_| {}).unwrap();
        assert_eq!(address.password.unwrap().expose(), "q'%+&&x");
    }
}
