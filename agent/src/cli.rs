//! Command line and life of the agent: start, serve, end.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::umask;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{ActivityMeter, App, State};
use crate::environment::Variables;
use crate::files::write::Locks;
use crate::home::Home;
use crate::ids;
use crate::isolation::Gate;
use crate::scratch::Scratch;
use crate::sealing::KeyPair;
use crate::secret_files::SecretFiles;
use crate::server;
use crate::terminals::Terminals;

const USAGE: &str = "\
usage: optidev-agent --socket PATH --home DIR --state DIR --secrets DIR
                     [--egress-socket PATH --proxy 127.0.0.1:3128] [--shell PATH]

  --socket PATH         Unix socket to serve agent protocol v1 on (made with mode 0600)
  --home DIR            the home folder; no request reaches beyond it
  --state DIR           terminal history and scratch records; made when missing
  --secrets DIR         where secrets that are files are written: memory, never a disk
  --egress-socket PATH  where the server's egress listens
  --proxy ADDRESS       loopback address of the HTTP proxy that is relayed there
  --shell PATH          shell of terminals (default /bin/bash)
";

/// The arguments of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub socket: PathBuf,
    pub home: PathBuf,
    pub state: PathBuf,
    pub secrets: PathBuf,
    /// Proxy address and egress socket, both or neither.
    pub egress: Option<(String, PathBuf)>,
    pub shell: PathBuf,
}

impl Arguments {
    /// # Errors
    /// A line for people which names the argument.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let (mut socket, mut home, mut state, mut secrets) = (None, None, None, None);
        let (mut egress, mut proxy, mut shell) = (None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let slot = match name.to_str() {
                Some("--socket") => &mut socket,
                Some("--home") => &mut home,
                Some("--state") => &mut state,
                Some("--secrets") => &mut secrets,
                Some("--egress-socket") => &mut egress,
                Some("--proxy") => &mut proxy,
                Some("--shell") => &mut shell,
                _ => return Err(format!("unknown argument {name:?}")),
            };
            let value = arguments.next().ok_or(format!("{name:?} needs a value"))?;
            if slot.replace(PathBuf::from(value)).is_some() {
                return Err(format!("{name:?} is given twice"));
            }
        }
        let egress = match (egress, proxy) {
            (Some(egress), Some(proxy)) => Some((proxy.display().to_string(), egress)),
            (None, None) => None,
            _ => return Err("--egress-socket and --proxy need each other".to_owned()),
        };
        Ok(Self {
            socket: socket.ok_or("--socket is missing")?,
            home: home.ok_or("--home is missing")?,
            state: state.ok_or("--state is missing")?,
            secrets: secrets.ok_or("--secrets is missing")?,
            egress,
            shell: shell.unwrap_or_else(|| "/bin/bash".into()),
        })
    }
}

/// Runs the agent with the process's arguments until SIGTERM, SIGINT or `POST /v1/shutdown`.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("optidev-agent: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // One thread serves everything; files and archives go to a small pool beside it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build();
    match runtime.and_then(|runtime| runtime.block_on(run(arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("optidev-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says which thing failed.
fn about(what: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let text = format!("{what} {}", path.display());
    move |error| io::Error::new(error.kind(), format!("{text}: {error}"))
}

/// Starts all parts, serves, and ends in order.
///
/// # Errors
/// What cannot be opened or bound at start, with its path.
pub async fn run(arguments: Arguments) -> io::Result<()> {
    let Arguments {
        socket,
        home,
        state,
        secrets,
        egress,
        shell,
    } = arguments;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let home = Arc::new(Home::open(&home).map_err(about("--home", &home))?);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&state)
        .map_err(about("--state", &state))?;
    // Two agents on one state would sweep each other's files and mix their terminals.
    let owner = std::fs::File::create(state.join("lock")).map_err(about("--state", &state))?;
    flock(owner.as_fd(), FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        io::Error::other(format!(
            "--state {}: another agent uses it",
            state.display()
        ))
    })?;
    let secret_files = SecretFiles::open(&secrets).map_err(about("--secrets", &secrets))?;
    let scratch = Scratch::open(&state, &home).map_err(about("--state", &state))?;
    let terminals = Terminals::open(&state).map_err(about("--state", &state))?;
    let proxy = match egress {
        Some((address, egress)) => {
            let bound = TcpListener::bind(&address)
                .await
                .map_err(about("--proxy", Path::new(&address)))?;
            Some((bound, egress))
        }
        None => None,
    };
    let proxy_port = match &proxy {
        Some((listener, _)) => Some(listener.local_addr()?.port()),
        None => None,
    };
    let app: App = Arc::new(State {
        home,
        state,
        shell,
        boot_id: ids::random_hex(),
        started_at_ms: ids::now_ms(),
        keys: KeyPair::generate(),
        variables: Variables::default(),
        secret_files,
        scratch: Arc::new(scratch),
        locks: Locks::new(),
        terminals,
        activity: Arc::new(ActivityMeter::new()),
        gate: Gate::open(),
        proxy_port,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    if let Some((listener, egress)) = proxy {
        let serving = crate::proxy::serve(app.clone(), listener, egress);
        app.tasks.spawn(serving);
    }
    let sweeper = app.clone();
    app.tasks
        .spawn_blocking(move || sweeper.scratch.sweep_folders(&sweeper.home));
    let listener = bind(&socket).map_err(about("--socket", &socket))?;
    let result = tokio::select! {
        result = server::serve(listener, app.clone()) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    app.stop.cancel();
    let _ = std::fs::remove_file(&socket);
    app.terminals.shut_down().await;
    app.tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), app.tasks.wait()).await;
    result
}

/// Binds the socket, readable by nobody else from its first moment.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::other(
                "something that is not a socket is there; remove it",
            ));
        }
        Err(_) => {}
    }
    let before = umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn arguments() {
        let all = parse(
            "--socket s --home h --state t --secrets r --egress-socket e --proxy 127.0.0.1:3128",
        );
        assert_eq!(
            all.unwrap().egress,
            Some(("127.0.0.1:3128".into(), "e".into()))
        );
        assert!(
            parse("--socket s --home h")
                .unwrap_err()
                .contains("--state")
        );
        assert!(parse("--socket s --hom h").unwrap_err().contains("--hom"));
        assert!(
            parse("--socket s --socket s")
                .unwrap_err()
                .contains("twice")
        );
        assert!(parse("--socket").unwrap_err().contains("value"));
        assert!(
            parse("--socket s --home h --state t")
                .unwrap_err()
                .contains("--secrets")
        );
        assert!(parse("--socket s --home h --state t --secrets r --proxy p").is_err());
    }
}
