//! How much there may be: things of a workspace, bytes of a body, requests of a minute.

use std::io::{Read, Write};

use serde_json::json;

use crate::support::api::Answer;
use crate::support::server::Server;

#[tokio::test]
async fn a_full_workspace_says_so_and_still_lists_everything() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let workspace = api.workspace().await;
    // Written past the API, where thousands of requests would take minutes.
    let id = if server.on_postgres() {
        "gen_random_uuid()"
    } else {
        "randomblob(16)"
    };
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ";

    let projects = format!("/workspaces/{workspace}/projects");
    let rows = format!(
        "INSERT INTO project (workspace_id, id, name, slug, source_kind, created_by, created_at_ms) \
                SELECT workspace.id, {id}, 'x', 'x' || i, 'empty', account.id, i FROM n, workspace, account"
    );
    server.execute(&format!("{numbers} 4999) {rows}")).await;
    let new = json!({"name": "last", "source": {"kind": "empty"}});
    api.post(&projects, &new).await.expect(201);
    let refused = api.post(&projects, &new).await.problem(409, "conflict");
    assert!(
        refused["detail"].as_str().unwrap().contains("5000"),
        "{refused}"
    );
    let import = format!("{projects}/import?name=x");
    api.post_bytes(&import, "application/octet-stream", vec![])
        .await
        .problem(409, "conflict");
    let listed = api.get(&projects).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 5_000);
    assert!(listed["next"].is_null());

    let secrets = format!("/workspaces/{workspace}/secrets");
    let rows = format!(
        "INSERT INTO secret (workspace_id, id, name, tier, description, version, created_by, created_at_ms, \
                updated_by, updated_at_ms) SELECT workspace.id, {id}, 'S' || i, 'masked', '', 1, account.id, \
                i, account.id, i FROM n, workspace, account"
    );
    server.execute(&format!("{numbers} 999) {rows}")).await;
    let set = json!({"tier": "visible", "value": "v"});
    let last = format!("{secrets}/LAST");
    api.put(&last, &set).await.expect(200);
    let refused = api.put(&format!("{secrets}/MORE"), &set).await;
    let refused = refused.problem(409, "conflict");
    assert!(
        refused["detail"].as_str().unwrap().contains("1000"),
        "{refused}"
    );
    // One that is there can be set again, and deleting makes room.
    api.put(&last, &set).await.expect(200);
    let listed = api.get(&secrets).await.ok();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1_000);
    api.delete(&last).await.expect(204);
    api.put(&format!("{secrets}/MORE"), &set).await.expect(200);
}

#[tokio::test]
async fn many_visible_secrets_are_listed_and_looking_uses_up_no_reveals() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let secrets = format!("/workspaces/{}/secrets", api.workspace().await);
    // More than the vault reveals at once.
    for number in 0..130 {
        let set = json!({"tier": "visible", "value": format!("v{number}")});
        api.put(&format!("{secrets}/S{number}"), &set)
            .await
            .expect(200);
    }
    for _ in 0..2 {
        let listed = api.get(&secrets).await.ok();
        let items = listed["items"].as_array().unwrap();
        assert_eq!(items.len(), 130);
        assert!(items.iter().all(|item| item["value"].is_string()));
    }
    let record = server.data_dir().join("vault/record.jsonl");
    let record = std::fs::read_to_string(record).unwrap();
    assert!(
        !record.contains("\"reveal\""),
        "a look at the list is no entry"
    );
}

/// A client that reads nothing until it has sent everything, as many do, must find the refusal and no reset connection.
#[tokio::test]
async fn who_sends_too_much_is_told_so_even_when_it_listens_late() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let token = api.token().unwrap().to_owned();
    let workspace = api.workspace().await;
    let address = api.base().strip_prefix("http://").unwrap().to_owned();
    let said = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        let body = vec![b' '; 24 << 20];
        let head = format!(
            "PUT /api/v1/workspaces/{workspace}/secrets/BIG HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    });
    let said = said.await.unwrap();
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    assert!(said.contains("\"too_large\""), "{said}");
    assert!(
        said.to_lowercase().contains("connection: close\r\n"),
        "{said}"
    );
}

