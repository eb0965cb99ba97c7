//! `optidev vault rotate-master`: a new master secret, while the server serves.
//!
//! What always holds: whatever is stored opens with the master file of that moment, so the command may be killed anywhere.
//! What is left to do is read from the file and from the rows, and the next run does it. Only what the vault itself seals
//! under its root keys is put anew: the keys of workspaces, which their secrets are sealed with, and what belongs to the
//! installation.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Pid, Signal, kill_process};

use super::services;
use crate::config::Loaded;
use crate::context::Services;
use crate::features::audit::{self, Action};
use crate::features::{credentials, identity, members};
use crate::store::SystemPurpose;
use crate::vault::server::root_number;
use crate::vault::server::rotation::MasterFile;
use crate::vault::{RootKey, Sealed, SystemPurpose as Purpose, VaultError, WrappedKey};

/// Calls of the vault that are under way at once.
const AT_ONCE: usize = 64;
/// Rows that are written in one transaction, for which other writers wait.
const BATCH: usize = 250;
/// Who read a key before it was put anew uses it within this time; the old root key goes after it.
const IN_USE: Duration = Duration::from_millis(750);
/// A vault process that was ended is back by then.
const BACK: Duration = Duration::from_secs(10);

/// Rotates, or finishes a rotation that was broken off; tells `say` how far it is.
///
/// # Errors
/// What is in the way, and what to do.
pub async fn rotate_master(
    loaded: Loaded,
    data_dir: &Path,
    copied: bool,
    say: impl Fn(&str),
) -> anyhow::Result<()> {
    if let Some(socket) = &loaded.config.vault.socket {
        bail!(
            "the vault process at {} is started apart from the server, which cannot reach its master secret: run this where \
             that file is, with settings that name it in [vault] master_file",
            socket.display()
        );
    }
    let offline = services::offline(loaded, data_dir).await?;
    let alone = offline.alone();
    let done = rotate(&offline.services, alone, copied, say).await;
    offline.close().await;
    done
}

async fn rotate(
    services: &Services,
    alone: bool,
    copied: bool,
    say: impl Fn(&str),
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let master = services.master_file();
    let file = MasterFile::open(&master)?;
    let (install, found) = file.read()?;
    let running = services.vault.status().await?;
    ensure!(
        running.install == install && running.root_keys.iter().any(|root| found.contains(root)),
        "the vault that runs has other root keys than {}: name the file that it was started with, by the same --config and \
         --data-dir",
        master.display()
    );
    if let ([new], [_, _]) = (found.as_slice(), running.root_keys.as_slice()) {
        // Broken off between the last two steps: the file is done, and the vault does not know.
        restart(services, &found).await?;
        return finished(services, new, begun, &say).await;
    }
    if found.len() == 1 {
        say("writing a second root key into the master file");
    } else {
        say("going on with the rotation that was broken off");
    }
    file.begin()?;
    let (_, both) = file.read()?;
    let [old, new] = both.as_slice() else {
        bail!("{} does not hold two root keys", master.display());
    };
    if services.store.is_shared() && !copied {
        say(&format!(
            "{} now has the root keys {} and {}. Copy it to every other server of this database and restart the servers one \
             after the other; then run this again here with --copied. (With a single server: now, with --copied.)",
            master.display(),
            old.number,
            new.number
        ));
        return Ok(());
    }
    if running.root_keys != both {
        restart(services, &both).await?;
    }
    // From here on everything is sealed under the new root key. What was sealed before is written by now, or soon:
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    tx.wait_for_holders().await?;
    drop(tx);
    let mut count = rewrap(services, new.number, &say).await?;
    if !alone {
        tokio::time::sleep(IN_USE).await;
        count += rewrap(services, new.number, &say).await?;
    }
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    let detail = format!("root key {} in place of {}", new.number, old.number);
    let entry = audit::by_host(services, Action::MasterRotate, count, detail);
    tx.commit(&[], entry).await?;
    nothing_left(services, new).await?;
    file.finish()?;
    restart(services, std::slice::from_ref(new)).await?;
    finished(services, new, begun, &say).await
}

/// Looks once more, and says what to keep.
async fn finished(
    services: &Services,
    new: &RootKey,
    begun: Instant,
    say: &impl Fn(&str),
) -> anyhow::Result<()> {
    nothing_left(services, new).await?;
    let keys = members::workspace_keys(services).await?;
    if let Some((id, key)) = keys.into_iter().next() {
        let opened = services.vault.rewrap(id.bytes(), &WrappedKey(key)).await;
        opened.with_context(|| format!("opening the key of {id} with the new master"))?;
    }
    say(&format!(
        "done in {} ms: root key {} alone is in {}. Back it up now, apart from the database. Backups of the database from \
         before this moment open with a master file from before or during the rotation only: keep that as long as them.",
        begun.elapsed().as_millis(),
        new.number,
        services.master_file().display()
    ));
    Ok(())
}

