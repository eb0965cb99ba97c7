//! API tokens and service accounts: shown once, limited, revoked at once, and never in the log.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::containers::{member, owner, running, running_in};
use crate::identity::{Browser, field};
use crate::members::{id, signed_in, submit};
use crate::support::server::{PASSWORD, Server};
use crate::support::terminal::Terminal;

const SOON: Duration = Duration::from_secs(30);

/// The value that a page shows once.
fn shown(page: &str) -> String {
    let at = page.find("value=\"odv_").expect("a token on the page") + 7;
    page[at..].chars().take_while(|c| *c != '"').collect()
}

pub async fn make(
    browser: &mut Browser,
    page: &str,
    name: &str,
    scope: &str,
    days: &str,
) -> String {
    let fields = [("name", name), ("days", days), ("scope", scope)];
    let (status, to, text) = submit(browser, page, page, &fields).await;
    assert_eq!(status, 200, "{to} {text}");
    shown(&text)
}

#[tokio::test]
async fn a_token_is_shown_once_limited_and_revoked_at_once() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let mut browser = signed_in(&server, "ada@example.com").await;
    let page = "/account/tokens";
    let value = make(&mut browser, page, "Build", "containers", "30").await;
    assert_eq!(value.len(), 4 + 43 + 6);
    let (_, _, again) = browser.get(page).await;
    assert!(!again.contains(&value), "shown once");
    assert!(again.contains("Build"));
    let build = server.anonymous().with_token(&value);
    assert_eq!(build.get(&format!("{place}/containers")).await.status, 200);
    let refused = build.get(&format!("{place}/projects")).await;
    let detail = refused.problem(403, "forbidden")["detail"].clone();
    assert!(detail.as_str().unwrap().contains("projects:read"));
    // A token makes no token, and one without the scope sees none.
    let new = json!({"name": "more", "scopes": ["all"]});
    build.post("/tokens", &new).await.problem(403, "forbidden");
    ada.post("/tokens", &new)
        .await
        .problem(403, "reauthentication_required");
    // What is not right is named.
    for (wrong, named) in [
        (json!({"name": "", "scopes": ["all"]}), "name"),
        (json!({"name": "x", "scopes": []}), "scopes"),
        (
            json!({"name": "x", "scopes": ["all"], "expires_in_days": 0}),
            "expires_in_days",
        ),
    ] {
        let refused = ada
            .post("/tokens", &wrong)
            .await
            .problem(422, "unprocessable");
        assert!(refused["detail"].as_str().unwrap().starts_with(named));
    }
    // In the list without its value, with its last use.
    let listed = ada.get("/tokens").await.ok();
    let all = listed["items"].as_array().unwrap();
    let item = all.iter().find(|item| item["name"] == "Build").unwrap();
    assert_eq!(item["scopes"], json!(["containers"]));
    assert!(item["last_used_ms"].is_i64() && item["expires_at_ms"].is_i64());
    assert!(!listed.to_string().contains(&value));
    // A terminal that was opened with it ends with it.
    let workspace = ada.workspace().await;
    let path = running_in(&build, &workspace).await;
    let (_, mut screen) = Terminal::create(&build, &path).await;
    screen.run("true", SOON).await;
    let token = item["id"].as_str().unwrap();
    ada.delete(&format!("/tokens/{token}")).await.expect(204);
    let since = Instant::now();
    build
        .get(&format!("{place}/containers"))
        .await
        .problem(401, "unauthenticated");
    while tokio::time::timeout(SOON, screen.receive()).await.unwrap() {}
    eprintln!("the terminal ended after {:?}", since.elapsed());
    ada.delete(&format!("/tokens/{token}"))
        .await
        .problem(404, "not_found");
    // Expired is as good as revoked.
    let value = make(&mut browser, page, "Short", "all", "30").await;
    let short = server.anonymous().with_token(&value);
    assert_eq!(short.get(&place).await.status, 200);
    server
        .execute("update api_token set expires_at_ms = 1 where name = 'Short'")
        .await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    short.get(&place).await.problem(401, "unauthenticated");
    assert!(!server.logs().contains(&value), "a token is in the log");
}

