//! The server confines itself before it answers anybody: what code in it cannot reach, whoever's code it is.
//!
//! - landlock(7): it reads the system's own files and those that its settings name, and reads and writes its own folders.
//!   The vault's folder and the master secret are in neither. It starts no program, opens no device, signals no other
//!   process, and traces none outside of itself: that is part of every landlock domain, for root too.
//! - As root it gives up every capability but two: to reach the sockets of agents, which belong to the containers' users,
//!   and to listen on a port below 1024.
//!
//! What is found to hold is asked of the kernel afterwards, by trying. Sockets in the file system are not covered by
//! landlock: what else listens for this user on the machine can be connected to.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::config::{Config, Paths};
use crate::vault::server::rotation;

/// The newest landlock whose rights are named here; an older kernel holds what it knows.
const NEWEST: ABI = ABI::V7;

/// What every program on the machine reads.
const SYSTEM: [&str; 9] = [
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc", "/proc", "/sys", "/run",
];
/// Devices without state.
const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The landlock ABI in force, 0 for none.
    pub landlock_abi: u32,
    /// What is not refused though it should be, as words for what is missing.
    pub open: Vec<String>,
}

impl Confinement {
    /// What is missing, in words for a person; empty when everything holds.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut missing = self.open.clone();
        if self.landlock_abi == 0 {
            missing.push("landlock for the server".to_owned());
        }
        missing
    }
}

/// Confines this process and all that it starts from now on. Before any other thread was started.
///
/// # Errors
/// When a rule cannot be made; when something is missing and `[vault] require_hardening` is set.
pub fn confine(
    config: &Config,
    config_file: Option<&Path>,
    paths: &Paths,
) -> anyhow::Result<Confinement> {
    let master = config.vault.master(paths);
    // A rotation that was killed may have left its file beside the master, to be renamed over it.
    let secret: Vec<PathBuf> = [paths.vault(), master.clone(), rotation::beside(&master)]
        .iter()
        .flat_map(|path| [path.clone(), real(path)])
        .collect();
    let landlock_abi =
        restrict(config, config_file, paths, &secret).context("confining the server")?;
    drop_capabilities().context("giving up capabilities")?;
    let mut open = Vec::new();
    if landlock_abi > 0 {
        for path in [master, paths.vault().join("record.jsonl")] {
            // Not there is as good: it cannot be made by this process either.
            match std::fs::File::open(&path).map_err(|error| error.kind()) {
                Err(io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound) => {}
                _ => open.push(format!("a refusal of {}", path.display())),
            }
        }
    }
    let confinement = Confinement { landlock_abi, open };
    let missing = confinement.missing();
    if !missing.is_empty() && config.vault.require_hardening {
        bail!(
            "hardening is required and this system lacks: {}; use a kernel that has it, or set [vault] require_hardening \
             = false",
            missing.join(", ")
        );
    }
    Ok(confinement)
}

fn restrict(
    config: &Config,
    config_file: Option<&Path>,
    paths: &Paths,
    secret: &[PathBuf],
) -> anyhow::Result<u32> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let own = AccessFs::from_all(NEWEST)
        & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSym);
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for root in SYSTEM {
        rules = allow_around(rules, Path::new(root), secret, read)?;
    }
    for file in config_file
        .map(Path::to_path_buf)
        .into_iter()
        .chain(named_files(config))
    {
        // A file that comes later is found by its folder.
        let target = if file.exists() {
            file.as_path()
        } else {
            file.parent().unwrap_or(&file)
        };
        rules = allow_around(rules, target, secret, read)?;
    }
    for device in DEVICES {
        rules = allow(
            rules,
            Path::new(device),
            AccessFs::ReadFile | AccessFs::WriteFile,
        )?;
    }
    for folder in [paths.database(), paths.objects(), paths.tls()] {
        rules = allow(rules, &folder, own)?;
    }
    let status = rules.no_new_privs(true).restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => 0,
        (_, LandlockStatus::Available { effective_abi, .. }) => effective_abi as u32,
        _ => 0,
    })
}

/// Allows `access` below `path`, but not for `secret` and not for the folders above it: a rule for a folder cannot be taken
/// back for something inside, so its entries are allowed one by one. What is added to such a folder later stays closed.
fn allow_around(
    mut rules: RulesetCreated,
    path: &Path,
    secret: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> anyhow::Result<RulesetCreated> {
    let (path, real) = (path.to_path_buf(), real(path));
    let inside = |folder: &Path| secret.iter().any(|secret| secret.starts_with(folder));
    if secret.iter().any(|secret| real.starts_with(secret)) {
        return Ok(rules);
    }
    if !inside(&path) && !inside(&real) {
        return allow(rules, &real, access);
    }
    let entries = match std::fs::read_dir(&real) {
        Ok(entries) => entries,
        // A file that is named in place of the secret, or a folder that is not there: nothing to allow.
        Err(_) => return Ok(rules),
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {}", real.display()))?;
        // Links are allowed where they lead, if that is allowed.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            rules = allow_around(rules, &entry.path(), secret, access)?;
        }
    }
    Ok(rules)
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> anyhow::Result<RulesetCreated> {
    let Ok(opened) = PathFd::new(path) else {
        // What is not there needs no rule.
        return Ok(rules);
    };
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    };
    Ok(rules.add_rule(PathBeneath::new(opened, access))?)
}

/// Every file that a setting names, but for the master secret.
fn named_files(config: &Config) -> BTreeSet<PathBuf> {
    fn collect(value: &serde_json::Value, found: &mut BTreeSet<PathBuf>) {
        let serde_json::Value::Object(fields) = value else {
            return;
        };
        for (name, value) in fields {
            match value {
                serde_json::Value::String(path) if name.ends_with("_file") => {
                    found.insert(PathBuf::from(path));
                }
                value => collect(value, found),
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(
        &serde_json::to_value(config).unwrap_or_default(),
        &mut found,
    );
    if let Some(master) = &config.vault.master_file {
        found.remove(master);
    }
    found
}

fn real(path: &Path) -> PathBuf {
    if let Ok(real) = std::fs::canonicalize(path) {
        return real;
    }
    // Not there yet: its folder may be, under another name.
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => std::fs::canonicalize(parent)
            .map_or_else(|_| path.to_path_buf(), |real| real.join(name)),
        _ => path.to_path_buf(),
    }
}

fn drop_capabilities() -> io::Result<()> {
    let kept = CapabilitySet::DAC_OVERRIDE | CapabilitySet::NET_BIND_SERVICE;
    let now = rustix::thread::capabilities(None)?;
    let sets = CapabilitySets {
        effective: now.effective & kept,
        permitted: now.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}
