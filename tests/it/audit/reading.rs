//! Reading the log: who may, filters, pages, export.

use serde_json::{Value, json};

use super::with_entries;
use crate::containers::member;
use crate::members::signed_in;

#[tokio::test]
async fn owners_and_admins_read_page_by_page_and_others_do_not() {
    let (server, owner, ada) = with_entries(7).await;
    let log = format!("/workspaces/{}/audit", owner.workspace_id);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = ada
            .get(&format!("{log}?action=secrets.&limit=3&cursor={cursor}"))
            .await
            .ok();
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["seq"].as_i64().unwrap()),
        );
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "{seen:?}");
    // A cursor belongs to its question.
    let first = ada.get(&format!("{log}?limit=1")).await.ok();
    let cursor = first["next"].as_str().unwrap();
    ada.get(&format!("{log}?limit=1&cursor={cursor}"))
        .await
        .expect(200);
    ada.get(&format!("{log}?limit=1&action=secrets.&cursor={cursor}"))
        .await
        .problem(400, "bad_request");
    ada.get(&format!(
        "/organizations/{}/audit?limit=1&cursor={cursor}",
        owner.organization_id
    ))
    .await
    .problem(400, "bad_request");
    for wrong in [
        "limit=0",
        "limit=201",
        "actor=ada",
        "from=never",
        "action=secrets",
    ] {
        ada.get(&format!("{log}?{wrong}"))
            .await
            .problem(422, "unprocessable");
    }
    let one = &ada.get(&format!("{log}?object=S3")).await.ok()["items"][0];
    assert_eq!(
        (one["actor"]["id"].as_str(), one["about"].as_str()),
        (Some(owner.user_id.as_str()), Some("Set a secret"))
    );
    assert!(
        one["credential"].as_str().unwrap().starts_with("tok_"),
        "{one}"
    );
    let count = |query: &str| {
        let (ada, path) = (ada.clone(), format!("{log}?{query}"));
        async move { ada.get(&path).await.ok()["items"].as_array().unwrap().len() }
    };
    assert_eq!(
        count("q=VERSION%201").await,
        7,
        "upper and lower case alike"
    );
    assert_eq!(count("q=%25").await, 0, "a wildcard is text");
    assert_eq!(count("to=2020-01-01").await, 0);
    assert!(count(&format!("from=2020-01-01&actor={}", owner.user_id)).await >= 7);

    let bob = member(&server, &ada, "bob@example.com", "user").await;
    bob.get(&log).await.problem(403, "forbidden");
    bob.get(&format!("{log}/export"))
        .await
        .problem(403, "forbidden");
    let organization = format!("/organizations/{}/audit", owner.organization_id);
    bob.get(&organization).await.problem(404, "not_found");
    let admin = member(&server, &ada, "amy@example.com", "admin").await;
    admin.get(&log).await.expect(200);
    admin.get(&organization).await.problem(404, "not_found");
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    for path in [&log, &organization] {
        eve.get(path).await.problem(404, "not_found");
        eve.get(&format!("{path}/export"))
            .await
            .problem(404, "not_found");
    }
}

#[tokio::test]
async fn an_export_is_the_whole_log_in_order_and_is_recorded() {
    let (_server, owner, ada) = with_entries(4).await;
    let log = format!("/organizations/{}/audit", owner.organization_id);
    let answer = ada.get(&format!("{log}/export")).await.expect(200);
    assert_eq!(answer.headers["content-type"], "application/jsonl");
    let lines: Vec<serde_json::Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<i64> = lines
        .iter()
        .map(|line| line["seq"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=lines.len() as i64).collect::<Vec<_>>());
    assert_eq!(lines.last().unwrap()["action"], "audit.export");
    assert!(
        lines
            .iter()
            .all(|line| line["mac"].as_str().unwrap().len() == 64)
    );
}

