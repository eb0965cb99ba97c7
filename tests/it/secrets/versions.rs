//! Versions, the way back, stricter tiers, and the end of a value.

use serde_json::{Value, json};

use super::{ROUND, detail, now_ms, patch, place};
use crate::containers::owner;
use crate::members::signed_in;
use crate::support::eventually;
use crate::support::mail::MailServer;
use crate::support::server::Server;

#[tokio::test]
async fn going_back_makes_a_new_version_and_never_a_weaker_one() {
    let (server, api, secrets) = place().await;
    let path = format!("{secrets}/S");
    let set = async |tier: &str, value: &str| {
        api.put(&path, &json!({"tier": tier, "value": value}))
            .await
            .ok()
    };
    let back = async |version: i64| {
        let body = json!({"version": version});
        api.post(&format!("{path}/rollback"), &body).await
    };
    let value = async || api.get(&secrets).await.ok()["items"][0]["value"].clone();
    set("visible", "one").await;
    set("visible", "two").await;
    assert_eq!(back(1).await.ok()["version"], 3);
    assert_eq!(value().await, "one");
    for version in [3, 4, 0, -1, i64::MAX] {
        let problem = back(version).await.problem(422, "unprocessable");
        assert!(
            detail(&problem).contains("the current one, which is 3"),
            "{problem}"
        );
    }
    // A visible value comes back as masked, for that is what the secret is by now.
    set("masked", "three").await;
    assert_eq!(back(1).await.ok()["tier"], "masked");
    assert!(value().await.is_null());
    // And one of a stricter version stays as strict although the secret has become visible.
    set("sensitive", "canary-four").await;
    set("visible", "five").await;
    let item = back(6).await.ok();
    assert_eq!(
        (&item["version"], &item["tier"]),
        (&json!(8), &json!("sensitive"))
    );
    assert!(value().await.is_null());
    let mut browser = signed_in(&server, "ada@example.com").await;
    let (status, said) = browser.api("POST", &format!("{path}/reveal"), None).await;
    assert_eq!(status, 403, "{said}");

    let versions = api.get(&format!("{path}/versions")).await.ok();
    let items = versions["items"].as_array().unwrap();
    let tiers: Vec<_> = items
        .iter()
        .map(|item| item["tier"].as_str().unwrap())
        .collect();
    assert_eq!(
        tiers,
        [
            "sensitive",
            "visible",
            "sensitive",
            "masked",
            "masked",
            "visible",
            "visible",
            "visible"
        ]
    );
    assert_eq!(
        (&items[0]["current"], &items[1]["current"]),
        (&json!(true), &json!(false))
    );
    assert!(items[0]["created_by"].is_string() && items[0]["created_at_ms"].is_i64());
    assert!(!versions.to_string().contains("canary"));
    let none = format!("{secrets}/NONE");
    api.get(&format!("{none}/versions"))
        .await
        .problem(404, "not_found");
    let body = json!({"version": 1});
    api.post(&format!("{none}/rollback"), &body)
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_stricter_tier_takes_earlier_versions_along_and_a_weaker_one_is_refused() {
    let (server, api, secrets) = place().await;
    let path = format!("{secrets}/S");
    for value in ["one", "two"] {
        api.put(&path, &json!({"tier": "visible", "value": value}))
            .await
            .ok();
    }
    let item = patch(
        &api,
        &path,
        json!({"tier": "masked", "description": "For the mail"}),
    )
    .await
    .ok();
    assert_eq!(
        (&item["version"], &item["tier"]),
        (&json!(2), &json!("masked"))
    );
    assert_eq!(item["description"], "For the mail");
    // The value is the same one.
    let mut browser = signed_in(&server, "ada@example.com").await;
    let (_, shown) = browser.api("POST", &format!("{path}/reveal"), None).await;
    assert_eq!(shown, r#"{"value":"two"}"#);
    let versions = api.get(&format!("{path}/versions")).await.ok();
    let tiers = |versions: &Value| -> Vec<String> {
        let items = versions["items"].as_array().unwrap().iter();
        items
            .map(|item| item["tier"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(tiers(&versions), ["masked", "masked"]);
    let problem = patch(&api, &path, json!({"tier": "visible"})).await;
    let said = detail(&problem.problem(422, "unprocessable"));
    assert!(said.contains("set a new value"), "{said}");
    patch(&api, &path, json!({"tier": "sensitive"})).await.ok();
    patch(&api, &path, json!({"tier": "masked"}))
        .await
        .problem(422, "unprocessable");
    // Whoever edits the column gets nothing by it: the value is bound to its tier.
    server.execute("UPDATE secret SET tier = 'masked'").await;
    server
        .execute("UPDATE secret_version SET tier = 'masked'")
        .await;
    let (status, said) = browser.api("POST", &format!("{path}/reveal"), None).await;
    assert_eq!(status, 500, "{said}");
    let back = api
        .post(&format!("{path}/rollback"), &json!({"version": 1}))
        .await;
    assert_eq!(back.status, 500);
    patch(&api, &format!("{secrets}/NONE"), json!({}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn what_ends_is_flagged_and_who_set_it_is_reminded_once_each_time() {
    let mail = MailServer::start().await;
    let server = Server::builder()
        .set("mail.smtp_host", "\"127.0.0.1\"")
        .set("mail.smtp_port", mail.port().to_string())
        .set("mail.tls", "\"none\"")
        .set("mail.from", "\"OptiDev <optidev@example.com>\"")
        .start()
        .await;
    let api = owner(&server).await;
    let secrets = format!("/workspaces/{}/secrets", api.workspace().await);
    let path = format!("{secrets}/ENDS");
    let day = 24 * 60 * 60 * 1_000;
    let mut set = json!({"tier": "masked", "value": "v", "expires_at_ms": now_ms() - 1});
    for wrong in [now_ms() - 1, i64::MIN, i64::MAX] {
        set["expires_at_ms"] = json!(wrong);
        let problem = api.put(&path, &set).await.problem(422, "unprocessable");
        assert!(detail(&problem).contains("expires_at_ms"), "{problem}");
    }
    set["expires_at_ms"] = json!(now_ms() + 8 * day);
    let item = api.put(&path, &set).await.ok();
    assert_eq!(
        (&item["expires_soon"], &item["expired"]),
        (&json!(false), &json!(false))
    );
    let item = patch(&api, &path, json!({"expires_at_ms": now_ms() + 6 * day}))
        .await
        .ok();
    assert_eq!(
        (&item["expires_soon"], &item["expired"]),
        (&json!(true), &json!(false))
    );
    let text = mail.next(ROUND).await;
    assert!(text.contains("To: ada@example.com"), "{text}");
    assert!(
        text.contains("The secret ENDS") && text.contains("expires"),
        "{text}"
    );
    let link = format!("{secrets}/ENDS");
    assert!(text.contains(&link), "{text}");
    // The time comes.
    server
        .execute(&format!(
            "UPDATE secret SET expires_at_ms = {}",
            now_ms() - 1_000
        ))
        .await;
    assert_eq!(api.get(&secrets).await.ok()["items"][0]["expired"], true);
    let text = mail.next(ROUND).await;
    assert!(text.contains("expired"), "{text}");
    let log = format!(
        "/workspaces/{}/audit?action=secrets.expire",
        api.workspace().await
    );
    eventually("both are told", ROUND, || async {
        let items = api.get(&log).await.ok()["items"].as_array().unwrap().len();
        (items == 2).then_some(())
    })
    .await;
    // A new value has no end unless one is given, and null takes one away.
    let item = api
        .put(&path, &json!({"tier": "masked", "value": "w"}))
        .await
        .ok();
    assert!(item["expires_at_ms"].is_null());
    patch(&api, &path, json!({"expires_at_ms": now_ms() + day}))
        .await
        .ok();
    let item = patch(&api, &path, json!({"description": "d"})).await.ok();
    assert!(item["expires_at_ms"].is_i64());
    let item = patch(&api, &path, json!({"expires_at_ms": null}))
        .await
        .ok();
    assert!(item["expires_at_ms"].is_null());
}
