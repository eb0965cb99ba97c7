//! Members: who may change whom, that a workspace always has an owner, invitations, and what ends with a membership.

mod rights;

use std::time::Duration;

use serde_json::{Value, json};

use crate::containers::{member, owner};
use crate::identity::{Browser, field};
use crate::support::api::Api;
use crate::support::eventually;
use crate::support::mail::MailServer;
use crate::support::server::{PASSWORD, Server};

const SOON: Duration = Duration::from_secs(30);

/// The caller's own id.
pub async fn id(api: &Api) -> String {
    let me = api.get("/me").await.ok();
    me["user"]["id"].as_str().unwrap().to_owned()
}

async fn patch(api: &Api, path: &str, body: &Value) -> crate::support::api::Answer {
    api.send("PATCH", path, |request| request.json(body)).await
}

/// A browser that is signed in a moment ago.
pub async fn signed_in(server: &Server, email: &str) -> Browser {
    let mut browser = Browser::new(&server.url());
    let fields = [("email", email), ("password", PASSWORD), ("next", "/")];
    let (status, _, page) = browser.post("/sign-in", &fields).await;
    assert_eq!(status, 303, "{page}");
    browser
}

/// Sends a form of a page, with the page's token.
pub async fn submit(
    browser: &mut Browser,
    page: &str,
    action: &str,
    fields: &[(&str, &str)],
) -> (u16, String, String) {
    let (status, _, text) = browser.get(page).await;
    assert_eq!(status, 200, "{page}: {text}");
    let token = field(&text, "csrf_token");
    let mut all = vec![("csrf_token", token.as_str())];
    all.extend_from_slice(fields);
    let (status, to, text) = browser.post(action, &all).await;
    (status.as_u16(), to, text)
}

#[tokio::test]
async fn roles_are_changed_by_those_who_may() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let amy = member(&server, &ada, "amy@example.com", "admin").await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let vic = member(&server, &ada, "vic@example.com", "viewer").await;
    let of = async |api: &Api| format!("{place}/members/{}", id(api).await);
    let (ada_path, amy_path) = (of(&ada).await, of(&amy).await);
    let (bob_path, vic_path) = (of(&bob).await, of(&vic).await);
    let to = |role: &str| json!({ "role": role });

    // An admin changes users and viewers, up to admin, and no owner.
    let changed = patch(&amy, &vic_path, &to("user")).await.ok();
    assert_eq!(changed["role"], "user");
    patch(&amy, &vic_path, &to("owner"))
        .await
        .problem(403, "forbidden");
    patch(&amy, &ada_path, &to("viewer"))
        .await
        .problem(403, "forbidden");
    amy.delete(&ada_path).await.problem(403, "forbidden");
    // Nobody raises themselves.
    patch(&amy, &amy_path, &to("owner"))
        .await
        .problem(403, "forbidden");
    patch(&bob, &bob_path, &to("admin"))
        .await
        .problem(403, "forbidden");
    bob.delete(&vic_path).await.problem(403, "forbidden");
    // A token proves nobody's presence: owners are not made with one.
    let refused = patch(&ada, &bob_path, &to("owner")).await;
    refused.problem(403, "reauthentication_required");
    let transfer = json!({"to": id(&bob).await});
    let refused = ada.post(&format!("{place}/transfer"), &transfer).await;
    refused.problem(403, "reauthentication_required");
    // Addresses are for those who manage members.
    let listed = bob.get(&format!("{place}/members")).await.ok();
    for item in listed["items"].as_array().unwrap() {
        assert_eq!(item["email"].is_null(), item["you"] != true, "{item}");
    }
    let listed = amy.get(&format!("{place}/members")).await.ok();
    let all = listed["items"].as_array().unwrap();
    assert!(all.iter().all(|item| item["email"].is_string()));
    // What is not right is named.
    let odd = patch(&ada, &bob_path, &to("king")).await;
    assert!(odd.status == 422 || odd.status == 400, "{}", odd.text());
}

