//! What ends with a role: invitations that it allowed, and changes that were under way.

use std::time::Duration;

use serde_json::{Value, json};

use super::{id, patch, signed_in, submit};
use crate::containers::{member, owner};
use crate::identity::{Browser, field};
use crate::support::api::Api;
use crate::support::held::hold;
use crate::support::server::{PASSWORD, Server};

/// The path of an invitation's link.
fn path(made: &Value) -> String {
    let link = made["link"].as_str().unwrap();
    link[link.find("/invitations/").unwrap()..].to_owned()
}

async fn invite(api: &Api, place: &str, email: &str) -> String {
    let new = json!({"email": email, "role": "user"});
    let made = api.post(&format!("{place}/invitations"), &new).await;
    path(&made.expect(201).json())
}

/// By the console, which shows the link.
async fn invite_at_console(
    browser: &mut Browser,
    place: &str,
    email: &str,
    role: &str,
) -> (u16, String) {
    let page = format!("{place}/members");
    let (status, to, text) =
        submit(browser, &page, &page, &[("email", email), ("role", role)]).await;
    let shown = text.find("/invitations/").map(|at| {
        let link: String = text[at..].chars().take(13 + 43).collect();
        link
    });
    (status, shown.unwrap_or(to))
}

async fn set_role(server: &Server, email: &str, role: &str) {
    server.execute(&role_of(email, role)).await;
}

fn role_of(email: &str, role: &str) -> String {
    format!(
        "update member set role = '{role}' where account_id = (select id from account where email = '{email}')"
    )
}

/// Whether the link opens nothing: neither its page nor its form.
async fn is_dead(server: &Server, link: &str) -> bool {
    let mut nobody = Browser::new(&server.url());
    let page = nobody.get(link).await.0;
    let fields = [("name", "Back"), ("password", PASSWORD)];
    let form = nobody.post(link, &fields).await.0;
    page == 404 && form == 404
}

#[tokio::test]
async fn who_loses_a_role_loses_the_invitations_that_it_allowed() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let open = async || {
        let listed = ada.get(&format!("{place}/invitations")).await.ok();
        listed["items"].as_array().unwrap().len()
    };
    // Removed.
    let amy = member(&server, &ada, "amy@example.com", "admin").await;
    let who = format!("{place}/members/{}", id(&amy).await);
    let kept = invite(&ada, &place, "kept@example.com").await;
    let link = invite(&amy, &place, "back@example.com").await;
    ada.delete(&who).await.expect(204);
    assert!(is_dead(&server, &link).await);
    assert_eq!(open().await, 1, "other people's invitations stay");
    let log = format!("{place}/audit?action=invitations.revoke");
    let log = ada.get(&log).await.ok();
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "{log}");
    // Demoted.
    let amy = member(&server, &ada, "amy@example.com", "admin").await;
    let link = invite(&amy, &place, "back@example.com").await;
    patch(&ada, &who, &json!({"role": "user"})).await.ok();
    assert!(is_dead(&server, &link).await);
    // Gone by themselves.
    let zoe = member(&server, &ada, "zoe@example.com", "admin").await;
    let link = invite(&zoe, &place, "back@example.com").await;
    zoe.post(&format!("{place}/leave"), &json!({}))
        .await
        .expect(204);
    assert!(is_dead(&server, &link).await);
    // An owner who becomes an admin keeps what admins may do.
    member(&server, &ada, "eve@example.com", "owner").await;
    let mut browser = signed_in(&server, "eve@example.com").await;
    let (_, high) = invite_at_console(&mut browser, &place, "high@example.com", "owner").await;
    let (_, low) = invite_at_console(&mut browser, &place, "low@example.com", "user").await;
    let to = id(&ada).await;
    let transfer = format!("{place}/transfer");
    let (page, fields) = (format!("{place}/settings"), [("to", to.as_str())]);
    let (status, ..) = submit(&mut browser, &page, &transfer, &fields).await;
    assert_eq!(status, 303);
    assert!(is_dead(&server, &high).await);
    let mut nobody = Browser::new(&server.url());
    assert_eq!(nobody.get(&low).await.0, 200);
    assert_eq!(nobody.get(&kept).await.0, 200);
    // Whatever else takes the role away: the link asks what its inviter may do when it is used.
    set_role(&server, "eve@example.com", "user").await;
    let fields = [("name", "Low"), ("password", PASSWORD)];
    assert_eq!(nobody.post(&low, &fields).await.0, 404);
    set_role(&server, "eve@example.com", "admin").await;
    assert_eq!(nobody.post(&low, &fields).await.0, 303);
}

