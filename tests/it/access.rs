//! Who gets an answer from which route: every operation of the API's own document, asked by those who may not.
//!
//! What always holds: an operation that [`table::OPERATIONS`] does not have fails the walk, so a new route comes with
//! its expectations; no answer is a 5xx; foreign and absent are told apart by nobody.

mod table;
mod timing;
mod tokens;

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::assistant::{Desk, to_call};
use crate::containers::member;
use crate::support::api::{Answer, Api};
use crate::support::server::{PASSWORD, Server};
use crate::support::terminal::Terminal;
use crate::support::upstream::Turn;
use table::{Expected, OPERATIONS, Operation};

const SOON: Duration = Duration::from_secs(30);

/// What stands for the parameters of a path.
#[derive(Clone)]
struct Names(Vec<(&'static str, String)>);

impl Names {
    fn fill(&self, template: &str) -> String {
        let mut filled = template.to_owned();
        for (name, value) in &self.0 {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }

    /// The same with other values for some.
    fn with(&self, change: impl Fn(&str, &str) -> Option<String>) -> Self {
        let all = self.0.iter();
        Self(
            all.map(|(name, value)| (*name, change(name, value).unwrap_or_else(|| value.clone())))
                .collect(),
        )
    }
}

/// An id of the same kind that nothing has.
fn absent(id: &str) -> String {
    let last = if id.ends_with("zzzz") { "yyyy" } else { "zzzz" };
    format!("{}{last}", &id[..id.len() - 4])
}

fn is_id(name: &str) -> bool {
    !matches!(name, "path" | "name" | "port" | "call")
}

async fn ask(api: &Api, operation: &Operation, names: &Names) -> Answer {
    let path = format!("//{}", names.fill(operation.path).trim_start_matches('/'));
    let asked = format!("{} {path}{}", operation.method, operation.query);
    let method = Method::from_bytes(operation.method.as_bytes()).unwrap();
    let mut request = api.request(method, &format!("{path}{}", operation.query));
    if let Some(body) = operation.body {
        request = request
            .header("content-type", "application/json")
            .body(names.fill(body));
    }
    let mut response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let endless = headers
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let mut body = Vec::new();
    while !endless && let Some(part) = response.chunk().await.unwrap() {
        body.extend_from_slice(&part);
    }
    assert!(status < 500, "{asked} answered {status}");
    Answer {
        asked,
        status,
        headers,
        body,
    }
}

/// A problem without what differs from request to request.
#[track_caller]
fn refusal(answer: &Answer, status: u16) -> Value {
    let code = match status {
        401 => "unauthenticated",
        403 => "forbidden",
        _ => "not_found",
    };
    let mut problem = answer.problem(status, code);
    problem.as_object_mut().unwrap().remove("request_id");
    problem
}

/// What the document has, as `METHOD /path`.
async fn documented(server: &Server) -> BTreeSet<String> {
    let document = server.anonymous().get("/openapi.json").await.ok();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            if !matches!(method.as_str(), "parameters" | "summary" | "description") {
                found.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_operation_refuses_those_who_may_not() {
    let run = json!({"command": "touch ran"});
    let desk = Desk::with_turns(vec![Turn::tool("run", run), Turn::text("Done.")]).await;
    let (server, ada) = (&desk.server, &desk.api);

    let known: BTreeSet<String> = OPERATIONS
        .iter()
        .map(|operation| format!("{} {}", operation.method, operation.path))
        .collect();
    assert_eq!(known.len(), OPERATIONS.len(), "an operation stands twice");
    let documented = documented(server).await;
    let missing: Vec<_> = documented.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "say in tests/it/access/table.rs who may use {missing:?}"
    );
    let stale: Vec<_> = known.difference(&documented).collect();
    assert!(stale.is_empty(), "no longer there: {stale:?}");

    // Everything is there to be reached: a file, a terminal, and a call that waits for Ada's decision.
    desk.write("kept.txt", "kept\n").await;
    let (terminal, _screen) = Terminal::create(ada, &desk.container).await;
    let mut stream = desk.events("0").await;
    let turn = desk.say("Please, touch.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let members = format!("/workspaces/{}", desk.workspace);
    let invite = json!({"email": "later@example.com", "role": "user"});
    let invitation = ada.post(&format!("{members}/invitations"), &invite).await;
    let invitation = invitation.expect(201).json();
    let bot = json!({"name": "Bot", "role": "user"});
    let bot = ada.post(&format!("{members}/service-accounts"), &bot).await;
    let bot = bot.expect(201).json()["id"].as_str().unwrap().to_owned();
    let ada_token = ada.get("/tokens").await.ok()["items"][0]["id"].clone();
    let ada_token = ada_token.as_str().unwrap().to_owned();
    crate::members::signed_in(server, "ada@example.com").await;
    let login = ada.get("/sessions").await.ok()["items"][0]["id"].clone();
    let login = login.as_str().unwrap().to_owned();
    let me = ada.get("/me").await.ok();
    let owner = me["user"]["id"].as_str().unwrap().to_owned();
    let organization = me["workspaces"][0]["organization"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let new =
        json!({"name": "Kept", "target": {"kind": "webhook", "url": "https://siem.example.com/"}});
    let sinks = format!("/organizations/{organization}/audit-sinks");
    let sink = ada.post(&sinks, &new).await.expect(201).json()["sink"]["id"].clone();
    let off = json!({"enabled": false});
    let one = format!("{sinks}/{}", sink.as_str().unwrap());
    ada.send("PATCH", &one, |request| request.json(&off))
        .await
        .expect(200);
    let names = Names(vec![
        ("workspace", desk.workspace.clone()),
        ("organization", organization),
        ("sink", sink.as_str().unwrap().to_owned()),
        ("container", last(&desk.container)),
        ("project", desk.project.clone()),
        ("terminal", terminal.clone()),
        ("session", last(&desk.session)),
        ("turn", turn),
        ("call", call.clone()),
        ("path", format!("{}/kept.txt", desk.folder)),
        ("name", "DEPLOY_KEY".to_owned()),
        ("port", "8080".to_owned()),
        ("service", bot),
        ("token", ada_token),
        ("login", login),
        ("user", owner),
        (
            "invitation",
            invitation["invitation"]["id"].as_str().unwrap().to_owned(),
        ),
    ]);
    for operation in OPERATIONS {
        let filled = names.fill(operation.path);
        assert!(
            !filled.contains('{'),
            "no value for a parameter of {filled}"
        );
    }

    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    let bob = member(server, ada, "bob@example.com", "user").await;
    let vic = member(server, ada, "vic@example.com", "viewer").await;
    let amy = member(server, ada, "amy@example.com", "admin").await;
    anonymous(server, &names).await;
    strangers(&eve, &names).await;
    neighbours(server, ada, &names).await;
    let (robot, chief) = (
        service_account(server, ada, "user").await,
        service_account(server, ada, "admin").await,
    );
    let roles: [Role; 6] = [
        (ada, |one| one.owner),
        (&amy, |one| one.admin),
        (&bob, |one| one.user),
        (&vic, |one| one.viewer),
        (&robot, |one| one.user),
        (&chief, |one| one.admin),
    ];
    colleagues(&roles, &names).await;
    no_difference_in_time(&eve, &bob, &names).await;
    lists(&bob, &desk).await;
    tokens::limited(server, &names).await;
    tokens::looking(server, &names).await;
    absent_things(ada, &names).await;
    sockets(server, &desk, &[&eve, &bob, &amy], &vic, &terminal).await;

    // Nothing came of it.
    assert_eq!(desk.read("kept.txt").await.as_deref(), Some("kept\n"));
    assert_eq!(desk.read("ran").await, None);
    assert_eq!(desk.state().await, "waiting");
    let there = |path: String| async move { ada.get(&path).await.ok() };
    assert_eq!(there(desk.container.clone()).await["state"], "running");
    assert_eq!(
        there(format!("{}/terminals/{terminal}", desk.container)).await["alive"],
        true
    );
    let secrets = there(format!("/workspaces/{}/secrets", desk.workspace)).await;
    assert_eq!(secrets["items"][0]["version"], 1);
    let projects = there(format!("/workspaces/{}/projects", desk.workspace)).await;
    assert_eq!(projects["items"].as_array().unwrap().len(), 1);
    let containers = there(format!("/workspaces/{}/containers", desk.workspace)).await;
    assert_eq!(containers["items"].as_array().unwrap().len(), 1);
    // And Ada's own decision still counts.
    desk.decide(&call, "allow").await.expect(202);
    stream
        .until(SOON, |event| event.json()["type"] == "done")
        .await;
    desk.nothing_leaked().await;
}

async fn anonymous(server: &Server, names: &Names) {
    let nobody = server.anonymous();
    let wrong = nobody.with_token("odv_0123456789012345678901234567890123456789012aaaaaa");
    for operation in OPERATIONS {
        for api in [&nobody, &wrong] {
            refusal(&ask(api, operation, names).await, 401);
        }
    }
}

/// The owner of another workspace: Ada's ids are no different from ids that nothing has.
async fn strangers(eve: &Api, names: &Names) {
    let own = eve.workspace().await;
    let place = |name: &str| matches!(name, "workspace" | "organization");
    let nowhere = names.with(|name, id| place(name).then(|| absent(id)));
    let at_home = names.with(|name, _| (name == "workspace").then(|| own.clone()));
    let at_home_absent =
        at_home.with(|name, id| (is_id(name) && name != "workspace").then(|| absent(id)));
    for operation in OPERATIONS {
        if !operation.path.contains("{workspace}") && !operation.of_organization() {
            // What changes one's own things is done in other tests.
            if operation.method != "GET" && !operation.names_a_thing() {
                continue;
            }
            let answer = ask(eve, operation, names).await;
            let expected = if operation.method == "GET" { 200 } else { 404 };
            let answer = answer.expect(expected);
            assert!(!answer.text().contains(&names.fill("{workspace}")));
            continue;
        }
        let theirs = refusal(&ask(eve, operation, names).await, 404);
        let none = refusal(&ask(eve, operation, &nowhere).await, 404);
        assert_eq!(theirs, none, "{} {}", operation.method, operation.path);
        // In a workspace of her own, with the ids of Ada's things.
        if operation.names_a_thing() && !operation.of_organization() {
            let theirs = refusal(&ask(eve, operation, &at_home).await, 404);
            let none = refusal(&ask(eve, operation, &at_home_absent).await, 404);
            assert_eq!(theirs, none, "{} {}", operation.method, operation.path);
        }
    }
}

/// The owner of another workspace of the same organization, and an owner of the organization who is no member: inside
/// Ada's workspace both are strangers.
async fn neighbours(server: &Server, ada: &Api, names: &Names) {
    let next = names.fill("/organizations/{organization}/workspaces");
    let next = ada.post(&next, &json!({"name": "Next door"})).await;
    let next = next.expect(201).json()["id"].as_str().unwrap().to_owned();
    let of = |email: &'static str| {
        let next = next.clone();
        async move {
            let arguments = [
                "add-member",
                "--workspace",
                &next,
                "--email",
                email,
                "--name",
                "Neighbour",
                "--role",
                "owner",
                "--password-stdin",
            ];
            server.admin(&arguments, PASSWORD).await;
            server.api(email, "all").await
        }
    };
    let (sam, dora) = (of("sam@example.com").await, of("dora@example.com").await);
    server
        .execute(
            "insert into organization_owner (organization_id, account_id, created_at_ms) \
             select member.organization_id, account.id, 1 from member join account on account.id = member.account_id \
             where account.email = 'dora@example.com'",
        )
        .await;
    for operation in OPERATIONS {
        if operation.path.contains("{workspace}") {
            for api in [&sam, &dora] {
                refusal(&ask(api, operation, names).await, 404);
            }
        } else if operation.of_organization() {
            refusal(&ask(&sam, operation, names).await, 404);
            if operation.method == "GET" {
                ask(&dora, operation, names).await.expect(200);
            }
        }
    }
}

/// A service account in Ada's workspace, with a token that reaches everything.
async fn service_account(server: &Server, ada: &Api, role: &str) -> Api {
    let list = format!("/workspaces/{}/service-accounts", ada.workspace().await);
    let robot = json!({"name": "Robot", "role": role});
    let made = ada.post(&list, &robot).await.expect(201).json();
    let page = format!("{list}/{}", made["id"].as_str().unwrap());
    let mut browser = crate::members::signed_in(server, "ada@example.com").await;
    let value = crate::tokens::make(&mut browser, &page, "t", "all", "30").await;
    server.anonymous().with_token(&value)
}

/// Neither for the owner of another workspace nor for a member of this one.
async fn no_difference_in_time(eve: &Api, bob: &Api, names: &Names) {
    let place = "/workspaces/{workspace}";
    let outside = names.with(|name, id| (name == "workspace").then(|| absent(id)));
    for path in [
        "",
        "/members",
        "/projects/{project}",
        "/containers/{container}",
        "/secrets",
        "/ai/sessions/{session}",
    ] {
        let path = format!("{place}{path}");
        timing::tells_nothing(eve, &names.fill(&path), &outside.fill(&path)).await;
    }
    let elsewhere = names.with(|name, id| (name == "organization").then(|| absent(id)));
    for path in ["", "/audit", "/audit-sinks/{sink}"] {
        let path = format!("/organizations/{{organization}}{path}");
        timing::tells_nothing(eve, &names.fill(&path), &elsewhere.fill(&path)).await;
    }
    for (thing, path) in [
        ("container", "/containers/{container}/terminals"),
        ("container", "/containers/{container}/files/{path}"),
        ("session", "/ai/sessions/{session}"),
    ] {
        let none = names.with(|name, id| (name == thing).then(|| absent(id)));
        let path = format!("{place}{path}");
        timing::tells_nothing(bob, &names.fill(&path), &none.fill(&path)).await;
    }
}

/// Somebody with a role, and the column of the table that says what is expected for it.
type Role<'a> = (&'a Api, fn(&Operation) -> Expected);

/// Members of Ada's workspace: what is shared is shared, what is hers is not there.
async fn colleagues(roles: &[Role<'_>], names: &Names) {
    let nothing = names.with(|name, id| (is_id(name) && name != "workspace").then(|| absent(id)));
    for operation in OPERATIONS {
        for (api, expected) in roles {
            match expected(operation) {
                Expected::Allowed if operation.method == "GET" => {
                    let answer = ask(api, operation, names).await;
                    assert_eq!(answer.status, 200, "{}: {}", answer.asked, answer.text());
                }
                // What may be done is done in other tests.
                Expected::Allowed => {}
                Expected::Forbidden => {
                    refusal(&ask(api, operation, names).await, 403);
                }
                Expected::NotFound => {
                    let theirs = refusal(&ask(api, operation, names).await, 404);
                    let none = refusal(&ask(api, operation, &nothing).await, 404);
                    assert_eq!(theirs, none, "{} {}", operation.method, operation.path);
                }
            }
        }
    }
}

/// Lists hold one's own only, where they are about what is one's own.
async fn lists(bob: &Api, desk: &Desk) {
    let list = format!("/workspaces/{}/ai/sessions", desk.workspace);
    assert_eq!(bob.get(&list).await.ok()["items"], json!([]));
    let narrow = format!("{list}?project_id={}", desk.project);
    assert_eq!(bob.get(&narrow).await.ok()["items"], json!([]));
    let secrets = format!("/workspaces/{}/secrets", desk.workspace);
    let item = bob.get(&secrets).await.ok()["items"][0].clone();
    assert_eq!(
        (&item["tier"], &item["value"]),
        (&json!("sensitive"), &Value::Null)
    );
}

/// Ada herself, with ids that nothing has and with what is no id.
async fn absent_things(ada: &Api, names: &Names) {
    let nothing = names.with(|name, id| (is_id(name) && name != "workspace").then(|| absent(id)));
    for operation in OPERATIONS.iter().filter(|one| one.names_a_thing()) {
        refusal(&ask(ada, operation, &nothing).await, 404);
    }
    for odd in [
        "x",
        "..%2f..",
        "%00",
        "%ff",
        "usr_01h455vb4pex5vsknk084sn02q",
    ] {
        let odd = names.with(|name, _| is_id(name).then(|| odd.to_owned()));
        for operation in OPERATIONS
            .iter()
            .filter(|one| one.path.contains("{workspace}"))
        {
            let status = ask(ada, operation, &odd).await.status;
            assert!(
                (400..500).contains(&status),
                "{status} for {} {}",
                operation.method,
                odd.fill(operation.path)
            );
        }
    }
}

/// The terminal's WebSocket: refused before the upgrade.
async fn sockets(server: &Server, desk: &Desk, others: &[&Api], vic: &Api, terminal: &str) {
    let path = format!("{}/terminals/{terminal}", desk.container);
    let status = |api: Api| {
        let path = path.clone();
        async move { Terminal::try_connect(&api, &path, None).await.err() }
    };
    assert_eq!(status(server.anonymous()).await, Some(401));
    for other in others {
        assert_eq!(status((*other).clone()).await, Some(404));
    }
    assert_eq!(status(vic.clone()).await, Some(403));
    let limited = server.api("ada@example.com", "projects,secrets,ai").await;
    assert_eq!(status(limited).await, Some(403));
    let gone = format!("{}/terminals/{}", desk.container, absent(terminal));
    let missing = Terminal::try_connect(&desk.api, &gone, None).await;
    assert_eq!(missing.err(), Some(404));
    assert_eq!(status(desk.api.clone()).await, None, "Ada herself gets in");
}
