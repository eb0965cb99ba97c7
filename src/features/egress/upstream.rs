//! A proxy of the company, through which everything leaves that is let through (RFC 9110, section 9.3.6).
//!
//! Names are the proxy's to resolve, so where they lead is not checked here: what is let through is judged by name and port, by
//! the TLS server name, and as an address where it was written as one. Of the proxy's answer nothing but its status is
//! believed or told.

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::host::Target;
use super::policy::{AllowList, SettingError};
use super::refusal::Refusal;
use crate::config::EgressConfig;
use crate::kernel::SecretString;

/// Largest head of the proxy's answer.
const HEAD: usize = 16 * 1024;

/// The proxy.
pub struct Upstream {
    host: String,
    port: u16,
    /// What follows `Proxy-Authorization: `.
    authorization: Option<SecretString>,
    /// What is connected to directly.
    except: AllowList,
}

/// What went wrong between here and the proxy.
enum Fault {
    /// It answered, and not with success.
    Status(u16),
    /// It did not answer, or not as a proxy does.
    Away(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Away(error.to_string())
    }
}

impl Upstream {
    /// Reads the settings; none where there is no proxy.
    ///
    /// # Errors
    /// [`SettingError`] names the setting and what to do.
    pub fn read(config: &EgressConfig) -> Result<Option<Self>, SettingError> {
        let wrong = |setting, reason: String| SettingError::Other(setting, reason);
        let (user, file) = (
            config.upstream_proxy_user.as_str(),
            config.upstream_proxy_password_file.as_ref(),
        );
        if config.upstream_proxy.is_empty() {
            return match (user.is_empty(), file, config.upstream_proxy_except.is_empty()) {
                (true, None, true) => Ok(None),
                _ => Err(wrong(
                    "upstream_proxy",
                    "is empty, and other settings are about it. Write it like \"http://proxy.example.com:3128\"".to_owned(),
                )),
            };
        }
        let (host, port) = place(config.upstream_proxy.expose())?;
        if user.contains(':') || user.chars().any(char::is_control) {
            return Err(wrong(
                "upstream_proxy_user",
                "has a colon or a control character, which no user of Basic authentication has"
                    .to_owned(),
            ));
        }
        let authorization = match (user.is_empty(), file) {
            (true, None) => None,
            (true, Some(_)) => {
                return Err(wrong(
                    "upstream_proxy_user",
                    "is empty, and there is a password for it".to_owned(),
                ));
            }
            (false, file) => {
                let password = match file {
                    Some(file) => std::fs::read_to_string(file).map_err(|error| {
                        wrong(
                            "upstream_proxy_password_file",
                            format!("cannot be read: {}: {error}", file.display()),
                        )
                    })?,
                    None => String::new(),
                };
                let password = SecretString::from(password);
                let both = SecretString::from(format!(
                    "{user}:{}",
                    password.expose().trim_end_matches(['\r', '\n'])
                ));
                let encoded = BASE64_STANDARD.encode(both.expose());
                Some(SecretString::from(format!("Basic {encoded}")))
            }
        };
        Ok(Some(Self {
            host,
            port,
            authorization,
            except: AllowList::parse(&config.upstream_proxy_except)
                .map_err(|error| SettingError::List("upstream_proxy_except", error))?,
        }))
    }

    /// Whether `target` is connected to through the proxy.
    pub fn serves(&self, target: &Target) -> bool {
        !self.except.allows(target)
    }

    /// A connection to `target` through the proxy.
    ///
    /// # Errors
    /// [`Refusal::UpstreamRefused`] with the proxy's status, or [`Refusal::UpstreamAway`].
    pub async fn connect(&self, target: &Target, deadline: Instant) -> Result<TcpStream, Refusal> {
        let outcome = match timeout_at(deadline, self.ask(target)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::Away("no answer in time".to_owned())),
        };
        outcome.map_err(|fault| match fault {
            Fault::Status(status) => Refusal::UpstreamRefused {
                target: target.clone(),
                status,
            },
            Fault::Away(reason) => Refusal::UpstreamAway {
                target: target.clone(),
                reason,
            },
        })
    }

    async fn ask(&self, target: &Target) -> Result<TcpStream, Fault> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Best effort: without it small packets are later, not lost.
        let _ = stream.set_nodelay(true);
        let request = SecretString::from(match &self.authorization {
            Some(authorization) => format!(
                "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: {}\r\n\r\n",
                authorization.expose()
            ),
            None => format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        });
        stream.write_all(request.expose().as_bytes()).await?;
        let head = head(&mut stream).await?;
        match status(&head) {
            Some(200..=299) => Ok(stream),
            Some(status) => Err(Fault::Status(status)),
            None => Err(not_a_proxy()),
        }
    }
}

