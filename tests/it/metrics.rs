//! The port for Prometheus: what is done is counted, by exactly so much, and nothing in it tells who did it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::containers::{owner, running, sh};
use crate::identity::Browser;
use crate::support::postgres::{Postgres, variable};
use crate::support::server::{Builder, PASSWORD, Server};
use crate::support::{eventually, free_port};

/// A server with metrics, and its port for them.
fn with_metrics() -> (Builder, u16) {
    let port = free_port();
    let listen = format!("\"127.0.0.1:{port}\"");
    (Server::builder().set("metrics.listen", listen), port)
}

async fn text(port: u16) -> String {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/metrics"))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    answer.text().await.unwrap()
}

/// Each series by its whole name.
async fn series(port: u16) -> BTreeMap<String, f64> {
    let text = text(port).await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

fn at(series: &BTreeMap<String, f64>, name: &str) -> f64 {
    series.get(name).copied().unwrap_or_default()
}

#[tokio::test]
async fn what_is_done_is_counted_and_nobody_is_named() {
    let (builder, port) = with_metrics();
    let server = builder
        .set("egress.allow", "[\"allowed.example\"]")
        .start()
        .await;
    let ada = owner(&server).await;
    let workspace = ada.workspace().await;
    let path = format!("/workspaces/{workspace}/projects");
    let before = series(port).await;
    for _ in 0..3 {
        ada.get(&path).await.expect(200);
    }
    let wrong = json!({"name": "", "source": {"kind": "empty"}});
    ada.post(&path, &wrong).await.expect(422);
    ada.get("/nowhere-at-all").await.expect(404);
    let mut browser = Browser::new(&server.url());
    for password in ["wrong", PASSWORD] {
        let fields = [("email", "ada@example.com"), ("password", password)];
        browser.post("/sign-in", &fields).await;
    }
    let secret = json!({"tier": "masked", "value": "a-value-that-is-hidden"});
    let secrets = format!("/workspaces/{workspace}/secrets/HIDDEN_NAME");
    ada.put(&secrets, &secret).await.expect(200);
    let container = running(&ada).await;
    let asked = sh(
        &ada,
        &container,
        "curl -s -m 5 http://refused.example/ >/dev/null; true",
    )
    .await;
    assert_eq!(asked["exit_code"], 0, "{asked}");
    let after = series(port).await;
    let rose = |name: &str| at(&after, name) - at(&before, name);

    let projects = "/api/v1/workspaces/{workspace}/projects";
    let requests = |route: &str, method: &str, status: &str| {
        format!(
            "optidev_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}"
        )
    };
    assert_eq!(rose(&requests(projects, "GET", "2xx")), 3.0);
    assert_eq!(rose(&requests(projects, "POST", "4xx")), 1.0);
    assert_eq!(rose(&requests("none", "GET", "4xx")), 1.0);
    let observed = format!(
        "optidev_http_request_duration_seconds_count{{route=\"{projects}\",method=\"GET\"}}"
    );
    assert_eq!(rose(&observed), 3.0);
    for outcome in ["accepted", "refused"] {
        let name = format!("optidev_sign_ins_total{{method=\"password\",outcome=\"{outcome}\"}}");
        assert_eq!(rose(&name), 1.0, "{name}");
    }
    let sealed = "optidev_vault_operations_total{operation=\"seal\",outcome=\"ok\"}";
    assert_eq!(rose(sealed), 1.0);
    assert_eq!(
        rose("optidev_vault_operation_duration_seconds_count{operation=\"seal\"}"),
        1.0
    );
    assert_eq!(
        rose("optidev_container_starts_total{outcome=\"started\"}"),
        1.0
    );
    assert_eq!(rose("optidev_container_start_duration_seconds_count"), 1.0);
    assert_eq!(rose("optidev_containers{state=\"running\"}"), 1.0);
    assert_eq!(rose("optidev_agents"), 1.0);
    let refused = "optidev_egress_decisions_total{verdict=\"refused\",reason=\"not_listed\"}";
    assert_eq!(rose(refused), 1.0, "{after:?}");
    for (name, least) in [
        ("optidev_redis_up", 1.0),
        ("optidev_object_storage_up", 1.0),
        ("optidev_database_connections_max", 1.0),
        ("optidev_database_connections{state=\"idle\"}", 1.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 5.0),
    ] {
        assert!(at(&after, name) >= least, "{name}: {}", at(&after, name));
    }
    let version = format!(
        "optidev_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(at(&after, &version), 1.0);

    let text = text(port).await;
    let user = ada.get("/me").await.ok()["user"]["id"].to_string();
    for name in [
        &workspace,
        user.trim_matches('"'),
        container.rsplit('/').next().unwrap(),
        "ada@",
        "HIDDEN_NAME",
        "hidden",
        "refused.example",
        "127.0.0.1",
        "nowhere",
    ] {
        assert!(
            !name.is_empty() && !text.contains(name),
            "{name} in\n{text}"
        );
    }
    for prefix in ["wsp_", "org_", "usr_", "ctr_", "prj_"] {
        assert!(!text.contains(prefix), "{prefix} in\n{text}");
    }
}

#[tokio::test]
async fn metrics_are_on_their_own_port_alone() {
    let (builder, port) = with_metrics();
    let server = builder.start().await;
    let public = server.anonymous();
    public.get("//metrics").await.expect(404);
    for path in ["", "healthz", "api/v1/me", "metrics/x"] {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/{path}")).await;
        assert_eq!(answer.unwrap().status(), 404, "{path}");
    }
    // A port that is taken costs the metrics and nothing else.
    let listen = format!("\"127.0.0.1:{port}\"");
    let second = Server::builder()
        .set("metrics.listen", listen)
        .start()
        .await;
    assert!(second.logs().contains("no metrics"), "{}", second.logs());
}

#[tokio::test]
async fn a_controller_has_its_own() {
    let database = Postgres::shared().new_database();
    let (port, health) = (free_port(), free_port());
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_optidev"));
    for (key, value) in [
        ("runtime.kind", "\"kubernetes\"".to_owned()),
        ("database.url", database.url()),
        ("metrics.listen", format!("\"127.0.0.1:{port}\"")),
        ("kubernetes.health_listen", format!("127.0.0.1:{health}")),
        ("kubernetes.install", "\"tests\"".to_owned()),
        ("kubernetes.namespace", "\"tests\"".to_owned()),
        ("kubernetes.agent_image", "\"localhost/agent:1\"".to_owned()),
        ("kubernetes.images", "[\"localhost/dev:1\"]".to_owned()),
    ] {
        command.env(variable(key), value);
    }
    // It waits for the first server, and tells what it counts meanwhile.
    let _controller = command
        .arg("controller")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let limit = std::time::Duration::from_secs(30);
    eventually("the port for metrics", limit, || async move {
        reqwest::get(format!("http://127.0.0.1:{port}/metrics"))
            .await
            .ok()
    })
    .await;
    let text = text(port).await;
    for line in ["optidev_controller_leader 0", "optidev_controller_queue 0"] {
        assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
    }
    assert!(!text.contains("optidev_redis_up"), "{text}");
    let other = reqwest::get(format!("http://127.0.0.1:{health}/metrics")).await;
    assert_eq!(other.unwrap().status(), 404);
}