/// Ends the vault process, which is started again by whoever watches over it, and waits until it has read `roots`.
async fn restart(services: &Services, roots: &[RootKey]) -> anyhow::Result<()> {
    let before = services.vault.status().await?.pid;
    let pid = i32::try_from(before).ok().and_then(Pid::from_raw);
    let pid = pid.context("the vault says no process id")?;
    kill_process(pid, Signal::TERM).with_context(|| {
        format!("ending the vault process {before}, which starts again with the new file")
    })?;
    let end = Instant::now() + BACK;
    loop {
        match services.vault.status().await {
            Ok(status) if status.pid != before && status.root_keys == roots => return Ok(()),
            Ok(status) if status.pid != before => bail!(
                "the vault was started with other root keys than are in {}: was the file changed meanwhile? Run this again",
                services.master_file().display()
            ),
            Err(error) if Instant::now() > end => {
                return Err(error)
                    .context("the vault does not come back; run this again when it does");
            }
            _ if Instant::now() > end => {
                bail!("the vault process {before} does not end; run this again when it has")
            }
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// Puts everything that is not under the root key `number` under it, and says how many things that were.
async fn rewrap(services: &Services, number: u32, say: &impl Fn(&str)) -> anyhow::Result<usize> {
    let vault = &services.vault;
    let keys = Kind {
        what: "keys of workspaces",
        rows: members::workspace_keys(services).await?,
    };
    let done = keys.rewrap(
        number,
        say,
        |id, key| async move { Ok(vault.rewrap(id.bytes(), &WrappedKey(key)).await?.0) },
        |rows| members::replace_workspace_keys(services, rows),
    );
    let mut count = done.await?;
    let seeds = Kind {
        what: "seeds of one-time passwords",
        rows: identity::totp_seeds(services).await?,
    };
    let done = seeds.rewrap(
        number,
        say,
        |id, seed| async move { Ok(vault.rewrap_totp(id.bytes(), &Sealed(seed)).await?.0) },
        |rows| identity::replace_totp_seeds(services, rows),
    );
    count += done.await?;
    let secrets = Kind {
        what: "secrets of audit sinks",
        rows: audit::sink_secrets(services).await?,
    };
    let done = secrets.rewrap(
        number,
        say,
        |sink, sealed| async move {
            let (name, sealed) = (sink.name, Sealed(sealed));
            Ok(vault
                .rewrap_system(Purpose::Integration, &name, &sealed)
                .await?
                .0)
        },
        |rows| audit::replace_sink_secrets(services, rows),
    );
    count += done.await?;
    let stored = Kind {
        what: "credentials of the installation",
        rows: credentials::all(services).await?,
    };
    let done = stored.rewrap(
        number,
        say,
        |(purpose, name), sealed| async move {
            Ok(vault
                .rewrap_system(purpose, &name, &Sealed(sealed))
                .await?
                .0)
        },
        |rows| credentials::replace(services, rows),
    );
    Ok(count + done.await?)
}

/// Rows of one kind, each with what is sealed in it.
struct Kind<I> {
    what: &'static str,
    rows: Vec<(I, Vec<u8>)>,
}

impl<I: Clone> Kind<I> {
    async fn rewrap<C, W>(
        self,
        number: u32,
        say: &impl Fn(&str),
        call: impl Fn(I, Vec<u8>) -> C,
        write: impl Fn(Vec<(I, Vec<u8>, Vec<u8>)>) -> W,
    ) -> anyhow::Result<usize>
    where
        C: Future<Output = Result<Vec<u8>, VaultError>>,
        W: Future<Output = Result<(), crate::store::StoreError>>,
    {
        let old: Vec<_> = self
            .rows
            .into_iter()
            .filter(|(_, sealed)| root_number(sealed) != Some(number))
            .collect();
        let mut done = 0;
        for batch in old.chunks(BATCH) {
            let calls = batch.iter().map(|(id, sealed)| {
                let called = call(id.clone(), sealed.clone());
                async { Ok((id.clone(), sealed.clone(), called.await?)) }
            });
            let rows: Vec<_> = stream::iter(calls)
                .buffered(AT_ONCE)
                .try_collect()
                .await
                .map_err(|error: VaultError| {
                    anyhow::Error::new(error).context(format!(
                        "one of the {} cannot be opened, and the old root key stays until it can or is deleted",
                        self.what
                    ))
                })?;
            write(rows).await?;
            done += batch.len();
            say(&format!("{done} of {} {}", old.len(), self.what));
        }
        Ok(done)
    }
}

/// # Errors
/// When anything is under another root key than `new`.
async fn nothing_left(services: &Services, new: &RootKey) -> anyhow::Result<()> {
    fn other<I>(rows: Vec<(I, Vec<u8>)>, number: u32) -> usize {
        let other = |(_, sealed): &(I, Vec<u8>)| root_number(sealed) != Some(number);
        rows.iter().filter(|row| other(row)).count()
    }
    let left = other(members::workspace_keys(services).await?, new.number)
        + other(identity::totp_seeds(services).await?, new.number)
        + other(audit::sink_secrets(services).await?, new.number)
        + other(credentials::all(services).await?, new.number);
    ensure!(
        left == 0,
        "{left} things are not under root key {}: was an older database restored meanwhile? Run this again",
        new.number
    );
    Ok(())
}