#[tokio::test]
async fn admins_are_made_by_somebody_who_is_there() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let bob = member(&server, &ada, "bob@example.com", "viewer").await;
    let bob_path = format!("{place}/members/{}", id(&bob).await);
    let invitations = format!("{place}/invitations");
    // No token makes an admin, by whichever way; up to user it does.
    for role in ["admin", "owner"] {
        let new = json!({"email": "new@example.com", "role": role});
        let refused = ada.post(&invitations, &new).await;
        refused.problem(403, "reauthentication_required");
        let refused = patch(&ada, &bob_path, &json!({"role": role})).await;
        refused.problem(403, "reauthentication_required");
    }
    patch(&ada, &bob_path, &json!({"role": "user"})).await.ok();
    let mut browser = signed_in(&server, "ada@example.com").await;
    let (status, link) = invite_at_console(&mut browser, &place, "new@example.com", "admin").await;
    assert_eq!(status, 200);
    assert!(link.starts_with("/invitations/"), "{link}");
    let listed = ada.get(&invitations).await.ok();
    let one = listed["items"][0]["id"].as_str().unwrap().to_owned();
    let again = format!("{invitations}/{one}/resend");
    let refused = ada.post(&again, &json!({})).await;
    refused.problem(403, "reauthentication_required");
    // Nor does a session that has not shown its password for a while.
    server
        .execute("update login_session set authenticated_at_ms = 1")
        .await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let elsewhere = "/account/reauthenticate?next=";
    let (status, to) = invite_at_console(&mut browser, &place, "more@example.com", "admin").await;
    assert_eq!(status, 303);
    assert!(to.starts_with(elsewhere), "{to}");
    let page = format!("{place}/members");
    for (action, fields) in [
        (again, vec![]),
        (format!("{bob_path}/role"), vec![("role", "admin")]),
    ] {
        let (status, to, _) = submit(&mut browser, &page, &action, &fields).await;
        assert_eq!(status, 303, "{action}");
        assert!(to.starts_with(elsewhere), "{to}");
    }
    let (status, _) = invite_at_console(&mut browser, &place, "more@example.com", "user").await;
    assert_eq!(status, 200, "up to user it needs none");
    // Nothing came of it: the one link still opens, and Bob is what he was.
    assert_eq!(Browser::new(&server.url()).get(&link).await.0, 200);
    assert_eq!(ada.get(&bob_path).await.ok()["role"], "user");
}

/// What `act` gets when `statement` is committed while it is under way.
async fn meanwhile<T>(server: &Server, statement: &str, act: impl Future<Output = T>) -> T {
    let held = hold(server, statement).await;
    let end = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        held.commit().await;
    };
    tokio::join!(act, end).0
}

#[tokio::test]
async fn a_right_that_is_taken_meanwhile_gives_none_to_others() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let amy = member(&server, &ada, "amy@example.com", "admin").await;
    let bots = format!("{place}/service-accounts");
    let new = json!({"name": "Bot", "role": "user"});
    let bot = ada.post(&bots, &new).await.expect(201).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    amy.get(&place).await.ok();
    let taken = role_of("amy@example.com", "user");

    let invitations = format!("{place}/invitations");
    let new = json!({"email": "new@example.com", "role": "user"});
    let answer = meanwhile(&server, &taken, amy.post(&invitations, &new)).await;
    answer.problem(403, "forbidden");
    set_role(&server, "amy@example.com", "admin").await;
    let new = json!({"name": "Second", "role": "user"});
    let answer = meanwhile(&server, &taken, amy.post(&bots, &new)).await;
    answer.problem(403, "forbidden");
    set_role(&server, "amy@example.com", "admin").await;
    // What needs somebody who is there goes by the console.
    let mut browser = signed_in(&server, "amy@example.com").await;
    let csrf = field(&browser.get("/account").await.2, "csrf_token");
    let token = [
        ("csrf_token", csrf.as_str()),
        ("name", "t"),
        ("scope", "all"),
        ("days", "9"),
    ];
    let page = format!("{bots}/{bot}");
    let seen = meanwhile(&server, &taken, browser.post(&page, &token)).await;
    assert_eq!(seen.0, 403, "{}", seen.2);
    set_role(&server, "amy@example.com", "owner").await;
    let name = ada.get(&place).await.ok()["name"].clone();
    let delete = [
        ("csrf_token", csrf.as_str()),
        ("name", name.as_str().unwrap()),
    ];
    let page = format!("{place}/delete");
    let seen = meanwhile(&server, &taken, browser.post(&page, &delete)).await;
    assert_eq!(seen.0, 403, "{}", seen.2);
    // An owner of the organization who is none any more makes none.
    let now = "insert into organization_owner (organization_id, account_id, created_at_ms) \
        select member.organization_id, account.id, 1 from member join account on account.id = member.account_id \
        where account.email = 'amy@example.com'";
    server.execute(now).await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let organization = format!("/organizations/{}", ada.organization().await);
    let page = format!("{organization}/owners/{}/add", id(&bob).await);
    let gone = "delete from organization_owner where account_id = \
        (select id from account where email = 'amy@example.com')";
    let form = [("csrf_token", csrf.as_str())];
    let seen = meanwhile(&server, gone, browser.post(&page, &form)).await;
    assert_eq!(seen.0, 404, "{}", seen.2);

    // Nothing came of any of it.
    let count = async |list: String| {
        let listed = ada.get(&list).await.ok();
        listed["items"].as_array().unwrap().len()
    };
    assert_eq!(count(invitations).await, 0);
    assert_eq!(count(bots.clone()).await, 1);
    assert_eq!(count(format!("{bots}/{bot}/tokens")).await, 0);
    let people = ada.get(&format!("{organization}/people")).await.ok();
    let people = people["items"].as_array().unwrap();
    let owners = people.iter().filter(|one| one["owner"] == true);
    assert_eq!(owners.count(), 1);
}

