//! A scripted upstream on loopback, for tests: answers in order, with what was asked kept.

#![expect(
    clippy::disallowed_methods,
    reason = "tasks of a test end with its runtime"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::key::UpstreamKey;
use super::upstream::Upstream;
use crate::clients::http::Outbound;
use crate::config::Config;

/// The key that the upstream expects.
pub const KEY: &str = "sk-upstream-secret";

/// What the upstream got.
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the upstream answers.
pub struct Script {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub chunks: Vec<Vec<u8>>,
    /// After the chunks nothing comes any more, and the connection stays.
    pub hangs: bool,
}

#[derive(Clone, Default)]
pub struct Scripted {
    scripts: Arc<Mutex<VecDeque<Script>>>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// Answers whose body was read to the end or given up.
    pub ended: Arc<std::sync::atomic::AtomicUsize>,
}

struct Ended(Arc<std::sync::atomic::AtomicUsize>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Scripted {
    /// Starts it; gives it and a client of it.
    pub async fn start(scripts: Vec<Script>) -> (Self, Arc<Upstream>) {
        let scripted = Self {
            scripts: Arc::new(Mutex::new(scripts.into())),
            ..Self::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = Config::default();
        config.ai.anthropic_base_url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(scripted.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let upstream = Upstream::new(Outbound::new(&config).unwrap(), UpstreamKey::fixed(KEY));
        (scripted, Arc::new(upstream))
    }

    /// The body of the request number `at`, as JSON.
    pub fn json(&self, at: usize) -> Value {
        serde_json::from_slice(&self.asked.lock().unwrap()[at].body).unwrap()
    }
}

async fn answer(State(scripted): State<Scripted>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().to_string();
    scripted.asked.lock().unwrap().push(Asked {
        path,
        headers: parts.headers,
        body,
    });
    let script = scripted
        .scripts
        .lock()
        .unwrap()
        .pop_front()
        .expect("a script for this request");
    let mut response = Response::builder().status(script.status);
    for (name, value) in script.headers {
        response = response.header(name, value);
    }
    let ended = Ended(Arc::clone(&scripted.ended));
    let chunks = futures_util::stream::iter(script.chunks).then(|chunk| async move {
        // Each chunk is a write of its own.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        Ok::<_, std::io::Error>(chunk)
    });
    let hangs = script.hangs;
    let tail = futures_util::stream::once(async move {
        let _ended = ended;
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(Vec::new())
    });
    response
        .body(Body::from_stream(chunks.chain(tail)))
        .unwrap()
}

/// An answer of the Messages API as a stream: texts, and tool calls as `(id, name, input)`.
pub fn reply(texts: &[&str], calls: &[(&str, &str, Value)]) -> Script {
    let mut events = vec![
        json!({ "type": "message_start", "message": { "usage": { "input_tokens": 10, "output_tokens": 1 } } }),
    ];
    for text in texts {
        events.push(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }));
        for piece in text.split_inclusive(' ') {
            events.push(json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": piece } }));
        }
        events.push(json!({ "type": "content_block_stop", "index": 0 }));
    }
    for (id, name, input) in calls {
        events.push(json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": id, "name": name, "input": {} } }));
        events.push(json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": input.to_string() } }));
        events.push(json!({ "type": "content_block_stop", "index": 1 }));
    }
    let reason = if calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 5 } }));
    events.push(json!({ "type": "message_stop" }));
    stream(&events)
}

/// A stream of events, cut into odd pieces.
pub fn stream(events: &[Value]) -> Script {
    let text: String = events
        .iter()
        .map(|data| {
            format!(
                "event: {}\ndata: {data}\n\n",
                data["type"].as_str().unwrap()
            )
        })
        .collect();
    Script {
        status: 200,
        headers: vec![(
            "content-type",
            "text/event-stream; charset=utf-8".to_owned(),
        )],
        chunks: text.as_bytes().chunks(37).map(<[u8]>::to_vec).collect(),
        hangs: false,
    }
}

/// An error of the Messages API.
pub fn error(status: u16, message: &str, retry_after: Option<u32>) -> Script {
    let body = json!({ "type": "error", "error": { "type": "x", "message": message } });
    let mut headers = vec![("content-type", "application/json".to_owned())];
    if let Some(seconds) = retry_after {
        headers.push(("retry-after", seconds.to_string()));
    }
    Script {
        status,
        headers,
        chunks: vec![body.to_string().into_bytes()],
        hangs: false,
    }
}

/// The rows that a session refers to. They belong to other features, whose entities are private: written as this
/// feature's own narrow view of the same tables.
pub async fn place(
    tx: &crate::store::SystemTx,
    workspace: crate::kernel::WorkspaceId,
    user: crate::kernel::UserId,
    project: crate::kernel::ProjectId,
    container: crate::kernel::ContainerId,
) {
    use sea_orm::ActiveValue::Set;
    tx.insert(project_row::ActiveModel {
        workspace_id: Set(workspace),
        id: Set(project),
        name: Set("p".into()),
        slug: Set("p".into()),
        source_kind: Set("empty".into()),
        created_by: Set(user),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(container_row::ActiveModel {
        workspace_id: Set(workspace),
        id: Set(container),
        owner_id: Set(user),
        wanted: Set("running".into()),
        generation: Set(1),
        state: Set("running".into()),
        steps: Set("[]".into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
}

mod project_row {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{ProjectId, UserId, WorkspaceId};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "project")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ProjectId,
        pub name: String,
        pub slug: String,
        pub source_kind: String,
        pub created_by: UserId,
        pub created_at_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod container_row {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{ContainerId, UserId, WorkspaceId};

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "container")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ContainerId,
        pub owner_id: UserId,
        pub wanted: String,
        pub generation: i64,
        pub state: String,
        pub steps: String,
        pub created_at_ms: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