#[tokio::test]
async fn a_workspace_always_has_an_owner() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let workspace = ada.workspace().await;
    let place = format!("/workspaces/{workspace}");
    let eve = member(&server, &ada, "eve@example.com", "owner").await;
    // Two owners leave at once: one stays.
    for _ in 0..3 {
        let leave = format!("{place}/leave");
        let body = json!({});
        let (one, other) = tokio::join!(ada.post(&leave, &body), eve.post(&leave, &body));
        let mut left = [one.status, other.status];
        left.sort_unstable();
        assert_eq!(left, [204, 409], "{} {}", one.text(), other.text());
        let (stays, gone) = if one.status == 409 {
            (&ada, "eve")
        } else {
            (&eve, "ada")
        };
        stays
            .post(&format!("{place}/leave"), &json!({}))
            .await
            .problem(409, "conflict");
        let members = stays.get(&format!("{place}/members")).await.ok();
        assert_eq!(members["items"].as_array().unwrap().len(), 1);
        let email = format!("{gone}@example.com");
        member(&server, stays, &email, "owner").await;
    }
    // Handing over, by somebody who is there.
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let mut browser = signed_in(&server, "ada@example.com").await;
    let page = format!("{place}/settings");
    let heir = id(&bob).await;
    let (status, to, text) = submit(
        &mut browser,
        &page,
        &format!("{place}/transfer"),
        &[("to", &heir)],
    )
    .await;
    assert_eq!((status, to), (303, format!("{place}/members")), "{text}");
    let members = bob.get(&format!("{place}/members")).await.ok();
    let role = |user: &str| {
        let all = members["items"].as_array().unwrap();
        let found = all.iter().find(|item| item["id"] == user).unwrap();
        found["role"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (role(&heir), role(&id(&ada).await)),
        ("owner".into(), "admin".into())
    );
}

