//! One's own password and second factor.

use serde_json::Value;

use super::{Browser, enrol, totp};
use crate::containers::owner;
use crate::members::{signed_in, submit};
use crate::support::api::Api;
use crate::support::server::{PASSWORD, Server};

const NEW: &str = "a sentence that nobody guesses";

async fn sign_in(server: &Server, password: &str) -> (u16, String) {
    let mut browser = Browser::new(&server.url());
    let fields = [("email", "ada@example.com"), ("password", password)];
    let (status, to, _) = browser.post("/sign-in", &fields).await;
    (status.as_u16(), to)
}

/// Entries of the organization's log about `action`.
async fn told(ada: &Api, action: &str) -> Vec<Value> {
    let log = format!(
        "/organizations/{}/audit?action={action}",
        ada.organization().await
    );
    let found = ada.get(&log).await.ok();
    found["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it_and_ends_other_sessions() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let mut browser = signed_in(&server, "ada@example.com").await;
    let mut other = signed_in(&server, "ada@example.com").await;
    let page = "/account";
    let action = "/account/password";
    // Who sits before an open browser and does not know the password changes nothing.
    for (current, new, named) in [
        ("not the password", NEW, "current-error"),
        (PASSWORD, "short", "password-error"),
        (PASSWORD, PASSWORD, "password-error"),
    ] {
        let form = [("current", current), ("password", new)];
        let (status, _, text) = submit(&mut browser, page, action, &form).await;
        assert_eq!(status, 422, "{current} {new}");
        assert!(text.contains(&format!("id=\"{named}\"")), "{named}: {text}");
        assert!(!text.contains(NEW) && !text.contains(PASSWORD));
    }
    assert_eq!(other.get(page).await.0, 200);
    assert!(told(&ada, "account.password_change").await.is_empty());
    let form = [("current", PASSWORD), ("password", NEW)];
    let (status, to, text) = submit(&mut browser, page, action, &form).await;
    assert_eq!(
        (status, to.as_str()),
        (303, "/account?done=password"),
        "{text}"
    );
    assert!(browser.get(&to).await.2.contains("password-changed"));
    assert_eq!(other.get(page).await.0, 303, "signed out elsewhere");
    assert_eq!(sign_in(&server, PASSWORD).await.0, 403);
    assert_eq!(sign_in(&server, NEW).await.0, 303);
    ada.get("/me").await.expect(200);
    let entries = told(&ada, "account.password_change").await;
    assert_eq!(entries.len(), 1);
    assert!(!entries[0].to_string().contains(NEW));
    // Guessing is slowed down as anywhere else.
    let mut last = 0;
    for _ in 0..12 {
        let form = [("current", "not the password"), ("password", PASSWORD)];
        last = submit(&mut browser, page, action, &form).await.0;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn a_second_factor_is_turned_off_by_who_is_there() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let mut browser = signed_in(&server, "ada@example.com").await;
    let (page, off) = ("/account", "/account/second-factor/disable");
    let (status, ..) = submit(&mut browser, page, off, &[]).await;
    assert_eq!(status, 409, "there is none yet");
    let seed = enrol(&mut browser).await;
    assert!(sign_in(&server, PASSWORD).await.1.contains("second-factor"));
    // A session that has not shown password and code for a while shows them again.
    server
        .execute("update login_session set authenticated_at_ms = 1")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let (status, to, _) = submit(&mut browser, page, off, &[]).await;
    assert_eq!(status, 303);
    assert!(to.starts_with("/account/reauthenticate"), "{to}");
    assert!(browser.get(page).await.2.contains("second-factor-disable"));
    let again = "/account/reauthenticate";
    let form = [("password", PASSWORD), ("next", page)];
    let (status, ..) = submit(&mut browser, again, again, &form).await;
    assert_eq!(status, 200, "the password alone is not enough");
    let code = totp(&seed, 1);
    let form = [("password", PASSWORD), ("code", &code), ("next", page)];
    let (status, to, _) = submit(&mut browser, again, again, &form).await;
    assert_eq!((status, to.as_str()), (303, page));
    let (status, to, _) = submit(&mut browser, page, off, &[]).await;
    assert_eq!((status, to.as_str()), (303, page));
    assert_eq!(sign_in(&server, PASSWORD).await.1, "/");
    assert_eq!(told(&ada, "account.second_factor_disable").await.len(), 1);
}
