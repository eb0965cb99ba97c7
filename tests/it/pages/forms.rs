//! The console's forms, each sent once by somebody who may: what it is for happens.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::audit::receivers::Webhook;
use crate::containers::{member, owner};
use crate::identity::{Browser, field};
use crate::members::{id, signed_in, submit};
use crate::support::api::Api;
use crate::support::free_port;
use crate::support::server::Server;

/// Sends a form of `page`, which leads to `to`.
async fn leads(browser: &mut Browser, page: &str, action: &str, form: &[(&str, &str)], to: &str) {
    let (status, seen, text) = submit(browser, page, action, form).await;
    assert_eq!((status, seen.as_str()), (303, to), "{action}: {text}");
}

async fn items(api: &Api, path: &str) -> Vec<Value> {
    let listed = api.get(path).await.ok();
    listed["items"].as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn forms_of_members_and_of_a_workspace() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let vic = member(&server, &ada, "vic@example.com", "viewer").await;
    let mut browser = signed_in(&server, "ada@example.com").await;
    let page = &format!("{place}/members");
    let invitations = &format!("{place}/invitations");

    let form = [("email", "new@example.com"), ("role", "viewer")];
    let (status, _, shown) = submit(&mut browser, page, page, &form).await;
    assert_eq!(status, 200);
    let link = |page: &str| -> String {
        let at = page.find("/invitations/").unwrap();
        page[at..].chars().take(13 + 43).collect()
    };
    let first = link(&shown);
    let mut nobody = Browser::new(&server.url());
    assert_eq!(nobody.get(&first).await.0, 200);
    let one = text(&items(&ada, invitations).await[0]["id"]);
    let resend = format!("{invitations}/{one}/resend");
    let (status, _, shown) = submit(&mut browser, page, &resend, &[]).await;
    assert_eq!(status, 200);
    let second = link(&shown);
    assert_eq!(
        nobody.get(&first).await.0,
        404,
        "the new link is the only one"
    );
    assert_eq!(nobody.get(&second).await.0, 200);
    let one = text(&items(&ada, invitations).await[0]["id"]);
    let revoke = format!("{invitations}/{one}/revoke");
    leads(&mut browser, page, &revoke, &[], page).await;
    assert_eq!(nobody.get(&second).await.0, 404);

    let who = format!("{page}/{}", id(&vic).await);
    let form = [("role", "user")];
    leads(&mut browser, page, &format!("{who}/role"), &form, page).await;
    assert_eq!(ada.get(&who).await.ok()["role"], "user");
    leads(&mut browser, page, &format!("{who}/remove"), &[], page).await;
    ada.get(&who).await.problem(404, "not_found");

    let settings = &format!("{place}/settings");
    let form = [("name", "Renamed")];
    leads(&mut browser, settings, settings, &form, settings).await;
    assert_eq!(ada.get(&place).await.ok()["name"], "Renamed");
    let mut theirs = signed_in(&server, "bob@example.com").await;
    let leave = format!("{place}/leave");
    leads(&mut theirs, settings, &leave, &[], "/").await;
    bob.get(&place).await.problem(404, "not_found");
}

#[tokio::test]
async fn forms_of_tokens_service_accounts_and_sessions() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let mut browser = signed_in(&server, "ada@example.com").await;
    let bots = &format!("{place}/service-accounts");
    let form = [("name", "Deployer"), ("role", "user")];
    let (status, bot, shown) = submit(&mut browser, bots, bots, &form).await;
    assert_eq!(status, 303, "{shown}");
    assert_eq!(items(&ada, bots).await[0]["name"], "Deployer");
    let value = crate::tokens::make(&mut browser, &bot, "CI", "all", "30").await;
    let robot = server.anonymous().with_token(&value);
    robot.get(&place).await.expect(200);
    let token = text(&items(&ada, &format!("{bot}/tokens")).await[0]["id"]);
    let revoke = format!("{bot}/tokens/{token}/revoke");
    leads(&mut browser, &bot, &revoke, &[], &bot).await;
    robot.get(&place).await.problem(401, "unauthenticated");
    leads(&mut browser, &bot, &format!("{bot}/delete"), &[], bots).await;
    assert!(items(&ada, bots).await.is_empty());

    let page = "/account/tokens";
    let value = crate::tokens::make(&mut browser, page, "Mine", "all", "30").await;
    let mine = server.anonymous().with_token(&value);
    mine.get(&place).await.expect(200);
    let all = items(&ada, "/tokens").await;
    let token = text(&all.iter().find(|one| one["name"] == "Mine").unwrap()["id"]);
    let revoke = format!("{page}/{token}/revoke");
    leads(&mut browser, page, &revoke, &[], page).await;
    mine.get(&place).await.problem(401, "unauthenticated");

    let mut other = signed_in(&server, "ada@example.com").await;
    let all = items(&ada, "/sessions").await;
    let login = text(&all[0]["id"]);
    let end = format!("/account/sessions/{login}/end");
    leads(&mut browser, "/account", &end, &[], "/account").await;
    assert_eq!(other.get("/account").await.0, 303, "signed out");
    assert_eq!(browser.get("/account").await.0, 200);
}

