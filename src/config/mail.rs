//! `[mail]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// Begins in the clear and must turn to TLS before anything is said (port 587).
    #[default]
    Starttls,
    /// TLS from the first byte (port 465).
    Implicit,
    /// None; taken for a server on this machine only.
    None,
}

/// Invitations by mail. Without a server the console shows each link to whoever invites.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// Name of the mail server. Empty: no mail is sent. Example: `"smtp.example.com"`.
    pub smtp_host: String,
    /// Its port.
    pub smtp_port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// File with the certificate of an authority of your own, beside the well-known ones.
    pub ca_file: Option<PathBuf>,
    /// Name to sign in with at the mail server; empty for none.
    pub username: String,
    /// File that holds the password to sign in with.
    pub password_file: Option<PathBuf>,
    /// Who mails come from. Example: `"OptiDev <optidev@example.com>"`.
    pub from: String,
    /// For how many days the link of an invitation works.
    pub invitation_days: u16,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            smtp_host: String::new(),
            smtp_port: 587,
            tls: MailTls::default(),
            ca_file: None,
            username: String::new(),
            password_file: None,
            from: String::new(),
            invitation_days: 7,
        }
    }
}
