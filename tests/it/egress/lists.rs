//! The ceiling of an organization and the additions of a workspace, from the setting to the connection.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Place, Site, site_folder};
use crate::containers::{member, owner, running};
use crate::members::{signed_in, submit};
use crate::support::api::Api;
use crate::support::eventually;
use crate::support::server::Server;

/// A change is in force after a second; with some for a busy machine.
const IN_FORCE: Duration = Duration::from_secs(4);

async fn listing(api: &Api) -> String {
    format!("/workspaces/{}/egress", api.workspace().await)
}

async fn ceiling(api: &Api, hosts: &[&str]) -> Value {
    let path = format!("/organizations/{}/egress", api.organization().await);
    api.put(&path, &json!({ "ceiling": hosts })).await.ok()
}

impl Place {
    /// What comes of asking `host` for a page.
    async fn reached(&self, host: &str) -> bool {
        let done = self
            .sh(&format!("curl -sS -m 20 --noproxy '' http://{host}/hello"))
            .await;
        done.stdout == "hello from the machine\n"
    }
}

#[tokio::test]
async fn a_ceiling_holds_for_new_connections_and_closes_none() {
    let folder = site_folder();
    let site = Site::new(folder.path()).await;
    let (name, address) = (
        format!("localhost:{}", site.port()),
        format!("127.0.0.2:{}", site.port()),
    );
    let container = Place::allowing(&[&name, &address], &["127.0.0.0/8"]).await;
    assert!(container.reached(&name).await && container.reached(&address).await);

    // A tunnel that stays open over the change; its request comes after it.
    let tunnel = format!(
        "node -e 'const fs = require(\"fs\"); const s = require(\"net\").connect(3128, \"127.0.0.1\", () => \
         s.write(\"CONNECT {name} HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n\")); s.once(\"data\", d => {{ fs.writeFileSync(\"up\", d); \
         const t = setInterval(() => {{ if (!fs.existsSync(\"go\")) return; clearInterval(t); \
         s.write(\"GET /hello HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n\"); \
         s.on(\"data\", d => process.stdout.write(d)) }}, 50) }})'"
    );
    let changed = async {
        eventually("a tunnel", Duration::from_secs(20), || async {
            let up = container.sh("cat up 2>/dev/null").await.stdout;
            up.starts_with("HTTP/1.1 200").then_some(())
        })
        .await;
        let set = ceiling(&container.api, &[&address]).await;
        assert_eq!(set["ceiling"], json!([address]));
        let page = format!("--noproxy '' http://{name}/hello");
        let (decision, said) = container.refused(&page, "beyond_ceiling").await;
        let message = decision["message"].as_str().unwrap();
        assert!(
            message.contains("ceiling that this organization set")
                && message.contains("an owner of the organization"),
            "{message}"
        );
        assert!(said.contains(message), "{said}");
        assert!(container.reached(&address).await);
        container.sh("touch go").await;
    };
    let (open, ()) = tokio::join!(container.sh(&tunnel), changed);
    assert!(open.stdout.ends_with("hello from the machine\n"));

    // A ceiling opens nothing.
    ceiling(&container.api, &["other.example", &name, &address]).await;
    container
        .refused("--noproxy '' http://other.example/", "not_listed")
        .await;
    assert!(container.reached(&name).await);
    ceiling(&container.api, &[]).await;
    assert!(container.reached(&name).await);

    let log = format!(
        "/organizations/{}/audit?action=egress.ceiling",
        container.api.organization().await
    );
    let entries = container.api.get(&log).await.ok();
    let told: Vec<&str> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            format!("before: other.example {name} {address} after: nothing"),
            format!("before: {address} after: other.example {name} {address}"),
            format!("before: nothing after: {address}"),
        ]
    );
}

