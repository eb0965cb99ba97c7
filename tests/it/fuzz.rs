//! Everything that the API's document says is held against what the server answers: schemathesis makes requests, right and
//! wrong ones, from the document, and finds no fault of the server and no answer that the document does not have.
//!
//! Nothing here names an operation but `lists`: what is asked for, and the ids that are put into paths, come
//! from the document and from what the server itself lists. `OPTIDEV_FUZZ_SEED` asks other questions,
//! `OPTIDEV_FUZZ_EXAMPLES` more of them.

mod lists;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use lists::{LAST, LEFT_OUT, MISSED, REFUSED};

use crate::support::api::{Answer, Api};
use crate::support::server::Server;
use crate::support::{eventually, output_dir, target_dir};

/// What is made before the questions start, so that they reach something: the collection's path and a body.
fn things() -> Vec<(&'static str, Value)> {
    vec![
        (
            "/workspaces/{workspace}/projects",
            json!({"name": "fuzzed", "source": {"kind": "empty"}}),
        ),
        (
            "/workspaces/{workspace}/service-accounts",
            json!({"name": "Bot", "role": "user"}),
        ),
        (
            "/workspaces/{workspace}/invitations",
            json!({"email": "somebody@example.com", "role": "user"}),
        ),
        (
            "/organizations/{organization}/audit-sinks",
            json!({"name": "fuzzed", "target": {"kind": "webhook", "url": "https://siem.example.com/"}}),
        ),
    ]
}

/// A request whose answer takes longer than this is a finding.
const ANSWER_SECONDS: u32 = 20;
/// Bounds a run that hangs; a usual one takes a third of it, alone on two cores.
const RUN: Duration = Duration::from_secs(480);

/// The document's operations with method, path and id.
fn operations(document: &Value) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            found.push((method.to_uppercase(), path.clone(), id));
        }
    }
    found
}

/// Real ids by the name of the path's parameter.
type Known = BTreeMap<String, BTreeSet<String>>;

/// `path` of the document below `/api/v1`, with known ids in place of its parameters.
fn filled(path: &str, known: &Known) -> Option<String> {
    let mut filled = path.strip_prefix("/api/v1")?.to_owned();
    for (name, ids) in known {
        filled = filled.replace(&format!("{{{name}}}"), ids.first()?);
    }
    (!filled.contains('{')).then_some(filled)
}

/// Asks every collection for what is in it: `/things` lists what `/things/{thing}` means.
async fn discover(api: &Api, operations: &[(String, String, String)], known: &mut Known) {
    let mut paths: Vec<&str> = operations.iter().map(|one| one.1.as_str()).collect();
    paths.sort_unstable_by_key(|path| path.matches('/').count());
    for path in paths {
        let Some((collection, name)) = path.rsplit_once("/{") else {
            continue;
        };
        let Some(name) = name.strip_suffix('}') else {
            continue;
        };
        let listed = operations
            .iter()
            .any(|(method, path, _)| method == "GET" && path == collection);
        let Some(collection) = filled(collection, known).filter(|_| listed) else {
            continue;
        };
        let answer = api.get(&collection).await;
        let listed: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        for item in listed["items"].as_array().into_iter().flatten() {
            let id = item["id"].as_str().filter(|id| id.contains('_'));
            if let Some(id) = id.or(item["name"].as_str()) {
                known
                    .entry(name.to_owned())
                    .or_default()
                    .insert(id.to_owned());
            }
        }
    }
}

/// A server with something of everything, and the ids of it.
async fn prepare() -> (Server, Api, Value, Known) {
    // As many questions as it likes: what 429 looks like is another test's.
    let server = Server::builder()
        .set("limits.account_per_minute", "0")
        .set("limits.token_per_minute", "0")
        .set("limits.address_per_minute", "0")
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let document = api.get("/openapi.json").await.ok();
    let workspace = api.workspace().await;
    let organization = api.organization().await;
    let only = |name: &str, id: &String| (name.to_owned(), BTreeSet::from([id.clone()]));
    let mut known = Known::from([
        only("workspace", &workspace),
        only("organization", &organization),
    ]);
    for (collection, body) in things() {
        let collection = filled(&format!("/api/v1{collection}"), &known).unwrap();
        api.post(&collection, &body).await.ok();
    }
    let set = json!({"tier": "masked", "value": "a value", "description": "for the fuzzer"});
    api.put(&format!("/workspaces/{workspace}/secrets/FUZZED"), &set)
        .await
        .ok();
    let containers = format!("/workspaces/{workspace}/containers");
    let made = api.post(&containers, &json!({})).await.ok();
    let container = format!("{containers}/{}", made["id"].as_str().unwrap());
    eventually("the container runs", Duration::from_secs(60), async || {
        (api.get(&container).await.ok()["state"] == "running").then_some(())
    })
    .await;
    api.put_bytes(
        &format!("{container}/files/notes.txt?parents=1"),
        b"a line\n".to_vec(),
    )
    .await
    .ok();
    api.post(
        &format!("{container}/terminals"),
        &json!({"cols": 80, "rows": 24}),
    )
    .await
    .ok();
    known.insert("path".to_owned(), BTreeSet::from(["notes.txt".to_owned()]));
    known.insert("port".to_owned(), BTreeSet::from(["5173".to_owned()]));
    discover(&api, &operations(&document), &mut known).await;
    (server, api, document, known)
}

