//! The way out of a container, with the tools that people use: what is listed works, everything else is refused with
//! a line that the tool shows and that the API lists for the container's owner.

mod cloned;
mod lists;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use crate::containers::{member, owner, running};
use crate::support::api::Api;
use crate::support::egress::Registry;
use crate::support::eventually;
use crate::support::server::{Builder, Server};

const SOON: Duration = Duration::from_secs(60);

/// A container and what its owner sees of its connections.
struct Place {
    server: Server,
    api: Api,
    /// `/workspaces/{w}/containers/{c}`
    path: String,
}

/// What a command in the container did.
struct Done {
    code: i64,
    stdout: String,
    stderr: String,
}

impl Place {
    async fn new(builder: Builder) -> Self {
        let server = builder.start().await;
        let api = owner(&server).await;
        let path = running(&api).await;
        Self { server, api, path }
    }

    async fn allowing(allow: &[&str], also_allow: &[&str]) -> Self {
        let builder = Server::builder()
            .set("egress.allow", json!(allow).to_string())
            .set("egress.also_allow", json!(also_allow).to_string());
        Self::new(builder).await
    }

    async fn sh(&self, script: &str) -> Done {
        let body = json!({"command": ["sh", "-c", script], "timeout_ms": 120_000});
        let exec = format!("{}/exec", self.path);
        let done = self.api.post(&exec, &body).await.ok();
        assert_eq!(done["timed_out"], false, "{script}: {done}");
        let text = |name: &str| done[name].as_str().unwrap().to_owned();
        Done {
            code: done["exit_code"].as_i64().unwrap(),
            stdout: text("stdout"),
            stderr: text("stderr"),
        }
    }

    /// The last decisions, newest first.
    async fn decisions(&self) -> Vec<Value> {
        let list = format!("{}/egress", self.path);
        let items = self.api.get(&list).await.ok()["items"].clone();
        items.as_array().unwrap().clone()
    }

    /// Runs `curl arguments`, which must be refused for `reason`; the decision, and what curl printed.
    #[track_caller]
    fn refused<'a>(
        &'a self,
        arguments: &'a str,
        reason: &'a str,
    ) -> impl Future<Output = (Value, String)> + 'a {
        let line = std::panic::Location::caller();
        async move {
            let before = self.decisions().await.len();
            let done = self.sh(&format!("curl -sSv -m 60 {arguments}")).await;
            let said = format!("{}{}", done.stdout, done.stderr);
            // A refusal within a tunnel is recorded when the tunnel is closed.
            let what = format!("{line}: a decision about {said}");
            let last = eventually(&what, Duration::from_secs(10), || async {
                let now = self.decisions().await;
                (now.len() > before).then(|| now[0].clone())
            })
            .await;
            assert_eq!(
                (&last["verdict"], &last["reason"]),
                (&json!("refused"), &json!(reason)),
                "{line}: {last} {said}"
            );
            let message = last["message"].as_str().unwrap();
            assert!(message.starts_with("OptiDev egress: "), "{line}: {last}");
            (last, said)
        }
    }
}

/// An HTTP server on the machine itself: it serves `files`, and keeps the request lines.
struct Site {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Site {
    async fn new(files: &Path) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, root) = (Arc::clone(&asked), files.to_path_buf());
        let router = Router::new().fallback(move |uri: Uri, request: Request| {
            let (log, root) = (Arc::clone(&log), root.clone());
            async move {
                let line = format!("{} {uri} {:?}", request.method(), request.headers());
                log.lock().unwrap().push(line);
                std::fs::read(root.join(uri.path().trim_start_matches('/')))
                    .map_err(|_| StatusCode::NOT_FOUND)
            }
        });
        // All of 127.0.0.0/8 and the machine's own addresses lead here.
        let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            asked,
            task,
        }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn site_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello"), "hello from the machine\n").unwrap();
    folder
}

