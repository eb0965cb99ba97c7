//! Two servers on one PostgreSQL: they start at once, agree, and are kept apart where they could not agree.

use crate::identity::Browser;
use crate::postgres::{on, refusal};
use crate::support::postgres::{Database, Postgres};
use crate::support::server::{Builder, PASSWORD, Server};

/// A server with the master secret that all of `folder` share.
fn replica(database: &Database<'_>, folder: &tempfile::TempDir) -> Builder {
    let master = folder.path().join("master").display().to_string();
    on(database).set("vault.master_file", master)
}

#[tokio::test]
async fn two_that_start_at_once_on_a_new_database_make_one_installation() {
    let shared = tempfile::TempDir::new().unwrap();
    let database = Postgres::shared().new_database();
    let both = || {
        (
            replica(&database, &shared).start(),
            replica(&database, &shared).start(),
        )
    };
    let (one, two) = both();
    let (one, two): (Server, Server) = tokio::join!(one, two);
    assert_eq!(database.sql("SELECT count(*) FROM installation"), "1");
    assert!(!one.data_dir().join("vault/master").exists());

    // Each printed a link and both are good, but only one can be used, even at the same moment.
    let code = |server: &Server| {
        let link = server.sign_in_url().unwrap();
        link.split_once("code=").unwrap().1.to_owned()
    };
    let set_up = async |server: &Server, name: &str| {
        let code = code(server);
        let mut browser = Browser::new(&server.url());
        let (status, _, page) = browser.get(&format!("/setup?code={code}")).await;
        assert_eq!(status, 200, "{page}");
        let email = format!("{name}@example.com");
        let fields = [
            ("code", code.as_str()),
            ("name", name),
            ("email", &email),
            ("password", PASSWORD),
            ("organization", name),
            ("workspace", name),
        ];
        (browser.post("/setup", &fields).await.0.as_u16(), email)
    };
    let answers = tokio::join!(set_up(&one, "ada"), set_up(&two, "eve"));
    let answers = [answers.0, answers.1];
    let made: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 303)
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|(status, _)| [303, 404, 503].contains(status)),
        "{answers:?}"
    );
    assert_eq!(database.sql("SELECT count(*) FROM account"), "1");

    // What one gives out, the other takes: tokens and sealed values.
    let owner = &made[0].1;
    let at_one = one.api(owner, "all").await;
    let at_two = two.anonymous().with_token(at_one.token().unwrap());
    let secret = format!("/workspaces/{}/secrets", at_one.workspace().await);
    let value = serde_json::json!({"tier": "visible", "value": "sealed by one"});
    at_one.put(&format!("{secret}/S"), &value).await.expect(200);
    assert_eq!(
        at_two.get(&secret).await.ok()["items"][0]["value"],
        "sealed by one"
    );
}

#[tokio::test]
async fn one_with_another_master_secret_is_refused() {
    let (shared, other) = (
        tempfile::TempDir::new().unwrap(),
        tempfile::TempDir::new().unwrap(),
    );
    let database = Postgres::shared().new_database();
    // Both at once, before any row says whose the database is: each makes a master secret, and one of them stays.
    let first = replica(&database, &shared).start().await;
    let said = refusal(replica(&database, &other)).await;
    assert!(said.contains("[vault] master_file"), "{said}");
    first.create_owner("ada@example.com").await;
    let said = refusal(on(&database)).await;
    assert!(said.contains("master"), "{said}");
}
