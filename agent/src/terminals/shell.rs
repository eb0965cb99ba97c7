//! A shell on a pseudo-terminal, and the two tasks that carry its bytes.

use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_util::FutureExt as _;
use pty_process::{OwnedReadPty, OwnedWritePty, Pty, Size};
use rustix::termios::{InputModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::record::Record;
use super::terminal::{Live, Terminal};
use crate::app::App;
use crate::problem::{Problem, shown};
use crate::processes::{self, Folder, pid};

/// The most that is read before clients are told.
const READ_MAX: usize = 32 << 10;
/// How long output is still read after the shell has ended, when a job in the background holds
/// the terminal open.
const LINGER: Duration = Duration::from_millis(250);

/// A started shell that nobody listens to yet.
pub struct Shell {
    pty: Pty,
    child: Child,
    live: Live,
    input: mpsc::Receiver<Bytes>,
}

/// Starts what the record asks for.
pub fn spawn(app: &App, record: &Record) -> Result<Shell, Problem> {
    let fail = |error: &dyn std::fmt::Display| {
        Problem::internal(format!("No terminal could be opened: {error}"))
    };
    let folder = Folder::open(&app.home, record.cwd.as_deref())?;
    let (pty, pts) = pty_process::open().map_err(|error| fail(&error))?;
    pty.resize(Size::new(record.rows, record.cols))
        .map_err(|error| fail(&error))?;
    // Without this the kernel erases half a character on backspace in line mode.
    if let Ok(mut modes) = tcgetattr(pty.as_fd()) {
        modes.input_modes |= InputModes::IUTF8;
        let _ = tcsetattr(pty.as_fd(), OptionalActions::Now, &modes);
    }
    let master = pty
        .as_fd()
        .try_clone_to_owned()
        .map_err(|error| fail(&error))?;
    let (program, arguments) = match record.command.as_deref().and_then(|all| all.split_first()) {
        Some((program, arguments)) => (program.into(), arguments.to_vec()),
        None => (app.shell.clone().into_os_string(), vec!["-l".to_owned()]),
    };
    let mut command = tokio::process::Command::new(&program);
    command
        .args(arguments)
        .env_clear()
        .envs(processes::environment(
            app,
            folder.project(&app.home).as_deref(),
        )?)
        .env("TERM", "xterm-256color")
        .env("COLORTERM", "truecolor")
        .current_dir(folder.path());
    let child = pty_process::Command::from(command)
        .spawn(pts)
        .map_err(|error| {
            Problem::unprocessable(format!(
                "Cannot start {}: {error}.",
                shown(&program.to_string_lossy())
            ))
        })?;
    let session = child
        .id()
        .and_then(pid)
        .ok_or_else(|| fail(&"the shell has no process id"))?;
    let (sender, input) = mpsc::channel(64);
    let live = Live {
        session,
        master,
        input: sender,
    };
    Ok(Shell {
        pty,
        child,
        live,
        input,
    })
}

impl Shell {
    /// Starts carrying bytes between the shell and the terminal.
    pub fn attach(self, app: &App, terminal: &Arc<Terminal>) -> Live {
        let (reader, writer) = self.pty.into_split();
        let gone = app.stop.child_token();
        let (ended, stop) = (gone.clone().drop_guard(), gone);
        app.tasks.spawn(async move {
            stop.run_until_cancelled(write(writer, self.input)).await;
        });
        let (app_, terminal) = (app.clone(), Arc::clone(terminal));
        app.tasks.spawn(async move {
            let _ended = ended;
            let status = read(&app_, &terminal, reader, self.child).await;
            terminal.ended(status, app_.stop.is_cancelled());
        });
        self.live
    }
}

async fn write(mut pty: OwnedWritePty, mut input: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = input.recv().await {
        if pty.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Reads until the shell has ended and nothing more comes; its exit status.
async fn read(app: &App, terminal: &Terminal, mut pty: OwnedReadPty, mut child: Child) -> i32 {
    let mut buffer = vec![0; READ_MAX];
    let mut status = None;
    let mut open = true;
    let linger = tokio::time::sleep(Duration::MAX / 4);
    tokio::pin!(linger);
    while open || status.is_none() {
        tokio::select! {
            count = pty.read(&mut buffer), if open => match count {
                // EIO: nobody has the terminal open any more.
                Err(_) | Ok(0) => open = false,
                Ok(count) => {
                    let count = fill(&mut pty, &mut buffer, count);
                    terminal.append(buffer.get(..count).unwrap_or_default());
                    app.activity.touch();
                    if status.is_some() && Instant::now() >= linger.deadline() {
                        open = false;
                    }
                }
            },
            ended = child.wait(), if status.is_none() => {
                status = Some(ended.map_or(-1, code));
                linger.as_mut().reset(Instant::now() + LINGER);
            }
            () = &mut linger, if status.is_some() => open = false,
        }
    }
    status.unwrap_or(-1)
}

/// Takes what is there already: the kernel hands out 4 KiB at a time.
fn fill(pty: &mut OwnedReadPty, buffer: &mut [u8], mut count: usize) -> usize {
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match pty.read(rest).now_or_never() {
            Some(Ok(more @ 1..)) => count += more,
            _ => break,
        }
    }
    count
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}