#[tokio::test]
async fn only_open_invitations_count_and_their_page_tells_of_no_account() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    server.create_owner("known@example.com").await;
    // Who has an account and who has none sees the same page.
    let known = invite(&ada, &place, "known@example.com").await;
    let unknown = invite(&ada, &place, "other@example.com").await;
    let mut seen = Vec::new();
    for (link, email) in [
        (&known, "known@example.com"),
        (&unknown, "other@example.com"),
    ] {
        let (status, _, text) = Browser::new(&server.url()).get(link).await;
        assert_eq!(status, 200);
        let text = text
            .replace(email, "")
            .replace(link.rsplit('/').next().unwrap(), "");
        let parts: Vec<&str> = text.split("nonce=\"").collect();
        let rest = parts
            .iter()
            .map(|part| part.split_once('"').map_or(*part, |(_, rest)| rest));
        seen.push(rest.collect::<String>());
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].contains("invitation-sign-in") && seen[0].contains("invitation-join"));
    // Accepted rows fill no place.
    let account = "(select id from account where email = 'ada@example.com')";
    let row = |number: usize, accepted: &str| {
        let hex = if server.on_postgres() {
            format!("decode('{number:064x}', 'hex')")
        } else {
            format!("x'{number:064x}'")
        };
        let id = if server.on_postgres() {
            format!("'00000000-0000-7000-8000-{number:012x}'::uuid")
        } else {
            format!("x'0000000000007000800000{number:010x}'")
        };
        format!(
            "insert into invitation (workspace_id, id, email, role, token_hash, invited_by, created_at_ms, \
             expires_at_ms, accepted_at_ms, accepted_by) select workspace_id, {id}, 'n{number}@example.com', 'user', \
             {hex}, {account}, 1, 9999999999999, {accepted}, null from member where account_id = {account} limit 1"
        )
    };
    let many: Vec<String> = (0..500).map(|number| row(number, "1")).collect();
    for some in many.chunks(100) {
        server.execute(&some.join(";")).await;
    }
    invite(&ada, &place, "third@example.com").await;
    let many: Vec<String> = (500..998).map(|number| row(number, "null")).collect();
    for some in many.chunks(100) {
        server.execute(&some.join(";")).await;
    }
    let new = json!({"email": "full@example.com", "role": "user"});
    let full = ada.post(&format!("{place}/invitations"), &new).await;
    full.problem(409, "conflict");
}

#[tokio::test]
async fn the_host_adds_an_account_that_is_there_only_when_asked_to() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let workspace = ada.workspace().await;
    server.create_owner("eve@example.com").await;
    let place = ["admin", "add-member", "--workspace", &workspace, "--email"];
    let new = [
        "eve@example.com",
        "--name",
        "E",
        "--role",
        "admin",
        "--password-stdin",
    ];
    let other = "quite another password";
    let (status, _, said) = server.cli(&[&place[..], &new].concat(), other).await;
    assert!(!status.success());
    assert!(
        said.contains("password was not used") && said.contains("--existing"),
        "{said}"
    );
    let listed = ada
        .get(&format!("/workspaces/{workspace}/members"))
        .await
        .ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    let there = ["eve@example.com", "--role", "user", "--existing"];
    let (status, said, _) = server.cli(&[&place[..], &there].concat(), "").await;
    assert!(status.success());
    assert!(said.contains("no password was set"), "{said}");
    signed_in(&server, "eve@example.com").await;
    let absent = ["nobody@example.com", "--role", "user", "--existing"];
    let (status, _, said) = server.cli(&[&place[..], &absent].concat(), "").await;
    assert!(
        !status.success() && said.contains("nobody@example.com"),
        "{said}"
    );
}