#[tokio::test]
async fn a_workspace_s_export_has_its_entries_and_no_others() {
    let (_server, owner, ada) = with_entries(3).await;
    let organization = &owner.organization_id;
    let list = format!("/organizations/{organization}/workspaces");
    let next = ada.post(&list, &json!({"name": "Next"})).await.expect(201);
    let next = next.json()["id"].as_str().unwrap().to_owned();
    let secret = json!({"tier": "sensitive", "value": "v"});
    ada.put(&format!("/workspaces/{next}/secrets/THEIRS"), &secret)
        .await
        .expect(200);
    let export = async |path: String| -> Vec<Value> {
        let answer = ada.get(&path).await.expect(200);
        assert_eq!(answer.headers["content-type"], "application/jsonl");
        let text = answer.text();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let here = format!("/workspaces/{}/audit/export", owner.workspace_id);
    let lines = export(here.clone()).await;
    let set = |lines: &[Value]| -> Vec<String> {
        let sets = lines.iter().filter(|line| line["action"] == "secrets.set");
        sets.map(|line| line["object"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(set(&lines), ["S0", "S1", "S2"]);
    assert!(
        lines
            .iter()
            .all(|line| line["workspace"] == owner.workspace_id.as_str()),
        "{lines:?}"
    );
    let seqs: Vec<i64> = lines
        .iter()
        .map(|line| line["seq"].as_i64().unwrap())
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
    // Asked for by whom, and for what: that is the last line, of this export and not of the next.
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["action"], &last["object"]),
        (&json!("audit.export"), &json!(owner.workspace_id))
    );
    assert_eq!(
        set(&export(format!("/workspaces/{next}/audit/export")).await),
        ["THEIRS"]
    );
    // Filtered as a page is.
    let one = export(format!("{here}?object=S1")).await;
    assert_eq!((one.len(), set(&one)), (1, vec!["S1".to_owned()]));
    ada.get(&format!("{here}?actor=ada"))
        .await
        .problem(422, "unprocessable");
}

/// More than one read of the database, and every entry once.
#[tokio::test]
async fn a_long_export_goes_on_where_it_was() {
    let (_server, owner, ada) = with_entries(0).await;
    let place = format!("/workspaces/{}", owner.workspace_id);
    let writes = (0..1_010).map(|number| {
        let path = format!("{place}/secrets/N{}", number % 50);
        let ada = ada.clone();
        async move {
            let body = json!({"tier": "sensitive", "value": "v"});
            ada.put(&path, &body).await.status == 200
        }
    });
    let done: Vec<bool> = futures_util::StreamExt::collect(futures_util::StreamExt::buffered(
        futures_util::stream::iter(writes),
        4,
    ))
    .await;
    let written = done.iter().filter(|done| **done).count();
    assert!(written > 1_000, "{written}");
    let text = ada.get(&format!("{place}/audit/export")).await.expect(200);
    let text = text.text();
    let seqs: Vec<i64> = text
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["seq"].as_i64().unwrap()
        })
        .collect();
    assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
    let sets = text.matches("\"secrets.set\"").count();
    assert_eq!(sets, written);
}

#[tokio::test]
async fn that_the_log_is_read_is_told_once_in_a_while() {
    let (server, owner, ada) = with_entries(1).await;
    let here = format!("/workspaces/{}/audit", owner.workspace_id);
    let whole = format!("/organizations/{}/audit", owner.organization_id);
    for path in [&here, &whole, &here, &whole] {
        ada.get(path).await.expect(200);
    }
    let told = async || {
        let page = ada.get(&format!("{whole}?action=audit.read")).await.ok();
        let items = page["items"].as_array().unwrap().clone();
        let mut objects: Vec<String> = items
            .iter()
            .map(|item| item["object"].as_str().unwrap().to_owned())
            .collect();
        objects.sort();
        objects
    };
    let mut both = vec![owner.workspace_id.clone(), owner.organization_id.clone()];
    both.sort();
    assert_eq!(told().await, both);
    // Somebody else's reading is another access; the console's is one too.
    let amy = member(&server, &ada, "amy@example.com", "admin").await;
    amy.get(&here).await.expect(200);
    assert_eq!(told().await.len(), 3);
    let mut browser = signed_in(&server, "amy@example.com").await;
    assert_eq!(browser.get(&here).await.0, 200);
    let newest = ada.get(&here).await.ok()["items"][0]["seq"].clone();
    assert_eq!(browser.get(&format!("{here}/{newest}")).await.0, 200);
    assert_eq!(told().await.len(), 4);
    // Who may not read did not.
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    bob.get(&here).await.problem(403, "forbidden");
    assert_eq!(told().await.len(), 4);
}
