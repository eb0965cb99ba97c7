//! Archives in storage that speaks S3: what one replica takes the other opens, what goes wrong is said, and nothing is left
//! behind or found outside of its place.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::containers::{owner, running, sh};
use crate::postgres::on;
use crate::projects::{import, tar_gz, zip};
use crate::support::api::Api;
use crate::support::eventually;
use crate::support::objects::{KEY, KEY_ID, Storage};
use crate::support::postgres::Postgres;
use crate::support::server::Server;

const SOON: Duration = Duration::from_secs(30);

/// A file that no compression makes small, and its archive: larger than one part of an upload.
fn large() -> (Vec<u8>, Vec<u8>) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = (0..(11 << 20) / 8)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    let archive = tar_gz(&[
        ("noise", tar::EntryType::Regular, "", &noise),
        ("hello.txt", tar::EntryType::Regular, "", b"hello\n"),
    ]);
    assert!(archive.len() > 10 << 20);
    (noise, archive)
}

/// Brings a project in and waits for how it ends.
async fn opened(api: &Api, container: &str, project: &Value) -> Value {
    let checkout = format!("{container}/projects/{}", project["id"].as_str().unwrap());
    api.put(&checkout, &json!({})).await.expect(202);
    eventually("the checkout's end", SOON, || async {
        let now = api.get(&checkout).await.ok();
        (now["state"] != "importing").then_some(now)
    })
    .await
}

#[tokio::test]
async fn what_one_replica_imports_the_other_opens_and_a_deletion_removes_it() {
    let storage = Storage::start();
    let database = Postgres::shared().new_database();
    let master = tempfile::TempDir::new().unwrap();
    let file = master.path().join("master").display().to_string();
    let replica = |controller: &str| {
        let builder = on(&database).set("vault.master_file", &file);
        storage.of(builder.set("runtime.controller", controller))
    };
    let (a, b) = (
        replica("false").start().await,
        replica("true").start().await,
    );
    let at_a = owner(&a).await;
    let at_b = b.anonymous().with_token(at_a.token().unwrap());
    assert_eq!(a.anonymous().get("//readyz").await.ok()["objects"], "ok");
    let workspace = at_a.workspace().await;
    let (noise, archive) = large();
    let many = import(&at_a, &workspace, "Large", archive.clone()).await;
    let many = many.expect(201).json();
    let one = import(&at_a, &workspace, "Small", zip(&[("a.txt", b"a\n")])).await;
    let one = one.expect(201).json();
    let name = |project: &Value, format: &str| {
        format!(
            "optidev/{workspace}/{}.{format}",
            project["id"].as_str().unwrap()
        )
    };
    let mut names = [name(&many, "tar.gz"), name(&one, "zip")];
    names.sort();
    assert_eq!(storage.objects(), names);
    assert_eq!(
        std::fs::read(storage.bucket().join(name(&many, "tar.gz"))).unwrap(),
        archive
    );
    let incoming = a.data_dir().join("objects/incoming");
    assert_eq!(
        std::fs::read_dir(incoming).unwrap().count(),
        0,
        "nothing stays at A"
    );

    let container = running(&at_b).await;
    for project in [&many, &one] {
        let state = opened(&at_b, &container, project).await;
        assert_eq!(state["state"], "ready", "{state}");
    }
    let wanted = noise.len().to_string();
    let seen = sh(
        &at_b,
        &container,
        "cd projects && stat -c %s large/noise && cat large/hello.txt small/a.txt",
    )
    .await;
    assert_eq!(seen["stdout"], format!("{wanted}\nhello\na\n"), "{seen}");

    for project in [&many, &one] {
        let id = project["id"].as_str().unwrap();
        at_b.delete(&format!("/workspaces/{workspace}/projects/{id}"))
            .await
            .expect(204);
    }
    assert_eq!(storage.objects(), Vec::<String>::new());
    for server in [&a, &b] {
        assert!(!server.logs().contains(KEY), "the key is in the log");
    }
}