/// Host and port of the setting.
fn place(text: &str) -> Result<(String, u16), SettingError> {
    let wrong = |reason: &str| {
        SettingError::Other(
            "upstream_proxy",
            format!("{reason}. Write it like \"http://proxy.example.com:3128\""),
        )
    };
    let url = Url::parse(text).map_err(|error| wrong(&format!("is no address: {error}")))?;
    if url.scheme() != "http" {
        return Err(wrong("does not begin with http://, and no other is spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "holds a user or a password, which belong to upstream_proxy_user and upstream_proxy_password_file",
        ));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has more than a host and a port"));
    }
    match (url.host_str(), url.port_or_known_default()) {
        (Some(host), Some(port)) if !host.is_empty() => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok((host.to_owned(), port))
        }
        _ => Err(wrong("names no host")),
    }
}

/// The head of the answer. What follows it stays in the connection: some servers speak first.
async fn head(stream: &mut TcpStream) -> Result<Vec<u8>, Fault> {
    let mut head = Vec::new();
    let mut seen = [0u8; 2048];
    loop {
        let there = stream.peek(&mut seen).await?;
        if there == 0 {
            return Err(Fault::Away("it closed the connection".to_owned()));
        }
        let before = head.len();
        head.extend_from_slice(seen.get(..there).unwrap_or_default());
        let from = before.saturating_sub(3);
        let end = head
            .get(from..)
            .and_then(|new| new.windows(4).position(|four| four == b"\r\n\r\n"))
            .map(|at| from + at + 4);
        head.truncate(end.unwrap_or(head.len()));
        let taken = head.len() - before;
        stream
            .read_exact(seen.get_mut(..taken).unwrap_or_default())
            .await?;
        let start = b"HTTP/1.";
        if !head.iter().zip(start).all(|(one, two)| one == two) {
            return Err(not_a_proxy());
        }
        if end.is_some() {
            return Ok(head);
        }
        if head.len() > HEAD {
            return Err(Fault::Away(format!(
                "the head of its answer is longer than {HEAD} bytes"
            )));
        }
    }
}

/// The status of an answer: `HTTP/1.x NNN`, and nothing but a space or the line's end behind it.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    match rest {
        [
            b'0' | b'1',
            b' ',
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            b' ' | b'\r',
            ..,
        ] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Some(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => None,
    }
}

fn not_a_proxy() -> Fault {
    Fault::Away("it does not answer as an HTTP proxy does".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut EgressConfig)) -> String {
        let mut config = EgressConfig {
            upstream_proxy: "http://proxy.example:3128".into(),
            ..EgressConfig::default()
        };
        change(&mut config);
        match Upstream::read(&config) {
            Ok(_) => panic!("taken"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn settings_that_cannot_be_used_are_named_and_no_password_told() {
        for url in [
            "proxy.example:3128",
            "https://proxy.example:3128",
            "http://",
            "http://u:hunter2@proxy.example",
            "http://proxy.example/path",
            "nonsense",
        ] {
            let error = refused(|config| config.upstream_proxy = url.into());
            assert!(
                error.contains("\"egress.upstream_proxy\""),
                "{url}: {error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = refused(|config| config.upstream_proxy_user = "a:b".to_owned());
        assert!(error.contains("\"egress.upstream_proxy_user\""), "{error}");
        let error = refused(|config| {
            config.upstream_proxy_password_file = Some("/nowhere/password".into());
        });
        assert!(error.contains("\"egress.upstream_proxy_user\""), "{error}");
        let error = refused(|config| {
            config.upstream_proxy_user = "u".to_owned();
            config.upstream_proxy_password_file = Some("/nowhere/password".into());
        });
        assert!(error.contains("/nowhere/password"), "{error}");
        let error = refused(|config| config.upstream_proxy_except = vec!["*".to_owned()]);
        assert!(
            error.contains("\"egress.upstream_proxy_except\""),
            "{error}"
        );
        let error = refused(|config| {
            config.upstream_proxy = "".into();
            config.upstream_proxy_except = vec!["a.example".to_owned()];
        });
        assert!(error.contains("\"egress.upstream_proxy\""), "{error}");
    }

    #[test]
    fn a_status_is_three_digits_and_nothing_else() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        for head in [
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 20\r\n\r\n",
            "HTTP/1.1  200\r\n\r\n",
            "HTTP/1.1 099\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1\r\n\r\n200",
            "",
        ] {
            assert_eq!(status(head.as_bytes()), None, "{head:?}");
        }
    }
}
