//! What goes to the AI provider holds no hidden value: over the gateway and by the assistant, in every form that values are looked
//! for in; and when there is nobody to look, nothing goes.

mod apart;
mod patterns;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::assistant::{Desk, SOON, to_the_end};
use crate::containers::{member, owner};
use crate::support::api::{Answer, Api};
use crate::support::eventually;
use crate::support::processes::signal;
use crate::support::server::Server;
use crate::support::upstream::{Turn, Upstream};

const MASKED: &str = "postgres://shop:p\"wd\\9f2@db.internal/shop";
const SENSITIVE: &str = "sk_live_51Hq8Zt0Yx9";
const OF_PROJECT: &str = "project-value-77c1";
const OWN: &str = "own-value-of-ada-19e3";
const VISIBLE: &str = "https://cdn.example.com/assets";

/// A server with an upstream, and a person.
pub struct Gateway {
    pub server: Server,
    pub upstream: Upstream,
    pub api: Api,
    pub workspace: String,
    _key: TempDir,
}

impl Gateway {
    pub async fn start() -> Self {
        let upstream = Upstream::with_turns(Vec::new()).await;
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, format!("{}\n", upstream.key())).unwrap();
        let server = Server::builder()
            .set("ai.anthropic_base_url", upstream.url())
            .set("ai.anthropic_api_key_file", key.to_str().unwrap())
            .start()
            .await;
        let api = owner(&server).await;
        let workspace = api.workspace().await;
        Self {
            server,
            upstream,
            api,
            workspace,
            _key: folder,
        }
    }

    pub async fn set(&self, name: &str, query: &str, tier: &str, value: &str) {
        let path = format!("/workspaces/{}/secrets/{name}{query}", self.workspace);
        let answer = self
            .api
            .put(&path, &json!({"tier": tier, "value": value}))
            .await;
        assert!(answer.status < 300, "{}", answer.text());
    }

    /// What the upstream was sent for this body, which has to have gone out.
    async fn sent(&self, body: Vec<u8>) -> Vec<u8> {
        ask(&self.api, body).await.expect(200);
        self.upstream.calls().last().unwrap().raw.to_vec()
    }
}

pub async fn ask(api: &Api, body: Vec<u8>) -> Answer {
    api.send("POST", "//ai/v1/messages/count_tokens", |request| {
        request
            .header("anthropic-version", "2023-06-01")
            .header("content-type", "application/json")
            .body(body)
    })
    .await
}

