//! Starts the redactor, and starts it again whenever it ends.

use std::ffi::OsString;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::supervised::{Start, Supervised};
use crate::config::{Config, Paths};
use crate::kernel::Rng;
use crate::redactor::RedactorClient;

/// What vault and redactor are given at each start, so that the vault knows the redactor. Nobody else has it: the server,
/// which is the same user, cannot look into the process that made it.
pub struct RedactorToken(Zeroizing<[u8; 32]>);

impl RedactorToken {
    /// A new one.
    pub fn new(rng: &Rng) -> Self {
        Self(Zeroizing::new(rng.bytes()))
    }

    /// As it is told to a process.
    pub fn line(&self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(BASE64_STANDARD.encode(self.0.as_slice()));
        line.push('\n');
        line
    }
}

/// How the process is started.
#[derive(Debug, Clone)]
pub struct RedactorStart {
    /// Where it listens.
    pub socket: PathBuf,
    /// Where the vault listens.
    pub vault: PathBuf,
    /// Whether it refuses to run with less than all of its hardening.
    pub require_hardening: bool,
}

impl RedactorStart {
    /// As the settings say.
    pub fn new(config: &Config, paths: &Paths) -> Self {
        Self {
            socket: config.redactor.socket(paths),
            vault: config.vault.socket(paths),
            require_hardening: config.vault.require_hardening,
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "redactor".into(),
            "--socket".into(),
            self.socket.clone().into(),
            "--vault".into(),
            self.vault.clone().into(),
            "--vault-token".into(),
            "--die-with-parent".into(),
        ];
        if self.require_hardening {
            arguments.push("--require-hardening".into());
        }
        arguments
    }
}

/// The supervised redactor.
pub struct RedactorProcess {
    client: RedactorClient,
    process: Supervised,
}

impl RedactorProcess {
    /// Starts it and keeps it running.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub async fn supervise(how: &RedactorStart, token: &RedactorToken) -> anyhow::Result<Self> {
        let process = Supervised::begin(Start {
            name: "redactor",
            arguments: how.arguments(),
            at_first: Vec::new(),
            told: token.line(),
        });
        Ok(Self {
            client: RedactorClient::new(how.socket.clone()),
            process: process.await?,
        })
    }

    /// Waits until it answers; gives what it lacks of its hardening.
    ///
    /// # Errors
    /// When it does not within ten seconds.
    pub async fn ready(&self) -> anyhow::Result<Vec<String>> {
        let missing = self.process.answer("", || self.client.missing());
        let missing = missing.await?;
        warn_of_missing(&missing);
        Ok(missing)
    }

    /// Ends it.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// Says in the log what the redactor lacks of its hardening.
pub(super) fn warn_of_missing(missing: &[String]) {
    if !missing.is_empty() {
        tracing::warn!(
            ?missing,
            "the kernel does not give the redactor all its hardening"
        );
    }
}
