//! Starts the redactor, and starts it again whenever it ends.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::supervised::{Start, Supervised};
use crate::config::{Config, Paths};
use crate::kernel::Rng;
use crate::redactor::RedactorClient;

/// What vault and redactor are given at each start, so that the vault knows the redactor. Nobody else has it: the server,
/// which is the same user, cannot look into the process that made it.
pub struct Token(Zeroizing<[u8; 32]>);

impl Token {
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
    pub async fn supervise(how: &RedactorStart, token: &Token) -> anyhow::Result<Self> {
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

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it does not within ten seconds.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            match self.client.missing().await {
                Ok(missing) if missing.is_empty() => return Ok(()),
                Ok(missing) => {
                    tracing::warn!(
                        ?missing,
                        "the kernel does not give the redactor all its hardening"
                    );
                    return Ok(());
                }
                Err(_) if self.process.refused().is_some() => {
                    bail!("the redactor refuses to start, for the reason that it printed above")
                }
                Err(error) if tokio::time::Instant::now() > deadline => {
                    bail!("the redactor does not start: {error}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Ends it.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}