#[tokio::test]
async fn a_workspace_adds_names_for_itself_alone_and_none_that_lead_inside() {
    let folder = site_folder();
    let site = Site::new(folder.path()).await;
    let name = format!("localhost:{}", site.port());
    // The operator opened the loopback, for names of the operator's own.
    let builder = Server::builder()
        .set("egress.allow", "[\"npm.example\"]")
        .set("egress.also_allow", "[\"127.0.0.0/8\", \"::1/128\"]")
        .set("egress.workspace_additions", "true");
    let container = Place::new(builder).await;
    let (server, ada) = (&container.server, &container.api);
    let path = listing(ada).await;
    let page = format!("--noproxy '' http://{name}/hello");
    let add = |hosts: Value| json!({ "additions": hosts });

    let (decision, _) = container.refused(&page, "not_listed").await;
    let message = decision["message"].as_str().unwrap();
    assert!(
        message.contains("nor on this workspace's own")
            && message.contains("an admin of the workspace"),
        "{message}"
    );
    // Another workspace of the same organization lists it: for itself.
    let made = ada
        .post(
            &format!("/organizations/{}/workspaces", ada.organization().await),
            &json!({"name": "Next door"}),
        )
        .await
        .expect(201)
        .json();
    let next = format!("/workspaces/{}/egress", made["id"].as_str().unwrap());
    ada.put(&next, &add(json!([name]))).await.ok();
    container.refused(&page, "not_listed").await;

    // A user and a viewer see the lists and set none.
    for role in ["user", "viewer"] {
        let other = member(server, ada, &format!("{role}@example.com"), role).await;
        other
            .put(&path, &add(json!([name])))
            .await
            .problem(403, "forbidden");
        let seen = other.get(&path).await.ok();
        assert_eq!(seen["additions"], json!([]), "{role}");
    }
    let admin = member(server, ada, "admin@example.com", "admin").await;
    let set = admin
        .put(&path, &add(json!([name, "Own.Example"])))
        .await
        .ok();
    assert_eq!(
        (&set["additions"], &set["additions_taken"]),
        (&json!([name, "own.example"]), &json!(true))
    );
    // It is let through, and leads inside: what is open to the operator's names is not open to this one.
    let (decision, _) = container.refused(&page, "special_address").await;
    let message = decision["message"].as_str().unwrap();
    assert!(message.contains("public addresses only"), "{message}");
    assert!(site.asked().is_empty(), "{:?}", site.asked());

    for (hosts, words) in [
        (
            json!([format!("127.0.0.2:{}", site.port())]),
            "is an address",
        ),
        (json!(["[::1]:443"]), "is an address"),
        (json!(["*"]), "\"*\""),
        (json!(["a b"]), "\"a b\""),
        (json!(["a.example:0"]), "from 1 to 65535"),
        (json!(vec!["a.example"; 101]), "at most 100"),
    ] {
        let problem = ada
            .put(&path, &add(hosts))
            .await
            .problem(422, "unprocessable");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("additions: ") && detail.contains(words),
            "{detail}"
        );
    }

    // Within the ceiling only: when it is added, and when the ceiling comes later.
    let limited = ceiling(ada, &["*.corp.example"]).await;
    assert_eq!(limited["installation"], json!(["npm.example"]));
    let start = Instant::now();
    container.refused(&page, "beyond_ceiling").await;
    assert!(start.elapsed() < IN_FORCE);
    let seen = ada.get(&path).await.ok();
    assert_eq!(seen["beyond_ceiling"], json!([name, "own.example"]));
    for hosts in [json!(["other.example"]), json!(["a.corp.example:22"])] {
        let problem = ada
            .put(&path, &add(hosts))
            .await
            .problem(422, "unprocessable");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("not within the ceiling of this organization")
                && detail.contains("*.corp.example. Ask an owner of the organization"),
            "{detail}"
        );
    }
    let set = ada.put(&path, &add(json!(["a.corp.example"]))).await.ok();
    assert_eq!(set["beyond_ceiling"], json!([]));

    let log = format!(
        "{}/audit?action=egress.additions",
        path.trim_end_matches("/egress")
    );
    let entries = ada.get(&log).await.ok();
    let told: Vec<&str> = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            format!("before: {name} own.example after: a.corp.example"),
            format!("before: nothing after: {name} own.example"),
        ]
    );
}

