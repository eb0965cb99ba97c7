//! The assistant over the API, against a scripted upstream and in a real container: turns, decisions, undo.
//!
//! Every test ends with [`Desk::nothing_leaked`]: what the upstream was sent holds no credential of ours and no secret.

mod confinement;
mod failures;
mod interrupted;

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::containers::{owner, running, sh};
use crate::support::api::{Answer, Api};
use crate::support::events::{Event, EventStream};
use crate::support::eventually;
use crate::support::server::{Builder, Server};
use crate::support::upstream::{Call, Turn, Upstream};

pub const SOON: Duration = Duration::from_secs(60);
const SECRET: &str = "tr0ub4dor-and-3-secret";

/// A person at work: a container with a project in it, and a session with the assistant about it.
pub struct Desk {
    pub server: Server,
    pub upstream: Upstream,
    pub api: Api,
    pub workspace: String,
    /// `/workspaces/{w}/containers/{c}`
    pub container: String,
    /// The project's id.
    pub project: String,
    /// The project's folder below the home.
    pub folder: String,
    /// `/workspaces/{w}/ai/sessions/{s}`
    pub session: String,
    _key: TempDir,
}

impl Desk {
    pub async fn with_turns(turns: Vec<Turn>) -> Self {
        Self::new(Upstream::with_turns(turns).await).await
    }

    pub async fn new(upstream: Upstream) -> Self {
        Self::on(Server::builder(), upstream).await
    }

