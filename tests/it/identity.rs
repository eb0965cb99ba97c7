//! Signing in: the one-time link, passwords, the second factor, sessions, forms, and what strangers get.

mod account;
mod browser;
mod guesses;

pub use browser::{Browser, field};

use std::time::{Duration, SystemTime};

use reqwest::header::{COOKIE, HOST, ORIGIN};

use crate::support::api::http_client;
use crate::support::server::Server;

const PASSWORD: &str = "correct horse battery";

async fn set_up(server: &Server) -> Browser {
    let link = server.sign_in_url().unwrap();
    let code = link.split_once("code=").unwrap().1.to_owned();
    let mut browser = Browser::new(&server.url());
    let (status, _, page) = browser.get(&format!("/setup?code={code}")).await;
    assert_eq!(status, 200, "{page}");
    let fields = [
        ("code", code.as_str()),
        ("name", "Ada"),
        ("email", "ada@example.com"),
        ("password", PASSWORD),
        ("organization", "Acme"),
        ("workspace", "Main"),
    ];
    let (status, to, page) = browser.post("/setup", &fields).await;
    assert_eq!(status, 303, "{page}");
    assert_eq!(to, "/account/second-factor?first_run=1");
    browser
}

#[tokio::test]
async fn the_first_link_makes_an_owner_once() {
    let mut server = Server::start().await;
    let link = server.sign_in_url().unwrap();
    let code = link.split_once("code=").unwrap().1.to_owned();
    let mut browser = set_up(&server).await;
    let (status, to, _) = browser.get("/").await;
    assert_eq!(status, 303);
    assert!(
        to.starts_with("/workspaces/wsp_") && to.ends_with("/projects"),
        "{to}"
    );
    assert_eq!(browser.get(&to).await.0, 200);

    // Used up: neither the page nor the form works again, in any browser, nor after a restart.
    let mut other = Browser::new(&server.url());
    assert_eq!(other.get(&format!("/setup?code={code}")).await.0, 404);
    let again = [
        ("code", code.as_str()),
        ("name", "Eve"),
        ("email", "eve@example.com"),
        ("password", PASSWORD),
        ("organization", "E"),
        ("workspace", "E"),
    ];
    assert_eq!(other.post("/setup", &again).await.0, 404);
    assert!(!other.has_cookie());
    server.terminate().await;
    server.start_again().await;
    assert!(!server.sign_in_url().unwrap().contains("code="));
    assert_eq!(
        browser.get(&to).await.0,
        200,
        "the session survives a restart"
    );
}