#[tokio::test]
async fn additions_are_the_operator_s_to_take() {
    let folder = tempfile::tempdir().unwrap();
    let taking = |taken: &str| {
        Server::builder()
            .set("egress.workspace_additions", taken)
            .data_dir(folder.path())
    };
    let mut server = taking("true").start().await;
    let ada = owner(&server).await;
    let path = listing(&ada).await;
    let one = json!({"additions": ["own.example"]});
    ada.put(&path, &one).await.ok();
    // They stay where they are when the operator takes none any more, and open nothing.
    server.terminate().await;
    drop(server);
    let server = taking("false").start().await;
    let ada = server.anonymous().with_token(ada.token().unwrap());
    let container = Place {
        path: running(&ada).await,
        api: ada.clone(),
        server,
    };
    let (decision, _) = container
        .refused("--noproxy '' http://own.example/", "not_listed")
        .await;
    let message = decision["message"].as_str().unwrap();
    assert!(
        message.contains("on the allow-list of this installation. Ask its operator"),
        "{message}"
    );
    let seen = ada.get(&path).await.ok();
    assert_eq!(
        (&seen["additions"], &seen["additions_taken"]),
        (&json!(["own.example"]), &json!(false))
    );
    let problem = ada.put(&path, &one).await.problem(403, "forbidden");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("[egress] workspace_additions = true"),
        "{detail}"
    );
    let none = ada.put(&path, &json!({"additions": []})).await.ok();
    assert_eq!(none["additions"], json!([]));
}

#[tokio::test]
async fn the_console_sets_both_without_script() {
    let server = Server::builder()
        .set("egress.workspace_additions", "true")
        .start()
        .await;
    let ada = owner(&server).await;
    member(&server, &ada, "bob@example.com", "user").await;
    let mut page = signed_in(&server, "ada@example.com").await;
    let place = listing(&ada).await;
    let whole = format!("/organizations/{}/egress", ada.organization().await);
    for (path, field) in [(&place, "additions"), (&whole, "ceiling")] {
        let hosts = [("hosts", "One.example\r\n\r\n  two.example:8443 \r\n")];
        let (status, to, text) = submit(&mut page, path, path, &hosts).await;
        assert_eq!((status, to.as_str()), (303, path.as_str()), "{text}");
        let set = ada.get(path).await.ok();
        assert_eq!(set[field], json!(["one.example", "two.example:8443"]));
        let (_, _, text) = page.get(path).await;
        assert!(
            text.contains("one.example\ntwo.example:8443</textarea>"),
            "{text}"
        );
        // What is wrong is said, and what was written is not lost.
        let wrong = [("hosts", "kept.example\r\n<b>*wrong")];
        let (status, _, text) = submit(&mut page, path, path, &wrong).await;
        assert_eq!(status, 422);
        assert!(text.contains("data-test=\"field-error\""), "{text}");
        assert!(
            text.contains("kept.example") && !text.contains("<b>"),
            "{text}"
        );
        assert_eq!(ada.get(path).await.ok(), set);
    }
    let (_, _, text) = page.get(&place.replace("/egress", "/settings")).await;
    assert!(text.contains(&format!("href=\"{place}\"")), "{text}");
    let (_, _, text) = page.get(whole.trim_end_matches("/egress")).await;
    assert!(text.contains(&format!("href=\"{whole}\"")), "{text}");
    // A user sees what holds, and gets no form.
    let mut user = signed_in(&server, "bob@example.com").await;
    let (status, _, text) = user.get(&place).await;
    assert_eq!(status, 200);
    assert!(text.contains("data-test=\"egress-ceiling\"") && text.contains("one.example"));
    assert!(!text.contains("<textarea"), "{text}");
}
