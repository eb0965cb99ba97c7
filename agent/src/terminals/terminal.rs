//! One terminal: its record, its ring, and the shell while it runs.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use rustix::process::Pid;
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::sync::{mpsc, watch};

use super::record::Record;
use super::ring::Ring;
use super::shell;
use crate::app::App;
use crate::problem::Problem;
use crate::processes;
use crate::wire;

/// Where the output is and whether more can come; watched by every client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    pub next: u64,
    pub exit_status: Option<i32>,
    pub deleted: bool,
}

/// A running shell.
pub struct Live {
    pub session: Pid,
    /// The terminal's other end, for its size.
    pub master: OwnedFd,
    pub input: mpsc::Sender<Bytes>,
}

pub struct Terminal {
    pub id: String,
    folder: PathBuf,
    record: Mutex<Record>,
    ring: Mutex<Ring>,
    live: Mutex<Option<Live>>,
    head: watch::Sender<Head>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Errors
/// 400 when no terminal can have this size.
pub fn check_size(cols: u16, rows: u16) -> Result<(), Problem> {
    if (1..=2000).contains(&cols) && (1..=2000).contains(&rows) {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "A terminal cannot have {cols} columns and {rows} rows; use 1 to 2000 of each."
    )))
}

impl Terminal {
    pub fn create(folder: &Path, record: Record) -> Result<Self, Problem> {
        let fail = |error: io::Error| Problem::from_io("keep the output of", &record.id, &error);
        let ring = Ring::create(&folder.join(format!("{}.ring", record.id))).map_err(fail)?;
        record.save(folder).map_err(fail)?;
        Ok(Self::new(folder, record, ring))
    }

    pub fn load(folder: &Path, path: &Path) -> io::Result<Self> {
        let record = Record::load(path)?;
        let ring = Ring::open(&path.with_extension("ring"))?;
        Ok(Self::new(folder, record, ring))
    }

    fn new(folder: &Path, record: Record, ring: Ring) -> Self {
        let head = Head {
            next: ring.next(),
            exit_status: record.exit_status,
            deleted: false,
        };
        Self {
            id: record.id.clone(),
            folder: folder.to_owned(),
            record: Mutex::new(record),
            ring: Mutex::new(ring),
            live: Mutex::new(None),
            head: watch::Sender::new(head),
        }
    }

    pub fn alive(&self) -> bool {
        lock(&self.live).is_some()
    }

    pub fn describe(&self) -> wire::Terminal {
        let alive = self.alive();
        let (first, next) = self.bounds();
        let record = lock(&self.record);
        wire::Terminal {
            id: record.id.clone(),
            title: record.title.clone(),
            cols: record.cols,
            rows: record.rows,
            alive,
            exit_status: record.exit_status,
            first,
            next,
            created_at_ms: record.created_at_ms,
        }
    }

    /// Sequence numbers of the first byte kept and of the next one to come.
    pub fn bounds(&self) -> (u64, u64) {
        let ring = lock(&self.ring);
        (ring.first(), ring.next())
    }

    pub fn subscribe(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// Output from `from`, or from the first byte kept when that is later.
    pub fn read(&self, from: u64, limit: usize) -> io::Result<(u64, Vec<u8>)> {
        let ring = lock(&self.ring);
        let from = from.max(ring.first());
        Ok((from, ring.read(from, limit)?))
    }

    pub fn append(&self, output: &[u8]) {
        let next = {
            let mut ring = lock(&self.ring);
            if let Err(error) = ring.append(output) {
                // Sequence numbers stay true: what was not kept was never numbered.
                eprintln!("terminal {}: output lost: {error}", self.id);
            }
            ring.next()
        };
        self.head.send_modify(|head| head.next = next);
    }

    /// A new shell when the last one fell with an earlier run of the agent.
    pub fn start_if_interrupted(self: &Arc<Self>, app: &App) -> Result<(), Problem> {
        let interrupted = !self.alive() && lock(&self.record).exit_status.is_none();
        if interrupted && !self.head.borrow().deleted {
            self.start(app, Some("container restarted, new shell"))?;
        }
        Ok(())
    }

    /// Starts the shell; `notice` is written into the output first, for a terminal that had one.
    pub fn start(self: &Arc<Self>, app: &App, notice: Option<&str>) -> Result<(), Problem> {
        let mut live = lock(&self.live);
        if live.is_some() {
            return Err(Problem::conflict(format!(
                "The shell of terminal {} runs.",
                self.id
            )));
        }
        let mut record = lock(&self.record).clone();
        let shell = shell::spawn(app, &record)?;
        if let Some(notice) = notice {
            self.append(format!("\r\n\x1b[2m[{notice}]\x1b[0m\r\n").as_bytes());
        }
        if record.exit_status.take().is_some() {
            *lock(&self.record) = record;
            self.save();
            self.head.send_modify(|head| head.exit_status = None);
        }
        *live = Some(shell.attach(app, self));
        Ok(())
    }

    /// Called when the shell has ended and its output is read.
    pub fn ended(&self, status: i32, agent_stops: bool) {
        *lock(&self.live) = None;
        // A shell that falls with the agent did not end by itself.
        if agent_stops {
            return;
        }
        lock(&self.record).exit_status = Some(status);
        self.save();
        self.head
            .send_modify(|head| head.exit_status = Some(status));
    }

    fn save(&self) {
        // The lock is held while saving, so that saves do not overtake each other.
        let record = lock(&self.record);
        if self.head.borrow().deleted {
            return;
        }
        if let Err(error) = record.save(&self.folder) {
            eprintln!("terminal {}: not recorded: {error}", self.id);
        }
    }

    pub fn resize(&self, cols: u16, rows: u16) -> Result<(), Problem> {
        check_size(cols, rows)?;
        if let Some(live) = &*lock(&self.live) {
            let size = Winsize {
                ws_col: cols,
                ws_row: rows,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            tcsetwinsize(&live.master, size)
                .map_err(|errno| Problem::from_errno("resize", &self.id, errno))?;
        }
        {
            let mut record = lock(&self.record);
            if (record.cols, record.rows) == (cols, rows) {
                return Ok(());
            }
            (record.cols, record.rows) = (cols, rows);
        }
        self.save();
        Ok(())
    }

    /// Where input goes; `None` when no shell runs.
    pub fn input(&self) -> Option<mpsc::Sender<Bytes>> {
        lock(&self.live).as_ref().map(|live| live.input.clone())
    }

    /// Ends the shell's whole session: hang up, and kill after `grace`.
    pub async fn end(&self, grace: Duration) {
        let session = lock(&self.live).as_ref().map(|live| live.session);
        if let Some(session) = session {
            processes::end_session(session, grace).await;
        }
    }

    /// Removes what is kept and tells the clients.
    pub fn forget(&self) {
        let _record = lock(&self.record);
        self.head.send_modify(|head| head.deleted = true);
        for extension in ["json", "ring"] {
            let _ = std::fs::remove_file(self.folder.join(format!("{}.{extension}", self.id)));
        }
    }
}