#[tokio::test]
async fn of_many_that_use_the_link_at_once_one_wins() {
    let server = Server::start().await;
    let code = server
        .sign_in_url()
        .unwrap()
        .split_once("code=")
        .unwrap()
        .1
        .to_owned();
    let attempts = (0..10).map(|number| {
        let (code, base) = (code.clone(), server.url());
        tokio::spawn(async move {
            let email = format!("owner{number}@example.com");
            let fields = [
                ("code", code.as_str()),
                ("name", "O"),
                ("email", &email),
                ("password", PASSWORD),
                ("organization", "O"),
                ("workspace", "O"),
            ];
            Browser::new(&base).post("/setup", &fields).await.0
        })
    });
    let mut won = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap().as_u16() {
            303 => won += 1,
            404 => {}
            other => panic!("status {other}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn wrong_passwords_are_refused_alike_and_slowed_down() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let mut browser = Browser::new(&server.url());
    let known = [
        ("email", "ada@example.com"),
        ("password", "wrong wrong wrong"),
    ];
    let unknown = [
        ("email", "eve@example.com"),
        ("password", "wrong wrong wrong"),
    ];
    let (status, _, first) = browser.post("/sign-in", &known).await;
    assert_eq!(status, 403);
    let (status, _, second) = browser.post("/sign-in", &unknown).await;
    assert_eq!(status, 403);
    let plain = |page: &str, email: &str| {
        // The nonces of two pages differ, and the typed address comes back.
        let page = page.replace(email, "");
        page.split("nonce=\"")
            .map(|part| {
                part.split_once('"')
                    .map_or(part, |(_, rest)| rest)
                    .to_owned()
            })
            .collect::<String>()
    };
    assert_eq!(
        plain(&first, "ada@example.com"),
        plain(&second, "eve@example.com")
    );
    for _ in 0..9 {
        browser.post("/sign-in", &known).await;
    }
    let (status, _, page) = browser.post("/sign-in", &known).await;
    assert_eq!(status, 429, "{page}");
    assert!(page.contains("minutes"), "{page}");
}

#[tokio::test]
async fn forms_need_the_token_and_the_right_origin() {
    let server = Server::start().await;
    let mut browser = set_up(&server).await;
    assert_eq!(browser.post("/sign-out", &[]).await.0, 403);
    assert_eq!(
        browser
            .post("/sign-out", &[("csrf_token", "wrong")])
            .await
            .0,
        403
    );
    let cookie = browser.cookie().to_owned();
    let foreign = http_client()
        .post(format!("{}/sign-in", server.url()))
        .header(ORIGIN, "https://evil.example")
        .body("email=a&password=b")
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    // The API with the cookie alone: a page of another site could send that.
    let url = format!("{}/api/v1/me", server.url());
    let seen = http_client().get(&url).header(COOKIE, &cookie).send().await;
    assert_eq!(seen.unwrap().status(), 200);
    let workspaces = format!("{}/api/v1/workspaces/wsp_0/projects", server.url());
    let sent = http_client()
        .post(workspaces)
        .header(COOKIE, &cookie)
        .header("content-type", "application/json")
        .body("{}");
    assert_eq!(sent.send().await.unwrap().status(), 403);
    // Signing out ends the session on the server, not only the cookie.
    let (_, _, page) = browser.get("/account").await;
    let token = field(&page, "csrf_token");
    assert_eq!(
        browser.post("/sign-out", &[("csrf_token", &token)]).await.0,
        303
    );
    let ended = http_client().get(&url).header(COOKIE, &cookie).send().await;
    assert_eq!(ended.unwrap().status(), 401);
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_works_once() {
    let server = Server::start().await;
    let mut browser = set_up(&server).await;
    let (_, _, page) = browser.get("/account/second-factor").await;
    let seed = page
        .split("data-test=\"second-factor-secret\">")
        .nth(1)
        .unwrap()
        .split('<')
        .next()
        .unwrap()
        .to_owned();
    let (token, sealed) = (field(&page, "csrf_token"), field(&page, "sealed"));
    let wrong = [
        ("csrf_token", token.as_str()),
        ("sealed", &sealed),
        ("code", "000000"),
    ];
    assert_eq!(
        browser.post("/account/second-factor", &wrong).await.0,
        200,
        "shown again"
    );
    let code = totp(&seed, 0);
    let right = [
        ("csrf_token", token.as_str()),
        ("sealed", &sealed),
        ("code", &code),
    ];
    let (status, to, page) = browser.post("/account/second-factor", &right).await;
    assert_eq!((status.as_u16(), to.as_str()), (303, "/account"), "{page}");

    let mut other = Browser::new(&server.url());
    let login = [("email", "ada@example.com"), ("password", PASSWORD)];
    let (_, to, _) = other.post("/sign-in", &login).await;
    assert!(to.starts_with("/sign-in/second-factor"), "{to}");
    // The password alone opens nothing.
    assert!(other.get("/account").await.1.starts_with("/sign-in"));
    let me = http_client()
        .get(format!("{}/api/v1/me", server.url()))
        .header(COOKIE, other.cookie())
        .send()
        .await
        .unwrap();
    assert_eq!(me.status(), 401);
    let (_, _, page) = other.get("/sign-in/second-factor").await;
    let token = field(&page, "csrf_token");
    // The code that enrolled is used up.
    let used = [("csrf_token", token.as_str()), ("code", &code)];
    assert_eq!(other.post("/sign-in/second-factor", &used).await.0, 403);
    let next = totp(&seed, 1);
    let fresh = [("csrf_token", token.as_str()), ("code", &next)];
    assert_eq!(other.post("/sign-in/second-factor", &fresh).await.0, 303);
    assert_eq!(other.get("/account").await.0, 200);
}

/// Turns the second factor on for who is signed in; answers its seed.
pub async fn enrol(browser: &mut Browser) -> String {
    let page = "/account/second-factor";
    let (_, _, text) = browser.get(page).await;
    let seed = text.split("data-test=\"second-factor-secret\">").nth(1);
    let seed = seed.unwrap().split('<').next().unwrap().to_owned();
    let fields = [
        ("csrf_token", &*field(&text, "csrf_token")),
        ("sealed", &field(&text, "sealed")),
        ("code", &totp(&seed, 0)),
    ];
    let (status, _, text) = browser.post(page, &fields).await;
    assert_eq!(status, 303, "{text}");
    seed
}

/// The code of the time step that is `ahead` of now (RFC 6238).
pub fn totp(seed: &str, ahead: u64) -> String {
    let totp = totp_rs::Builder::new()
        .with_secret(totp_rs::Secret::try_from_base32(seed).unwrap())
        .build()
        .unwrap();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    totp.generate(now + ahead * 30).to_string()
}

#[tokio::test]
async fn tokens_are_checked_whole() {
    let server = Server::start().await;
    let owner = server.create_owner("ada@example.com").await;
    let _ = owner;
    let api = server.api("ada@example.com", "all").await;
    api.get("/me").await.expect(200);
    let token = api.token().unwrap().to_owned();
    let flipped = format!(
        "{}{}",
        &token[..token.len() - 1],
        if token.ends_with('A') { 'B' } else { 'A' }
    );
    for bad in [
        "",
        "odv_",
        "nonsense",
        &token[1..],
        &flipped,
        &token.to_uppercase(),
    ] {
        api.with_token(bad)
            .get("/me")
            .await
            .problem(401, "unauthenticated");
    }
    // A token is no person who is present.
    let workspace = api.workspace().await;
    let path = format!("/workspaces/{workspace}/secrets/NAME");
    let body = serde_json::json!({"tier": "masked", "value": "v1"});
    api.put(&path, &body).await.expect(200);
    api.post(&format!("{path}/reveal"), &serde_json::json!({}))
        .await
        .problem(403, "reauthentication_required");
    // Scopes narrow it.
    let narrow = server.api("ada@example.com", "projects").await;
    narrow
        .get(&format!("/workspaces/{workspace}/projects"))
        .await
        .expect(200);
    narrow
        .get(&format!("/workspaces/{workspace}/secrets"))
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn unknown_settings_stop_the_start_and_name_the_nearest() {
    let (status, text) = Server::builder()
        .set("server.lisen", "127.0.0.1:1")
        .start_and_fail()
        .await;
    assert!(!status.success());
    assert!(text.contains("did you mean \"listen\"?"), "{text}");
    let (status, text) = Server::builder()
        .set("server.session_idle_minutes", "soon")
        .start_and_fail()
        .await;
    assert!(!status.success());
    assert!(
        text.contains("session_idle_minutes") && text.contains("soon"),
        "{text}"
    );
}

#[tokio::test]
async fn hostile_requests_get_problems_and_no_5xx() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let workspace = api.workspace().await;
    let projects = format!("/workspaces/{workspace}/projects");
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(3 << 20));
    let bodies: [(u16, &str, Vec<u8>); 6] = [
        (400, "application/json", b"{".to_vec()),
        (422, "application/json", b"[]".to_vec()),
        (
            422,
            "application/json",
            b"{\"name\":\"x\",\"source\":{\"kind\":\"empty\"},\"more\":1}".to_vec(),
        ),
        (415, "text/plain", b"{}".to_vec()),
        (400, "application/json", vec![0xff; 64]),
        (413, "application/json", huge.into_bytes()),
    ];
    for (status, kind, body) in bodies {
        let answer = api.post_bytes(&projects, kind, body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let problem = answer.json();
        assert!(
            problem["detail"].as_str().unwrap().len() > 10 && problem["request_id"].is_string(),
            "{problem}"
        );
    }
    for path in [
        "/workspaces/x/projects",
        "/workspaces/wsp_00000000000000000000000000/projects",
        "/nothing",
        "/workspaces/%00/projects",
    ] {
        let answer = api.get(path).await;
        answer.problem(404, "not_found");
    }
    // Another host name does not change who answers, and a foreign origin is refused with a token too.
    let foreign = api
        .request(reqwest::Method::POST, &projects)
        .header(ORIGIN, "https://evil.example")
        .header(HOST, "localhost");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    tokio::time::sleep(Duration::from_millis(10)).await;
}