#[tokio::test]
async fn npm_reaches_the_listed_registry_and_nothing_else_is_reached() {
    let registry = Registry::of_this_machine();
    let mut builder = Server::builder();
    for (key, value) in registry.settings() {
        builder = builder.set(key, value);
    }
    let container = Place::new(builder).await;
    let name = registry.host.split(':').next().unwrap().to_owned();
    let url = registry.url.trim_end_matches('/');
    let npm = |command: &str| format!("npm --registry {url}/ {command} --loglevel=http");

    let viewed = container.sh(&npm("view is-number version")).await;
    assert_eq!(viewed.code, 0, "{}", viewed.stderr);
    assert!(viewed.stdout.trim().contains('.'), "{}", viewed.stdout);
    let installed = container
        .sh(&format!(
            "mkdir app && cd app && npm init -y >/dev/null && {} && node -p 'require(\"is-number\")(7)'",
            npm("install is-number")
        ))
        .await;
    assert_eq!(installed.code, 0, "{}", installed.stderr);
    assert!(installed.stdout.ends_with("true\n"), "{}", installed.stdout);
    let decisions = container.decisions().await;
    for decision in &decisions {
        assert_eq!(
            (
                &decision["verdict"],
                &decision["reason"],
                &decision["host"],
                &decision["message"]
            ),
            (
                &json!("allowed"),
                &json!("listed"),
                &json!(name),
                &Value::Null
            )
        );
        assert!(decision["at_ms"].as_i64().unwrap() > 1_600_000_000_000);
    }
    assert!(!decisions.is_empty());

    // Not listed: curl shows the line, and the owner can read it afterwards.
    let (decision, said) = container
        .refused("https://denied.example/private?token=1", "not_listed")
        .await;
    assert_eq!(
        (&decision["host"], &decision["port"]),
        (&json!("denied.example"), &json!(443))
    );
    let line = decision["message"].as_str().unwrap();
    assert!(
        line.contains("denied.example:443 is not on the allow-list"),
        "{line}"
    );
    assert!(said.contains(line), "{said}");
    assert!(
        !decision.to_string().contains("private"),
        "paths are not kept"
    );
    container
        .refused("http://denied.example/", "not_listed")
        .await;
    // npm shows it, too.
    let npm = container
        .sh("npm --registry https://denied.example/ view is-number --fetch-retries=0 2>&1; true")
        .await;
    assert!(
        npm.stdout.contains("OptiDev egress"),
        "npm does not show why: {}",
        npm.stdout
    );

    // The listed host on another port, without TLS, or as a cover for another one.
    let listed = |rest: &str| format!("https://{name}:{rest}");
    container.refused(&listed("22/"), "not_listed").await;
    let plain = format!("-p http://{name}:443/");
    container.refused(&plain, "not_tls").await;
    let plain = format!("http://{name}:443/");
    container.refused(&plain, "not_tls").await;
    if registry.host == name {
        let fronted = format!("--connect-to hidden.example:443:{name}:443 https://hidden.example/");
        let (decision, _) = container.refused(&fronted, "other_server_name").await;
        assert!(
            decision["message"]
                .as_str()
                .unwrap()
                .contains("hidden.example")
        );
    }

    // Nobody else sees where Ada's container goes.
    let bob = member(
        &container.server,
        &container.api,
        "bob@example.com",
        "admin",
    )
    .await;
    let list = format!("{}/egress", container.path);
    bob.get(&list).await.problem(404, "not_found");
    let vic = member(
        &container.server,
        &container.api,
        "vic@example.com",
        "viewer",
    )
    .await;
    vic.get(&list).await.problem(403, "forbidden");
}