fn message(text: &str) -> Vec<u8> {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn hidden_values_stay_and_everything_else_passes_as_it_is() {
    let gateway = Gateway::start().await;
    let clean = b"{ \"model\":\"m\",\n\t\"b\":\"\\u00e9\",\"messages\":[ ] }\r\n".to_vec();
    assert_eq!(
        gateway.sent(clean.clone()).await,
        clean,
        "without any secret"
    );

    let project = json!({"name": "Shop", "source": {"kind": "empty"}});
    let projects = format!("/workspaces/{}/projects", gateway.workspace);
    let project = gateway.api.post(&projects, &project).await.ok();
    let of_project = format!("?scope=project&project={}", project["id"].as_str().unwrap());
    gateway.set("DATABASE_URL", "", "masked", MASKED).await;
    gateway.set("STRIPE_KEY", "", "sensitive", SENSITIVE).await;
    gateway
        .set("PROJECT_KEY", &of_project, "masked", OF_PROJECT)
        .await;
    gateway.set("MY_KEY", "?scope=own", "sensitive", OWN).await;
    gateway.set("CDN", "", "visible", VISIBLE).await;

    assert_eq!(
        gateway.sent(clean.clone()).await,
        clean,
        "with secrets, and none in it"
    );
    for (name, value) in [
        ("DATABASE_URL", MASKED),
        ("STRIPE_KEY", SENSITIVE),
        ("PROJECT_KEY", OF_PROJECT),
        ("MY_KEY", OWN),
    ] {
        let inner = json!({ "env": value }).to_string();
        let forms = [
            value.to_owned(),
            BASE64_STANDARD.encode(value),
            BASE64_STANDARD.encode(format!("x{value}x")),
            value.bytes().map(|byte| format!("{byte:02x}")).collect(),
            inner.clone(),
            json!({ "deeper": inner }).to_string(),
        ];
        for form in forms {
            let sent = gateway
                .sent(message(&format!("run it with {form} please")))
                .await;
            let text = String::from_utf8(sent).unwrap();
            let parsed: Value = serde_json::from_str(&text).unwrap();
            let content = parsed["messages"][0]["content"].as_str().unwrap();
            let placed = [format!("${name}"), format!("${{{name}}}")];
            assert!(
                placed.iter().any(|one| content.contains(one)),
                "{name} as {form}: {content}"
            );
            assert!(
                !content.contains(value) && !content.contains(&form),
                "{content}"
            );
            assert!(
                content.starts_with("run it with ") && content.ends_with(" please"),
                "{content}"
            );
        }
    }
    // What everybody may see is no secret.
    let visible = message(VISIBLE);
    assert_eq!(gateway.sent(visible.clone()).await, visible);
    // A character written another way is the same character.
    let escaped: String = SENSITIVE
        .chars()
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect();
    let sent = gateway
        .sent(
            message("@")
                .into_iter()
                .flat_map(|byte| match byte {
                    b'@' => escaped.clone().into_bytes(),
                    byte => vec![byte],
                })
                .collect(),
        )
        .await;
    let parsed: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(parsed["messages"][0]["content"], "$STRIPE_KEY");

    // A new value is known at once, and the old one is still one that was hidden.
    gateway
        .set("STRIPE_KEY", "", "sensitive", "sk_live_rotated_0042")
        .await;
    let sent = gateway
        .sent(message(&format!("{SENSITIVE} and sk_live_rotated_0042")))
        .await;
    let parsed: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(
        parsed["messages"][0]["content"],
        "$STRIPE_KEY and $STRIPE_KEY"
    );

    // A value that becomes hidden keeps its version.
    let path = format!("/workspaces/{}/secrets/CDN", gateway.workspace);
    gateway
        .api
        .send("PATCH", &path, |request| {
            request.json(&json!({"tier": "sensitive"}))
        })
        .await
        .expect(200);
    let sent = gateway.sent(message(VISIBLE)).await;
    let parsed: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(parsed["messages"][0]["content"], "$CDN");

    // The log says which, and never what.
    let logs = gateway.server.logs();
    assert!(
        logs.contains("ai.redacted") && logs.contains("DATABASE_URL"),
        "{logs}"
    );
    for value in [
        SENSITIVE,
        OF_PROJECT,
        OWN,
        "p\\\"wd",
        "sk_live_rotated_0042",
    ] {
        assert!(!logs.contains(value), "{value}");
    }
}

#[tokio::test]
async fn another_workspaces_values_are_not_looked_for() {
    let gateway = Gateway::start().await;
    gateway.set("STRIPE_KEY", "", "sensitive", SENSITIVE).await;
    // Who may use the assistant elsewhere would else learn what is a secret here.
    let elsewhere = gateway.server.api("bob@example.com", "all");
    gateway.server.create_owner("bob@example.com").await;
    let bob = elsewhere.await;
    let body = message(SENSITIVE);
    assert_eq!(ask(&bob, body.clone()).await.status, 200);
    assert_eq!(gateway.upstream.calls().last().unwrap().raw.to_vec(), body);
    // A member of this workspace is served by its values, whatever the role may see.
    let user = member(&gateway.server, &gateway.api, "eve@example.com", "user").await;
    ask(&user, body).await.expect(200);
    let sent = gateway.upstream.calls().last().unwrap().raw.to_vec();
    assert!(String::from_utf8(sent).unwrap().contains("$STRIPE_KEY"));
}

#[tokio::test]
async fn what_nobody_can_look_through_is_refused() {
    let gateway = Gateway::start().await;
    gateway.set("STRIPE_KEY", "", "sensitive", SENSITIVE).await;
    let before = gateway.upstream.calls().len();
    let answer = gateway.api.send("POST", "//ai/v1/messages", |request| {
        request
            .header("content-encoding", "gzip")
            .body(vec![0x1f, 0x8b, 8, 0])
    });
    let answer = answer.await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("Content-Encoding"),
        "{}",
        answer.text()
    );
    assert_eq!(gateway.upstream.calls().len(), before);
    // What is no JSON is looked through all the same.
    let torn = format!("{{\"a\": \"{SENSITIVE}").into_bytes();
    ask(&gateway.api, torn).await;
    let sent = gateway.upstream.calls().last().unwrap().raw.to_vec();
    assert_eq!(sent, b"{\"a\": \"$STRIPE_KEY");
}

#[tokio::test]
async fn one_members_own_values_do_not_touch_what_another_sends() {
    let gateway = Gateway::start().await;
    gateway
        .set("DATABASE_URL", "", "sensitive", SENSITIVE)
        .await;
    let eve = member(&gateway.server, &gateway.api, "eve@example.com", "user").await;
    let own = |name: &str| format!("/workspaces/{}/secrets/{name}?scope=own", gateway.workspace);
    let set = |value: &str| json!({"tier": "sensitive", "value": value});
    // A word that the owner writes, and one that would cut the workspace's value open.
    eve.put(&own("WORD"), &set("function")).await.expect(200);
    eve.put(&own("CUT"), &set("=KEY=sk_live_51"))
        .await
        .expect(200);
    let text = format!("function KEY=KEY={SENSITIVE}");
    let sent = gateway.sent(message(&text)).await;
    let parsed: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(
        parsed["messages"][0]["content"],
        "function KEY=KEY=$DATABASE_URL"
    );
    // In their own text both are found, and nothing is left of the one that the other overlaps.
    ask(&eve, message(&text)).await.expect(200);
    let sent = gateway.upstream.calls().last().unwrap().raw.to_vec();
    let parsed: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(parsed["messages"][0]["content"], "$WORD KEY$CUT");
}

