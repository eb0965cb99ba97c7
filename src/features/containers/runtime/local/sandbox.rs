//! What a container is: bubblewrap's arguments.

use std::path::{Path, PathBuf};

use super::etc;
use crate::config::LocalRuntimeConfig;
use crate::features::containers::runtime::{RuntimeError, preview_hosts};

/// The user's name, id and home inside.
pub const UID: u32 = 1000;
const HOME: &str = "/home/dev";
const STATE: &str = "/var/lib/optidev";
const SOCKETS: &str = "/run/optidev/socket";
const EGRESS: &str = "/run/optidev/egress";
/// Secrets that are files: memory, which only the container's user reads.
pub const SECRETS: &str = "/run/secrets";
/// Most of that, in bytes: twice what an agent takes in one delivery, for what is new is written beside what is there.
const SECRETS_BYTES: u64 = 64 << 20;
const AGENT: &str = "/run/optidev/bin/optidev-agent";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// File name of the agent's socket.
pub const AGENT_SOCKET: &str = "agent.sock";
/// File name of the socket to the egress role.
pub const EGRESS_SOCKET: &str = "egress.sock";

/// Where the host has what the container gets, as the process that becomes the container sees it.
pub struct Sources {
    /// The container's home.
    pub home: PathBuf,
    /// Terminal history.
    pub state: PathBuf,
    /// The folder of the agent's socket.
    pub run: PathBuf,
    /// The folder of the egress socket.
    pub egress: PathBuf,
    /// The synthetic `/etc`.
    pub etc: PathBuf,
    /// The agent's executable.
    pub agent: PathBuf,
    /// The toolchains, in the order of the configuration.
    pub toolchains: Vec<PathBuf>,
}

/// Refuses settings that no container could start with.
pub fn check(config: &LocalRuntimeConfig) -> Result<(), RuntimeError> {
    const TAKEN: [&str; 9] = [
        "/",
        "/proc",
        "/dev",
        "/tmp",
        "/etc",
        "/run",
        SECRETS,
        "/home",
        "/var/lib/optidev",
    ];
    for folder in &config.toolchains {
        let shown = folder.display();
        let refused = |why: &str| {
            Err(RuntimeError::Machine(format!(
                "[runtime.local] toolchains: {shown} {why}"
            )))
        };
        if !folder.is_absolute() {
            return refused("is not an absolute path. Write it from / on.");
        }
        if !folder.is_dir() {
            return refused(
                "is not a folder on this machine. Install it there, or take it out of the list.",
            );
        }
        if TAKEN.iter().any(|taken| {
            folder == Path::new(taken) || (*taken == "/home" && folder.starts_with(HOME))
        }) {
            return refused(
                "cannot be shown to containers: they have their own. Name a folder below it.",
            );
        }
    }
    if config.memory_mib < 64 || config.pids < 32 {
        return Err(RuntimeError::Machine(format!(
            "[runtime.local] memory_mib = {} and pids = {}: a container needs 64 MiB and 32 processes at least",
            config.memory_mib, config.pids
        )));
    }
    Ok(())
}

/// The shell of terminals.
pub fn shell(config: &LocalRuntimeConfig) -> &'static str {
    let bash = config
        .toolchains
        .iter()
        .any(|folder| folder == Path::new("/usr"))
        && Path::new("/usr/bin/bash").is_file();
    if bash { "/bin/bash" } else { "/bin/sh" }
}

