//! Who gets an answer from which page: every route of the source that is not in the API's document.
//!
//! What always holds: a route that [`table::ROUTES`] does not have fails the walk; a form without the session's token is
//! refused whoever sends it; foreign and absent look the same; no answer is a 5xx.

mod forms;
mod routes;
mod secrets;
mod table;

use std::collections::BTreeSet;

use serde_json::json;

use crate::containers::{member, owner};
use crate::identity::{Browser, field};
use crate::members::{id, signed_in};
use crate::support::api::Api;
use crate::support::server::{PASSWORD, Server};
use table::{Expected, ROUTES, Route};

/// Somebody at the console and at the API.
struct Person {
    name: &'static str,
    browser: Browser,
    api: Api,
    /// What forms of this session carry; none for a stranger.
    csrf: Option<String>,
}

impl Person {
    async fn new(server: &Server, name: &'static str, api: Api) -> Self {
        let mut browser = signed_in(server, &format!("{name}@example.com")).await;
        let (_, _, page) = browser.get("/account").await;
        Self {
            name,
            csrf: Some(field(&page, "csrf_token")),
            browser,
            api,
        }
    }
}

struct Names(Vec<(&'static str, String)>);

impl Names {
    fn fill(&self, template: &str) -> String {
        let mut filled = template.to_owned();
        for (name, value) in &self.0 {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        filled
    }

    /// The same, of which nothing is there.
    fn absent(&self) -> Self {
        let absent = |(name, value): &(&'static str, String)| {
            let gone = value.contains('_') && value.len() > 20;
            let value = if gone {
                format!("{}zzzz", &value[..value.len() - 4])
            } else {
                value.clone()
            };
            (*name, value)
        };
        Self(self.0.iter().map(absent).collect())
    }

    /// `text` without what differs from one request to the next, and from one id to another.
    fn without(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.0 {
            if value.contains('_') {
                text = text.replace(value.as_str(), name);
            }
        }
        for (start, end) in [
            ("nonce=\"", "\""),
            ("data-test=\"request-id\">", "<"),
            ("\"request_id\":\"", "\""),
        ] {
            let parts: Vec<&str> = text.split(start).collect();
            let rest = parts[1..]
                .iter()
                .map(|part| part.split_once(end).map_or(*part, |(_, rest)| rest));
            text = std::iter::once(parts[0]).chain(rest).collect();
        }
        text
    }
}

/// Status, address that the answer points to, body.
type Seen = (u16, String, String);

async fn ask(person: &mut Person, route: &Route, names: &Names, csrf: Option<&str>) -> Seen {
    let path = names.fill(route.path);
    if route.path.starts_with("/ai") {
        let method = if route.method == "ANY" {
            "GET"
        } else {
            route.method
        };
        let workspace = names.fill("{workspace}");
        let answer = person
            .api
            .send(method, &format!("/{path}"), |request| {
                request
                    .header("x-optidev-workspace", workspace)
                    .body("{\"model\":\"m\",\"max_tokens\":1,\"messages\":[]}")
            })
            .await;
        return (answer.status, String::new(), answer.text());
    }
    if route.method == "GET" {
        let (status, to, text) = person.browser.get(&path).await;
        return (status.as_u16(), to, text);
    }
    let mut fields: Vec<(&str, String)> = Vec::new();
    fields.extend(csrf.map(|token| ("csrf_token", token.to_owned())));
    fields.extend(
        route
            .form
            .iter()
            .map(|(name, value)| (*name, names.fill(value))),
    );
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let upload = ["/projects/new", "/secrets/import"];
    let upload = upload.iter().any(|end| route.path.ends_with(end));
    let (status, to, text) = if upload {
        person.browser.post_multipart(&path, &fields).await
    } else {
        person.browser.post(&path, &fields).await
    };
    (status.as_u16(), to, text)
}

fn as_expected((status, to, _): &Seen, expected: Expected) -> bool {
    match expected {
        // A page that leads on is an answer; one that leads to the sign-in page is none. The gateway has no upstream here.
        Expected::Allowed => (*status < 400 && !to.starts_with("/sign-in")) || *status == 503,
        Expected::SignIn => *status == 303 && to.starts_with("/sign-in"),
        Expected::Unauthenticated => *status == 401,
        Expected::Forbidden => *status == 403,
        Expected::NotFound => *status == 404,
    }
}

#[tokio::test]
async fn every_page_refuses_those_who_may_not() {
    let known: BTreeSet<String> = ROUTES
        .iter()
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(known.len(), ROUTES.len(), "a route stands twice");
    // Parameters have names of their own here, because one word names several things.
    let plain = |route: &str| -> String {
        let parts = route
            .split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let known: BTreeSet<String> = known.iter().map(|route| plain(route)).collect();
    let written: BTreeSet<String> = routes::in_the_source()
        .iter()
        .map(|route| plain(route))
        .collect();
    let missing: Vec<_> = written.difference(&known).collect();
    assert!(
        missing.is_empty(),
        "say in tests/it/pages/table.rs who may use {missing:?}"
    );
    let stale: Vec<_> = known.difference(&written).collect();
    assert!(stale.is_empty(), "no longer there: {stale:?}");

    let server = Server::builder()
        .set("limits.address_per_minute", "0")
        .set("limits.account_per_minute", "0")
        .start()
        .await;
    let ada = owner(&server).await;
    let names = prepare(&server, &ada).await;
    let amy = member(&server, &ada, "amy@example.com", "admin").await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let vic = member(&server, &ada, "vic@example.com", "viewer").await;
    let sam = next_door(&server, &ada, &names).await;
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    let mut people = vec![Person {
        name: "nobody",
        browser: Browser::new(&server.url()),
        api: server.anonymous(),
        csrf: None,
    }];
    for (name, api) in [
        ("ada", ada.clone()),
        ("amy", amy),
        ("bob", bob),
        ("vic", vic),
        ("sam", sam),
        ("eve", eve),
    ] {
        people.push(Person::new(&server, name, api).await);
    }
    let absent = names.absent();
    let mut wrong = Vec::new();
    for route in ROUTES {
        for (person, expected) in people.iter_mut().zip(route.cells) {
            let who = format!("{} {} for {}", route.method, route.path, person.name);
            let csrf = person.csrf.clone();
            // Whoever it is, a form that another site sends is refused.
            let forged = route.method == "POST" && csrf.is_some() && !route.path.starts_with("/ai");
            if forged
                && !matches!(route.path, "/sign-in" | "/setup")
                && expected != Expected::SignIn
            {
                let seen = ask(person, route, &names, None).await;
                if !matches!(seen.0, 403 | 404) {
                    wrong.push(format!(
                        "{who} without the form's token: {} {}",
                        seen.0, seen.1
                    ));
                }
            }
            if expected == Expected::Allowed
                && route.method == "POST"
                && !route.path.starts_with("/ai")
            {
                continue;
            }
            let seen = ask(person, route, &names, csrf.as_deref()).await;
            if seen.0 >= 500 && seen.0 != 503 || !as_expected(&seen, expected) {
                wrong.push(format!("{who}: {} {}, not {expected:?}", seen.0, seen.1));
            }
            if expected == Expected::NotFound && route.names_a_place() {
                let none = ask(person, route, &absent, csrf.as_deref()).await;
                let (theirs, none) = (
                    (seen.0, names.without(&seen.2)),
                    (none.0, absent.without(&none.2)),
                );
                if theirs != none {
                    wrong.push(format!(
                        "{who}: foreign and absent differ: {theirs:?} {none:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Nothing came of it.
    let place = format!("/workspaces/{}", names.fill("{workspace}"));
    let count = async |what: &str| {
        ada.get(&format!("{place}/{what}")).await.ok()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((count("projects").await, count("secrets").await), (1, 1));
    assert_eq!((count("invitations").await, count("members").await), (1, 5));
    let one = ada.get(&place).await.ok();
    assert_ne!(one["name"], "Stolen", "{one}");
}

/// One of everything in Ada's workspace, and the ids.
async fn prepare(server: &Server, ada: &Api) -> Names {
    let workspace = ada.workspace().await;
    let organization = ada.organization().await;
    let place = format!("/workspaces/{workspace}");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let project = json!({"name": "Kept", "source": {"kind": "empty"}});
    let project = ada
        .post(&format!("{place}/projects"), &project)
        .await
        .expect(201)
        .json();
    let secret = json!({"tier": "visible", "value": "v"});
    ada.put(&format!("{place}/secrets/KEPT"), &secret)
        .await
        .expect(200);
    let invite = json!({"email": "later@example.com", "role": "user"});
    let invitation = ada
        .post(&format!("{place}/invitations"), &invite)
        .await
        .expect(201)
        .json();
    let bot = json!({"name": "Bot", "role": "user"});
    let bot = ada
        .post(&format!("{place}/service-accounts"), &bot)
        .await
        .expect(201)
        .json();
    let new =
        json!({"name": "Kept", "target": {"kind": "webhook", "url": "https://siem.example.com/"}});
    let sink = ada
        .post(&format!("/organizations/{organization}/audit-sinks"), &new)
        .await
        .expect(201)
        .json();
    let container = ada
        .post(&format!("{place}/containers"), &json!({}))
        .await
        .expect(202)
        .json();
    let entry = ada.get(&format!("{place}/audit")).await.ok()["items"][0]["seq"].clone();
    signed_in(server, "ada@example.com").await;
    let login = ada.get("/sessions").await.ok()["items"][0]["id"].clone();
    let token = ada.get("/tokens").await.ok()["items"][0]["id"].clone();
    let page = signed_in(server, "ada@example.com")
        .await
        .get("/sign-in")
        .await
        .2;
    let file = page
        .split("/assets/")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    Names(vec![
        ("workspace", workspace),
        ("organization", organization),
        ("project", text(&project["id"])),
        ("container", text(&container["id"])),
        ("name", "KEPT".to_owned()),
        ("invitation", text(&invitation["invitation"]["id"])),
        ("service", text(&bot["id"])),
        ("sink", text(&sink["sink"]["id"])),
        ("act", "delete".to_owned()),
        ("seq", entry.to_string()),
        ("title", text(&ada.get(&place).await.ok()["name"])),
        ("user", id(ada).await),
        ("login", text(&login)),
        ("own", text(&token)),
        (
            "token",
            "0123456789012345678901234567890123456789012".to_owned(),
        ),
        ("file", file),
        ("*path", "v1/nothing".to_owned()),
    ])
}

/// The owner of another workspace of the same organization.
async fn next_door(server: &Server, ada: &Api, names: &Names) -> Api {
    let list = names.fill("/organizations/{organization}/workspaces");
    let next = ada
        .post(&list, &json!({"name": "Next door"}))
        .await
        .expect(201)
        .json();
    let next = next["id"].as_str().unwrap();
    let arguments = [
        "add-member",
        "--workspace",
        next,
        "--email",
        "sam@example.com",
        "--name",
        "Neighbour",
        "--role",
        "owner",
        "--password-stdin",
    ];
    server.admin(&arguments, PASSWORD).await;
    server.api("sam@example.com", "all").await
}
