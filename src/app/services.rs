//! Builds the parts that everything else is given.

use std::fs::{File, TryLockError};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::confinement::{self, Confinement};
use super::redactor_process::RedactorToken;
use super::vault_process::VaultStart;
use super::{VaultProcess, installation, launcher};
use crate::authz::{Credentials, SessionLimits};
use crate::clients::http::Outbound;
use crate::clients::mail::Mailer;
use crate::clients::objects::Objects;
use crate::clients::redis::Redis;
use crate::config::{Config, Loaded, Paths, RuntimeKind};
use crate::context::Services;
use crate::features::{audit, members};
use crate::kernel::{Clock, Rng};
use crate::redactor::RedactorClient;
use crate::shared::Shared;
use crate::store::Store;
use crate::vault::VaultClient;

/// Keeps a second server away from the same data folder. Held for the server's life.
fn lock(paths: &Paths) -> anyhow::Result<File> {
    try_lock(paths)?.with_context(|| {
        format!(
            "another optidev serve uses {} already: stop it, or choose another folder with --data-dir",
            paths.data_dir().display()
        )
    })
}

/// What a server holds from before it answers: its folders, the launcher, and its own confinement.
pub struct Held {
    paths: Paths,
    launcher: Option<OwnedFd>,
    confinement: Confinement,
    lock: File,
}

impl Held {
    /// Where things are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The parts: the link to the launcher when there is one, what came of the confinement, and the lock.
    pub fn into_parts(self) -> (Option<OwnedFd>, Confinement, File) {
        (self.launcher, self.confinement, self.lock)
    }
}

/// Takes the data folder, begins the launcher where there is something to launch, and confines this process. Before any thread was started.
///
/// # Errors
/// When the folder is in use or cannot be made, or the kernel refuses what `[vault] require_hardening` demands.
pub fn hold(config: &Config, config_file: Option<&Path>, data_dir: &Path) -> anyhow::Result<Held> {
    let paths = Paths::new(data_dir.to_path_buf());
    let lock = lock(&paths)?;
    make_folders(&paths)?;
    let launched = config.runtime.kind == RuntimeKind::Local || config.vault.socket.is_none();
    let launcher = launched
        .then(|| launcher::begin(config_file, data_dir))
        .transpose()?;
    let confinement = confinement::confine(config, config_file, &paths)?;
    Ok(Held {
        paths,
        launcher,
        confinement,
        lock,
    })
}

pub(super) fn make_folders(paths: &Paths) -> anyhow::Result<()> {
    make_folder(paths.data_dir())?;
    for folder in [
        paths.run(),
        paths.objects(),
        paths.vault(),
        paths.database(),
        paths.tls(),
    ] {
        make_folder(&folder)?;
    }
    move_old_database(paths)
}

/// Until version 0.1.0 the database lay in the data folder itself, which a confined server cannot write to.
fn move_old_database(paths: &Paths) -> anyhow::Result<()> {
    let old = paths.data_dir().join("optidev.db");
    if !old.exists() || paths.sqlite().exists() {
        return Ok(());
    }
    // The database last: a move that was interrupted is found and finished by the next start.
    for name in ["optidev.db-wal", "optidev.db-shm", "optidev.db"] {
        let from = paths.data_dir().join(name);
        if from.exists() {
            std::fs::rename(&from, paths.database().join(name))
                .with_context(|| format!("moving {} into database/", from.display()))?;
        }
    }
    Ok(())
}

/// The lock, or none when somebody else holds it.
fn try_lock(paths: &Paths) -> anyhow::Result<Option<File>> {
    make_folder(paths.data_dir())?;
    let path = paths.data_dir().join("lock");
    let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

/// Folders of the server are its own, the data folder above all: no other user of the machine reads the database.
/// Containers with user ids of their own get theirs mounted before they give up the right to pass through.
fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)));
    made.with_context(|| {
        format!(
            "making the folder {} for this user alone: choose another one with --data-dir",
            path.display()
        )
    })
}

/// Opens the database and makes clients of the other processes; starts nothing.
pub async fn build(config: Config, paths: Paths) -> anyhow::Result<Services> {
    let clock = Clock::system();
    let vault = VaultClient::new(config.vault.socket(&paths));
    let redactor = RedactorClient::new(config.redactor.socket(&paths));
    let seal = Arc::new(vault.clone());
    let store = Store::open(&config.database, &paths.sqlite(), seal)
        .await
        .context("opening the database")?;
    let limits = SessionLimits {
        idle_ms: i64::from(config.server.session_idle_minutes) * 60_000,
        absolute_ms: i64::from(config.server.session_absolute_hours) * 3_600_000,
    };
    let credentials = Credentials::new(store.clone(), vault.clone(), clock.clone(), limits);
    let public_url = public_url(&config);
    let mailer = Mailer::new(&config.mail)?;
    let redis = Redis::new(&config.redis)?;
    let outbound = Outbound::new(&config)?;
    let objects = Objects::new(&config.objects, &paths, &outbound)?;
    Ok(Services {
        rng: Rng,
        public_url: public_url.into(),
        mailer,
        outbound,
        objects,
        shared: Shared::new(redis, &clock, &Rng),
        config: Arc::new(config),
        paths: Arc::new(paths),
        store,
        vault,
        redactor,
        credentials,
        clock,
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
    })
}

fn public_url(config: &Config) -> String {
    if !config.server.public_url.is_empty() {
        return config.server.public_url.trim_end_matches('/').to_owned();
    }
    let scheme = if config.tls.enabled { "https" } else { "http" };
    format!("{scheme}://localhost:{}", config.server.listen.port())
}

/// What a command on the host works with; dropping it lets go of the data folder.
pub struct Offline {
    /// The parts.
    pub services: Services,
    vault: Option<VaultProcess>,
    lock: Option<File>,
}

impl Offline {
    /// Whether no server runs on this data folder, and none can start before the command ends.
    pub fn alone(&self) -> bool {
        self.lock.is_some()
    }

    /// Ends the vault process that was started for the command, if one was.
    pub async fn close(self) {
        audit::flush(&self.services).await;
        if let Some(vault) = self.vault {
            vault.stop().await;
        }
    }
}

/// Services for a command on the host: talks to the vault of the running server, or starts one for as long as the
/// command runs and keeps servers away until then.
///
/// # Errors
/// When the data folder, the database or the vault cannot be reached.
pub async fn offline(loaded: Loaded, data_dir: &Path) -> anyhow::Result<Offline> {
    let paths = Paths::new(data_dir.to_path_buf());
    let lock = try_lock(&paths)?;
    make_folders(&paths)?;
    let services = build(loaded.config, paths).await?;
    let mut vault = None;
    if lock.is_some() {
        services
            .store
            .migrate_embedded()
            .await
            .context("bringing the database schema up to date")?;
        if services.config.vault.socket.is_none() {
            let how = VaultStart::new(&services.config, &services.paths);
            // No redactor is started here, so nobody shows this token.
            let token = RedactorToken::new(&services.rng);
            let started = VaultProcess::supervise(&how, is_new(&services).await?, &token).await?;
            started.ready().await?;
            vault = Some(started);
        }
        installation::claim(&services).await?;
    }
    Ok(Offline {
        services,
        vault,
        lock,
    })
}

/// Whether nothing was sealed here yet: no workspace has a wrapped key.
///
/// # Errors
/// When the database does not answer.
pub async fn is_new(services: &Services) -> anyhow::Result<bool> {
    members::any_workspace(services)
        .await
        .map(|any| !any)
        .context("looking for workspaces in the database")
}