/// bubblewrap's options: everything before the command.
pub fn options(
    config: &LocalRuntimeConfig,
    apps_domain: &str,
    sources: &Sources,
    shell: &str,
) -> Vec<String> {
    let mut args = Arguments(Vec::with_capacity(160));
    // /proc, network, ids, messages, host name, control groups: nothing is shared. No further user namespaces,
    // because they open most of the kernel's attack surface to code without rights.
    args.add(&[
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--new-session",
        "--cap-drop",
        "ALL",
    ]);
    args.add(&[
        "--uid",
        &UID.to_string(),
        "--gid",
        &UID.to_string(),
        "--hostname",
        "optidev",
        "--clearenv",
    ]);

    for (name, target) in links() {
        args.add(&["--symlink", &target, &name]);
    }
    args.add(&["--ro-bind", &text(&sources.etc), "/etc"]);
    for name in etc::FOLDERS.iter().chain(&etc::HOST_FILES) {
        let path = format!("/etc/{name}");
        if Path::new(&path).exists() {
            args.add(&["--ro-bind-try", &path, &path]);
        }
    }
    args.add(&["--proc", "/proc", "--dev", "/dev"]);
    // Shared memory and /tmp are memory: together at most what the container may have.
    let half = (config.memory_mib << 20) / 2;
    args.add(&[
        "--perms",
        "1777",
        "--size",
        &half.to_string(),
        "--tmpfs",
        "/dev/shm",
        "--remount-ro",
        "/dev",
    ]);
    args.add(&[
        "--perms",
        "1777",
        "--size",
        &half.to_string(),
        "--tmpfs",
        "/tmp",
    ]);
    // After /tmp, so that one below it is not covered. Folders on the way to one are made by bubblewrap, open to everybody, whatever they are outside.
    for (source, folder) in sources.toolchains.iter().zip(&config.toolchains) {
        args.add(&["--ro-bind", &text(source), &text(folder)]);
    }
    for folder in [
        "/home",
        "/run",
        "/run/optidev",
        "/run/optidev/bin",
        "/var",
        "/var/lib",
    ] {
        args.add(&["--perms", "0755", "--dir", folder]);
    }
    args.add(&["--symlink", "/tmp", "/var/tmp"]);
    args.add(&[
        "--perms",
        "0700",
        "--size",
        &SECRETS_BYTES.to_string(),
        "--tmpfs",
        SECRETS,
    ]);
    args.add(&[
        "--bind",
        &text(&sources.home),
        HOME,
        "--bind",
        &text(&sources.state),
        STATE,
    ]);
    args.add(&[
        "--bind",
        &text(&sources.run),
        SOCKETS,
        "--ro-bind",
        &text(&sources.egress),
        EGRESS,
    ]);
    args.add(&[
        "--ro-bind",
        &text(&sources.agent),
        AGENT,
        "--remount-ro",
        "/",
        "--chdir",
        HOME,
    ]);

    let previews = preview_hosts(apps_domain);
    for (name, value) in environment(config, shell).into_iter().chain([previews]) {
        args.add(&["--setenv", name, &value]);
    }
    args.0
}

/// The command inside: the agent.
pub fn command(shell: &str) -> Vec<String> {
    let mut args = Arguments(Vec::new());
    args.add(&[
        "--",
        AGENT,
        "--socket",
        &format!("{SOCKETS}/{AGENT_SOCKET}"),
        "--home",
        HOME,
        "--state",
        STATE,
        "--secrets",
        SECRETS,
    ]);
    args.add(&[
        "--egress-socket",
        &format!("{EGRESS}/{EGRESS_SOCKET}"),
        "--proxy",
        "127.0.0.1:3128",
        "--shell",
        shell,
    ]);
    args.0
}

/// Every place where something is mounted, for the proof: one that is not here is a hole.
pub fn mount_points(config: &LocalRuntimeConfig) -> Vec<String> {
    let mut points: Vec<String> = [
        "/",
        "/etc",
        "/proc",
        "/dev",
        "/dev/null",
        "/dev/zero",
        "/dev/full",
        "/dev/random",
        "/dev/urandom",
        "/dev/tty",
        "/dev/pts",
        "/dev/shm",
        "/tmp",
        SECRETS,
        HOME,
        STATE,
        SOCKETS,
        EGRESS,
        AGENT,
    ]
    .map(str::to_owned)
    .to_vec();
    points.extend(config.toolchains.iter().map(|folder| text(folder)));
    points.extend(
        etc::FOLDERS
            .iter()
            .chain(&etc::HOST_FILES)
            .map(|name| format!("/etc/{name}")),
    );
    points
}

fn environment(config: &LocalRuntimeConfig, shell: &str) -> Vec<(&'static str, String)> {
    let mut path: Vec<String> = config.path.iter().map(|folder| text(folder)).collect();
    path.push(
        "/home/dev/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            .to_owned(),
    );
    vec![
        ("HOME", HOME.to_owned()),
        ("USER", "dev".to_owned()),
        ("LOGNAME", "dev".to_owned()),
        ("SHELL", shell.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("PATH", path.join(":")),
        ("SSL_CERT_FILE", CERTIFICATES.to_owned()),
        ("NODE_EXTRA_CA_CERTS", CERTIFICATES.to_owned()),
        ("GIT_SSL_CAINFO", CERTIFICATES.to_owned()),
        ("npm_config_update_notifier", "false".to_owned()),
        ("npm_config_fund", "false".to_owned()),
    ]
}

/// `/bin` and the like as the host has them: links into `/usr` on merged systems.
fn links() -> Vec<(String, String)> {
    ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
        .into_iter()
        .filter_map(|name| {
            let target = std::fs::read_link(name).ok()?;
            Some((name.to_owned(), text(&target)))
        })
        .collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, more: &[&str]) {
        self.0.extend(more.iter().map(|&one| one.to_owned()));
    }
}
