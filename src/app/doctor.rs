//! `optidev doctor`: what this machine has of what keeps secrets and containers apart, and what is missing, found by trying.
//!
//! It starts a vault process of its own, with a master of its own that is deleted again: a running server and its secrets are
//! not touched.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use futures_util::TryStreamExt;
use tokio::process::Command;

use super::redactor_process::{RedactorProcess, RedactorStart, RedactorToken};
use super::services;
use super::vault_process::{VaultProcess, VaultStart};
use crate::clients::objects::{ObjectKey, ObjectsError};
use crate::config::{Config, Loaded, ObjectsKind, Paths};
use crate::context::Services;
use crate::kernel::{Rng, WorkspaceId};
use crate::vault::{Hardening, KeyMemory};

/// A program that is tried has this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Kernels as old as this clock were never sold: it is not set.
const LONG_AGO_MS: i64 = 1_700_000_000_000;

/// One line of the answer.
#[derive(Debug, serde::Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// Whether it is there.
    pub ok: bool,
    /// Whether OptiDev runs worse, or not at all, without it.
    pub needed: bool,
    /// What was found.
    pub found: String,
    /// What to do when it is missing.
    pub remedy: &'static str,
}

/// Looks at everything.
///
/// # Errors
/// When nothing could be looked at: the data folder cannot be made.
pub async fn examine(loaded: Loaded, data_dir: &Path) -> anyhow::Result<Vec<Check>> {
    let paths = Paths::new(data_dir.to_path_buf());
    services::make_folders(&paths)?;
    let mut checks = hardening(&paths).await;
    checks.push(redactor(&paths).await);
    checks.push(containers().await);
    checks.push(cgroups());
    checks.extend(stores(loaded.config, paths).await);
    Ok(checks)
}

async fn hardening(paths: &Paths) -> Vec<Check> {
    let found = match probe(paths).await {
        Ok(hardening) => hardening,
        Err(error) => {
            return vec![Check {
                name: "vault process",
                ok: false,
                needed: true,
                found: format!("{error:#}"),
                remedy: "see what it printed above",
            }];
        }
    };
    let other: Vec<String> = found
        .missing()
        .into_iter()
        .filter(|what| {
            !["memfd_secret", "landlock", "system call"]
                .iter()
                .any(|named| what.contains(named))
        })
        .collect();
    let check = |name, ok, found: String, remedy| Check {
        name,
        ok,
        needed: true,
        found,
        remedy,
    };
    vec![
        check(
            "memfd_secret",
            found.key_memory == KeyMemory::MemfdSecret,
            format!("root keys are in {:?} memory", found.key_memory),
            "a kernel with CONFIG_SECRETMEM (some need secretmem.enable=1 at boot), and RLIMIT_MEMLOCK of at least 64 KiB",
        ),
        check(
            "landlock for the vault",
            found.landlock_abi >= 4,
            format!("ABI {}", found.landlock_abi),
            "Linux 6.7 or newer with landlock in the list of lsm= at boot",
        ),
        check(
            "landlock for the server",
            found.landlock_abi >= 1,
            format!("ABI {}", found.landlock_abi),
            "Linux 5.13 or newer with landlock in the list of lsm= at boot",
        ),
        check(
            "seccomp",
            found.seccomp,
            if found.seccomp { "in force" } else { "refused" }.to_owned(),
            "a kernel with CONFIG_SECCOMP_FILTER, and a container runtime that allows filters",
        ),
        check(
            "vault process",
            other.is_empty(),
            if other.is_empty() {
                "not dumpable, no core dumps, no capabilities, no new privileges".to_owned()
            } else {
                format!("lacks {}", other.join(", "))
            },
            "run OptiDev as a user of its own, outside of a debugger",
        ),
    ]
}

/// Whether a redactor starts here, and what it lacks. It needs its vault for learning only.
async fn redactor(paths: &Paths) -> Check {
    let socket = paths
        .run()
        .join(format!("doctor-{}.sock", std::process::id()));
    let start = RedactorStart {
        vault: paths.run().join("no-vault"),
        socket: socket.clone(),
        require_hardening: false,
    };
    let asked = async {
        let redactor = RedactorProcess::supervise(&start, &RedactorToken::new(&Rng)).await?;
        let missing = redactor.ready().await;
        redactor.stop().await;
        missing
    };
    let found = match asked.await {
        Ok(missing) if missing.is_empty() => Ok("starts, and has all its hardening".to_owned()),
        Ok(missing) => Err(format!("lacks {}", missing.join(", "))),
        Err(error) => Err(format!("{error:#}")),
    };
    // One that is left behind by a failure is in nobody's way.
    let _ = tokio::fs::remove_file(socket).await;
    Check {
        name: "redactor",
        ok: found.is_ok(),
        needed: true,
        found: found.unwrap_or_else(|error| error),
        remedy: "what the vault process needs: landlock, seccomp, and a user of its own",
    }
}

