//! Secrets of a member's own: nobody else lists, changes or gets them, whatever their role.

use serde_json::json;

use super::place;
use crate::containers::{member, running_in, sh};
use crate::members::signed_in;

#[tokio::test]
async fn ones_own_secret_is_seen_and_delivered_to_nobody_else() {
    let (server, ada, secrets) = place().await;
    let workspace = ada.workspace().await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let vic = member(&server, &ada, "vic@example.com", "viewer").await;
    let shared = json!({"tier": "visible", "value": "everybody's"});
    ada.put(&format!("{secrets}/TOKEN"), &shared).await.ok();
    let own = json!({"tier": "visible", "value": "bob's canary"});
    let masked = json!({"tier": "masked", "value": "bob's masked"});
    bob.put(&format!("{secrets}/TOKEN?scope=own"), &own)
        .await
        .ok();
    bob.put(&format!("{secrets}/BOBS_NAME?scope=own"), &masked)
        .await
        .ok();
    // The workspace's are not his to set.
    bob.put(&format!("{secrets}/TOKEN"), &own)
        .await
        .problem(403, "forbidden");
    vic.put(&format!("{secrets}/TOKEN?scope=own"), &own)
        .await
        .problem(403, "forbidden");
    bob.get(&format!("{secrets}?scope=everyone"))
        .await
        .problem(400, "bad_request");

    let listed = bob.get(&format!("{secrets}?scope=own")).await.ok();
    assert_eq!(listed["items"][1]["value"], "bob's canary");
    assert_eq!(listed["items"][1]["scope"], "own");
    // For the owner of the workspace there is nothing, by any way.
    for path in [
        secrets.clone(),
        format!("{secrets}?scope=own"),
        format!("{secrets}/export?scope=own"),
    ] {
        let answer = ada.get(&path).await.expect(200).text();
        assert!(
            !answer.contains("bob's") && !answer.contains("BOBS_NAME"),
            "{path}: {answer}"
        );
    }
    for scope in ["", "?scope=own", "?scope=workspace"] {
        let one = format!("{secrets}/BOBS_NAME");
        ada.get(&format!("{one}/versions{scope}"))
            .await
            .problem(404, "not_found");
        ada.delete(&format!("{one}{scope}"))
            .await
            .problem(404, "not_found");
        let mut browser = signed_in(&server, "ada@example.com").await;
        let reveal = format!("{one}/reveal{scope}");
        assert_eq!(browser.api("POST", &reveal, None).await.0, 404, "{reveal}");
    }
    let mut browser = signed_in(&server, "bob@example.com").await;
    let reveal = format!("{secrets}/BOBS_NAME/reveal?scope=own");
    let (status, shown) = browser.api("POST", &reveal, None).await;
    assert_eq!(
        (status, shown.as_str()),
        (200, r#"{"value":"bob's masked"}"#)
    );

    // His comes in the place of the workspace's, in his container only.
    let show = "printf '%s|%s' \"$TOKEN\" \"$BOBS_NAME\"";
    let his = running_in(&bob, &workspace).await;
    assert_eq!(
        sh(&bob, &his, show).await["stdout"],
        "bob's canary|bob's masked"
    );
    let hers = running_in(&ada, &workspace).await;
    assert_eq!(sh(&ada, &hers, show).await["stdout"], "everybody's|");
    // The log, which admins read, does not have the names either.
    let log = ada
        .get(&format!(
            "/workspaces/{workspace}/audit?action=secrets.&limit=100"
        ))
        .await
        .ok();
    assert!(log.to_string().contains("the member's own"), "{log}");
    assert!(!log.to_string().contains("BOBS_NAME"), "{log}");
    bob.delete(&format!("{secrets}/TOKEN?scope=own"))
        .await
        .expect(204);
    assert_eq!(
        ada.get(&secrets).await.ok()["items"][0]["value"],
        "everybody's"
    );
}

#[tokio::test]
async fn ones_own_secrets_go_with_the_membership() {
    let (server, ada, secrets) = place().await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let value = json!({"tier": "masked", "value": "v"});
    ada.put(&format!("{secrets}/SHARED"), &value).await.ok();
    ada.put(&format!("{secrets}/HERS?scope=own"), &value)
        .await
        .ok();
    for name in ["BOBS_NAME", "BOBS_OTHER"] {
        bob.put(&format!("{secrets}/{name}?scope=own"), &value)
            .await
            .ok();
    }
    let place = format!("/workspaces/{}", ada.workspace().await);
    bob.post(&format!("{place}/leave"), &json!({}))
        .await
        .expect(204);
    // What is left is counted.
    let mut browser = signed_in(&server, "ada@example.com").await;
    let rotate = format!("{secrets}/rotate-key");
    let (status, text) = browser.api("POST", &rotate, Some(&json!({}))).await;
    assert_eq!((status, text.as_str()), (200, r#"{"values":2}"#));
    let log = ada
        .get(&format!("{place}/audit?action=secrets.delete"))
        .await
        .ok();
    assert_eq!(
        log["items"][0]["detail"],
        "2 of the member's own, with the membership"
    );
    assert!(!log.to_string().contains("BOBS_NAME"));
}
