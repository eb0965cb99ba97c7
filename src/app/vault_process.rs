//! Starts the vault process, and starts it again whenever it ends.

use std::ffi::OsString;
use std::path::PathBuf;

use super::redactor_process::RedactorToken;
use super::supervised::{Start, Supervised};
use crate::config::{Config, Paths};
use crate::vault::{Status, VaultClient};

/// The supervised vault process. It ends with this value's [`VaultProcess::stop`], or with the end of the process that supervises it.
pub struct VaultProcess {
    client: VaultClient,
    process: Supervised,
}

/// How the process is started.
#[derive(Debug, Clone)]
pub struct VaultStart {
    /// Where socket and record are.
    pub paths: Paths,
    /// The master secret's file.
    pub master: PathBuf,
    /// Where the process listens.
    pub socket: PathBuf,
    /// Whether it refuses to run with less than all of its hardening.
    pub require_hardening: bool,
}

impl VaultStart {
    /// As the settings say.
    pub fn new(config: &Config, paths: &Paths) -> Self {
        Self {
            paths: paths.clone(),
            master: config.vault.master(paths),
            socket: config.vault.socket(paths),
            require_hardening: config.vault.require_hardening,
        }
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "vault".into(),
            "--socket".into(),
            self.socket.clone().into(),
            "--master".into(),
            self.master.clone().into(),
            "--record".into(),
            self.paths.vault().join("record.jsonl").into(),
            "--die-with-parent".into(),
            "--redactor-token".into(),
        ];
        if self.require_hardening {
            arguments.push("--require-hardening".into());
        }
        arguments
    }
}

impl VaultProcess {
    /// Starts it and keeps it running. Only a `new_install` may make a master secret: where keys were wrapped already,
    /// a lost master must be an error and not a fresh one that opens nothing. The redactor is who shows `token`.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub async fn supervise(
        how: &VaultStart,
        new_install: bool,
        token: &RedactorToken,
    ) -> anyhow::Result<Self> {
        let at_first = new_install.then_some("--create-master".into());
        let process = Supervised::begin(Start {
            name: "vault process",
            arguments: how.arguments(),
            at_first: at_first.into_iter().collect(),
            told: token.line(),
        });
        Ok(Self {
            client: VaultClient::new(how.socket.clone()),
            process: process.await?,
        })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it does not within ten seconds.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let refusal = ": the master secret ([vault] master_file, or vault/master in the data folder), install-id beside it, or the \
                       folder vault/ is missing, damaged, or in use. Restore it and start again";
        let status = self.process.answer(refusal, || self.client.status());
        warn_of_missing(&status.await?);
        Ok(())
    }

    /// What asks it.
    pub fn client(&self) -> &VaultClient {
        &self.client
    }

    /// Ends it.
    pub async fn stop(self) {
        self.process.stop().await;
    }
}

/// Says in the log what the vault process lacks of its hardening.
pub(super) fn warn_of_missing(status: &Status) {
    let missing = status.hardening.missing();
    if !missing.is_empty() {
        tracing::warn!(
            ?missing,
            "the kernel does not give the vault process all its hardening"
        );
    }
}