#[tokio::test]
async fn a_service_account_has_tokens_and_nothing_else() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let accounts = format!("{place}/service-accounts");
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let new = |role: &str| json!({"name": "Bot", "role": role});
    bob.post(&accounts, &new("user"))
        .await
        .problem(403, "forbidden");
    ada.post(&accounts, &new("owner"))
        .await
        .problem(422, "unprocessable");
    let made = ada.post(&accounts, &new("user")).await.expect(201).json();
    let bot_id = made["id"].as_str().unwrap().to_owned();
    let one = format!("{accounts}/{bot_id}");
    // Persons and foreign accounts are no service accounts.
    let person = format!("{accounts}/{}", id(&bob).await);
    ada.delete(&person).await.problem(404, "not_found");
    let wanted = json!({"name": "t", "scopes": ["all"]});
    let refused = ada.post(&format!("{one}/tokens"), &wanted).await;
    refused.problem(403, "reauthentication_required");
    let mut browser = signed_in(&server, "ada@example.com").await;
    let value = make(&mut browser, &one, "CI", "all", "90").await;
    let bot = server.anonymous().with_token(&value);
    let me = bot.get("/me").await.ok();
    assert_eq!(
        (&me["user"]["name"], &me["user"]["email"]),
        (&json!("Bot"), &json!(null))
    );
    assert_eq!(me["workspaces"].as_array().unwrap().len(), 1);
    // No password fits, not even none.
    let mut stranger = Browser::new(&server.url());
    for password in ["", PASSWORD] {
        let fields = [("email", ""), ("password", password), ("next", "/")];
        let (status, ..) = stranger.post("/sign-in", &fields).await;
        assert_ne!(status, 303);
    }
    // It is a member that cannot own the workspace, and is not removed as one.
    let member = format!("{place}/members/{bot_id}");
    let listed = ada.get(&member).await.ok();
    assert_eq!(
        (&listed["service"], &listed["role"]),
        (&json!(true), &json!("user"))
    );
    let owner = json!({"role": "owner"});
    let refused = ada
        .send("PATCH", &member, |request| request.json(&owner))
        .await;
    assert!(matches!(refused.status, 403 | 422), "{}", refused.text());
    ada.delete(&member).await.problem(409, "conflict");
    let settings = format!("{place}/settings");
    let transfer = format!("{place}/transfer");
    let (status, _, text) = submit(&mut browser, &settings, &transfer, &[("to", &bot_id)]).await;
    assert_eq!(status, 422, "{text}");
    // It works, and ends at once when it is deleted.
    let path = running(&bot).await;
    let (_, mut screen) = Terminal::create(&bot, &path).await;
    screen.run("true", SOON).await;
    let (_, _, text) = browser.get(&one).await;
    let token = field(&text, "csrf_token");
    let fields = [("csrf_token", token.as_str())];
    let (status, ..) = browser.post(&format!("{one}/delete"), &fields).await;
    assert_eq!(status, 303);
    bot.get("/me").await.problem(401, "unauthenticated");
    while tokio::time::timeout(SOON, screen.receive()).await.unwrap() {}
    ada.get(&member).await.problem(404, "not_found");
    ada.get(&format!("{one}/tokens"))
        .await
        .problem(404, "not_found");
    assert!(!server.logs().contains(&value), "a token is in the log");
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let mut first = signed_in(&server, "ada@example.com").await;
    let mut second = signed_in(&server, "ada@example.com").await;
    let listed = ada.get("/sessions").await.ok();
    let all = listed["items"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    let newest = all[0]["id"].as_str().unwrap();
    ada.delete(&format!("/sessions/{newest}")).await.expect(204);
    assert_eq!(second.get("/account").await.0, 303);
    assert_eq!(first.get("/account").await.0, 200);
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    let left = all[1]["id"].as_str().unwrap();
    eve.delete(&format!("/sessions/{left}"))
        .await
        .problem(404, "not_found");
    let ended = ada.post("/sessions/revoke-others", &json!({})).await.ok();
    assert_eq!(ended["ended"], 1);
    assert_eq!(first.get("/account").await.0, 303);
    let narrow = server.api("ada@example.com", "projects").await;
    narrow.get("/sessions").await.problem(403, "forbidden");
}

#[tokio::test]
async fn a_token_sees_of_its_account_what_its_scopes_reach() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let bare = server.api("ada@example.com", "projects").await;
    let me = bare.get("/me").await.ok();
    let keys: Vec<&String> = me.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["user"], "{me}");
    let all = ada.get("/me").await.ok();
    let seen = json!({"id": all["user"]["id"], "name": all["user"]["name"], "email": null});
    assert_eq!(me["user"], seen);
    for list in ["/workspaces", "/organizations"] {
        let refused = bare.get(list).await.problem(403, "forbidden");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("members:read"), "{detail}");
    }
    let reads = server.api("ada@example.com", "members:read").await;
    assert_eq!(
        reads.get("/workspaces").await.ok(),
        ada.get("/workspaces").await.ok()
    );
    let me = reads.get("/me").await.ok();
    assert_eq!(
        (&me["workspaces"], &me["user"]),
        (&all["workspaces"], &seen)
    );
    let owns = server.api("ada@example.com", "organization").await;
    owns.get("/organizations").await.expect(200);
    owns.get("/workspaces").await.problem(403, "forbidden");
    let account = server.api("ada@example.com", "account").await;
    let me = account.get("/me").await.ok();
    assert_eq!(me["user"], all["user"]);
    assert!(me["workspaces"].is_null());
}

/// `docs/operations.md` tells scanners how to find tokens: with what is written there they do.
#[tokio::test]
async fn the_documented_form_is_that_of_a_token() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let token = ada.token().unwrap();
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = std::fs::read_to_string(file).unwrap();
    let section = text.split("## API tokens for scanners").nth(1).unwrap();
    let block = |kind: &str| {
        let block = section.split(kind).nth(1).unwrap();
        block.split("```").next().unwrap().trim().to_owned()
    };
    let (pattern, script) = (block("```text"), block("```sh"));
    let shell = |script: &str, token: &str| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]).env("TOKEN", token);
        command.env("PATTERN", &pattern).output().unwrap()
    };
    let search = "printf 'key = \"%s\";\\n' \"$TOKEN\" | grep -oE \"$PATTERN\"";
    let found = shell(search, token);
    assert_eq!(String::from_utf8(found.stdout).unwrap().trim(), token);
    // One of other length is none.
    assert!(!shell(search, &token[..token.len() - 1]).status.success());
    assert!(shell(&script, token).status.success(), "{script}");
    let mut wrong = token.to_owned().into_bytes();
    wrong[20] = if wrong[20] == b'A' { b'B' } else { b'A' };
    let wrong = String::from_utf8(wrong).unwrap();
    assert!(shell(search, &wrong).status.success());
    assert!(!shell(&script, &wrong).status.success());
}
