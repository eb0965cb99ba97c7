//! The vault process, `optidev vault`.
//!
//! Order of its life: give up being traced or dumped; read the master secret into pages of its own;
//! open the record and the socket; give up everything else (capabilities, files, network, system
//! calls); then answer. Nothing is parsed before the last step but its arguments and its two key files.
//!
//! It keeps no state between operations but the audit log's anchors, which lie in a file of their own, so it may be
//! killed at any moment and started again. It may
//! use `kernel` and `vault::protocol` only: no tokio, no web framework, no database.
//!
//! Exit codes: 0 it was told to end, by a signal or by the end of standard input (with `die_with_parent`), 1 the socket failed later,
//! [`exit::KEYS`] and the others of [`exit`] at start. A supervisor should start it again after 1,
//! a signal, or [`exit::BUSY`], and tell a person about the rest.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a process of its own, with no tracing, tokio or kernel services: it speaks on standard error, ends by exit code, and asks the system for time and randomness"
)]

mod anchors;
mod deliver;
mod envelope;
mod expand;
mod files;
pub mod harden;
mod keys;
mod memory;
mod ops;
pub mod peer;
pub mod process;
mod record;
pub mod rotation;
mod seccomp;
mod serve;
mod submission;
mod throttle;
mod totp;

use std::{
    io,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{anchors::Anchors, ops::Vault, peer::Admission, record::Record, serve::Service};
pub use envelope::root_number;
pub use files::KeyFileError;
pub use harden::before_secrets;
pub use peer::{RedactorIs, RedactorToken};
pub use throttle::{Rate, Throttle};

/// The process's exit codes at start.
pub mod exit {
    /// The master secret or the installation's id is missing, readable for others, or malformed.
    pub const KEYS: i32 = 10;
    /// Another vault process holds the record.
    pub const BUSY: i32 = 11;
    /// The socket cannot be made.
    pub const SOCKET: i32 = 12;
    /// Hardening is required, and the kernel lacks some of it.
    pub const HARDENING: i32 = 13;
    /// The record or the anchors cannot be opened.
    pub const RECORD: i32 = 14;
}

/// What the process needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens. An old socket there is replaced.
    pub socket: PathBuf,
    /// The master secret's file; `install-id` lies beside it.
    pub master: PathBuf,
    /// Make both when there is no master yet.
    pub create_master: bool,
    /// The record's file; standard output when there is none.
    pub record: Option<PathBuf>,
    /// The file of what is known of the audit log's chains.
    pub anchors: PathBuf,
    /// The user of the server, which may connect; its own when absent.
    pub client_uid: Option<u32>,
    /// How the redactor is known.
    pub redactor: RedactorIs,
    /// End when standard input does: the parent holds the other end of that pipe.
    pub die_with_parent: bool,
    /// Do not start unless every hardening is in force.
    pub require_hardening: bool,
    /// How often values of one workspace may be revealed.
    pub reveals: Rate,
}

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}")]
    Keys(#[from] KeyFileError),
    #[error("cannot protect the pages of the keys: {0}")]
    Freeze(io::Error),
    #[error("another vault process holds the record {0}; stop it first")]
    Busy(PathBuf),
    #[error("cannot open the record {path}: {error}")]
    Record { path: PathBuf, error: io::Error },
    #[error("cannot open the anchors {path}: {error}")]
    Anchors { path: PathBuf, error: io::Error },
    #[error("cannot listen on {path}: {error}")]
    Socket { path: PathBuf, error: io::Error },
    #[error(
        "hardening is required and this system lacks: {0}; use a kernel that has it, or set [vault] require_hardening = false"
    )]
    Hardening(String),
}

impl StartError {
    const fn code(&self) -> i32 {
        match self {
            Self::Keys(_) | Self::Freeze(_) => exit::KEYS,
            Self::Busy(_) => exit::BUSY,
            Self::Record { .. } | Self::Anchors { .. } => exit::RECORD,
            Self::Socket { .. } => exit::SOCKET,
            Self::Hardening(_) => exit::HARDENING,
        }
    }
}

/// Makes a master secret and an `install-id` in `folder`, mode 0600, for an installation whose vault is started apart.
/// Answers the master's path.
///
/// # Errors
/// [`KeyFileError`]; when there is a master already, which is never replaced.
pub fn new_master(folder: &Path) -> Result<PathBuf, KeyFileError> {
    let master = folder.join("master");
    if files::make(&master, &folder.join("install-id"))? {
        Ok(master)
    } else {
        Err(KeyFileError::There(master))
    }
}

/// Runs the vault process until it is stopped. Must be called before any thread was started.
pub fn run(options: &Options) -> ! {
    process::quiet_panics("vault");
    harden::before_secrets();
    harden::end_on_signals();
    let error = match start(options) {
        Ok((service, listener)) => {
            if options.die_with_parent {
                process::watch_parent();
            }
            let error = serve::serve(&service, &listener);
            eprintln!("vault: cannot accept connections any more: {error}");
            std::process::exit(1)
        }
        Err(error) => error,
    };
    eprintln!("vault: {error}");
    std::process::exit(error.code())
}

fn start(options: &Options) -> Result<(Arc<Service>, UnixListener), StartError> {
    /// How long the process that held the record before may take to be gone.
    const HANDOVER: Duration = Duration::from_secs(2);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let record = match &options.record {
        Some(path) => Record::open(path, HANDOVER).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => StartError::Busy(path.clone()),
            _ => StartError::Record {
                path: path.clone(),
                error,
            },
        })?,
        None => Record::standard_output().map_err(|error| StartError::Record {
            path: PathBuf::from("/dev/stdout"),
            error,
        })?,
    };
    let (keys, pages, created) = files::load(&options.master, options.create_master)?;
    if created {
        eprintln!(
            "vault: made the master secret {} and install-id beside it; back up both, apart from the database",
            options.master.display()
        );
    }
    let anchors = Anchors::open(&options.anchors, &keys).map_err(|error| StartError::Anchors {
        path: options.anchors.clone(),
        error,
    })?;
    let key_memory = pages.kind();
    pages.freeze().map_err(StartError::Freeze)?;
    let own = rustix::process::geteuid().as_raw();
    let uid = options.client_uid.unwrap_or(own);
    let alone = uid == own && !matches!(options.redactor, RedactorIs::User(_));
    let listener = process::listen(&options.socket, alone).map_err(|error| StartError::Socket {
        path: options.socket.clone(),
        error,
    })?;
    let hardening = harden::after_setup(key_memory, &options.master);
    let missing = hardening.missing().join(", ");
    if !missing.is_empty() {
        if options.require_hardening {
            return Err(StartError::Hardening(missing));
        }
        eprintln!("vault: this system lacks {missing}; the vault runs with what there is");
    }
    let service = Service {
        vault: Vault::new(keys, anchors, hardening, options.reveals),
        record,
        admission: Admission {
            server_uid: uid,
            redactor: options.redactor,
        },
        now_ms,
    };
    Ok((Arc::new(service), listener))
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or_default()
}
