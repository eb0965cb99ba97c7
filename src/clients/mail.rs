//! Sending mail by SMTP (RFC 5321), with TLS that is checked.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::{MailConfig, MailTls};
use crate::kernel::SecretString;

/// A mail server has this long for each answer.
const ANSWER: Duration = Duration::from_secs(5);
/// And for the whole mail.
const WHOLE: Duration = Duration::from_secs(10);

/// Why a mail was not sent, or cannot be.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// A setting is wrong.
    #[error("[mail] {0}")]
    Setting(String),
    /// An address or header that cannot stand in a mail.
    #[error("the mail cannot be written")]
    Message(#[from] lettre::error::Error),
    /// The server refused, or its certificate does not fit.
    #[error("the mail server did not take it")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The server did not answer.
    #[error("the mail server did not answer within {} s", WHOLE.as_secs())]
    Timeout,
}

/// Sends plain text mails. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// Whose password no file holds, and how to sign in with one.
    unsigned: Option<(String, AsyncSmtpTransportBuilder)>,
}

impl Mailer {
    /// Reads the settings; none when no server is configured. Connects to nothing.
    ///
    /// # Errors
    /// [`MailError::Setting`] naming the setting and the remedy.
    pub fn new(config: &MailConfig) -> Result<Option<Self>, MailError> {
        if config.smtp_host.is_empty() {
            return Ok(None);
        }
        let setting = |text: String| MailError::Setting(text);
        let from: Mailbox = config.from.parse().map_err(|_| {
            setting(format!(
                "from: {:?} is no mail address. Write it like \"OptiDev <optidev@example.com>\".",
                config.from
            ))
        })?;
        let host = config.smtp_host.as_str();
        let tls = match config.tls {
            MailTls::None => {
                let local = host == "localhost"
                    || host
                        .parse::<std::net::IpAddr>()
                        .is_ok_and(|address| address.is_loopback());
                if !local {
                    return Err(setting(format!(
                        "tls is \"none\", and {host:?} is another machine: links of invitations would be readable on \
                         the way. Use \"starttls\" or \"implicit\"."
                    )));
                }
                Tls::None
            }
            MailTls::Starttls => Tls::Required(parameters(config)?),
            MailTls::Implicit => Tls::Wrapper(parameters(config)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(config.smtp_port)
            .tls(tls)
            .timeout(Some(ANSWER));
        let mut unsigned = None;
        if !config.username.is_empty() {
            let password = match &config.password_file {
                None => {
                    unsigned = Some((config.username.clone(), builder.clone()));
                    String::new()
                }
                Some(file) => std::fs::read_to_string(file)
                    .map_err(|error| setting(format!("password_file {}: {error}", file.display())))?
                    .trim_end_matches(['\r', '\n'])
                    .to_owned(),
            };
            builder = builder.credentials(Credentials::new(config.username.clone(), password));
        }
        Ok(Some(Self {
            transport: builder.build(),
            from,
            unsigned,
        }))
    }

    /// Whether a user name is configured and no file with its password.
    pub fn wants_password(&self) -> bool {
        self.unsigned.is_some()
    }

    /// The same, signing in with `password` where no file holds one.
    #[must_use]
    pub fn with_password(&self, password: &SecretString) -> Self {
        let mut signed = self.clone();
        if let Some((username, builder)) = signed.unsigned.take() {
            let credentials = Credentials::new(username, password.expose().clone());
            signed.transport = builder.credentials(credentials).build();
        }
        signed
    }

    /// Sends one mail of plain text.
    ///
    /// # Errors
    /// [`MailError`]; the server did not take the mail then.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), MailError> {
        let to: Mailbox = to
            .parse()
            .map_err(|_| MailError::Setting(format!("{to:?} is no mail address")))?;
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .header(lettre::message::header::ContentType::TEXT_PLAIN)
            .body(text)?;
        match tokio::time::timeout(WHOLE, self.transport.send(message)).await {
            Ok(sent) => {
                sent?;
                Ok(())
            }
            Err(_) => Err(MailError::Timeout),
        }
    }
}

fn parameters(config: &MailConfig) -> Result<TlsParameters, MailError> {
    let mut builder = TlsParameters::builder(config.smtp_host.clone());
    if let Some(file) = &config.ca_file {
        let wrong = |error: &dyn std::fmt::Display| {
            MailError::Setting(format!("ca_file {}: {error}", file.display()))
        };
        let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(&error))?;
        builder = builder.add_root_certificate(certificate);
    }
    Ok(builder.build_rustls()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MailConfig {
        MailConfig {
            smtp_host: "smtp.example.com".into(),
            from: "OptiDev <a@example.com>".into(),
            ..MailConfig::default()
        }
    }

    fn complaint(config: &MailConfig) -> String {
        match Mailer::new(config) {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        }
    }

    #[test]
    fn mails_do_not_leave_the_machine_in_the_clear() {
        let mut config = config();
        assert_eq!(complaint(&config), "");
        config.tls = MailTls::None;
        assert!(complaint(&config).contains("smtp.example.com"));
        config.smtp_host = "127.0.0.1".into();
        assert_eq!(complaint(&config), "");
    }

    #[test]
    fn wrong_settings_are_named() {
        let mut config = config();
        config.from = "nobody".into();
        assert!(complaint(&config).contains("from: \"nobody\""));
        let mut config = self::config();
        config.ca_file = Some("/nowhere/ca.pem".into());
        assert!(complaint(&config).contains("ca_file /nowhere/ca.pem"));
    }
}