/// The configuration that both runs share: real ids in most paths, made-up ones in the others.
fn configuration(known: &Known) -> String {
    let mut text = String::from(
        "headers = { Authorization = \"Bearer ${OPTIDEV_FUZZ_TOKEN}\" }\n\
         [generation]\ndatabase = \"none\"\nwith-security-parameters = false\n\
         [phases.coverage]\nunexpected-methods = [\"PATCH\", \"QUERY\", \"TRACE\"]\n",
    );
    for (name, ids) in known {
        let values: Vec<String> = ids
            .iter()
            .map(|id| {
                id.parse::<u64>()
                    .map_or(format!("{id:?}"), |id| id.to_string())
            })
            .collect();
        write!(
            text,
            "[dictionaries.{name}]\nvalues = [{}]\n",
            values.join(", ")
        )
        .unwrap();
        write!(
            text,
            "[parameters.\"path.{name}\"]\ndictionary = \"{name}\"\nprobability = 0.9\n"
        )
        .unwrap();
    }
    text
}

struct Run<'a> {
    api: &'a Api,
    folder: PathBuf,
    configuration: &'a Path,
    seed: String,
    examples: String,
}

impl Run<'_> {
    /// Asks some operations; answers what schemathesis found, if anything.
    async fn ask(&self, name: &str, operations: &[&str]) -> Result<(), String> {
        let python = target_dir().join("tools/fuzz/bin/python");
        assert!(
            python.exists(),
            "schemathesis is missing: run `scripts/need fuzz`"
        );
        let report = self.folder.join(format!("{name}.ndjson"));
        let mut command = tokio::process::Command::new(python);
        command
            .args(["-m", "schemathesis.cli"])
            .arg("--config-file")
            .arg(self.configuration)
            .arg("run")
            .arg(format!("{}/api/v1/openapi.json", self.api.base()))
            .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
            .args(["--seed", &self.seed, "--max-examples", &self.examples])
            .args([
                // One: Python before 3.11.5 fails now and then when two threads parse at once.
                "--workers",
                "1",
                "--no-shrink",
                "--continue-on-failure",
                "--no-color",
            ])
            .args(["--request-timeout", &ANSWER_SECONDS.to_string()])
            .args(["--suppress-health-check", "all"])
            .arg("--report-ndjson-path")
            .arg(&report)
            .args(
                operations
                    .iter()
                    .map(|id| format!("--include-operation-id={id}")),
            )
            .env("OPTIDEV_FUZZ_TOKEN", self.api.token().unwrap())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(RUN, command.output()).await;
        let output = output
            .expect("schemathesis did not come to an end")
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        std::fs::write(self.folder.join(format!("{name}.txt")), &said).unwrap();
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,\
                      allow_header_conformance,missing_required_header,ignored_auth,use_after_free";

#[tokio::test]
async fn no_request_finds_a_fault_or_an_answer_without_a_document() {
    let (server, api, document, known) = prepare().await;
    let operations = operations(&document);
    for (id, reason) in LEFT_OUT.iter().chain(LAST).chain(REFUSED).chain(MISSED) {
        assert!(
            operations.iter().any(|one| one.2 == *id),
            "{id} is no operation any more; remove its row ({reason})"
        );
    }
    let configuration_file = server.data_dir().join("schemathesis.toml");
    std::fs::write(&configuration_file, configuration(&known)).unwrap();
    let run = Run {
        api: &api,
        folder: output_dir("fuzz"),
        configuration: &configuration_file,
        seed: std::env::var("OPTIDEV_FUZZ_SEED").unwrap_or_else(|_| "4".to_owned()),
        examples: std::env::var("OPTIDEV_FUZZ_EXAMPLES").unwrap_or_else(|_| "60".to_owned()),
    };
    // What contains others is ended after what it contains.
    let (mut questions, mut endings, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (method, path, id) in &operations {
        let contains = operations
            .iter()
            .any(|other| other.1.starts_with(&format!("{path}/")));
        let named = |list: &[(&str, &str)]| list.iter().any(|(one, _)| one == id);
        match (named(LEFT_OUT), named(LAST), method.as_str()) {
            (true, ..) => {}
            (_, false, "DELETE") if !contains => endings.push(id.as_str()),
            (_, true, _) | (_, _, "DELETE") => last.push(id.as_str()),
            _ => questions.push(id.as_str()),
        }
    }
    let found = [
        run.ask("1-questions", &questions).await,
        run.ask("2-endings", &endings).await,
        run.ask("3-last", &last).await,
    ];
    let found: Vec<String> = found.into_iter().filter_map(Result::err).collect();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
    // The server that was asked all this is well.
    api.get("/me").await.ok();
    let logs = server.logs();
    assert!(!logs.contains("a handler panicked"));
    // And the questions reached it: most operations did something at least once.
    let done = done(&logs);
    let refused = |(method, path, _): &&(String, String, String)| {
        !done.contains(&(method.clone(), path.clone()))
    };
    let expected = |one: &&(String, String, String)| {
        LEFT_OUT.iter().chain(REFUSED).all(|(id, _)| one.2 != *id)
    };
    let missed: Vec<_> = operations.iter().filter(expected).filter(refused).collect();
    std::fs::write(run.folder.join("missed.txt"), format!("{missed:#?}")).unwrap();
    let missed: Vec<&str> = missed.iter().map(|one| one.2.as_str()).collect();
    let silent: Vec<_> = missed
        .iter()
        .filter(|id| MISSED.iter().all(|(one, _)| one != *id))
        .collect();
    assert!(
        silent.is_empty(),
        "of these no request was well: add to things() what they need, or say in MISSED why not: {silent:?}"
    );
}

/// The method and path of what was answered well, from the access log.
fn done(logs: &str) -> BTreeSet<(String, String)> {
    logs.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| matches!(line["status"].as_u64(), Some(200..300)))
        .filter_map(|line| {
            let route = line["route"].as_str()?.replace("{*", "{");
            Some((line["method"].as_str()?.to_owned(), route))
        })
        .collect()
}

/// What no generator thinks of: each must be refused as the document says, whatever the operation.
#[tokio::test]
async fn what_is_malformed_is_refused_as_a_problem_everywhere() {
    let (_server, api, document, known) = prepare().await;
    let operations = operations(&document);
    let deep = "[".repeat(100_000);
    let bodies = [
        ("application/json", "{"),
        ("application/json", "{\"name\": \"\\u0000\"}"),
        ("application/json", "{\"name\": \"\\ud800\"}"),
        ("application/json", "{\"cols\": 1e999}"),
        (
            "application/json",
            "{\"cols\": 123456789012345678901234567890}",
        ),
        ("application/json", "{\"name\": 1, \"name\": 2}"),
        ("application/json", &deep),
        ("application/json; charset=utf-16", "{"),
        ("text/plain", "{}"),
        ("", "{}"),
    ];
    let queries = [
        "?%00=%00",
        "?%",
        "?a=%zz&a=%ff",
        "?limit=99999999999999999999&limit=-1&after=%ff",
    ];
    for (method, path, id) in &operations {
        if LEFT_OUT
            .iter()
            .any(|(one, reason)| one == id && reason.contains("stream"))
        {
            continue;
        }
        let answers = &document["paths"][path][method.to_lowercase()]["responses"];
        let holds = |answer: &Answer, what: &str| {
            let said = format!(
                "{id} with {what:?} answered {}: {}",
                answer.status,
                answer.text()
            );
            assert!(answer.status < 500, "{said}");
            assert!(answers.get(answer.status.to_string()).is_some(), "{said}");
            if answer.status >= 400 {
                let kind = answer.headers.get("content-type").unwrap();
                assert_eq!(kind, "application/problem+json", "{said}");
            }
        };
        let whole = filled(path, &known).unwrap_or_else(|| made_up(path));
        let takes = &document["paths"][path][method.to_lowercase()]["requestBody"]["content"];
        if takes.get("application/json").is_some() {
            for (kind, body) in bodies {
                let answer = api
                    .send(method, &whole, |request| {
                        let request = request.body(body.to_owned());
                        if kind.is_empty() {
                            request
                        } else {
                            request.header("content-type", kind)
                        }
                    })
                    .await;
                holds(&answer, &format!("{kind} {}", &body[..body.len().min(40)]));
                assert!(answer.status >= 400, "{id} took {kind} {body:.40}");
            }
        }
        // Ending things by a malformed query would leave nothing to ask.
        if method == "GET" {
            for query in queries {
                holds(&api.get(&format!("{whole}{query}")).await, query);
            }
        }
        for wrong in ["%00", "%ff", "%zz", "..%2f..", "%F0%9F%92%A9", "'--"] {
            let Some((before, _)) = whole.rsplit_once('/') else {
                continue;
            };
            if path.ends_with('}') {
                let answer = api
                    .send(method, &format!("{before}/{wrong}"), |request| request)
                    .await;
                holds(&answer, wrong);
            }
        }
        let answer = api.send("PROPFIND", &whole, |request| request).await;
        answer.problem(405, "method_not_allowed");
        let allowed = answer.headers["allow"].to_str().unwrap();
        assert!(
            allowed.contains(method.as_str()),
            "{id}: Allow is {allowed}"
        );
    }
}

/// `path` below `/api/v1` with words for its parameters.
fn made_up(path: &str) -> String {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    path.replace(['{', '}'], "x")
}
