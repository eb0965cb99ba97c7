//! `.env` files: what an import would change, and an export.

use serde_json::json;

use super::place;
use crate::members::signed_in;

#[tokio::test]
async fn an_import_is_shown_before_and_tells_nothing_of_hidden_values() {
    let (_server, api, secrets) = place().await;
    for (name, tier) in [
        ("SAME", "visible"),
        ("OTHER", "visible"),
        ("HIDDEN", "masked"),
        ("GONE", "sensitive"),
    ] {
        let set = json!({"tier": tier, "value": format!("stored-{name}")});
        api.put(&format!("{secrets}/{name}"), &set).await.ok();
    }
    let text = "# x\nNEW=1\nSAME=stored-SAME\nOTHER=2\nHIDDEN=stored-HIDDEN\nGONE=3\nPATH=4\nTWICE=a\nTWICE=b\nEMPTY=\n\
                no sign\nexport Q=\"a\\nb\"\n";
    let preview = format!("{secrets}/import/preview");
    let seen = api.post(&preview, &json!({"text": text})).await.ok();
    let entries = seen["entries"].as_array().unwrap();
    let states: Vec<(i64, &str, &str)> = entries
        .iter()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap();
            (entry["line"].as_i64().unwrap(), text("name"), text("state"))
        })
        .collect();
    assert_eq!(
        states,
        [
            (2, "NEW", "added"),
            (3, "SAME", "unchanged"),
            (4, "OTHER", "changed"),
            // Whether it is the stored value is not told.
            (5, "HIDDEN", "new_version"),
            (6, "GONE", "new_version"),
            (7, "PATH", "invalid"),
            (8, "TWICE", "invalid"),
            (9, "TWICE", "added"),
            (10, "EMPTY", "invalid"),
            (12, "Q", "added"),
        ]
    );
    assert_eq!(entries[9]["value"], "a\nb");
    assert_eq!(seen["mistakes"][0]["line"], 11);
    assert!(!seen.to_string().contains("stored-OTHER"), "{seen}");
    assert!(!seen.to_string().contains("stored-GONE"), "{seen}");
    // Nothing was changed.
    assert_eq!(
        api.get(&secrets).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
}

#[tokio::test]
async fn an_export_has_what_may_be_seen_and_is_read_again() {
    let (server, api, secrets) = place().await;
    let value = "two\nlines, \"quotes\" and ${THIS} \\ é";
    for (name, tier) in [
        ("SEEN", "visible"),
        ("HIDDEN", "masked"),
        ("GONE", "sensitive"),
    ] {
        let set = json!({"tier": tier, "value": format!("{name} {value}")});
        api.put(&format!("{secrets}/{name}"), &set).await.ok();
    }
    let export = format!("{secrets}/export");
    let answer = api.get(&export).await.expect(200);
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
    let file = answer.text();
    assert!(
        file.contains("# HIDDEN is masked") && file.contains("# GONE is sensitive"),
        "{file}"
    );
    assert!(
        !file.contains("HIDDEN two") && !file.contains("GONE two"),
        "{file}"
    );
    // A token is nobody's presence.
    api.post(&export, &json!({}))
        .await
        .problem(403, "reauthentication_required");
    let mut browser = signed_in(&server, "ada@example.com").await;
    let (status, file) = browser.api("POST", &export, None).await;
    assert_eq!(status, 200, "{file}");
    assert!(
        file.contains("# GONE is sensitive") && !file.contains("GONE two"),
        "{file}"
    );
    let parsed = optidev::features::secrets::dotenv::parse(&file);
    let back: Vec<(String, String)> = parsed
        .entries
        .into_iter()
        .map(|entry| (entry.name, entry.value.expose().clone()))
        .collect();
    let expected = ["HIDDEN", "SEEN"].map(|name| (name.to_owned(), format!("{name} {value}")));
    assert_eq!(back, expected);
    let log = format!("/workspaces/{}/audit", api.workspace().await);
    let revealed = api.get(&format!("{log}?action=secrets.reveal")).await.ok();
    assert_eq!(revealed["items"][0]["object"], "HIDDEN");
    assert_eq!(revealed["items"].as_array().unwrap().len(), 1);
    // The browser signed in a while ago.
    server
        .execute("UPDATE login_session SET authenticated_at_ms = 1")
        .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let (status, said) = browser.api("POST", &export, None).await;
    assert_eq!(status, 403, "{said}");
}