#[tokio::test]
async fn addresses_are_refused_and_there_is_no_way_around_the_proxy() {
    let folder = site_folder();
    let site = Site::new(folder.path()).await;
    let port = site.port();
    // Listed by mistake: special-purpose ranges stay closed all the same.
    let metadata = ["169.254.169.254", "127.0.0.2", "[::1]", "localhost"];
    let container = Place::allowing(&metadata, &[]).await;
    let proxied = "--noproxy ''";

    for (address, reason) in [
        ("http://1.1.1.1/".to_owned(), "address_not_listed"),
        ("https://93.184.215.14/".to_owned(), "address_not_listed"),
        (
            "'http://[2606:4700::1111]/'".to_owned(),
            "address_not_listed",
        ),
        (
            format!("http://127.0.0.1:{port}/hello"),
            "address_not_listed",
        ),
        (
            format!("'http://[::ffff:127.0.0.1]:{port}/'"),
            "address_not_listed",
        ),
        (format!("http://10.0.0.1:{port}/"), "address_not_listed"),
        (
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "special_address",
        ),
        ("http://127.0.0.2/".to_owned(), "special_address"),
        ("'http://[::1]/'".to_owned(), "special_address"),
        ("http://localhost/".to_owned(), "special_address"),
        (format!("http://localhost:{port}/hello"), "not_listed"),
        (
            "-x http://127.0.0.1:3128 ftp://denied.example/".to_owned(),
            "malformed",
        ),
        // Names from elsewhere: a file of one's own, and a resolver over TCP or HTTPS.
        (
            "--resolve own.example:80:127.0.0.2 http://own.example/".to_owned(),
            "not_listed",
        ),
        ("-p http://8.8.8.8:53/".to_owned(), "address_not_listed"),
        ("-p http://dns.google:53/".to_owned(), "not_listed"),
        (
            "'https://1.1.1.1/dns-query?dns=AAAB'".to_owned(),
            "address_not_listed",
        ),
        (
            "'https://dns.google/dns-query?dns=AAAB'".to_owned(),
            "not_listed",
        ),
    ] {
        container
            .refused(&format!("{proxied} {address}"), reason)
            .await;
    }
    // curl itself would write such an address plainly, so the request is written by hand.
    for host in ["2130706433", "0x7f.1", "127.1", "0177.0.0.1"] {
        let request = format!(
            "node -e 'const s = require(\"net\").connect(3128, \"127.0.0.1\", () => s.write(\"CONNECT {host}:{port} HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n\")); s.on(\"data\", d => {{ console.log(String(d)); s.end() }})'"
        );
        let answer = container.sh(&request).await.stdout;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains("unusual form"),
            "{host}: {answer}"
        );
    }

    // Without the proxy there is no network at all.
    let direct = "env -u http_proxy -u https_proxy -u HTTP_PROXY -u HTTPS_PROXY curl -sS -m 10 --noproxy '*'";
    let before = container.decisions().await.len();
    for address in [
        "http://1.1.1.1/".to_owned(),
        "'http://[2606:4700:4700::1111]/'".to_owned(),
        "http://169.254.169.254/".to_owned(),
        format!("http://127.0.0.1:{port}/hello"),
        format!("'http://[::1]:{port}/hello'"),
        format!("http://10.0.0.1:{port}/"),
        format!("http://{}:{port}/hello", container.server.port()),
        "http://registry.npmjs.org/".to_owned(),
        format!("--resolve own.example:{port}:127.0.0.1 http://own.example:{port}/hello"),
        "--doh-url https://1.1.1.1/dns-query http://example.com/".to_owned(),
    ] {
        let done = container.sh(&format!("{direct} {address}")).await;
        assert!(
            done.code != 0 && done.stdout.is_empty(),
            "{address} was reached: {}",
            done.stdout
        );
    }
    let own = format!("{direct} {}/healthz", container.server.url());
    assert_ne!(container.sh(&own).await.code, 0, "the server was reached");
    let names = container
        .sh("getent hosts registry.npmjs.org; getent ahosts github.com; node -e 'require(\"dns\").lookup(\"github.com\", e => console.log(e.code)); require(\"dns\").resolve4(\"github.com\", e => console.log(e.code))'")
        .await;
    assert!(
        names.code == 0 && names.stdout.lines().count() == 2,
        "names are looked up: {}",
        names.stdout
    );
    let hosts = container
        .sh("echo '127.0.0.1 own.example' >>/etc/hosts || echo refused")
        .await;
    assert_eq!(hosts.stdout, "refused\n", "the hosts file was written to");
    // A resolver of one's own, over UDP and TCP, and QUIC.
    let own = container
        .sh("node -e 'const r = new (require(\"dns\").Resolver)({ timeout: 1000, tries: 1 }); r.setServers([\"8.8.8.8\"]); r.resolveTxt(\"mzxw6ytboi.example.com\", (e, found) => console.log(e ? \"no answer\" : found))'")
        .await;
    assert_eq!(own.stdout, "no answer\n", "{}", own.stderr);
    for (address, port) in [
        ("8.8.8.8", 53),
        ("8.8.8.8", 853),
        ("2001:4860:4860::8888", 53),
    ] {
        let tcp = format!(
            "node -e 'require(\"net\").connect({port}, \"{address}\", () => console.log(\"connected\")).on(\"error\", e => console.log(e.code))'"
        );
        let code = container.sh(&tcp).await.stdout;
        assert_eq!(code, "ENETUNREACH\n", "TCP to {address} at {port}");
    }
    for (kind, address, port) in [
        ("udp4", "8.8.8.8", 53),
        ("udp4", "1.1.1.1", 443),
        ("udp6", "2606:4700:4700::1111", 443),
    ] {
        let udp = format!(
            "node -e 'const s = require(\"dgram\").createSocket(\"{kind}\"); s.send(\"x\", {port}, \"{address}\", e => {{ console.log(e ? e.code : \"sent\"); s.close() }})'"
        );
        let code = container.sh(&udp).await.stdout;
        assert_eq!(code, "ENETUNREACH\n", "UDP to {address} at {port}");
    }
    let devices = container
        .sh("ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1")
        .await;
    assert!(
        devices.stdout.split_whitespace().all(|name| name == "lo"),
        "{}",
        devices.stdout
    );
    assert_eq!(container.decisions().await.len(), before);
    assert!(site.asked().is_empty(), "{:?}", site.asked());
}

