//! The API's document: every operation is complete, and a change of what programs rely on is seen.

use std::collections::{BTreeMap, BTreeSet};

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

/// The whole document with sorted fields, a line for each value: its place and what stands there.
fn outline(document: &Value) -> String {
    let mut lines = Vec::new();
    walk(document, 0, "", &mut lines);
    lines.join("\n")
}

fn walk(value: &Value, depth: usize, name: &str, lines: &mut Vec<String>) {
    let indent = " ".repeat(depth);
    match value {
        Value::Object(fields) if !is_short(fields) => {
            lines.push(format!("{indent}{name}:"));
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            for (field, value) in sorted {
                walk(value, depth + 1, field, lines);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            lines.push(format!("{indent}{name}:"));
            for item in items {
                walk(item, depth + 1, "-", lines);
            }
        }
        plain => lines.push(format!("{indent}{name}: {plain}")),
    }
}

/// One reference, or the like: it stands on one line.
fn is_short(fields: &serde_json::Map<String, Value>) -> bool {
    let plain = |value: &Value| !value.is_object() && !value.is_array();
    fields.len() <= 1 && fields.values().all(plain)
}

#[test]
fn an_outline_has_every_name_and_value() {
    let document =
        serde_json::json!({"b": {"y": [1, "x"], "x": {}}, "a": [{"c": null, "d": 1}, [true]]});
    let lines = [
        ":",
        " a:",
        "  -:",
        "   c: null",
        "   d: 1",
        "  -: [true]",
        " b:",
        "  x: {}",
        "  y: [1,\"x\"]",
    ];
    assert_eq!(outline(&document), lines.join("\n"));
}

/// What programs may call and the document does not have: the address without parameters, with the reason.
const NOT_DOCUMENTED: [(&str, &str, &str); 5] = [
    (
        "POST",
        "/ai/v1/messages",
        "the upstream's API, documented there",
    ),
    (
        "POST",
        "/ai/v1/messages/count_tokens",
        "the upstream's API, documented there",
    ),
    (
        "GET",
        "/ai/v1/models",
        "the upstream's API, documented there",
    ),
    ("HEAD", "/ai", "SDKs ask whether anybody is there"),
    ("HEAD", "/ai/", "SDKs ask whether anybody is there"),
];

/// The gateway's routes are the ones in the list: read from where they are made, and asked.
#[tokio::test]
async fn what_the_document_leaves_out_is_counted() {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/features/ai/gateway/mod.rs"
    );
    let source = std::fs::read_to_string(source).unwrap();
    let made: BTreeSet<&str> = source
        .split('"')
        .filter(|text| text.starts_with("/ai") && !text.contains('*'))
        .collect();
    let listed: BTreeSet<&str> = NOT_DOCUMENTED.iter().map(|(_, path, _)| *path).collect();
    assert_eq!(made, listed, "say in NOT_DOCUMENTED why it is left out");
    let server = Server::start().await;
    let nobody = server.anonymous();
    let document = nobody.get("/openapi.json").await.ok();
    for (method, path, reason) in NOT_DOCUMENTED {
        assert!(
            document["paths"].get(path).is_none(),
            "{path} is documented ({reason})"
        );
        let answer = nobody
            .send(method, &format!("/{path}"), |request| request)
            .await;
        let expected = if method == "HEAD" { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{method} {path}");
    }
    // People find them all the same.
    let words = document["info"]["description"].as_str().unwrap();
    assert!(words.contains("`/ai`"), "{words}");
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
        for (status, names) in [
            ("401", &["WWW-Authenticate"][..]),
            ("429", &["RateLimit", "RateLimit-Policy", "Retry-After"]),
            ("503", &["Retry-After"]),
        ] {
            for name in names {
                let header = &answers[status]["headers"][name]["$ref"];
                let expected = format!("#/components/headers/{name}");
                assert_eq!(header, expected.as_str(), "{called} {status}");
            }
        }
    }
    let mut whole = document.clone();
    whole["info"]["version"] = "the executable's".into();
    insta::assert_snapshot!("document", outline(&whole));
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