#[tokio::test]
async fn requests_are_counted_by_address_account_and_token() {
    let server = Server::builder()
        .set("limits.address_per_minute", "5")
        .set("limits.account_per_minute", "40")
        .set("limits.token_per_minute", "12")
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let stranger = server.anonymous();
    let header = |answer: &Answer, name: &str| answer.headers[name].to_str().unwrap().to_owned();

    // Without a good credential the address counts: wrong tokens too.
    let wrong = stranger.with_token("odv_nonsense");
    for left in (0..5).rev() {
        let answer = [&stranger, &wrong][left % 2].get("/me").await;
        assert_eq!(answer.status, 401);
        assert_eq!(header(&answer, "ratelimit-policy"), "\"address\";q=5;w=60");
        let told = header(&answer, "ratelimit");
        assert!(
            told.starts_with(&format!("\"address\";r={left};t=")),
            "{told}"
        );
    }
    for api in [&stranger, &wrong] {
        let refused = api.get("/me").await;
        let wait: u64 = header(&refused, "retry-after").parse().unwrap();
        assert!((1..=12).contains(&wait), "{wait}");
        assert!(header(&refused, "ratelimit").starts_with("\"address\";r=0;"));
        let problem = refused.problem(429, "rate_limited");
        assert!(
            problem["detail"].as_str().unwrap().contains("address"),
            "{problem}"
        );
    }
    // A page says so as a page, the gateway in the words of its API; health and assets go on.
    let page = stranger
        .send("GET", "//sign-in", |request| {
            request.header("accept", "text/html")
        })
        .await;
    assert_eq!(page.status, 429);
    assert!(page.text().contains("<html"), "{}", page.text());
    let gateway = stranger.post("//ai/v1/messages", &json!({})).await;
    assert_eq!(
        (gateway.status, &gateway.json()["error"]["type"]),
        (429, &json!("rate_limit_error"))
    );
    assert!(gateway.headers.contains_key("retry-after"));
    stranger.get("//readyz").await.expect(200);
    // A good credential is not stopped by its address: its own counts, and its account's.
    let answer = ada.get("/me").await.expect(200);
    assert_eq!(
        header(&answer, "ratelimit-policy"),
        "\"account\";q=40;w=60, \"token\";q=12;w=60"
    );
    assert!(header(&answer, "ratelimit").starts_with("\"token\";r=11;"));
    let mut status = 200;
    for _ in 0..15 {
        status = ada.get("/me").await.status;
    }
    assert_eq!(status, 429);
    let mut done = 13;
    for _ in 0..5 {
        let other = server.api("ada@example.com", "all").await;
        for _ in 0..11 {
            let answer = other.get("/me").await;
            if answer.status == 429 {
                let problem = answer.problem(429, "rate_limited");
                assert!(
                    problem["detail"].as_str().unwrap().contains("account"),
                    "{problem}"
                );
                // Some have grown back in the meantime.
                assert!((40..60).contains(&done), "{done}");
                return;
            }
            done += 1;
        }
    }
    panic!("the account is not counted");
}

#[tokio::test]
async fn an_address_that_shows_many_wrong_tokens_is_not_looked_up_any_more() {
    let server = Server::builder()
        .set("limits.address_per_minute", "5")
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    ada.get("/me").await.expect(200);
    let wrong = server.anonymous().with_token("odv_nonsense");
    for _ in 0..5 {
        assert_eq!(wrong.get("/me").await.status, 401);
    }
    // Good, but nobody has looked: the answer is the same as for a wrong one.
    let fresh = server.api("ada@example.com", "all").await;
    for api in [&wrong, &fresh] {
        let refused = api.get("/me").await;
        assert!(refused.headers.contains_key("retry-after"));
        let told = refused.headers["ratelimit"].to_str().unwrap();
        assert!(told.starts_with("\"address\";r=0;"), "{told}");
        refused.problem(429, "rate_limited");
    }
    let gateway = fresh.post("//ai/v1/messages", &json!({})).await;
    assert_eq!(
        (gateway.status, &gateway.json()["error"]["type"]),
        (429, &json!("rate_limit_error"))
    );
    // One that was good lately goes on, for as long as it is good.
    ada.get("/me").await.expect(200);
    server.execute("DELETE FROM api_token").await;
    crate::support::eventually("the end", std::time::Duration::from_secs(2), || async {
        (ada.get("/me").await.status != 200).then_some(())
    })
    .await;
    ada.get("/me").await.problem(429, "rate_limited");
}

#[tokio::test]
async fn only_its_own_names_are_answered() {
    let server = Server::builder()
        .set("server.other_names", "[\"optidev.tools.svc\"]")
        .start()
        .await;
    let port = server.port();
    let asked = async |host: &str, path: &str| {
        let host = host.to_owned();
        let stranger = server.anonymous();
        stranger
            .send("GET", path, move |request| request.header("host", host))
            .await
    };
    for bad in [
        "evil.example",
        "127.0.0.1.evil.example",
        "10.1.2.3",
        "[2001:db8::1]:80",
    ] {
        for path in ["/me", "//sign-in", "//ai/v1/models", "//assets/none.js"] {
            asked(bad, path).await.problem(421, "misdirected");
        }
        asked(bad, "//healthz").await.expect(200);
        asked(bad, "//readyz").await.expect(200);
    }
    for good in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "[::1]".to_owned(),
        "optidev.tools.svc:8080".to_owned(),
    ] {
        asked(&good, "/me").await.problem(401, "unauthenticated");
    }
}
