//! `optidev secrets`: the executable against a server, with somebody between them who listens.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::place;
use super::project_scope::project;
use crate::support::api::{Api, http_client};
use crate::support::server::Server;

const PROGRAM: &str = env!("CARGO_BIN_EXE_optidev");

/// Carries requests on to a server, and keeps what both sides say.
#[derive(Clone)]
pub struct Between {
    to: String,
    url: String,
    /// Request and answer bodies, one after the other.
    heard: Arc<Mutex<Vec<u8>>>,
    /// How often the submission key is handed out as another one from now on.
    stale: Arc<Mutex<u32>>,
}

impl Between {
    pub async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self {
            to: to.to_owned(),
            url: format!("http://{}", listener.local_addr().unwrap()),
            heard: Arc::default(),
            stale: Arc::default(),
        };
        let routes = Router::new().fallback(carry).with_state(between.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        between
    }

    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

async fn carry(
    State(between): State<Between>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, Bytes) {
    between.heard.lock().unwrap().extend_from_slice(&body);
    let mut request = http_client()
        .request(method, format!("{}{uri}", between.to))
        .body(body);
    for name in ["authorization", "content-type"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.unwrap();
    let (status, kind) = (
        answer.status(),
        answer.headers().get("content-type").cloned(),
    );
    let mut body = answer.bytes().await.unwrap();
    if uri.path().ends_with("/submission-key") && *between.stale.lock().unwrap() > 0 {
        *between.stale.lock().unwrap() -= 1;
        let mut key: Value = serde_json::from_slice(&body).unwrap();
        key["public_key"] = json!("3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=");
        body = key.to_string().into();
    }
    between.heard.lock().unwrap().extend_from_slice(&body);
    let headers = kind.map(|kind| ("content-type".parse().unwrap(), kind));
    (status, headers.into_iter().collect(), body)
}

/// How a command ended.
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Somebody's shell: where the server is, and their token.
pub struct Shell {
    pub url: String,
    pub token: String,
    pub workspace: String,
}

impl Shell {
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OPTIDEV_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("OPTIDEV_URL", &self.url)
            .env("OPTIDEV_TOKEN", &self.token)
            .env("OPTIDEV_WORKSPACE", &self.workspace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn type_in(&self, arguments: &[&str], input: &str) -> Ended {
        end(self.command(arguments), input).await
    }

    #[track_caller]
    pub fn fine(ended: Ended) -> Ended {
        assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
        ended
    }
}

pub async fn end(mut command: Command, input: &str) -> Ended {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing may be gone before this is written.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub async fn shell(between: &Between, server: &Server, api: &Api, scopes: &str) -> Shell {
    let arguments = ["token", "--user", "ada@example.com", "--scopes", scopes];
    Shell {
        url: between.url.clone(),
        token: server.admin(&arguments, "").await["token"]
            .as_str()
            .unwrap()
            .to_owned(),
        workspace: api.workspace().await,
    }
}

/// Bytes of all files of a folder that hold `text`.
pub fn found_below(folder: &std::path::Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(found_below(&path, text));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_value_is_sealed_before_it_leaves_and_comes_from_no_argument() {
    let (server, api, secrets) = place().await;
    let between = Between::start(&server.url()).await;
    let ada = shell(&between, &server, &api, "secrets,projects").await;
    let canary = "canary-from-standard-input";
    let set = ["secrets", "set", "DEPLOY_KEY", "--tier", "sensitive"];
    let set = [
        set.as_slice(),
        &["--expires", "2126-01-31", "--description", "d"],
    ]
    .concat();
    let done = Shell::fine(ada.type_in(&set, &format!("{canary}\n")).await);
    assert_eq!(done.stdout, "set DEPLOY_KEY: version 1, sensitive\n");
    // Without a tier it stays what it is; from a file with several lines, all of them count.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "canary-line-one\ncanary-line-two\n").unwrap();
    let again = [
        "secrets",
        "set",
        "DEPLOY_KEY",
        "--value-file",
        file.to_str().unwrap(),
    ];
    let done = Shell::fine(ada.type_in(&again, "").await);
    assert_eq!(done.stdout, "set DEPLOY_KEY: version 2, sensitive\n");
    let shown = ["secrets", "set", "SHOWN", "--tier", "visible"];
    // The key is another one at the first look, as after a rotation: it is fetched again, once.
    *between.stale.lock().unwrap() = 1;
    Shell::fine(ada.type_in(&shown, "seen").await);
    *between.stale.lock().unwrap() = 2;
    let twice = ada.type_in(&shown, "not seen").await;
    assert!(
        twice.code == 1 && twice.stderr.contains("sealed: "),
        "{}",
        twice.stderr
    );
    *between.stale.lock().unwrap() = 0;
    assert_eq!(api.get(&secrets).await.ok()["items"][1]["value"], "seen");

    let heard = between.heard();
    assert!(heard.contains("\"ciphertext\""));
    assert!(
        !heard.contains("canary") && !heard.contains("not seen"),
        "{heard}"
    );
    assert!(!server.logs().contains("canary"), "{}", server.logs());
    let found = found_below(server.data_dir(), "canary-");
    assert!(found.is_empty(), "{found:?}");
    let log = format!("/workspaces/{}/audit?action=secrets.set", ada.workspace);
    let log = api.get(&log).await.ok().to_string();
    assert!(
        log.contains("version 1, sensitive, sealed by the client"),
        "{log}"
    );

    // A value as an argument is refused before anything is sent, and not repeated.
    let before = between.heard().len();
    for value in [vec!["hunter22"], vec!["--", "-hunter22"]] {
        let wrong = [&["secrets", "set", "OTHER"], value.as_slice()].concat();
        let refused = ada.type_in(&wrong, "").await;
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("--value-file"),
            "{}",
            refused.stderr
        );
        assert!(!refused.stderr.contains("hunter22"), "{}", refused.stderr);
    }
    assert_eq!(between.heard().len(), before);
    // While it waits for the value, its command line has names only; neither the token.
    let mut child = ada.command(&["secrets", "set", "LATER"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"canary-that-waits").await.unwrap();
    let line = format!("/proc/{}/cmdline", child.id().unwrap());
    // A moment after its start it has none yet.
    let soon = std::time::Duration::from_secs(10);
    let line = crate::support::eventually("a command line", soon, || async {
        let line = std::fs::read(&line).unwrap();
        (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned())
    })
    .await;
    assert!(line.contains("LATER") && !line.contains("canary"), "{line}");
    assert!(!line.contains(&ada.token), "{line}");
    drop(stdin);
    assert!(child.wait().await.unwrap().success());
    Shell::fine(ada.type_in(&["secrets", "delete", "LATER"], "").await);
    let gone = ada.type_in(&["secrets", "delete", "LATER"], "").await;
    assert!(
        gone.code == 1 && gone.stderr.contains("optidev: "),
        "{}",
        gone.stderr
    );
}

#[tokio::test]
async fn lists_scopes_and_references_are_the_servers() {
    let (server, api, secrets) = place().await;
    let shop = project(&api, "Shop").await;
    let between = Between::start(&server.url()).await;
    let ada = shell(&between, &server, &api, "secrets,projects").await;
    let set = async |name: &str, more: &[&str], value: &str| {
        let arguments = [&["secrets", "set", name], more].concat();
        Shell::fine(ada.type_in(&arguments, value).await)
    };
    set("HOST", &["--tier", "visible"], "db").await;
    set("URL", &["--expand"], "http://${HOST}/$${NOT}").await;
    let listed = api.get(&secrets).await.ok();
    assert_eq!(listed["items"][1]["references"], json!(["HOST"]));
    // What is expanded stays so, and what it refers to is found anew.
    set("URL", &[], "plain").await;
    let listed = api.get(&secrets).await.ok();
    assert_eq!(listed["items"][1]["references"], json!([]));
    assert_eq!(listed["items"][1]["expand"], true);
    let missing = ["secrets", "set", "URL"];
    let missing = ada.type_in(&missing, "${NOWHERE}").await;
    assert!(
        missing.stderr.contains("no secret NOWHERE"),
        "{}",
        missing.stderr
    );
    // A project by its id, its folder or its name.
    for (number, named) in [shop.as_str(), "shop", "Shop"].into_iter().enumerate() {
        let tier = ["--project", named, "--tier", "visible"];
        set("HOST", &tier, &format!("value {number}")).await;
    }
    let of = format!("{secrets}?scope=project&project={shop}");
    let item = api.get(&of).await.ok()["items"][0].clone();
    assert_eq!(
        (&item["value"], &item["version"]),
        (&json!("value 2"), &json!(3))
    );
    set("MINE", &["--own"], "mine").await;
    let own = ada.type_in(&["secrets", "list", "--own"], "").await;
    assert_eq!(Shell::fine(own).stdout, "MINE  masked     version 1\n");
    let json = ["secrets", "list", "--json", "--project", "shop"];
    let json = Shell::fine(ada.type_in(&json, "").await).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["value"], "value 2");
    let both = ["secrets", "list", "--own", "--project", "shop"];
    assert_eq!(ada.type_in(&both, "").await.code, 2);
    let none = ada
        .type_in(&["secrets", "list", "--project", "none"], "")
        .await;
    assert!(
        none.stderr.contains("no project \"none\""),
        "{}",
        none.stderr
    );
}

#[tokio::test]
async fn a_file_is_compared_here_sealed_and_set_as_a_whole() {
    let (server, api, secrets) = place().await;
    let between = Between::start(&server.url()).await;
    let ada = shell(&between, &server, &api, "secrets").await;
    for (name, tier, value) in [
        ("SAME", "visible", "same"),
        ("OTHER", "visible", "before"),
        ("HIDDEN", "sensitive", "before"),
    ] {
        let body = json!({"tier": tier, "value": value});
        api.put(&format!("{secrets}/{name}"), &body).await.ok();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("import.env");
    let file = file.to_str().unwrap();
    let text = "SAME=same\nOTHER=canary-other\nHIDDEN=canary-hidden\nNEW=\"canary-new\"\n";
    std::fs::write(file, text).unwrap();
    let dry = ["secrets", "import", file, "--dry-run"];
    let dry = Shell::fine(ada.type_in(&dry, "").await).stdout;
    let diff = "= SAME (visible)\n~ OTHER (visible)\n~ HIDDEN (sensitive: a new version, whatever it was)\n+ NEW (masked)\n";
    assert_eq!(dry, diff);
    assert_eq!(
        api.get(&secrets).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    // One that is not right, and nothing is set.
    std::fs::write(file, format!("{text}PATH=x\nBROKEN='")).unwrap();
    let wrong = ada.type_in(&["secrets", "import", file], "").await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stdout.contains("! line 5: PATH: ") && wrong.stdout.contains("! line 6: "));
    assert!(
        wrong.stderr.contains("nothing was set: 2 places"),
        "{}",
        wrong.stderr
    );
    assert_eq!(
        api.get(&secrets).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    std::fs::write(file, text).unwrap();
    let done = ["secrets", "import", file, "--tier", "visible"];
    let done = Shell::fine(ada.type_in(&done, "").await).stdout;
    assert!(done.ends_with("+ NEW (visible)\nset 3\n"), "{done}");
    assert!(
        !between.heard().contains("canary"),
        "sealed before they left"
    );
    let items = api.get(&secrets).await.ok()["items"].clone();
    let found: Vec<(&str, &str, i64)> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let word = |field: &str| item[field].as_str().unwrap();
            (
                word("name"),
                word("tier"),
                item["version"].as_i64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("HIDDEN", "sensitive", 2),
        ("NEW", "visible", 1),
        ("OTHER", "visible", 2),
        ("SAME", "visible", 1),
    ];
    assert_eq!(found, expected);

    let out = folder.path().join("out.env");
    let export = ["secrets", "export", "-o", out.to_str().unwrap()];
    Shell::fine(ada.type_in(&export, "").await);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("NEW=canary-new\n") && text.contains("# HIDDEN is sensitive"));
    let printed = Shell::fine(ada.type_in(&["secrets", "export"], "").await);
    assert_eq!(printed.stdout, text);
}

#[tokio::test]
async fn a_token_leaves_over_tls_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::builder()
        .set("tls.enabled", "true")
        .data_dir(&data)
        .spawn();
    let certificate = data.join("tls/self-signed.crt");
    let port = server.port();
    let mut shell = Shell {
        url: format!("https://localhost:{port}"),
        token: "odv_0123456789012345678901234567890123456789012aaaaaa".to_owned(),
        workspace: "wsp_01h455vb4pex5vsknk084sn02q".to_owned(),
    };
    let list = ["secrets", "list"];
    let trusting = [
        "secrets",
        "list",
        "--ca-file",
        certificate.to_str().unwrap(),
    ];
    let soon = std::time::Duration::from_secs(30);
    crate::support::eventually("an answer over TLS", soon, || async {
        let ended = shell.type_in(&trusting, "").await;
        ended.stderr.contains("Nobody is signed in").then_some(())
    })
    .await;
    let unknown = shell.type_in(&list, "").await;
    assert!(
        unknown.stderr.contains("does not answer"),
        "{}",
        unknown.stderr
    );
    for (url, why) in [
        ("http://optidev.example.com", "is not https"),
        ("http://10.0.0.1:8080", "is not https"),
        ("optidev", "is not the address of a server"),
    ] {
        shell.url = url.to_owned();
        let refused = shell.type_in(&list, "").await;
        assert!(
            refused.code == 1 && refused.stderr.contains(why),
            "{}",
            refused.stderr
        );
    }
    shell.url = format!("https://localhost:{port}");
    shell.token = String::new();
    let nobody = shell.type_in(&trusting, "").await;
    assert!(nobody.stderr.contains("OPTIDEV_TOKEN"), "{}", nobody.stderr);
    let mut command = shell.command(&trusting);
    command.env_remove("OPTIDEV_URL");
    let nowhere = end(command, "").await;
    assert!(nowhere.stderr.contains("--server"), "{}", nowhere.stderr);
}
