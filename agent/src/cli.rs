//! Command line and life of the agent: start, serve, end.

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
use crate::arguments::{Arguments, Served, USAGE};
use crate::environment::Variables;
use crate::files::write::Locks;
use crate::home::Home;
use crate::ids;
use crate::isolation::{Gate, Plan};
use crate::pod;
use crate::probe;
use crate::proxy::{self, Way};
use crate::scratch::Scratch;
use crate::sealing::KeyPair;
use crate::secret_files::SecretFiles;
use crate::server;
use crate::terminals::Terminals;

/// Runs the agent with the process's arguments until SIGTERM, SIGINT or `POST /v1/shutdown`.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    let parsed = if words.next_if(|word| word == "probe").is_some() {
        probe::Arguments::parse(words).map(Work::Probe)
    } else {
        Arguments::parse(words).map(|arguments| Work::Serve(Box::new(arguments)))
    };
    let work = match parsed {
        Ok(work) => work,
        Err(error) => {
            eprintln!("optidev-agent: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = confine(&work) {
        eprintln!("optidev-agent: {error}");
        return ExitCode::FAILURE;
    }
    // One thread serves everything; files and archives go to a small pool beside it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(16)
        .build();
    match runtime.and_then(|runtime| {
        runtime.block_on(async {
            match work {
                Work::Serve(arguments) => run(*arguments).await,
                Work::Probe(arguments) => probe::run(arguments).await,
            }
        })
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("optidev-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Before there is another thread, which would be left out.
fn confine(work: &Work) -> io::Result<()> {
    let Work::Serve(arguments) = work else {
        return Ok(());
    };
    let Served::Pod(pod) = &arguments.served else {
        return Ok(());
    };
    let Some(scratch) = &pod.scratch else {
        return Ok(());
    };
    // The folder of state is made in one that is there.
    let folders = [
        &arguments.home,
        &arguments.state,
        &arguments.secrets,
        scratch,
    ];
    for folder in folders {
        make_private(folder).map_err(about("making", folder))?;
    }
    if !pod::writes::confine(&folders.map(|folder| folder.as_path()))? {
        eprintln!(
            "optidev-agent: this kernel has no Landlock: the node's disk is not guarded against what runs here"
        );
    }
    Ok(())
}

/// Makes a folder that is not there, for this user alone.
fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

/// What the process is for.
enum Work {
    Serve(Box<Arguments>),
    Probe(probe::Arguments),
}

/// Says which thing failed.
pub(crate) fn about(what: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let text = format!("{what} {}", path.display());
    move |error| io::Error::new(error.kind(), format!("{text}: {error}"))
}

/// Starts all parts, serves, and ends in order.
async fn run(arguments: Arguments) -> io::Result<()> {
    let Arguments {
        served,
        home,
        state,
        secrets,
        proxy,
        shell,
    } = arguments;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let home = Arc::new(Home::open(&home).map_err(about("--home", &home))?);
    make_private(&state).map_err(about("--state", &state))?;
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
    let proxy = match proxy {
        Some(address) => {
            let bound = TcpListener::bind(&address).await;
            Some(bound.map_err(about("--proxy", Path::new(&address)))?)
        }
        None => None,
    };
    let proxy_port = match &proxy {
        Some(listener) => Some(listener.local_addr()?.port()),
        None => None,
    };
    let gate = match &served {
        Served::Socket { .. } => Gate::open(),
        Served::Pod(pod) => {
            Gate::shut(Plan::read(&pod.probes).map_err(about("--probes", &pod.probes))?)
        }
    };
    let protocol_port = match &served {
        Served::Socket { .. } => None,
        Served::Pod(pod) => Some(pod.listen.port()),
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
        gate,
        proxy_port,
        protocol_port,
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    });
    if let Served::Pod(pod) = &served
        && let Some(scratch) = &pod.scratch
    {
        // Whatever user code left there, it must not keep the next start from its owner.
        match pod::writes::set_aside(scratch) {
            Ok(old) => drop(app.tasks.spawn_blocking(move || {
                old.iter().for_each(|path| pod::writes::delete(path));
            })),
            Err(error) => eprintln!(
                "optidev-agent: --scratch {}: {error}; what is there stays",
                scratch.display()
            ),
        }
    }
    let sweeper = app.clone();
    app.tasks
        .spawn_blocking(move || sweeper.scratch.sweep_folders(&sweeper.home));
    let result = tokio::select! {
        result = serve(&app, served, proxy) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    app.stop.cancel();
    app.terminals.shut_down().await;
    app.tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), app.tasks.wait()).await;
    result
}

async fn serve(app: &App, served: Served, proxy: Option<TcpListener>) -> io::Result<()> {
    match (served, proxy) {
        (Served::Pod(pod), Some(proxy)) => pod::serve(app, pod, proxy).await,
        (Served::Pod(_), None) => Err(io::Error::other("--proxy is missing")),
        (Served::Socket { path, egress }, proxy) => {
            if let (Some(listener), Some(egress)) = (proxy, egress) {
                let serving = proxy::serve(app.clone(), listener, Way::Socket(egress));
                app.tasks.spawn(serving);
            }
            let listener = bind(&path).map_err(about("--socket", &path))?;
            // Dropped at a signal too.
            let _bound = Bound(path);
            server::serve(listener, app.clone()).await
        }
    }
}

/// The name of the socket that is served; it goes with the agent.
struct Bound(PathBuf);

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
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
