//! `POST /v1/exec`: one command, its output and how it ended.
//!
//! Always holds: the command's process group ends with the request: at the time limit, and when
//! the client goes away. What a command leaves in the background after a normal end may stay.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Json, Router, routing};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::app::App;
use crate::environment::is_name;
use crate::extract::JsonBody;
use crate::problem::{Problem, shown};
use crate::processes::{self, Folder, Group};
use crate::wire::{ExecRequest, ExecResult};

const TIMEOUT_MS: u64 = 120_000;
const TIMEOUT_MAX_MS: u64 = 3_600_000;
const OUTPUT_MAX: usize = 1 << 20;
pub const COMMANDS_MAX: u32 = 64;
/// After the command has ended, how long to read on when a process that it left holds its output.
const LINGER: Duration = Duration::from_millis(500);

pub fn routes() -> Router<App> {
    Router::new().route("/v1/exec", routing::post(exec))
}

async fn exec(
    State(app): State<App>,
    JsonBody(request): JsonBody<ExecRequest>,
) -> Result<Json<ExecResult>, Problem> {
    let timeout_ms = request.timeout_ms.unwrap_or(TIMEOUT_MS);
    if timeout_ms == 0 || timeout_ms > TIMEOUT_MAX_MS {
        return Err(Problem::bad_request(format!(
            "timeout_ms is {timeout_ms}; use 1 to {TIMEOUT_MAX_MS}."
        )));
    }
    let _running = app.activity.command(COMMANDS_MAX).ok_or_else(busy)?;
    let mut child = spawn(&app, &request)?;
    let stdin = request.stdin.unwrap_or_default();
    run(&mut child, stdin, Duration::from_millis(timeout_ms))
        .await
        .map(Json)
}

pub fn busy() -> Problem {
    Problem::rate_limited(format!(
        "{COMMANDS_MAX} commands run already; wait for one to end."
    ))
}

fn spawn(app: &App, request: &ExecRequest) -> Result<Child, Problem> {
    let Some((program, arguments)) = request.command.split_first() else {
        return Err(Problem::bad_request(
            "\"command\" is empty; give the program and its arguments, e.g. [\"sh\",\"-c\",\"ls\"].",
        ));
    };
    if request.command.iter().any(|part| part.contains('\0')) {
        return Err(Problem::bad_request(
            "\"command\" contains a NUL byte; remove it.",
        ));
    }
    for (name, value) in &request.env {
        if !is_name(name) || value.contains('\0') {
            return Err(Problem::bad_request(format!(
                "The variable {} cannot be set: its name needs letters, digits and _, and its value must not contain NUL.",
                shown(name)
            )));
        }
    }
    let folder = Folder::open(&app.home, request.cwd.as_deref())?;
    Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(processes::environment(
            app,
            folder.project(&app.home).as_deref(),
        )?)
        .envs(&request.env)
        .current_dir(folder.path())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Problem::unprocessable(format!("Cannot run {}: {error}.", shown(program))))
}

async fn run(child: &mut Child, stdin: String, limit: Duration) -> Result<ExecResult, Problem> {
    let started = Instant::now();
    let mut group = Group::of(child.id());
    let (mut out, mut err) = (Capture::default(), Capture::default());
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let mut timed_out = false;
    let mut status = None;
    {
        let feed = async {
            if let Some(mut input) = input {
                // A command that does not read its input is none of our business.
                let _ = input.write_all(stdin.as_bytes()).await;
            }
        };
        let streams = async { tokio::join!(out.fill(output), err.fill(errors)) };
        tokio::pin!(feed, streams);
        let (mut fed, mut drained) = (false, false);
        let deadline = tokio::time::sleep(limit);
        tokio::pin!(deadline);
        while status.is_none() || !drained {
            tokio::select! {
                () = &mut feed, if !fed => fed = true,
                _ = &mut streams, if !drained => drained = true,
                ended = child.wait(), if status.is_none() => {
                    status = Some(ended);
                    group.forget();
                    deadline.as_mut().reset(tokio::time::Instant::now() + LINGER);
                }
                () = &mut deadline => {
                    if status.is_some() {
                        break;
                    }
                    timed_out = true;
                    group.kill();
                    // Killed, so this ends; the next round reads what is left.
                    deadline.as_mut().reset(tokio::time::Instant::now() + LINGER);
                }
            }
        }
    }
    let status = match status {
        Some(Ok(status)) => status,
        Some(Err(error)) => {
            return Err(Problem::internal(format!(
                "Waiting for the command failed: {error}"
            )));
        }
        None => return Err(Problem::internal("The command could not be waited for.")),
    };
    let (stdout, stdout_truncated) = out.finish();
    let (stderr, stderr_truncated) = err.finish();
    Ok(ExecResult {
        exit_code: status.code(),
        signal: status.signal(),
        stdout,
        stderr,
        stdout_truncated,
        stderr_truncated,
        timed_out,
        duration_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
    })
}

/// The first [`OUTPUT_MAX`] bytes of a stream; the rest is read and dropped, so that the command
/// never waits for a reader.
#[derive(Default)]
pub struct Capture {
    kept: Vec<u8>,
    truncated: bool,
}

impl Capture {
    pub async fn fill(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            let room = OUTPUT_MAX - self.kept.len();
            self.truncated |= count > room;
            self.kept
                .extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
        }
    }

    pub fn finish(self) -> (String, bool) {
        let text = String::from_utf8(self.kept)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        (text, self.truncated)
    }
}
