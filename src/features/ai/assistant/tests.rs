//! Whole turns against a scripted upstream, a workbench in memory and a real database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use optidev_agent::wire;
use sea_orm::ActiveValue::Set;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::testing::{Script, Scripted, error, reply, stream};
use super::super::upstream::Upstream;
use super::hub::{Hub, Live};
use super::model::{CallState, EventBody, State, Verdict};
use super::ops::undoable;
use super::pen::Pen;
use super::prompt::Project;
use super::rows::session;
use super::store::{self, Message};
use super::turn::Turn;
use super::undo::{UndoError, undo};
use super::workbench::{Answer, Workbench};
use crate::authz::{Credentials, Role, SessionLimits, membership};
use crate::clients::agent::AgentError;
use crate::config::{Config, Paths};
use crate::context::Services;
use crate::features::members::{organization, workspace};
use crate::kernel::{AssistantSessionId, Clock, ContainerId, OrganizationId, ProjectId, Rng, TurnId, UserId, WorkspaceId};
use crate::store::{Store, SystemPurpose};
use crate::vault::VaultClient;

/// Files in memory; commands that answer with their own text, except `sleep`, which never ends.
#[derive(Default)]
struct Memory {
    files: Mutex<BTreeMap<String, (Vec<u8>, u64)>>,
    links: Mutex<BTreeSet<String>>,
    count: Mutex<u64>,
    commands: Mutex<Vec<String>>,
}

impl Memory {
    fn put(&self, path: &str, content: &str) {
        let mut count = self.count.lock().unwrap();
        *count += 1;
        self.files.lock().unwrap().insert(path.to_owned(), (content.as_bytes().to_vec(), *count));
    }

    fn text(&self, path: &str) -> Option<String> {
        let files = self.files.lock().unwrap();
        files.get(path).map(|(content, _)| String::from_utf8(content.clone()).unwrap())
    }
}

fn refused(status: u16) -> AgentError {
    AgentError::Refused { status, detail: format!("refused with {status}"), etag: None }
}

impl Workbench for Memory {
    fn list<'a>(&'a self, path: &'a str) -> Answer<'a, wire::Listing> {
        Box::pin(async move {
            let mut entries: BTreeMap<String, wire::FileKind> = BTreeMap::new();
            let below = format!("{path}/");
            for whole in self.files.lock().unwrap().keys() {
                if let Some(rest) = whole.strip_prefix(&below) {
                    match rest.split_once('/') {
                        Some((folder, _)) => entries.insert(folder.to_owned(), wire::FileKind::Dir),
                        None => entries.insert(rest.to_owned(), wire::FileKind::File),
                    };
                }
            }
            for whole in self.links.lock().unwrap().iter() {
                if let Some(rest) = whole.strip_prefix(&below) {
                    entries.insert(rest.to_owned(), wire::FileKind::Symlink);
                }
            }
            let entries = entries
                .into_iter()
                .map(|(name, kind)| wire::Entry { name, kind, size: 1, modified_ms: 0, mode: 0o644, target_kind: None })
                .collect();
            Ok(wire::Listing { path: path.to_owned(), entries, truncated: false })
        })
    }

    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<(Bytes, String)>> {
        Box::pin(async move {
            let files = self.files.lock().unwrap();
            Ok(files.get(path).map(|(content, tag)| (Bytes::from(content.clone()), tag.to_string())))
        })
    }

    fn write<'a>(&'a self, path: &'a str, content: Bytes, expected: Option<&'a str>) -> Answer<'a, String> {
        Box::pin(async move {
            let now = self.files.lock().unwrap().get(path).map(|(_, tag)| tag.to_string());
            if now.as_deref() != expected {
                return Err(refused(412));
            }
            self.put(path, std::str::from_utf8(&content).unwrap());
            Ok(self.count.lock().unwrap().to_string())
        })
    }

    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.files.lock().unwrap().remove(path).map(|_| ()).ok_or_else(|| refused(404)) })
    }

    fn search<'a>(&'a self, _: &'a wire::SearchQuery) -> Answer<'a, wire::SearchResult> {
        Box::pin(async { Ok(wire::SearchResult::default()) })
    }

    fn run<'a>(&'a self, request: &'a wire::ExecRequest) -> Answer<'a, wire::ExecResult> {
        Box::pin(async move {
            let command = request.command.join(" ");
            self.commands.lock().unwrap().push(command.clone());
            if command.contains("sleep") {
                std::future::pending::<()>().await;
            }
            Ok(wire::ExecResult { exit_code: Some(0), stdout: command, ..wire::ExecResult::default() })
        })
    }
}