/// What a vault process can do to itself here.
async fn probe(paths: &Paths) -> anyhow::Result<Hardening> {
    let own = Paths::new(paths.run().join(format!("doctor-{}", std::process::id())));
    services::make_folders(&own)?;
    let start = VaultStart {
        master: own.vault().join("master"),
        socket: own.run().join("vault.sock"),
        paths: own.clone(),
        require_hardening: false,
    };
    let asked = async {
        let vault = VaultProcess::supervise(&start, true, &RedactorToken::new(&Rng)).await?;
        let ready = vault.ready().await;
        let status = vault.client().status().await;
        vault.stop().await;
        ready?;
        anyhow::Ok(status?.hardening)
    };
    let asked = asked.await;
    tokio::fs::remove_dir_all(own.data_dir())
        .await
        .with_context(|| format!("removing {}", own.data_dir().display()))?;
    asked
}

/// Whether a container can be made: every namespace unshared, as an ordinary user too.
async fn containers() -> Check {
    let mut command = Command::new("bwrap");
    command
        .args(["--unshare-all", "--ro-bind", "/", "/", "true"])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let found = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok("bwrap makes containers".to_owned()),
        Ok(Ok(output)) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Ok(Err(error)) => Err(format!("bwrap: {error}")),
        Err(_) => Err(format!("bwrap did not end within {} s", PATIENCE.as_secs())),
    };
    Check {
        name: "containers",
        ok: found.is_ok(),
        needed: true,
        found: found.unwrap_or_else(|error| error),
        remedy: "install bubblewrap, and allow user namespaces (kernel.unprivileged_userns_clone=1; on Ubuntu also \
                 kernel.apparmor_restrict_unprivileged_userns=0)",
    }
}

fn cgroups() -> Check {
    let controllers = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers");
    Check {
        name: "cgroups",
        ok: controllers.exists(),
        needed: false,
        found: if controllers.exists() {
            "version 2"
        } else {
            "version 2 is not mounted; containers are held by limits of their processes alone"
        }
        .to_owned(),
        remedy: "boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 at /sys/fs/cgroup",
    }
}

async fn stores(config: Config, paths: Paths) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut push = |name, found: Result<String, String>, remedy| {
        checks.push(Check {
            name,
            ok: found.is_ok(),
            needed: true,
            found: found.unwrap_or_else(|error| error),
            remedy,
        });
    };
    let services = match services::build(config, paths).await {
        Ok(services) => services,
        Err(error) => {
            let found = Err(format!("{error:#}"));
            push(
                "database",
                found,
                "check [database], [mail], [redis] and [objects]",
            );
            return checks;
        }
    };
    let database = services.store.ping().await;
    let kind = if services.store.is_shared() {
        "PostgreSQL"
    } else {
        "SQLite"
    };
    push(
        "database",
        database
            .map(|()| format!("{kind} answers"))
            .map_err(|error| error.to_string()),
        "check [database] url, and that the server of the database runs",
    );
    let redis = match services.shared.ping().await {
        None => Ok("not configured, which is right for one server".to_owned()),
        Some(Ok(())) => Ok("answers".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
    };
    push("redis", redis, "check [redis] url, and that it runs");
    let now = services.clock.now_ms();
    let clock = if now > LONG_AGO_MS {
        Ok(format!("{now} ms since 1970"))
    } else {
        Err(format!("{now} ms since 1970 is in the past"))
    };
    push(
        "clock",
        clock,
        "set the clock, and keep it by NTP: one-time passwords and sessions go by it",
    );
    let found = objects(&services).await;
    checks.push(Check {
        name: "objects",
        ok: found.is_ok(),
        // A folder that servers share looks like one's own.
        needed: services.objects.kind() != ObjectsKind::Disk,
        found: found.unwrap_or_else(|error| error),
        remedy: "check [objects], and that the key may read, write and delete in the bucket below the prefix; one server alone \
                 may keep archives on its own disk",
    });
    checks
}

/// Whether an object can be written, read and deleted, found by doing it.
async fn objects(services: &Services) -> Result<String, String> {
    match services.objects.kind() {
        ObjectsKind::None => return Ok("none: no project is imported from an archive".to_owned()),
        ObjectsKind::Disk => {
            return match super::objects::warning(&services.config) {
                Some(warning) => Err(warning.to_owned()),
                None => Ok("on this server's disk, which is right for one server".to_owned()),
            };
        }
        ObjectsKind::S3 => {}
    }
    let file = services
        .paths
        .objects()
        .join(format!("doctor-{}", std::process::id()));
    let tried = async {
        let nobody = WorkspaceId::new(&services.clock, &services.rng);
        let key = ObjectKey::new(nobody, "doctor")?;
        tokio::fs::write(&file, b"doctor").await?;
        services.objects.put(&key, &file).await?;
        let read: Vec<_> = services.objects.get(&key).await?.try_collect().await?;
        services.objects.delete(&key).await?;
        Ok::<_, ObjectsError>(read.concat() == b"doctor")
    };
    let tried = tried.await;
    // It may not be there.
    let _ = tokio::fs::remove_file(&file).await;
    match tried {
        Ok(true) => Ok("the bucket takes, gives and deletes".to_owned()),
        Ok(false) => Err("the bucket gives something else than it took".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