#[tokio::test]
async fn an_invitation_is_accepted_once_by_whom_it_is_for() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let invitations = format!("{place}/invitations");
    let invite = json!({"email": "New@Example.com", "role": "user"});
    let first = ada.post(&invitations, &invite).await.expect(201).json();
    assert_eq!(first["sent"], false);
    assert_eq!(first["invitation"]["email"], "new@example.com");
    // Asked again, the first link ends.
    let second = ada.post(&invitations, &invite).await.expect(201).json();
    let path = |made: &Value| {
        let link = made["link"].as_str().unwrap();
        link[link.find("/invitations/").unwrap()..].to_owned()
    };
    let (old, link) = (path(&first), path(&second));
    let mut nobody = Browser::new(&server.url());
    assert_eq!(nobody.get(&old).await.0, 404);
    assert_eq!(nobody.get("/invitations/x").await.0, 404);
    let (status, _, page) = nobody.get(&link).await;
    assert_eq!(status, 200);
    assert!(page.contains("new@example.com"));
    // The link is stored as a hash only.
    let token = link.rsplit('/').next().unwrap();
    let listed = ada.get(&invitations).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains(token));
    // Somebody else who has the link and another account gets nowhere.
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    let accept = json!({ "token": token });
    eve.post("/invitations/accept", &accept)
        .await
        .problem(403, "forbidden");
    // A weak password is named; then fifty use the link at once, and one joins.
    let (status, _, text) = nobody
        .post(&link, &[("name", "New"), ("password", "short")])
        .await;
    assert_eq!(status, 422, "{text}");
    let tries = (0..50).map(|_| {
        let (url, link) = (server.url(), link.clone());
        tokio::spawn(async move {
            let mut browser = Browser::new(&url);
            let fields = [("name", "New"), ("password", PASSWORD)];
            let (status, to, _) = browser.post(&link, &fields).await;
            (status.as_u16(), to)
        })
    });
    let mut joined = 0;
    for one in tries.collect::<Vec<_>>() {
        let (status, to) = one.await.unwrap();
        match status {
            303 => {
                assert_eq!(to, format!("{place}/projects"));
                joined += 1;
            }
            // Or too many passwords at once, which are hashed with much memory.
            404 | 409 | 429 | 503 => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(joined, 1);
    assert_eq!(nobody.get(&link).await.0, 404);
    let new = server.api("new@example.com", "all").await;
    assert_eq!(new.get(&place).await.status, 200);
    // A member is not invited again; somebody with an account signs in to join.
    ada.post(&invitations, &invite)
        .await
        .problem(409, "conflict");
    let invite = json!({"email": "eve@example.com", "role": "viewer"});
    let made = ada.post(&invitations, &invite).await.expect(201).json();
    let link = path(&made);
    let fields = [("name", "Eve"), ("password", PASSWORD)];
    assert_eq!(
        nobody.post(&link, &fields).await.0,
        409,
        "an account is not taken over"
    );
    let mut browser = signed_in(&server, "eve@example.com").await;
    let (status, to, text) = submit(&mut browser, &link, &format!("{link}/accept"), &[]).await;
    assert_eq!((status, to), (303, format!("{place}/projects")), "{text}");
    assert_eq!(eve.get(&place).await.status, 200);
}

#[tokio::test]
async fn who_may_not_invites_nobody_and_links_end() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let invitations = format!("{place}/invitations");
    let amy = member(&server, &ada, "amy@example.com", "admin").await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let invite = |role: &str| json!({"email": "new@example.com", "role": role});
    bob.post(&invitations, &invite("viewer"))
        .await
        .problem(403, "forbidden");
    bob.get(&invitations).await.problem(403, "forbidden");
    amy.post(&invitations, &invite("owner"))
        .await
        .problem(403, "forbidden");
    let odd = json!({"email": "nobody", "role": "user"});
    let odd = amy
        .post(&invitations, &odd)
        .await
        .problem(422, "unprocessable");
    assert!(odd["detail"].as_str().unwrap().contains("\"nobody\""));
    let made = amy
        .post(&invitations, &invite("user"))
        .await
        .expect(201)
        .json();
    let link = made["link"].as_str().unwrap();
    let link = link[link.find("/invitations/").unwrap()..].to_owned();
    let mut nobody = Browser::new(&server.url());
    assert_eq!(nobody.get(&link).await.0, 200);
    // Expired.
    server
        .execute("update invitation set expires_at_ms = 1")
        .await;
    assert_eq!(nobody.get(&link).await.0, 404);
    let fields = [("name", "New"), ("password", PASSWORD)];
    assert_eq!(nobody.post(&link, &fields).await.0, 404);
    // Taken back.
    server
        .execute("update invitation set expires_at_ms = 9999999999999")
        .await;
    let one = format!(
        "{invitations}/{}",
        made["invitation"]["id"].as_str().unwrap()
    );
    amy.delete(&one).await.expect(204);
    assert_eq!(nobody.post(&link, &fields).await.0, 404);
    amy.delete(&one).await.problem(404, "not_found");
}

#[tokio::test]
async fn invitations_go_by_mail_and_are_not_lost_when_it_is_away() {
    let mail = MailServer::start().await;
    let server = Server::builder()
        .set("mail.smtp_host", "\"127.0.0.1\"")
        .set("mail.smtp_port", mail.port().to_string())
        .set("mail.tls", "\"none\"")
        .set("mail.from", "\"OptiDev <optidev@example.com>\"")
        .start()
        .await;
    let ada = owner(&server).await;
    let invitations = format!("/workspaces/{}/invitations", ada.workspace().await);
    let invite = json!({"email": "new@example.com", "role": "user"});
    let made = ada.post(&invitations, &invite).await.expect(201).json();
    assert_eq!((&made["sent"], &made["link"]), (&json!(true), &Value::Null));
    let received = mail.next(SOON).await;
    assert!(received.contains("To: new@example.com"), "{received}");
    let start = received.find("/invitations/").unwrap();
    let link: String = received[start..].chars().take(13 + 43).collect();
    let mut browser = Browser::new(&server.url());
    let fields = [("name", "New"), ("password", PASSWORD)];
    assert_eq!(browser.post(&link, &fields).await.0, 303);
    drop(mail);
    let invite = json!({"email": "other@example.com", "role": "user"});
    let made = ada.post(&invitations, &invite).await.expect(201).json();
    assert_eq!(made["sent"], false);
    assert!(
        made["link"].is_string() && made["notice"].is_string(),
        "{made}"
    );
}