struct World {
    _folder: tempfile::TempDir,
    services: Services,
    workspace: WorkspaceId,
    user: UserId,
    session: AssistantSessionId,
    live: Arc<Live>,
    memory: Arc<Memory>,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let (clock, rng, config) = (Clock::system(), Rng, Config::default());
    let store = Store::open(&config.database, &folder.path().join("db")).await.unwrap();
    store.migrate().await.unwrap();
    let vault = VaultClient::new(folder.path().join("no-vault"));
    let limits = SessionLimits { idle_ms: 1, absolute_ms: 1 };
    let services = Services {
        credentials: Credentials::new(store.clone(), vault.clone(), clock.clone(), limits),
        paths: Arc::new(Paths::new(folder.path().to_path_buf())),
        config: Arc::new(config),
        public_url: "http://localhost".into(),
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        clock,
        rng,
        store,
        vault,
    };
    let (clock, rng) = (&services.clock, &services.rng);
    let (workspace, user) = (WorkspaceId::new(clock, rng), UserId::new(clock, rng));
    let organization = OrganizationId::new(clock, rng);
    let tx = services.store.system(SystemPurpose::Setup).await.unwrap();
    tx.insert(organization::ActiveModel { id: Set(organization), name: Set("o".into()), created_at_ms: Set(1) })
        .await
        .unwrap();
    tx.insert(workspace::ActiveModel {
        id: Set(workspace),
        organization_id: Set(organization),
        name: Set("w".into()),
        wrapped_key: Set(vec![1]),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(crate::authz::accounts::account::ActiveModel {
        id: Set(user),
        email: Set("a@b.c".into()),
        name: Set("a".into()),
        password_hash: Set(String::new()),
        totp_sealed: Set(None),
        totp_last_step: Set(None),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(membership::ActiveModel {
        workspace_id: Set(workspace),
        account_id: Set(user),
        role: Set(Role::User.as_str().into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let (project, container) = (ProjectId::new(clock, rng), ContainerId::new(clock, rng));
    let session = AssistantSessionId::new(clock, rng);
    let tx = services.store.system(SystemPurpose::Setup).await.unwrap();
    super::super::testing::place(&tx, workspace, user, project, container).await;
    tx.insert(session::ActiveModel {
        workspace_id: Set(workspace),
        id: Set(session),
        owner_id: Set(user),
        project_id: Set(project),
        container_id: Set(container),
        title: Set(String::new()),
        allowed_tools: Set("write".into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let live = Hub::default().open(session, 0);
    World { _folder: folder, services, workspace, user, session, live, memory: Arc::default() }
}

impl World {
    fn pen(&self, turn: TurnId) -> Pen {
        Pen::new(self.services.clone(), self.workspace, self.user, self.session, turn, Arc::clone(&self.live))
    }

    /// Begins a turn; gives its id, what stops it, and its end.
    async fn begin(&self, upstream: &Arc<Upstream>, text: &str) -> (TurnId, CancellationToken, tokio::task::JoinHandle<()>) {
        let turn = TurnId::new(&self.services.clock, &self.services.rng);
        let cancel = CancellationToken::new();
        let running = self.live.begin(turn, cancel.clone()).expect("no other turn runs");
        let mut pen = self.pen(turn);
        pen.emit(EventBody::User { text: text.to_owned() });
        pen.message(&Message { role: "user", content: vec![json!({ "type": "text", "text": text })] }).await.unwrap();
        let tx = pen.tx().await.unwrap();
        let history = store::messages(&tx, self.session).await.unwrap();
        let row = store::find_session(&tx, self.session, self.user).await.unwrap().unwrap();
        drop(tx);
        let bench: Arc<dyn Workbench> = Arc::clone(&self.memory) as Arc<dyn Workbench>;
        let project = Project { name: "p".into(), framework: None, folder: "projects/p".into() };
        let allowed = row.allowed_tools.split_whitespace().map(str::to_owned).collect();
        let begun = Turn { pen, bench, project, history, allowed, cancel: cancel.clone() };
        (turn, cancel, tokio::spawn(begun.run(Arc::clone(upstream), running)))
    }

    async fn events(&self) -> Vec<EventBody> {
        assert!(self.live.unwritten().is_empty(), "all events are durable at the end of a turn");
        let tx = self.pen(TurnId::new(&self.services.clock, &self.services.rng)).tx().await.unwrap();
        store::events_after(&tx, self.session, 0).await.unwrap().into_iter().map(|one| one.event.body).collect()
    }

    async fn until(&self, state: State) {
        for _ in 0..200 {
            if self.live.state() == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the session is {:?} and not {state:?}", self.live.state());
    }

    async fn undo(&self, turn: TurnId) -> Result<Vec<String>, UndoError> {
        let tx = self.pen(turn).tx().await.unwrap();
        let rows = store::checkpoints(&tx, self.session, turn).await.unwrap();
        drop(tx);
        undo(self.memory.as_ref(), "projects/p", &rows).await
    }
}

fn results(request: &Value) -> Vec<(String, bool, String)> {
    let last = request["messages"].as_array().unwrap().last().unwrap();
    last["content"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|block| block["type"] == "tool_result")
        .map(|block| {
            let text = |key: &str| block[key].as_str().unwrap().to_owned();
            (text("tool_use_id"), block["is_error"].as_bool().unwrap(), text("content"))
        })
        .collect()
}

fn done(events: &[EventBody]) -> (String, Vec<String>) {
    match events.last() {
        Some(EventBody::Done { stop_reason, files, .. }) => (stop_reason.clone(), files.clone()),
        other => panic!("the last event is {other:?}"),
    }
}

#[tokio::test]
async fn a_turn_reads_changes_shows_and_is_undone() {
    let world = world().await;
    world.memory.put("projects/p/src/app.ts", "hello\nworld\n");
    let (upstream_side, upstream) = Scripted::start(vec![
        reply(&["Let me look. "], &[
            ("c1", "read", json!({ "path": "src/app.ts" })),
            ("c2", "read", json!({ "path": "../other/secret" })),
            ("c3", "nonsense", json!({})),
        ]),
        reply(&[], &[
            ("c4", "edit", json!({ "path": "src/app.ts", "old_text": "world", "new_text": "there" })),
            ("c5", "write", json!({ "path": "new.txt", "content": "new\n" })),
            ("c6", "edit", json!({ "path": "src/app.ts", "old_text": "hello", "new_text": "hi" })),
        ]),
        reply(&["Done, it says there."], &[]),
    ])
    .await;
    let (turn, _, task) = world.begin(&upstream, "change it").await;
    task.await.unwrap();
    // All calls of a message are answered, in their order, the impossible ones with errors.
    let first = results(&upstream_side.json(1));
    assert_eq!(first[0], ("c1".into(), false, "hello\nworld\n".into()));
    assert!(first[1].1 && first[1].2.contains("out of the project"), "{first:?}");
    assert!(first[2].1 && first[2].2.contains("no tool"), "{first:?}");
    assert_eq!(world.memory.text("projects/p/src/app.ts").as_deref(), Some("hi\nthere\n"));
    let events = world.events().await;
    let text: String = events
        .iter()
        .filter_map(|event| if let EventBody::Text { delta } = event { Some(delta.as_str()) } else { None })
        .collect();
    assert_eq!(text, "Let me look. Done, it says there.");
    let diffs: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            EventBody::Diff { path, diff, created, .. } => Some((path.as_str(), diff.contains("+there"), *created)),
            _ => None,
        })
        .collect();
    assert_eq!(diffs, [("src/app.ts", true, false), ("new.txt", false, true), ("src/app.ts", false, false)]);
    assert_eq!(done(&events), ("end_turn".into(), vec!["new.txt".into(), "src/app.ts".into()]));
    assert_eq!(world.live.state(), State::Idle);
    let request = upstream_side.json(0);
    assert_eq!((request["stream"].as_bool(), request["messages"].as_array().unwrap().len()), (Some(true), 1));

    // A change after the turn is in the way of undoing all of it.
    world.memory.put("projects/p/new.txt", "mine\n");
    assert_eq!(world.undo(turn).await, Err(UndoError::Changed("new.txt".into())));
    assert_eq!(world.memory.text("projects/p/src/app.ts").as_deref(), Some("hi\nthere\n"), "nothing was undone");
    let tag = {
        let tx = world.pen(turn).tx().await.unwrap();
        store::checkpoints(&tx, world.session, turn).await.unwrap()[0].etag_after.parse().unwrap()
    };
    world.memory.files.lock().unwrap().insert("projects/p/new.txt".into(), (b"new\n".to_vec(), tag));
    assert_eq!(world.undo(turn).await, Ok(vec!["new.txt".into(), "src/app.ts".into()]));
    assert_eq!(world.memory.text("projects/p/src/app.ts").as_deref(), Some("hello\nworld\n"));
    assert_eq!(world.memory.text("projects/p/new.txt"), None, "what the turn made is gone");
}

#[tokio::test]
async fn commands_ask_first_and_a_denial_is_told() {
    let world = world().await;
    let run = |id: &'static str, command: &str| reply(&[], &[(id, "run", json!({ "command": command }))]);
    let (upstream_side, upstream) = Scripted::start(vec![
        run("r1", "rm -rf /"),
        run("r2", "npm test"),
        run("r3", "npm run lint"),
        reply(&["ok"], &[]),
    ])
    .await;
    let (_, _, task) = world.begin(&upstream, "run").await;
    world.until(State::Waiting).await;
    assert!(world.memory.commands.lock().unwrap().is_empty(), "nothing runs before the decision");
    assert!(!world.live.decide("other", Verdict::Allow));
    assert!(world.live.decide("r1", Verdict::Deny));
    assert!(!world.live.decide("r1", Verdict::Allow), "a decision is made once");
    for _ in 0..200 {
        if world.live.decide("r2", Verdict::AllowAlways) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The third runs without a question.
    task.await.unwrap();
    assert_eq!(*world.memory.commands.lock().unwrap(), ["sh -c npm test", "sh -c npm run lint"]);
    let denied = results(&upstream_side.json(1));
    assert!(denied[0].1 && denied[0].2.contains("did not allow"), "{denied:?}");
    let states: Vec<_> = world
        .events()
        .await
        .into_iter()
        .filter_map(|event| match event {
            EventBody::Call { call_id, state, .. } => Some((call_id, state)),
            _ => None,
        })
        .collect();
    use CallState as S;
    let wanted = [
        ("r1", S::Waiting), ("r1", S::Denied), ("r2", S::Waiting), ("r2", S::Running), ("r2", S::Done),
        ("r3", S::Running), ("r3", S::Done),
    ];
    assert_eq!(states, wanted.map(|(id, state)| (id.to_owned(), state)));
    let tx = world.pen(TurnId::new(&world.services.clock, &Rng)).tx().await.unwrap();
    let row = store::find_session(&tx, world.session, world.user).await.unwrap().unwrap();
    assert_eq!(row.allowed_tools, "run write");
    let stranger = UserId::new(&world.services.clock, &Rng);
    assert_eq!(store::find_session(&tx, world.session, stranger).await.unwrap(), None, "another user's session is absent");
}

#[tokio::test]
async fn links_are_not_followed() {
    let world = world().await;
    world.memory.put("projects/p/a.txt", "a");
    world.memory.put("projects/p/docs/id_rsa", "secret key");
    world.memory.links.lock().unwrap().insert("projects/p/docs".into());
    let (upstream_side, upstream) = Scripted::start(vec![
        reply(&[], &[
            ("l1", "read", json!({ "path": "docs/id_rsa" })),
            ("l2", "list", json!({ "path": "docs" })),
            ("l3", "write", json!({ "path": "docs/new", "content": "x" })),
            ("l4", "search", json!({ "path": "docs", "query": "x" })),
        ]),
        reply(&["no"], &[]),
    ])
    .await;
    world.begin(&upstream, "read it").await.2.await.unwrap();
    for (id, is_error, text) in results(&upstream_side.json(1)) {
        assert!(is_error && text.contains("is a link"), "{id}: {text}");
    }
    assert_eq!(world.memory.text("projects/p/docs/new"), None);
}

#[tokio::test]
async fn stopping_keeps_the_conversation_continuable() {
    let world = world().await;
    let mut hanging = stream(&[
        json!({ "type": "message_start", "message": { "usage": { "input_tokens": 4 } } }),
        json!({ "type": "content_block_start", "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "I begin" } }),
    ]);
    hanging.hangs = true;
    let (upstream_side, upstream) = Scripted::start(vec![
        hanging,
        reply(&[], &[("s1", "run", json!({ "command": "sleep 100" })), ("s2", "list", json!({}))]),
        reply(&["All right."], &[]),
    ])
    .await;
    let mut receiver = world.live.listen();
    let (_, cancel, task) = world.begin(&upstream, "one").await;
    while !matches!(receiver.recv().await.unwrap().event.body, EventBody::Text { .. }) {}
    assert!(world.live.begin(TurnId::new(&world.services.clock, &Rng), CancellationToken::new()).is_none(), "one turn at a time");
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(2), task).await.expect("stopping is quick").unwrap();
    assert_eq!(done(&world.events().await).0, "stopped");

    let (_, _, task) = world.begin(&upstream, "two").await;
    world.until(State::Waiting).await;
    assert!(world.live.decide("s1", Verdict::Allow));
    for _ in 0..200 {
        if !world.memory.commands.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.live.stop(), "as the API stops it, in the middle of a command");
    tokio::time::timeout(Duration::from_secs(2), task).await.expect("stopping is quick").unwrap();
    assert_eq!(done(&world.events().await).0, "stopped");

    world.begin(&upstream, "three").await.2.await.unwrap();
    let last = upstream_side.json(2);
    let messages = last["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(messages[1]["content"][0]["text"], "I begin");
    let answered: Vec<_> = results(&last).into_iter().map(|(id, is_error, _)| (id, is_error)).collect();
    assert_eq!(answered, [("s1".to_owned(), true), ("s2".to_owned(), true)], "every call has its result");
}

#[tokio::test]
async fn errors_of_the_upstream_are_told_in_words() {
    let world = world().await;
    let broken = Script { hangs: false, ..stream(&[
        json!({ "type": "content_block_start", "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "half" } }),
    ]) };
    let (upstream_side, upstream) = Scripted::start(vec![
        error(401, "invalid x-api-key", None),
        error(529, "overloaded", Some(0)),
        error(429, "later", Some(0)),
        reply(&["third time"], &[]),
        error(429, "much later", Some(600)),
        broken,
        stream(&[json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } })]),
    ])
    .await;
    let mut told = Vec::new();
    for text in ["a", "b", "c", "d", "e"] {
        world.begin(&upstream, text).await.2.await.unwrap();
        let events = world.events().await;
        told.push(match events.iter().rev().nth(1) {
            Some(EventBody::Error { message }) => message.clone(),
            _ => done(&events).0,
        });
    }
    assert!(told[0].contains("[ai] anthropic_api_key_file"), "{}", told[0]);
    assert_eq!(told[1], "end_turn", "tried again until it worked");
    assert!(told[2].contains("600 seconds"), "{}", told[2]);
    assert!(told[3].contains("broke off"), "{}", told[3]);
    assert!(told[4].contains("Overloaded"), "{}", told[4]);
    assert_eq!(upstream_side.asked.lock().unwrap().len(), 7);
}

#[tokio::test]
async fn who_left_the_workspace_has_no_turn_that_goes_on() {
    let world = world().await;
    world.memory.put("projects/p/a.txt", "a");
    let (_, upstream) = Scripted::start(vec![
        reply(&[], &[("w1", "run", json!({ "command": "true" }))]),
        reply(&[], &[("w2", "write", json!({ "path": "a.txt", "content": "b" }))]),
    ])
    .await;
    let (_, _, task) = world.begin(&upstream, "go").await;
    world.until(State::Waiting).await;
    let tx = world.services.store.system(SystemPurpose::Setup).await.unwrap();
    use sea_orm::ColumnTrait;
    let left = tx.update_where::<membership::Entity>(
        membership::Column::AccountId.eq(world.user),
        membership::ActiveModel { role: Set(Role::Viewer.as_str().into()), ..Default::default() },
    );
    assert_eq!(left.await.unwrap(), 1);
    tx.commit().await.unwrap();
    world.live.decide("w1", Verdict::Allow);
    task.await.unwrap();
    assert!(world.memory.commands.lock().unwrap().is_empty());
    assert_eq!(world.memory.text("projects/p/a.txt").as_deref(), Some("a"));
    assert_eq!(world.live.state(), State::Idle);
}

#[test]
fn turns_are_undone_from_the_latest() {
    let clock = Clock::fixed(1);
    let first = TurnId::new(&clock, &Rng);
    clock.advance_ms(1);
    let second = TurnId::new(&clock, &Rng);
    assert!(undoable(Some(second), second).is_ok());
    assert!(undoable(Some(second), first).unwrap_err().detail.contains(&second.to_string()));
    assert!(undoable(Some(first), second).unwrap_err().detail.contains("nothing to undo"), "already undone");
    assert!(undoable(None, first).is_err());
}