#[tokio::test]
async fn the_machine_s_own_services_need_both_settings() {
    let folder = site_folder();
    let site = Site::new(folder.path()).await;
    let (name, address) = (
        format!("localhost:{}", site.port()),
        format!("127.0.0.2:{}", site.port()),
    );
    let fetch = format!("--noproxy '' http://{name}/hello");

    let unlisted = Place::allowing(&["registry.npmjs.org"], &["127.0.0.0/8", "::1/128"]).await;
    unlisted.refused(&fetch, "not_listed").await;
    drop(unlisted);
    let special = Place::allowing(&[&name, &address], &[]).await;
    let (decision, _) = special.refused(&fetch, "special_address").await;
    let message = decision["message"].as_str().unwrap();
    assert!(message.contains("[egress] also_allow"), "{message}");
    special
        .refused(
            &format!("--noproxy '' http://{address}/hello"),
            "special_address",
        )
        .await;
    drop(special);
    assert!(site.asked().is_empty(), "{:?}", site.asked());

    let both = Place::allowing(&[&name, &address], &["127.0.0.0/8"]).await;
    for host in [&name, &address] {
        let done = both
            .sh(&format!(
                "curl -sS --noproxy '' -H 'Proxy-Authorization: Basic eDp5' http://{host}/hello"
            ))
            .await;
        assert_eq!(done.stdout, "hello from the machine\n", "{}", done.stderr);
    }
    let asked = site.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[0].starts_with("GET /hello ") && asked[0].contains("via"));
    assert!(!asked[0].contains("proxy-authorization"), "{}", asked[0]);
    // Its neighbours stay closed.
    both.refused("--noproxy '' http://127.0.0.3:1/", "address_not_listed")
        .await;
    let odd = format!("--noproxy '' http://localhost:{}/", both.server.port());
    both.refused(&odd, "not_listed").await;
}