    /// On a server with settings of the test's own.
    pub async fn on(builder: Builder, upstream: Upstream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, format!("{}\n", upstream.key())).unwrap();
        let server = builder
            .set("ai.anthropic_base_url", upstream.url())
            .set("ai.anthropic_api_key_file", key.to_str().unwrap())
            // Walks ask more than any person does.
            .set("limits.address_per_minute", "0")
            .set("limits.account_per_minute", "0")
            .set("limits.token_per_minute", "0")
            .start()
            .await;
        let api = owner(&server).await;
        let workspace = api.workspace().await;
        // Before the container starts, so that its value is in the environment there.
        let secret = json!({"tier": "sensitive", "value": SECRET});
        let secrets = format!("/workspaces/{workspace}/secrets");
        api.put(&format!("{secrets}/DEPLOY_KEY"), &secret)
            .await
            .ok();
        let container = running(&api).await;
        let (project, folder_name) = project(&api, &workspace, &container, "Shop").await;
        let session = session(&api, &workspace, &project, &container).await;
        Self {
            server,
            upstream,
            api,
            workspace,
            container,
            project,
            folder: folder_name,
            session,
            _key: folder,
        }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/files/{}/{name}", self.container, self.folder)
    }

    pub async fn write(&self, name: &str, text: &str) {
        let path = format!("{}?parents=1", self.file(name));
        self.api
            .put_bytes(&path, text.as_bytes().to_vec())
            .await
            .ok();
    }

    /// What is in the file; nothing when it is not there.
    pub async fn read(&self, name: &str) -> Option<String> {
        let answer = self.api.get(&self.file(name)).await;
        (answer.status != 404).then(|| answer.expect(200).text())
    }

    /// Sends a message; the id of its turn.
    pub async fn say(&self, text: &str) -> String {
        let message = json!({"text": text});
        let path = format!("{}/messages", self.session);
        let begun = self.api.post(&path, &message).await.expect(202).json();
        begun["turn_id"].as_str().unwrap().to_owned()
    }

    pub async fn events(&self, after: &str) -> EventStream {
        self.api
            .events(&format!("{}/events?after={after}", self.session))
            .await
    }

    pub async fn decide(&self, call: &str, decision: &str) -> Answer {
        let path = format!("{}/calls/{call}", self.session);
        self.api.post(&path, &json!({"decision": decision})).await
    }

    pub async fn stop(&self) {
        let path = format!("{}/stop", self.session);
        self.api.post(&path, &json!({})).await.expect(202);
    }

    pub async fn undo(&self, turn: &str) -> Answer {
        let path = format!("{}/turns/{turn}/undo", self.session);
        self.api.post(&path, &json!({})).await
    }

    pub async fn state(&self) -> String {
        let now = self.api.get(&self.session).await.ok();
        now["state"].as_str().unwrap().to_owned()
    }

    pub async fn sh(&self, script: &str) -> String {
        let done = sh(&self.api, &self.container, script).await;
        assert_eq!(done["exit_code"], 0, "{script}: {done}");
        done["stdout"].as_str().unwrap().to_owned()
    }

    /// The request to the upstream that carries the results of the tools `count` requests ago, 0 being the last.
    pub fn asked(&self, count: usize) -> Call {
        let calls = self.upstream.message_calls();
        calls[calls.len() - 1 - count].clone()
    }

    /// Nothing of ours is in any request that the upstream got, and nothing of the conversation in the log.
    pub async fn nothing_leaked(&self) {
        assert_eq!(
            self.sh("printf %s \"$DEPLOY_KEY\"").await,
            SECRET,
            "the container has the secret, so that there is something to leak"
        );
        let token = self.api.token().unwrap();
        let calls = self.upstream.calls();
        for call in &calls {
            let mut headers = call.headers.clone();
            let key = headers.remove("x-api-key").unwrap();
            assert_eq!(key.to_str().unwrap(), self.upstream.key());
            let sent = format!("{headers:?} {} {}", call.uri, text(&call.raw));
            for secret in [token, SECRET, self.upstream.key(), "odv_", "cookie"] {
                assert!(!sent.contains(secret), "{secret} reached the upstream");
            }
        }
        let logs = self.server.logs();
        for secret in [token, SECRET, self.upstream.key(), "Please,"] {
            assert!(!logs.contains(secret), "{secret} is in the log");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A new empty project in the container: its id and folder.
pub async fn project(api: &Api, workspace: &str, container: &str, name: &str) -> (String, String) {
    let new = json!({"name": name, "source": {"kind": "empty"}});
    let list = format!("/workspaces/{workspace}/projects");
    let made = api.post(&list, &new).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let checkout = format!("{container}/projects/{id}");
    api.put(&checkout, &json!({})).await.expect(202);
    eventually("the project's folder", SOON, || async {
        (api.get(&checkout).await.ok()["state"] == "ready").then_some(())
    })
    .await;
    (id, made["folder"].as_str().unwrap().to_owned())
}

/// A new session: its path.
pub async fn session(api: &Api, workspace: &str, project: &str, container: &str) -> String {
    let container = container.rsplit('/').next().unwrap();
    let list = format!("/workspaces/{workspace}/ai/sessions");
    let new = json!({"project_id": project, "container_id": container});
    let made = api.post(&list, &new).await.expect(201).json();
    assert_eq!(made["state"], "idle");
    format!("{list}/{}", made["id"].as_str().unwrap())
}

/// Events up to the end of the turn, as JSON.
pub async fn to_the_end(stream: &mut EventStream) -> Vec<Value> {
    let events = stream
        .until(SOON, |event| event.json()["type"] == "done")
        .await;
    events.iter().map(Event::json).collect()
}

/// Waits until a call has the state; the call's id and the events so far.
pub async fn to_call(stream: &mut EventStream, state: &str) -> (String, Vec<Event>) {
    let events = stream
        .until(SOON, |event| {
            let event = event.json();
            assert_ne!(event["type"], "done", "the turn ended: {event}");
            event["state"] == state
        })
        .await;
    let call = events.last().unwrap().json();
    (call["call_id"].as_str().unwrap().to_owned(), events)
}

#[tokio::test]
async fn a_turn_looks_changes_asks_and_is_undone() {
    let edit = json!({"path": "src/app.ts", "old_text": "Hello", "new_text": "Grüße"});
    let write = json!({"path": "docs/new.md", "content": "new\n"});
    let run = json!({"command": "pwd; cat src/app.ts; touch ran"});
    let desk = Desk::with_turns(vec![
        Turn::text("I look first.")
            .and_tool("list", json!({}))
            .and_tool("read", json!({"path": "src/app.ts"})),
        Turn::tool("edit", edit).and_tool("write", write).chopped(7),
        Turn::tool("run", run),
        Turn::text("It is done."),
        Turn::text("I see."),
    ])
    .await;
    desk.write("src/app.ts", "say('Hello');\n").await;
    let mut stream = desk.events("0").await;
    let turn = desk.say("Please, greet in German.").await;

    let (call, mut seen) = to_call(&mut stream, "waiting").await;
    let events: Vec<Value> = seen.iter().map(Event::json).collect();
    assert_eq!(
        (&events[0]["type"], &events[0]["text"], &events[0]["turn"]),
        (
            &json!("user"),
            &json!("Please, greet in German."),
            &json!(turn)
        )
    );
    let said: String = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(said, "I look first.");
    let diffs: Vec<&Value> = events.iter().filter(|e| e["type"] == "diff").collect();
    assert_eq!(
        diffs[0]["diff"],
        "--- a/src/app.ts\n+++ b/src/app.ts\n@@ -1 +1 @@\n-say('Hello');\n+say('Grüße');\n"
    );
    assert_eq!(
        (
            &diffs[0]["created"],
            &diffs[1]["created"],
            &diffs[1]["path"]
        ),
        (&json!(false), &json!(true), &json!("docs/new.md"))
    );
    assert_eq!(
        desk.read("src/app.ts").await.as_deref(),
        Some("say('Grüße');\n")
    );

    // Nothing runs before it is allowed, and it is allowed once.
    assert_eq!(desk.state().await, "waiting");
    assert_eq!(desk.read("ran").await, None);
    desk.decide("toolu_other", "allow")
        .await
        .problem(409, "conflict");
    desk.decide(&call, "allow").await.expect(202);
    desk.decide(&call, "allow").await.problem(409, "conflict");
    let rest = stream.until(SOON, |e| e.json()["type"] == "done").await;
    seen.extend(rest);
    let done = seen.last().unwrap().json();
    assert_eq!(done["stop_reason"], "end_turn");
    assert_eq!(done["files"], json!(["docs/new.md", "src/app.ts"]));
    assert!(done["input_tokens"].as_u64().unwrap() > 0 && done["output_tokens"] != 0);
    assert_eq!(desk.state().await, "idle");
    assert_eq!(desk.read("ran").await.as_deref(), Some(""));

    // The upstream got what the tools found.
    let looked = desk.asked(2).tool_results();
    assert!(looked[0].1.contains("src/") && looked[1].1.contains("say('Hello')"));
    let ran = desk.asked(0).tool_results();
    assert!(!ran[0].2, "{ran:?}");
    assert_eq!(
        ran[0].1,
        format!("/home/dev/{}\nsay('Grüße');\n(exit code 0)", desk.folder)
    );

    // A page that is loaded again is the same, whatever part of it.
    let whole = desk
        .events("0")
        .await
        .until(SOON, |e| e.json()["type"] == "done")
        .await;
    assert_eq!(whole, seen);
    let middle = seen.len() / 2;
    let after = seen[middle].id.clone().unwrap();
    let tail = desk
        .events(&after)
        .await
        .until(SOON, |e| e.json()["type"] == "done")
        .await;
    assert_eq!(tail, seen[middle + 1..]);

    let undone = desk.undo(&turn).await.ok();
    assert_eq!(undone["restored"], json!(["docs/new.md", "src/app.ts"]));
    assert_eq!(
        desk.read("src/app.ts").await.as_deref(),
        Some("say('Hello');\n")
    );
    assert_eq!(desk.read("docs/new.md").await, None);
    let told = stream.next(SOON).await.unwrap().json();
    assert_eq!(
        (&told["type"], &told["turn"]),
        (&json!("undone"), &json!(turn))
    );
    desk.undo(&turn).await.problem(409, "conflict");

    // The model is told that its changes are gone.
    desk.say("Please, go on.").await;
    to_the_end(&mut stream).await;
    assert!(text(&desk.asked(0).raw).contains("The user undid the file changes"));
    desk.nothing_leaked().await;
}

#[tokio::test]
async fn undo_restores_everything_or_nothing() {
    let edit = |path: &str, old: &str, new: &str| Turn::tool("edit", input(path, old, new));
    let desk = Desk::with_turns(vec![
        edit("a.txt", "one", "two").and_tool("edit", input("b.txt", "one", "two")),
        Turn::text("Both."),
        edit("a.txt", "two", "three"),
        Turn::text("Again."),
    ])
    .await;
    desk.write("a.txt", "one\n").await;
    desk.write("b.txt", "one\n").await;
    let mut stream = desk.events("0").await;
    let first = desk.say("Please, count on.").await;
    to_the_end(&mut stream).await;

    desk.write("b.txt", "mine\n").await;
    let refused = desk.undo(&first).await.problem(409, "conflict");
    assert!(
        refused["detail"].as_str().unwrap().contains("b.txt"),
        "{refused}"
    );
    assert_eq!(desk.read("a.txt").await.as_deref(), Some("two\n"));
    assert_eq!(desk.read("b.txt").await.as_deref(), Some("mine\n"));
    // Deleted is changed, too.
    desk.api.delete(&desk.file("b.txt")).await.expect(204);
    desk.undo(&first).await.problem(409, "conflict");
    assert_eq!(desk.read("b.txt").await, None);

    // As the turn left it, it can be undone; but not below a later turn.
    desk.write("b.txt", "two\n").await;
    let second = desk.say("Please, once more.").await;
    to_the_end(&mut stream).await;
    let below = desk.undo(&first).await.problem(409, "conflict");
    assert!(
        below["detail"].as_str().unwrap().contains(&second),
        "{below}"
    );
    desk.undo(&second).await.expect(200);
    desk.undo(&first).await.expect(200);
    assert_eq!(desk.read("a.txt").await.as_deref(), Some("one\n"));
    assert_eq!(desk.read("b.txt").await.as_deref(), Some("one\n"));
    desk.nothing_leaked().await;
}

fn input(path: &str, old: &str, new: &str) -> Value {
    json!({"path": path, "old_text": old, "new_text": new})
}

#[tokio::test]
async fn undo_does_not_lose_what_the_person_wrote_in_mid_turn() {
    let desk = Desk::with_turns(vec![
        Turn::tool("edit", input("a.txt", "one", "two")),
        Turn::tool("run", json!({"command": "true"})),
        Turn::tool("edit", input("a.txt", "two", "three")),
        Turn::text("Done."),
    ])
    .await;
    desk.write("a.txt", "one\n").await;
    let mut stream = desk.events("0").await;
    let turn = desk.say("Please, count on.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    desk.write("a.txt", "two\nan hour of the person's work\n")
        .await;
    desk.decide(&call, "allow").await.expect(202);
    to_the_end(&mut stream).await;
    let both = "three\nan hour of the person's work\n";
    assert_eq!(desk.read("a.txt").await.as_deref(), Some(both));
    desk.undo(&turn).await.problem(409, "conflict");
    assert_eq!(desk.read("a.txt").await.as_deref(), Some(both));
    desk.nothing_leaked().await;
}

#[tokio::test]
async fn a_command_is_asked_for_denied_and_allowed_for_its_session() {
    let touch = |name: &str| Turn::tool("run", json!({"command": format!("touch {name}")}));
    let desk = Desk::with_turns(vec![
        touch("denied"),
        Turn::text("As you wish."),
        touch("one"),
        touch("two"),
        Turn::text("Twice."),
        touch("three"),
    ])
    .await;
    let mut stream = desk.events("0").await;
    desk.say("Please, touch.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    desk.decide(&call, "maybe")
        .await
        .problem(422, "unprocessable");
    desk.decide(&call, "deny").await.expect(202);
    let events = to_the_end(&mut stream).await;
    assert_eq!(events[0]["state"], "denied", "{events:?}");
    assert_eq!(desk.read("denied").await, None);
    let told = desk.asked(0).tool_results();
    assert!(told[0].2 && told[0].1.contains("did not allow"), "{told:?}");

    desk.say("Please, touch twice.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    desk.decide(&call, "allow_always").await.expect(202);
    let events = to_the_end(&mut stream).await;
    assert!(
        events.iter().all(|event| event["state"] != "waiting"),
        "asked again after always: {events:?}"
    );
    assert_eq!(desk.read("two").await.as_deref(), Some(""));

    // Always is for that conversation.
    let other = session(&desk.api, &desk.workspace, &desk.project, &desk.container).await;
    let desk = Desk {
        session: other,
        ..desk
    };
    let mut stream = desk.events("0").await;
    desk.say("Please, touch elsewhere.").await;
    to_call(&mut stream, "waiting").await;
    desk.stop().await;
    let events = to_the_end(&mut stream).await;
    assert_eq!(events.last().unwrap()["stop_reason"], "stopped");
    assert_eq!(desk.read("three").await, None);
    desk.nothing_leaked().await;
}