#[tokio::test]
async fn storage_that_is_away_stops_imports_and_nothing_else() {
    let storage = Storage::start();
    let mut server = storage.of(Server::builder()).start().await;
    let ada = owner(&server).await;
    let workspace = ada.workspace().await;
    let archive = || zip(&[("a.txt", b"a")]);
    let project = import(&ada, &workspace, "Before", archive()).await;
    let project = project.expect(201).json();
    let container = running(&ada).await;

    server.terminate().await;
    storage.down();
    server.start_again().await;
    let ready = server.anonymous().get("//readyz").await;
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["objects"], "unavailable");
    eventually("a line in the log", SOON, || async {
        server
            .logs()
            .contains("the object storage does not answer")
            .then_some(())
    })
    .await;
    let start = Instant::now();
    let refused = import(&ada, &workspace, "Lost", archive()).await;
    let refused = refused.problem(503, "unavailable");
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    assert!(
        refused["detail"].as_str().unwrap().contains("storage"),
        "{refused}"
    );
    let projects = format!("/workspaces/{workspace}/projects");
    assert_eq!(
        ada.get(&projects).await.ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let empty = json!({"name": "Empty", "source": {"kind": "empty"}});
    ada.post(&projects, &empty).await.expect(201);
    crate::containers::wait_for(&ada, &container, "running").await;
    let state = opened(&ada, &container, &project).await;
    assert_eq!(state["state"], "failed", "{state}");
    assert!(
        state["message"].as_str().unwrap().contains("storage"),
        "{state}"
    );
    // What cannot be removed now is removed later.
    let other = import_when_up(&storage, &ada, &workspace).await;
    storage.down();
    let id = other["id"].as_str().unwrap();
    ada.delete(&format!("{projects}/{id}")).await.expect(204);
    assert_eq!(storage.objects().len(), 2);
    storage.up();
    eventually("the removal", SOON, || async {
        (storage.objects().len() == 1).then_some(())
    })
    .await;
    let state = opened(&ada, &container, &project).await;
    assert_eq!(state["state"], "ready", "{state}");
    let incoming = server.data_dir().join("objects/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
}

async fn import_when_up(storage: &Storage, api: &Api, workspace: &str) -> Value {
    storage.up();
    let made = import(api, workspace, "Later", zip(&[("b.txt", b"b")])).await;
    made.expect(201).json()
}

#[tokio::test]
async fn a_key_that_is_not_right_is_told_to_the_operator_and_leaves_nothing() {
    let storage = Storage::start();
    let wrong = format!("{:?}", storage.file("wrong").display().to_string());
    let builder = || {
        storage
            .of(Server::builder())
            .set("objects.secret_access_key_file", &wrong)
    };
    let server = builder().start().await;
    let ada = owner(&server).await;
    let workspace = ada.workspace().await;
    let refused = import(&ada, &workspace, "X", zip(&[("a.txt", b"a")])).await;
    let refused = refused.problem(503, "unavailable");
    assert!(
        refused["detail"].as_str().unwrap().contains("operator"),
        "{refused}"
    );
    assert!(
        server.logs().contains("SignatureDoesNotMatch"),
        "{}",
        server.logs()
    );
    assert!(!server.logs().contains("another-key"));
    assert_eq!(storage.objects(), Vec::<String>::new());
    let projects = format!("/workspaces/{workspace}/projects");
    assert_eq!(ada.get(&projects).await.ok()["items"], json!([]));
    let check = async |server: &Server| {
        let (_, told, error) = server.cli(&["doctor", "--json"], "").await;
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{error}"));
        let all = told["checks"].as_array().unwrap();
        all.iter()
            .find(|check| check["name"] == "objects")
            .unwrap()
            .clone()
    };
    let found = check(&server).await;
    assert_eq!(found["ok"], false, "{found}");
    assert!(
        found["found"]
            .as_str()
            .unwrap()
            .contains("SignatureDoesNotMatch"),
        "{found}"
    );

    let right = storage.of(Server::builder()).start().await;
    let found = check(&right).await;
    assert_eq!(found["ok"], true, "{found}");
    assert_eq!(storage.objects(), Vec::<String>::new());
}

#[tokio::test]
async fn a_row_that_somebody_changed_names_nothing_outside_of_its_workspace() {
    let storage = Storage::start();
    let outside = storage.bucket().join("outside.zip");
    let other = storage.bucket().join("optidev/wsp_other/prj_other.zip");
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    for file in [&outside, &other] {
        std::fs::write(file, zip(&[("stolen.txt", b"stolen")])).unwrap();
    }
    for server in [
        storage.of(Server::builder()).start().await,
        Server::start().await,
    ] {
        let ada = owner(&server).await;
        let workspace = ada.workspace().await;
        let container = running(&ada).await;
        let beside = server.data_dir().join("objects/outside.zip");
        std::fs::write(&beside, zip(&[("stolen.txt", b"stolen")])).unwrap();
        for key in [
            "../outside.zip".to_owned(),
            "outside.zip".to_owned(),
            format!("{workspace}/../outside.zip"),
            format!("{workspace}/../../outside.zip"),
            format!("{workspace}/..%2Foutside.zip"),
            "wsp_other/prj_other.zip".to_owned(),
            format!("{workspace}/../wsp_other/prj_other.zip"),
            beside.display().to_string(),
        ] {
            let made = import(&ada, &workspace, "Mine", zip(&[("a.txt", b"a")])).await;
            let id = made.expect(201).json()["id"].as_str().unwrap().to_owned();
            server
                .execute(&format!(
                    "UPDATE project SET object_key = '{key}' WHERE name = 'Mine'"
                ))
                .await;
            let checkout = format!("{container}/projects/{id}");
            ada.put(&checkout, &json!({}))
                .await
                .problem(500, "internal");
            ada.delete(&format!("/workspaces/{workspace}/projects/{id}"))
                .await
                .expect(204);
        }
        assert!(outside.exists() && other.exists() && beside.exists());
    }
}

#[tokio::test]
async fn an_installation_without_a_place_for_archives_says_so() {
    let server = Server::builder()
        .set("objects.kind", "\"none\"")
        .start()
        .await;
    let ada = owner(&server).await;
    let workspace = ada.workspace().await;
    let refused = import(&ada, &workspace, "X", zip(&[("a.txt", b"a")])).await;
    let refused = refused.problem(409, "conflict");
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.contains("git address") && detail.contains("[objects]"),
        "{detail}"
    );
    assert!(
        server
            .anonymous()
            .get("//readyz")
            .await
            .ok()
            .get("objects")
            .is_none()
    );
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named_before_the_start() {
    let storage = Storage::start();
    let server = storage.of(Server::builder()).start().await;
    let check = async |key: &str, value: &str| {
        let mut command = server.command();
        let name = format!("OPTIDEV_{}", key.to_uppercase().replace('.', "__"));
        command
            .env(name, value)
            .args(["config", "check", "--data-dir"]);
        let output = command.arg(server.data_dir()).output().await.unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), said)
    };
    assert!(check("objects.region", "\"auto\"").await.0);
    for (key, value, words) in [
        (
            "objects.s3_endpoint",
            "\"http://s.example.com\"",
            "allow_http",
        ),
        (
            "objects.s3_endpoint",
            "\"s.example.com\"",
            "objects.s3_endpoint",
        ),
        (
            "objects.secret_access_key_file",
            "\"/nowhere/key\"",
            "/nowhere/key",
        ),
        ("objects.ca_file", "\"/nowhere/ca\"", "objects.ca_file"),
        ("objects.prefix", "\"../up\"", "prefix"),
        ("objects.kind", "\"disk\"", "kind = \"s3\""),
        ("objects.buckett", "\"x\"", "did you mean \"bucket\"?"),
    ] {
        let (taken, said) = check(key, value).await;
        assert!(!taken && said.contains(words), "{key} = {value}: {said}");
    }
    assert!(!server.logs().contains(KEY_ID));
}
