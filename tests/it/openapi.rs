//! The API's document: every operation is complete, and a change of what programs rely on is seen.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use crate::support::server::Server;

/// Each operation of the document, in the order of its path and method.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((format!("{} {path}", method.to_uppercase()), operation));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Every `$ref` of a document.
fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                found.insert(reference.to_owned());
            }
            fields
                .values()
                .for_each(|field| collect_references(field, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_operation_is_complete_and_changes_are_seen() {
    let server = Server::start().await;
    let answer = server.anonymous().get("/openapi.json").await;
    let document = answer.ok();
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
    assert_eq!(
        document["components"]["securitySchemes"]["session"]["in"],
        "cookie"
    );
    assert_eq!(document["security"].as_array().unwrap().len(), 2);

    let mut ids = BTreeSet::new();
    let mut shape = String::new();
    for (called, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{called}: {id} stands twice");
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{called} has no summary");
        let answers = operation["responses"].as_object().unwrap();
        for (status, answer) in answers {
            let words = answer["description"].as_str().unwrap_or_default();
            assert!(!words.is_empty(), "{called} {status} has no description");
            if status.starts_with(['4', '5']) {
                let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{called} {status}");
            }
        }
        for needed in ["401", "403", "429", "500", "503"] {
            assert!(
                answers.contains_key(needed),
                "{called} does not name {needed}"
            );
        }
        let statuses: Vec<&str> = answers.keys().map(String::as_str).collect();
        writeln!(shape, "{called}\n    {id} {}", statuses.join(" ")).unwrap();
    }
    insta::assert_snapshot!("operations", shape);
    let mut references = BTreeSet::new();
    collect_references(&document, &mut references);
    for reference in references {
        let there = document.pointer(reference.trim_start_matches('#'));
        assert!(there.is_some(), "{reference} leads nowhere");
    }

    // What is documented is what is answered.
    let problem = server
        .anonymous()
        .get("/me")
        .await
        .problem(401, "unauthenticated");
    let fields = document["components"]["schemas"]["Problem"]["properties"].as_object();
    let documented: BTreeSet<&String> = fields.unwrap().keys().collect();
    let answered: BTreeSet<&String> = problem.as_object().unwrap().keys().collect();
    assert_eq!(documented, answered);
}

#[tokio::test]
async fn the_readable_page_shows_every_operation() {
    let server = Server::start().await;
    let document = server.anonymous().get("/openapi.json").await.ok();
    let page = server
        .anonymous()
        .get("//api/docs")
        .await
        .expect(200)
        .text();
    let operations = operations(&document);
    assert!(operations.len() > 50, "{}", operations.len());
    for (called, operation) in operations {
        let (method, path) = called.split_once(' ').unwrap();
        // A path in its own element with its method before it: one that begins another is not enough.
        let shown = page.match_indices(&format!(">{path}<")).any(|(at, _)| {
            let before = page[..at].rfind(&format!(">{method}<"));
            before.is_some_and(|before| at - before < 200)
        });
        assert!(shown, "{called} is not on the page");
        let summary = operation["summary"].as_str().unwrap();
        let plain = summary
            .split(['\'', '"', '&', '<', '>'])
            .max_by_key(|part| part.len());
        assert!(page.contains(plain.unwrap()), "{called}: {summary}");
    }
}