#[tokio::test]
async fn forms_of_sinks() {
    let server = Server::builder()
        .embedded()
        .set("audit.also_allow", "[\"127.0.0.0/8\", \"::1/128\"]")
        .start()
        .await;
    let ada = owner(&server).await;
    let organization = format!("/organizations/{}", ada.organization().await);
    let (page, sinks) = (
        &format!("{organization}/audit"),
        &format!("{organization}/audit-sinks"),
    );
    let mut browser = signed_in(&server, "ada@example.com").await;
    let port = free_port();
    let webhook = Webhook::start(port, 200).await;
    let address = format!("http://127.0.0.1:{port}/hook");
    let form = [("name", "SIEM"), ("kind", "webhook"), ("place", &address)];
    let action = format!("{page}/sinks");
    let (status, _, shown) = submit(&mut browser, page, &action, &form).await;
    assert_eq!(status, 200);
    assert!(
        shown.contains("data-test=\"sink-secret\""),
        "the secret is shown once"
    );
    let sink = items(&ada, sinks).await[0].clone();
    assert_eq!(
        (&sink["name"], &sink["enabled"]),
        (&json!("SIEM"), &json!(true))
    );
    let act = |what: &str| format!("{page}/sinks/{}/{what}", text(&sink["id"]));
    let before = webhook.all().len();
    let (status, _, shown) = submit(&mut browser, page, &act("test"), &[]).await;
    assert_eq!(status, 200, "{shown}");
    assert!(webhook.all().len() > before, "the receiver was asked");
    let back = &format!("{page}#sinks");
    for (what, enabled) in [("off", false), ("on", true)] {
        leads(&mut browser, page, &act(what), &[], back).await;
        assert_eq!(items(&ada, sinks).await[0]["enabled"], enabled);
    }
    leads(&mut browser, page, &act("delete"), &[], back).await;
    assert!(items(&ada, sinks).await.is_empty());
}

/// Marks of a table of yes and no: the first cell of each row, and what the others say.
fn marks_of_page(page: &str, table: &str) -> Vec<(String, Vec<bool>)> {
    let marker = format!("data-test=\"{table}\"");
    let body = page.split(&marker).nth(1).unwrap();
    let body = body.split("</table>").next().unwrap();
    let row = |row: &str| {
        let about = row.split("</td>").next().unwrap().to_owned();
        let marks = row.split("aria-label=\"").skip(1);
        (
            about.replace("&#39;", "'"),
            marks.map(|mark| mark.starts_with("yes")).collect(),
        )
    };
    body.split("<tr><td>").skip(1).map(row).collect()
}

/// The same of the document, between two headings.
fn marks_of_document(from: &str, to: &str) -> Vec<(String, Vec<bool>)> {
    let all = optidev::features::members::permissions_markdown();
    let part = all.split(from).nth(1).unwrap().split(to).next().unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let marks = cells[1..].iter().map(|cell| *cell == "yes");
        (cells[0].to_owned(), marks.collect())
    };
    let lines = part
        .lines()
        .filter(|line| line.starts_with('|') && !line.contains("---"));
    lines
        .map(row)
        .filter(|(about, _)| about != "permission" && about != "right")
        .collect()
}