#[tokio::test]
async fn addresses_headers_and_what_must_not_be_changed_hold_no_value() {
    let gateway = Gateway::start().await;
    gateway.set("STRIPE_KEY", "", "sensitive", SENSITIVE).await;
    let before = gateway.upstream.calls().len();
    let body = message("hello");
    let thinking = json!({"model": "m", "messages": [
        {"role": "user", "content": [{"type": "thinking", "thinking": SENSITIVE, "signature": "AAAA"}]}
    ]});
    let refused = [
        (
            "POST",
            format!("//ai/v1/messages?x={SENSITIVE}"),
            None,
            body.clone(),
        ),
        (
            "GET",
            format!("//ai/v1/models?after_id={SENSITIVE}"),
            None,
            Vec::new(),
        ),
        (
            "POST",
            "//ai/v1/messages".to_owned(),
            Some(("x-claude-y", SENSITIVE)),
            body.clone(),
        ),
        (
            "POST",
            "//ai/v1/messages".to_owned(),
            None,
            thinking.to_string().into_bytes(),
        ),
        // So many that what came out would be many times as long.
        (
            "POST",
            "//ai/v1/messages".to_owned(),
            None,
            message(&format!("{SENSITIVE} ").repeat(250_000)),
        ),
    ];
    for (method, path, header, body) in refused {
        let answer = gateway.api.send(method, &path, |request| {
            let request = match header {
                Some((name, value)) => request.header(name, value),
                None => request,
            };
            request.body(body)
        });
        let answer = answer.await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(
            answer.text().contains("did not pass this request on"),
            "{}",
            answer.text()
        );
        assert!(!answer.text().contains(SENSITIVE));
    }
    assert_eq!(gateway.upstream.calls().len(), before);
    gateway.sent(body).await;
}

#[tokio::test]
async fn nothing_leaves_while_the_redactor_is_away_and_it_comes_back() {
    let gateway = Gateway::start().await;
    gateway.set("STRIPE_KEY", "", "sensitive", SENSITIVE).await;
    let redactor = || {
        let found = gateway.server.children("optidev redactor");
        found.first().copied()
    };
    gateway.sent(message(SENSITIVE)).await;
    // Killed again and again, under requests that each hold the value.
    for round in 0..20_u64 {
        let asking = ask(&gateway.api, message(&format!("{round} {SENSITIVE}")));
        let killing = async {
            tokio::time::sleep(Duration::from_millis(round % 5)).await;
            if let Some(pid) = redactor() {
                signal(pid, Signal::KILL);
            }
        };
        let (answer, ()) = tokio::join!(asking, killing);
        assert!(matches!(answer.status, 200 | 503), "{}", answer.text());
    }
    eventually("a redactor that answers again", SOON, || async {
        (ask(&gateway.api, message(SENSITIVE)).await.status == 200).then_some(())
    })
    .await;
    for call in gateway.upstream.calls() {
        assert!(!String::from_utf8_lossy(&call.raw).contains(SENSITIVE));
    }
    // Stopped, and not ended: it listens and never answers.
    let pid = redactor().unwrap();
    let calls = gateway.upstream.calls().len();
    signal(pid, Signal::STOP);
    let answer = ask(&gateway.api, message(SENSITIVE)).await;
    signal(pid, Signal::CONT);
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("was not passed on"),
        "{}",
        answer.text()
    );
    assert_eq!(gateway.upstream.calls().len(), calls);
}

#[tokio::test]
async fn the_assistants_tools_may_read_a_value_and_the_model_gets_its_name() {
    let desk = Desk::with_turns(vec![
        Turn::tool("read", json!({"path": "settings.txt"})),
        Turn::text("done"),
    ])
    .await;
    let path = format!("/workspaces/{}/secrets/STRIPE_KEY", desk.workspace);
    let body = json!({"tier": "sensitive", "value": SENSITIVE});
    desk.api.put(&path, &body).await.ok();
    desk.write(
        "settings.txt",
        &format!("STRIPE_KEY={SENSITIVE}\nPORT=3000\n"),
    )
    .await;
    let mut events = desk.events("0").await;
    desk.say("Please, what is in the settings?").await;
    to_the_end(&mut events).await;
    let results = desk.asked(0).tool_results();
    assert!(
        results[0].1.contains("STRIPE_KEY=$STRIPE_KEY") && results[0].1.contains("PORT=3000"),
        "{results:?}"
    );
    for call in desk.upstream.calls() {
        assert!(!String::from_utf8_lossy(&call.raw).contains(SENSITIVE));
    }
    desk.nothing_leaked().await;
}