#[tokio::test]
async fn the_container_of_somebody_who_left_stops_and_stays() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let place = format!("/workspaces/{}", ada.workspace().await);
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let path = crate::containers::running(&bob).await;
    bob.put_bytes(&format!("{path}/files/kept.txt"), b"mine".to_vec())
        .await
        .expect(201);
    let who = format!("{place}/members/{}", id(&bob).await);
    ada.delete(&who).await.expect(204);
    bob.get(&path).await.problem(404, "not_found");
    eventually("the container stops", SOON, || async {
        let state = ada.get(&path).await.ok()["state"].clone();
        (state == "stopped").then_some(())
    })
    .await;
    // Nobody enters it, not even the owner of the workspace.
    ada.get(&format!("{path}/files/kept.txt"))
        .await
        .problem(404, "not_found");
    ada.post(&format!("{path}/start"), &json!({}))
        .await
        .problem(404, "not_found");
    // Who comes back finds it as it was.
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let again = crate::containers::running(&bob).await;
    assert_eq!(again, path);
    let kept = bob.get(&format!("{path}/files/kept.txt")).await;
    assert_eq!(kept.expect(200).text(), "mine");
}

#[tokio::test]
async fn a_workspace_is_made_renamed_and_deleted() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let first = ada.workspace().await;
    let organization = ada.get(&format!("/workspaces/{first}")).await.ok();
    let organization = organization["organization_id"].as_str().unwrap().to_owned();
    let mut browser = signed_in(&server, "ada@example.com").await;
    let page = format!("/organizations/{organization}");
    let (status, _, text) = submit(
        &mut browser,
        &page,
        &format!("{page}/workspaces"),
        &[("name", "Second")],
    )
    .await;
    assert_eq!(status, 303, "{text}");
    let all = ada.get("/workspaces").await.ok();
    let second = all["items"].as_array().unwrap();
    let second = second.iter().find(|item| item["name"] == "Second").unwrap();
    assert_eq!(second["role"], "owner");
    let place = format!("/workspaces/{}", second["id"].as_str().unwrap());
    patch(&ada, &place, &json!({"name": "  "}))
        .await
        .problem(422, "unprocessable");
    let renamed = patch(&ada, &place, &json!({"name": "Third"})).await.ok();
    assert_eq!(renamed["name"], "Third");
    let secret = json!({"tier": "masked", "value": "v"});
    ada.put(&format!("{place}/secrets/KEY"), &secret)
        .await
        .expect(200);
    // A token deletes none; a person types its name; containers are in the way.
    ada.delete(&place)
        .await
        .problem(403, "reauthentication_required");
    let made = ada.post(&format!("{place}/containers"), &json!({})).await;
    let container = made.json()["id"].as_str().unwrap().to_owned();
    let (page, delete) = (format!("{place}/settings"), format!("{place}/delete"));
    let (status, ..) = submit(&mut browser, &page, &delete, &[("name", "wrong")]).await;
    assert_eq!(status, 422);
    let (status, _, text) = submit(&mut browser, &page, &delete, &[("name", "Third")]).await;
    assert_eq!(status, 409, "{text}");
    let container = format!("{place}/containers/{container}");
    ada.delete(&container).await;
    eventually("the container is gone", SOON, || async {
        (ada.get(&container).await.status == 404).then_some(())
    })
    .await;
    eventually("the workspace is deleted", SOON, || {
        let (url, page, delete) = (server.url(), page.clone(), delete.clone());
        let mut browser = browser.clone();
        async move {
            let _ = url;
            let (status, ..) = submit(&mut browser, &page, &delete, &[("name", "Third")]).await;
            (status == 303).then_some(())
        }
    })
    .await;
    ada.get(&place).await.problem(404, "not_found");
    assert_eq!(ada.get(&format!("/workspaces/{first}")).await.status, 200);
}

#[test]
fn permissions_are_documented_as_they_are() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/permissions.md");
    let expected = optidev::features::members::permissions_markdown();
    if std::env::var_os("PERMISSIONS_UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == expected,
        "docs/permissions.md is not current: PERMISSIONS_UPDATE=1 cargo test --test it permissions"
    );
}