#[tokio::test]
async fn the_console_shows_what_roles_and_owners_may_as_the_documents_do() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    member(&server, &ada, "vic@example.com", "viewer").await;
    for email in ["ada@example.com", "vic@example.com"] {
        let mut browser = signed_in(&server, email).await;
        let page = format!("/workspaces/{}/members", ada.workspace().await);
        let (_, _, page) = browser.get(&page).await;
        let shown = marks_of_page(&page, "permissions");
        assert!(shown.len() > 10 && shown.iter().all(|(_, marks)| marks.len() == 4));
        assert_eq!(shown, marks_of_document("## Workspace", "## Organization"));
        let (status, _, page) = browser.get("/organizations").await;
        assert_eq!(status, StatusCode::OK);
        let shown = marks_of_page(&page, "organization-rights");
        assert!(shown.len() > 5 && shown.iter().all(|(_, marks)| marks.len() == 2));
        assert_eq!(shown, marks_of_document("## Organization", "## Scopes"));
    }
}

#[tokio::test]
async fn organizations_are_listed_and_always_have_an_owner() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let organization = &format!("/organizations/{}", ada.organization().await);
    let mut first = signed_in(&server, "ada@example.com").await;
    let mut second = signed_in(&server, "bob@example.com").await;
    // Listed for whoever belongs to one, with the way in for its owners; every page leads to the list.
    let way_in = format!("href=\"{organization}\"");
    assert!(
        first
            .get("/account")
            .await
            .2
            .contains("href=\"/organizations\"")
    );
    assert!(first.get("/organizations").await.2.contains(&way_in));
    let (_, _, listed) = second.get("/organizations").await;
    assert!(listed.contains("organization-row") && !listed.contains(&way_in));

    let form = [("name", "Acme & Co")];
    leads(&mut first, organization, organization, &form, organization).await;
    assert_eq!(ada.get(organization).await.ok()["name"], "Acme & Co");
    let (ada_id, bob_id) = (id(&ada).await, id(&bob).await);
    let of = |who: &str, act: &str| format!("{organization}/owners/{who}/{act}");
    let alone = of(&ada_id, "remove");
    let (status, _, said) = submit(&mut first, organization, &alone, &[]).await;
    assert_eq!(status, 409, "{said}");
    leads(
        &mut first,
        organization,
        &of(&bob_id, "add"),
        &[],
        organization,
    )
    .await;
    bob.get(organization).await.expect(200);
    leads(
        &mut first,
        organization,
        &of(&bob_id, "remove"),
        &[],
        organization,
    )
    .await;
    bob.get(organization).await.problem(404, "not_found");

    // Two owners end each other's ownership, and each their own, at once: one stays.
    let mut csrf = Vec::new();
    for browser in [&mut first, &mut second] {
        csrf.push(field(&browser.get("/account").await.2, "csrf_token"));
    }
    for round in 0..6 {
        let owners = [
            ada.get(organization).await.status,
            bob.get(organization).await.status,
        ];
        let act = if owners[0] == 200 {
            (&mut first, 0, &bob_id)
        } else {
            (&mut second, 1, &ada_id)
        };
        let add = of(act.2, "add");
        let (status, ..) = act.0.post(&add, &[("csrf_token", &csrf[act.1])]).await;
        assert_eq!(status, 303);
        let (mine, theirs) = if round % 2 == 0 {
            (&bob_id, &ada_id)
        } else {
            (&ada_id, &bob_id)
        };
        let (mine, theirs) = (of(mine, "remove"), of(theirs, "remove"));
        let forms = [
            [("csrf_token", csrf[0].as_str())],
            [("csrf_token", csrf[1].as_str())],
        ];
        let (one, other) = tokio::join!(
            first.post(&mine, &forms[0]),
            second.post(&theirs, &forms[1])
        );
        let mut done = [one.0.as_u16(), other.0.as_u16()];
        done.sort_unstable();
        assert!(matches!(done, [303, 404 | 409]), "{done:?}");
        let owners = [
            ada.get(organization).await.status,
            bob.get(organization).await.status,
        ];
        assert!(owners.contains(&200) && owners.contains(&404), "{owners:?}");
    }
}
