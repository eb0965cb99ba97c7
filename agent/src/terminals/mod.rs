//! `/v1/terminals`: shells on pseudo-terminals, their output kept with sequence numbers.
//!
//! Always holds: the shell never waits for a client (each reads from the ring at its own pace);
//! output is in the ring before a client sees it; after a restart of the agent the history is
//! there and connecting starts a new shell under the same id.

mod record;
mod ring;
mod shell;
mod socket;
mod terminal;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};

use crate::app::App;
use crate::extract::{JsonBody, Params};
use crate::ids;
use crate::problem::{Problem, shown};
use crate::wire::{self, AfterQuery, List, NewTerminal};
use record::Record;
use terminal::Terminal;

/// Terminals that are kept, ended ones included.
const TERMINALS_MAX: usize = 32;

/// All terminals of the container.
pub struct Terminals {
    folder: PathBuf,
    all: Mutex<HashMap<String, Arc<Terminal>>>,
}

impl Terminals {
    /// Loads what earlier runs left; what is unreadable is skipped with a line on stderr.
    pub fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("terminals");
        std::fs::create_dir_all(&folder)?;
        let mut all = HashMap::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match Terminal::load(&folder, &path) {
                Ok(terminal) => {
                    all.insert(terminal.id.clone(), Arc::new(terminal));
                }
                Err(error) => eprintln!("terminal {}: {error}", path.display()),
            }
        }
        Ok(Self {
            folder,
            all: Mutex::new(all),
        })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Terminal>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Terminals with a living shell.
    pub fn alive(&self) -> u32 {
        let alive = self
            .all()
            .values()
            .filter(|terminal| terminal.alive())
            .count();
        u32::try_from(alive).unwrap_or(u32::MAX)
    }

    /// Hangs up all shells; they are not recorded as ended, so the next run starts new ones.
    pub async fn shut_down(&self) {
        let all: Vec<_> = self.all().values().cloned().collect();
        let ends = all
            .iter()
            .map(|terminal| terminal.end(Duration::from_millis(700)));
        futures_util::future::join_all(ends).await;
    }

    fn get(&self, id: &str) -> Result<Arc<Terminal>, Problem> {
        self.all().get(id).cloned().ok_or_else(|| {
            Problem::not_found(format!(
                "There is no terminal {}; list them with GET /terminals.",
                shown(id)
            ))
        })
    }
}

pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/terminals", routing::get(list).post(create))
        .route("/v1/terminals/{id}", routing::get(get).delete(delete))
        .route("/v1/terminals/{id}/restart", routing::post(restart))
}

async fn list(State(app): State<App>) -> Json<List<wire::Terminal>> {
    let mut items: Vec<_> = app
        .terminals
        .all()
        .values()
        .map(|one| one.describe())
        .collect();
    items.sort_unstable_by(|a, b| (a.created_at_ms, &a.id).cmp(&(b.created_at_ms, &b.id)));
    Json(items.into())
}

async fn create(
    State(app): State<App>,
    JsonBody(request): JsonBody<NewTerminal>,
) -> Result<(StatusCode, Json<wire::Terminal>), Problem> {
    terminal::check_size(request.cols, request.rows)?;
    if request.command.as_ref().is_some_and(Vec::is_empty) {
        return Err(Problem::bad_request(
            "\"command\" is empty; leave it out to start the shell.",
        ));
    }
    let mut all = app.terminals.all();
    if all.len() >= TERMINALS_MAX {
        return Err(Problem::conflict(format!(
            "{TERMINALS_MAX} terminals are kept already; delete one first."
        )));
    }
    let title = match request.command.as_ref().and_then(|command| command.first()) {
        Some(program) => program.clone(),
        None => app.shell.display().to_string(),
    };
    let title = title.rsplit('/').next().unwrap_or_default().to_owned();
    let terminal = Arc::new(Terminal::create(
        &app.terminals.folder,
        Record {
            id: ids::terminal_id(),
            title,
            cols: request.cols,
            rows: request.rows,
            cwd: request.cwd,
            command: request.command,
            created_at_ms: ids::now_ms(),
            exit_status: None,
        },
    )?);
    if let Err(problem) = terminal.start(&app, None) {
        terminal.forget();
        return Err(problem);
    }
    all.insert(terminal.id.clone(), Arc::clone(&terminal));
    app.activity.touch();
    Ok((StatusCode::CREATED, Json(terminal.describe())))
}

async fn get(
    State(app): State<App>,
    UrlPath(id): UrlPath<String>,
    Params(query): Params<AfterQuery>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let terminal = app.terminals.get(&id)?;
    if !headers.contains_key(header::UPGRADE) {
        return Ok(Json(terminal.describe()).into_response());
    }
    let upgrade = upgrade.map_err(|error| {
        Problem::bad_request(format!("Not a WebSocket request: {}.", error.body_text()))
    })?;
    terminal.start_if_interrupted(&app)?;
    Ok(upgrade
        .max_message_size(socket::INPUT_MAX)
        .on_upgrade(move |socket| socket::serve(app, terminal, socket, query.after)))
}

async fn restart(
    State(app): State<App>,
    UrlPath(id): UrlPath<String>,
) -> Result<Json<wire::Terminal>, Problem> {
    let terminal = app.terminals.get(&id)?;
    terminal.start(&app, Some("new shell"))?;
    Ok(Json(terminal.describe()))
}

async fn delete(
    State(app): State<App>,
    UrlPath(id): UrlPath<String>,
) -> Result<StatusCode, Problem> {
    let terminal = app.terminals.get(&id)?;
    app.terminals.all().remove(&id);
    terminal.forget();
    app.activity.touch();
    app.tasks
        .spawn(async move { terminal.end(Duration::from_secs(2)).await });
    Ok(StatusCode::NO_CONTENT)
}
