//! Reading the log: who may, filters, pages, export.

use super::with_entries;
use crate::containers::member;

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
