//! What hangs on the master beside secrets outlives its rotation, and several servers are rotated as the document says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::audit::receivers::Webhook;
use crate::identity::{Browser, enrol, totp};
use crate::members::{signed_in, submit};
use crate::postgres::on;
use crate::support::api::Api;
use crate::support::postgres::{Database, Postgres};
use crate::support::server::{PASSWORD, Server};
use crate::support::{eventually, free_port};

const EMAIL: &str = "ada@example.com";
const SOON: Duration = Duration::from_secs(30);

async fn rotate(server: &Server, more: &[&str]) -> String {
    let command = [&["vault", "rotate-master"], more].concat();
    let (status, said, error) = server.cli(&command, "").await;
    assert!(status.success(), "{said}{error}");
    said
}

/// The root keys that the server's vault holds.
async fn roots(server: &Server) -> Vec<u32> {
    let socket = server.data_dir().join("run/vault.sock");
    let status = optidev::vault::VaultClient::new(socket).status().await;
    let status = status.unwrap();
    status.root_keys.iter().map(|root| root.number).collect()
}

#[tokio::test]
async fn second_factors_and_the_secrets_of_sinks_are_what_they_were() {
    let server = Server::builder()
        .set("audit.also_allow", "[\"127.0.0.0/8\", \"::1/128\"]")
        .start()
        .await;
    let owner = server.create_owner(EMAIL).await;
    let ada = server.api(EMAIL, "all").await;
    let port = free_port();
    let webhook = Webhook::start(port, 204).await;
    let sinks = format!("/organizations/{}/audit-sinks", owner.organization_id);
    let url = format!("http://127.0.0.1:{port}/hook");
    let new = json!({"name": "SIEM", "target": {"kind": "webhook", "url": url}});
    let made = ada.post(&sinks, &new).await.expect(201).json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let mut browser = signed_in(&server, EMAIL).await;
    let seed = enrol(&mut browser).await;

    rotate(&server, &["--copied"]).await;
    assert_eq!(roots(&server).await, [2]);

    let mut other = Browser::new(&server.url());
    let fields = [("email", EMAIL), ("password", PASSWORD), ("next", "/")];
    let (_, page, _) = other.post("/sign-in", &fields).await;
    assert!(page.contains("second-factor"), "{page}");
    // The code of the enrolment was used there; the next one is good, and a wrong one is not.
    for (code, good) in [("000000".to_owned(), false), (totp(&seed, 1), true)] {
        let action = "/sign-in/second-factor";
        let (status, ..) = submit(&mut other, &page, action, &[("code", &code)]).await;
        assert_eq!(status == 303, good, "{status}");
    }
    let before = webhook.all().len();
    let set = json!({"tier": "visible", "value": "carried"});
    let path = format!("/workspaces/{}/secrets/AFTER", owner.workspace_id);
    ada.put(&path, &set).await.expect(200);
    let request = eventually("an entry at the webhook", SOON, || async {
        webhook.all().into_iter().nth(before)
    })
    .await;
    request.assert_signed_with(&secret);
}

async fn replica(database: &Database<'_>, folder: &Path) -> Server {
    let master = folder.join("master").display().to_string();
    on(database).set("vault.master_file", master).start().await
}

fn copy_master(from: &Path, to: &Path) {
    for name in ["master", "install-id"] {
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .args([from.join(name), to.join(name)])
            .status()
            .unwrap();
        assert!(copied.success());
    }
}

/// Reads and sets until it is told to stop; answers how often, and fails at the first refusal.
fn load(api: Api, secrets: String, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u32> {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            let listed = api.get(&secrets).await.ok();
            assert_eq!(listed["items"][0]["value"], "from the beginning");
            let set = json!({"tier": "masked", "value": format!("round {rounds}")});
            api.put(&format!("{secrets}/LOAD"), &set).await.expect(200);
            rounds += 1;
        }
        rounds
    })
}

/// The procedure of docs/operations.md, step by step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_on_one_database_are_rotated_one_after_the_other() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let database = Postgres::shared().new_database();
    let one = replica(&database, first.path()).await;
    copy_master(first.path(), second.path());
    let mut two = replica(&database, second.path()).await;
    let owner = one.create_owner(EMAIL).await;
    let at_one = one.api(EMAIL, "all").await;
    let secrets = format!("/workspaces/{}/secrets", owner.workspace_id);
    let set = json!({"tier": "visible", "value": "from the beginning"});
    at_one
        .put(&format!("{secrets}/KEPT"), &set)
        .await
        .expect(200);
    let at_two = |two: &Server| two.anonymous().with_token(at_one.token().unwrap());
    let opens_at = async |two: &Server| {
        let listed = at_two(two).get(&secrets).await.ok();
        assert_eq!(listed["items"][0]["value"], "from the beginning");
    };
    opens_at(&two).await;
    let stop = Arc::new(AtomicBool::new(false));
    let at_work = load(at_one.clone(), secrets.clone(), &stop);

    let said = rotate(&one, &[]).await;
    assert!(said.contains("--copied"), "{said}");
    assert_eq!(roots(&one).await, [1], "nothing is under the new one yet");
    opens_at(&two).await;
    copy_master(first.path(), second.path());
    two.terminate().await;
    two.start_again().await;
    assert_eq!(roots(&two).await, [1, 2]);
    opens_at(&two).await;
    rotate(&one, &["--copied"]).await;
    assert_eq!(roots(&one).await, [2]);
    // Before its copy of the last file, and with it.
    opens_at(&two).await;
    copy_master(first.path(), second.path());
    two.terminate().await;
    two.start_again().await;
    assert_eq!(roots(&two).await, [2]);
    opens_at(&two).await;

    stop.store(true, Ordering::Relaxed);
    assert!(at_work.await.unwrap() > 5);
    let workspaces = format!("/organizations/{}/workspaces", owner.organization_id);
    let new = json!({"name": "at the other"});
    let made = at_two(&two)
        .post(&workspaces, &new)
        .await
        .expect(201)
        .json();
    let path = format!("/workspaces/{}/secrets/S", made["id"].as_str().unwrap());
    at_one.put(&path, &set).await.expect(200);
    let (status, said, error) = one.cli(&["verify", "audit"], "").await;
    assert!(status.success(), "{said}{error}");
}
