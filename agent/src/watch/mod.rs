//! `GET /v1/watch`: changes below a folder as server-sent events.
//!
//! Always holds: changes are reported at most once per 100 ms and path; when too much happens to
//! be told one by one, or some of the tree cannot be watched, one `overflow` says so.

mod tree;

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, routing};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::app::{App, blocking};
use crate::extract::Params;
use crate::home::RelPath;
use crate::problem::Problem;
use crate::wire::{Change, ChangeKind, PathQuery};
use tree::Tree;

/// How long changes are gathered.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Different paths in one gathering; above, one overflow is sent instead.
const PENDING_MAX: usize = 1000;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub fn routes() -> Router<App> {
    Router::new().route("/v1/watch", routing::get(watch))
}

async fn watch(
    State(app): State<App>,
    Params(query): Params<PathQuery>,
) -> Result<Response, Problem> {
    let path = RelPath::parse(&query.path)?;
    let opener = app.clone();
    let (tree, complete) = blocking(move || Tree::open(&opener.home, &path)).await?;
    // SAFETY: the descriptor that `Tree` names is its own `inotify`, which nothing closes or
    // replaces as long as the tree lives, and the registration owns the tree.
    let tree = unsafe { AsyncFd::register(tree) }
        .map_err(|error| Problem::internal(format!("Changes cannot be watched: {error}")))?;
    let (sender, receiver) = mpsc::channel(4);
    let stop = app.stop.clone();
    app.tasks
        .spawn(stop.run_until_cancelled_owned(follow(tree, complete, sender)));
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver
            .recv()
            .await
            .map(|event| (Ok::<_, Infallible>(event), receiver))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(stream).keep_alive(keep_alive).into_response())
}

/// Changes that wait to be sent; `overflow` stands for all of them.
#[derive(Default)]
pub struct Pending {
    changes: HashMap<String, ChangeKind>,
    pub overflow: bool,
}

impl Pending {
    /// Merges with what is pending for the path, so that the net effect is told.
    pub fn add(&mut self, path: String, kind: ChangeKind) {
        use ChangeKind::{Created, Modified, Removed};
        if self.overflow {
            return;
        }
        let merged = match (self.changes.get(&path), kind) {
            (Some(Created), Modified) => Created,
            (Some(Removed), Created) => Modified,
            (_, kind) => kind,
        };
        self.changes.insert(path, merged);
        self.overflow |= self.changes.len() > PENDING_MAX;
    }

    fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.overflow
    }

    fn take(&mut self, root: &str) -> Vec<Change> {
        let Self { changes, overflow } = std::mem::take(self);
        if overflow {
            return vec![Change {
                path: root.to_owned(),
                kind: ChangeKind::Overflow,
            }];
        }
        let mut all: Vec<_> = changes
            .into_iter()
            .map(|(path, kind)| Change { path, kind })
            .collect();
        all.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

/// Gathers and sends until the client is gone.
async fn follow(mut tree: AsyncFd<Tree>, complete: bool, sender: mpsc::Sender<Event>) {
    let mut pending = Pending {
        overflow: !complete,
        ..Pending::default()
    };
    loop {
        if pending.is_empty() {
            let ready = tokio::select! {
                ready = tree.readable_mut() => ready,
                () = sender.closed() => return,
            };
            match ready {
                Ok(mut guard) => {
                    guard.get_inner_mut().collect(&mut pending);
                    guard.clear_ready();
                }
                Err(_) => return,
            }
            if pending.is_empty() {
                continue;
            }
            tokio::time::sleep(DEBOUNCE).await;
            tree.get_mut().collect(&mut pending);
        }
        let root = tree.get_ref().path().to_owned();
        for change in pending.take(&root) {
            let data = serde_json::to_string(&change).unwrap_or_default();
            let event = Event::default().event("change").data(data);
            if sender.send(event).await.is_err() {
                return;
            }
        }
    }
}
