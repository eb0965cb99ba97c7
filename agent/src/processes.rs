//! What a started process gets (environment, folder), and how groups of them are ended.
//!
//! Always holds: a process starts with an environment made here, never with the agent's own, and only while the
//! gate is open.

use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::app::State;
use crate::home::{Home, RelPath};
use crate::problem::Problem;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Variables of the agent that processes need too: where the certificates are.
const PASSED: &[&str] = &[
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS",
];
const PASSED_PREFIX: &str = "npm_config_";

/// The environment of a new process in `project`'s folder, or outside of all: the base, then the delivered variables over
/// it.
///
/// # Errors
/// Nothing may be started, because the container's isolation is not proven.
pub fn environment(
    app: &State,
    project: Option<&str>,
) -> Result<Vec<(OsString, OsString)>, Problem> {
    app.gate.may_start()?;
    let mut all: Vec<(OsString, OsString)> = Vec::new();
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    all.push(("PATH".into(), path));
    all.push(("HOME".into(), app.home.path().into()));
    all.push(("SHELL".into(), app.shell.clone().into()));
    for (name, value) in [
        ("USER", "dev"),
        ("LOGNAME", "dev"),
        ("TERM", "xterm-256color"),
        ("LANG", "C.UTF-8"),
    ] {
        all.push((name.into(), value.into()));
    }
    if let Some(port) = app.proxy_port {
        let proxy = format!("http://127.0.0.1:{port}");
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            all.push((name.into(), proxy.clone().into()));
        }
        for name in ["no_proxy", "NO_PROXY"] {
            all.push((name.into(), "localhost,127.0.0.1,::1".into()));
        }
    }
    all.extend(std::env::vars_os().filter(|(name, _)| {
        name.to_str()
            .is_some_and(|name| PASSED.contains(&name) || name.starts_with(PASSED_PREFIX))
    }));
    app.variables
        .each(project, |name, value| all.push((name.into(), value.into())));
    Ok(all)
}

/// The folder of the project that `path`, relative to the home, is in.
pub fn project_of(path: &Path) -> Option<&str> {
    let mut parts = path.components();
    if parts.next()? != Component::Normal("projects".as_ref()) {
        return None;
    }
    match parts.next()? {
        Component::Normal(folder) => folder.to_str(),
        _ => None,
    }
}

/// A folder beneath the home in which a process starts; keep it until then.
pub struct Folder(OwnedFd);

impl Folder {
    pub fn open(home: &Home, cwd: Option<&str>) -> Result<Self, Problem> {
        let path = RelPath::parse(cwd.unwrap_or_default())?;
        home.open_beneath(Path::new(path.as_str()), OFlags::DIRECTORY | OFlags::PATH)
            .map(Self)
            .map_err(|errno| Problem::from_errno("start in", path.as_str(), errno))
    }

    pub fn from_fd(folder: OwnedFd) -> Self {
        Self(folder)
    }

    /// The opened folder itself: the child inherits the descriptor until it executes, so no name
    /// is looked up again.
    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// The folder of the project that it is in, wherever a link led.
    pub fn project(&self, home: &Home) -> Option<String> {
        let real = std::fs::read_link(self.path()).ok()?;
        project_of(real.strip_prefix(home.path()).ok()?).map(str::to_owned)
    }
}

/// Kills a process group when dropped, unless its leader was reaped before.
pub struct Group(Option<Pid>);

impl Group {
    /// The group which `leader` leads, if it still has an id.
    pub fn of(leader: Option<u32>) -> Self {
        Self(leader.and_then(pid))
    }

    pub fn kill(&self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// After the leader was reaped its id may be another's.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process id as the kernel calls want it.
pub fn pid(raw: u32) -> Option<Pid> {
    i32::try_from(raw).ok().and_then(Pid::from_raw)
}

/// Hangs up every process of a session, and kills what is left after `grace`.
pub async fn end_session(session: Pid, grace: Duration) {
    for member in members(session) {
        let _ = kill_process(member, Signal::HUP);
        // A stopped job acts on the hang-up only when it continues.
        let _ = kill_process(member, Signal::CONT);
    }
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    while waited < grace {
        if members(session).is_empty() {
            return;
        }
        tokio::time::sleep(step).await;
        waited += step;
    }
    for member in members(session) {
        let _ = kill_process(member, Signal::KILL);
    }
}

/// The processes of a session, zombies left out.
fn members(session: Pid) -> Vec<Pid> {
    let session = session.as_raw_nonzero().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let process = pid(name.to_str()?.parse().ok()?)?;
            let stat = std::fs::read_to_string(Path::new("/proc").join(name).join("stat")).ok()?;
            // The command, in parentheses, may contain anything: count from its end.
            let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
            let alive = fields.next()? != "Z";
            (alive && fields.nth(2)? == session).then_some(process)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_the_first_folder_below_projects() {
        for (path, project) in [
            ("projects/app", Some("app")),
            ("projects/app/src/deep", Some("app")),
            ("projects", None),
            ("", None),
            ("other/projects/app", None),
            ("project/app", None),
        ] {
            assert_eq!(project_of(Path::new(path)), project, "{path}");
        }
    }
}
