//! `optidev vault rotate-master`: beside a serving server, broken off anywhere, and by who may not.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use optidev::vault::{Binding, VaultClient, VaultError, WrappedKey};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::json;

use super::harness::{Vault, binding, value};
use crate::containers::{running, sh};
use crate::identity::Browser;
use crate::members::signed_in;
use crate::support::api::Api;
use crate::support::server::{Owner, Server};

const EMAIL: &str = "ada@example.com";
const ROTATE: [&str; 3] = ["vault", "rotate-master", "--copied"];

/// A server with an owner, a few workspaces, and a secret of each tier in each.
struct World {
    server: Server,
    owner: Owner,
    api: Api,
    workspaces: Vec<String>,
}

impl World {
    async fn start() -> Self {
        let server = Server::start().await;
        let owner = server.create_owner(EMAIL).await;
        let api = server.api(EMAIL, "all").await;
        let mut world = Self {
            workspaces: vec![owner.workspace_id.clone()],
            server,
            owner,
            api,
        };
        for number in 0..5 {
            world.add_workspace(&format!("more {number}")).await;
        }
        for workspace in &world.workspaces {
            for tier in ["visible", "masked", "sensitive"] {
                let path = format!("/workspaces/{workspace}/secrets/{}", tier.to_uppercase());
                let set = json!({"tier": tier, "value": format!("{tier} of {workspace}")});
                world.api.put(&path, &set).await.expect(200);
            }
        }
        world
    }

    async fn add_workspace(&mut self, name: &str) {
        let path = format!("/organizations/{}/workspaces", self.owner.organization_id);
        let made = self.api.post(&path, &json!({"name": name})).await;
        let made = made.expect(201).json();
        self.workspaces
            .push(made["id"].as_str().unwrap().to_owned());
    }

    async fn rotate(&self) -> String {
        let (status, said, error) = self.server.cli(&ROTATE, "").await;
        assert!(status.success(), "{said}{error}");
        said
    }

    fn master(&self) -> std::path::PathBuf {
        self.server.data_dir().join("vault/master")
    }

    fn vault(&self) -> VaultClient {
        VaultClient::new(self.server.data_dir().join("run/vault.sock"))
    }

    async fn roots(&self) -> Vec<u32> {
        let status = self.vault().status().await.unwrap();
        status.root_keys.iter().map(|root| root.number).collect()
    }

    /// Everything that was set is there, and the audit log is whole.
    async fn all_opens(&self) {
        for workspace in &self.workspaces {
            let path = format!("/workspaces/{workspace}/secrets");
            let listed = self.api.get(&path).await.ok();
            let items = listed["items"].as_array().unwrap();
            let shown = items.iter().find(|item| item["name"] == "VISIBLE");
            if let Some(shown) = shown {
                assert_eq!(shown["value"], format!("visible of {workspace}"));
            }
        }
        let (status, said, error) = self.server.cli(&["verify", "audit"], "").await;
        assert!(status.success(), "{said}{error}");
    }
}

/// Which root key each workspace's key is under. An envelope names it in the last bytes of its head.
async fn roots_in(server: &Server) -> Vec<u32> {
    let database = open(server.data_dir()).await;
    let rows = wrapped_keys(&database).await;
    database.close().await.unwrap();
    rows.iter()
        .map(|(_, key)| optidev::vault::server::root_number(key).unwrap())
        .collect()
}

async fn open(data_dir: &Path) -> DatabaseConnection {
    let file = data_dir.join("database/optidev.db");
    Database::connect(format!("sqlite://{}", file.display()))
        .await
        .unwrap()
}

async fn wrapped_keys(database: &DatabaseConnection) -> Vec<(Vec<u8>, Vec<u8>)> {
    let query = "SELECT id, wrapped_key FROM workspace ORDER BY id";
    let rows = database
        .query_all_raw(Statement::from_string(
            database.get_database_backend(),
            query,
        ))
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            (
                row.try_get_by_index(0).unwrap(),
                row.try_get_by_index(1).unwrap(),
            )
        })
        .collect()
}

/// Reveals a masked secret and delivers to the running container until it is told to stop; answers how often, and fails at the
/// first that is refused.
async fn reveal_and_deliver(api: Api, mut browser: Browser, stop: Arc<AtomicBool>) -> u32 {
    let workspace = api.workspace().await;
    let secrets = format!("/workspaces/{workspace}/secrets");
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        let reveal = format!("{secrets}/MASKED/reveal");
        let (status, shown) = browser.api("POST", &reveal, None).await;
        assert_eq!(status, 200, "{shown}");
        assert!(shown.contains(&format!("masked of {workspace}")), "{shown}");
        let to = json!({"containers": "mine"});
        let told = api.post(&format!("{secrets}/deliver"), &to).await.ok();
        assert_eq!(told["items"][0]["outcome"], "delivered", "{told}");
        rounds += 1;
        // The vault counts what one member reveals in a minute.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rounds
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_is_rotated_under_load_and_nothing_fails() {
    let mut world = World::start().await;
    let mut browser = signed_in(&world.server, EMAIL).await;
    let container = running(&world.api).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..6)
        .map(|number| {
            let (api, stop) = (world.api.clone(), Arc::clone(&stop));
            let (done, failed) = (Arc::clone(&done), Arc::clone(&failed));
            let workspace = world.workspaces[number].clone();
            let organization = world.owner.organization_id.clone();
            tokio::spawn(async move {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    let secrets = format!("/workspaces/{workspace}/secrets");
                    let answer = match round % 3 {
                        0 => api.get(&secrets).await,
                        1 => {
                            let set = json!({"tier": "masked", "value": format!("round {round}")});
                            api.put(&format!("{secrets}/LOAD"), &set).await
                        }
                        // New workspaces meanwhile are fine.
                        _ if number == 0 && round < 60 => {
                            let path = format!("/organizations/{organization}/workspaces");
                            api.post(&path, &json!({"name": format!("during {round}")}))
                                .await
                        }
                        _ => api.get("/me").await,
                    };
                    let counter = if answer.status < 300 { &done } else { &failed };
                    if answer.status >= 300 {
                        eprintln!("{} {}", answer.status, answer.text());
                    }
                    counter.fetch_add(1, Ordering::Relaxed);
                    round += 1;
                }
            })
        })
        .collect();
    let people = tokio::spawn(reveal_and_deliver(
        world.api.clone(),
        browser.clone(),
        Arc::clone(&stop),
    ));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let said = world.rotate().await;
    assert!(said.contains("done in"), "{said}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert!(
        people.await.unwrap() > 3,
        "hardly anything was revealed meanwhile"
    );
    assert_eq!(failed.load(Ordering::Relaxed), 0, "operations failed");
    assert!(done.load(Ordering::Relaxed) > 50, "{done:?}");
    assert_eq!(world.roots().await, [2]);
    if !world.server.on_postgres() {
        assert!(roots_in(&world.server).await.iter().all(|root| *root == 2));
    }
    world.all_opens().await;
    // The keyed hashes of what is signed in are what they were.
    assert_eq!(browser.get("/account").await.0, 200);
    let told = world.server.cli(&["verify", "audit", "--json"], "").await.1;
    assert!(told.contains("\"wrong\":0"), "{told}");
    world.add_workspace("afterwards").await;
    world.server.terminate().await;
    world.server.start_again().await;
    world.all_opens().await;
    assert_eq!(browser.get("/account").await.0, 200);
    running(&world.api).await;
    let said = sh(&world.api, &container, "printf %s \"$SENSITIVE\"").await;
    assert_eq!(
        said["stdout"],
        format!("sensitive of {}", world.owner.workspace_id)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_off_anywhere_it_is_finished_by_the_next_run() {
    let world = World::start().await;
    let kept = world.server.data_dir().join("vault/master");
    let mut highest = 1;
    for round in 0..20_u64 {
        let mut child = world
            .server
            .command()
            .args(ROTATE)
            .arg("--data-dir")
            .arg(world.server.data_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From before it has begun until after the old root key is gone.
        tokio::time::sleep(Duration::from_millis(20 + round * 61 % 1300)).await;
        let _ = child.start_kill();
        child.wait().await.unwrap();
        // Whatever the moment: what is stored opens, and the file is one that the vault takes.
        world.all_opens().await;
        let roots = world.roots().await;
        assert!((1..=2).contains(&roots.len()), "{roots:?}");
        assert!(
            *roots.last().unwrap() >= highest,
            "never an older one: {roots:?}"
        );
        highest = *roots.last().unwrap();
    }
    world.rotate().await;
    let roots = world.roots().await;
    assert_eq!(roots.len(), 1, "{roots:?}");
    assert!(roots[0] > 1);
    world.all_opens().await;
    let names: Vec<_> = std::fs::read_dir(kept.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("master"))
        .collect();
    assert_eq!(names, ["master"], "nothing is left beside it");
    assert_eq!(std::fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn without_a_server_it_is_rotated_all_the_same_and_the_old_master_opens_nothing() {
    let mut world = World::start().await;
    if world.server.on_postgres() {
        return;
    }
    let old = std::fs::read(world.master()).unwrap();
    let before = {
        let database = open(world.server.data_dir()).await;
        wrapped_keys(&database).await
    };
    world.server.terminate().await;
    world.rotate().await;
    let after = {
        let database = open(world.server.data_dir()).await;
        wrapped_keys(&database).await
    };
    assert_ne!(before, after);
    // A vault with the old master, over the same installation.
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    put("master", &old);
    let install = std::fs::read(world.master().with_file_name("install-id")).unwrap();
    put("install-id", &install);
    let record = folder.path().join("record.jsonl");
    let vault = Vault::start_in(folder, record, &[]).await;
    let client = vault.client();
    for ((id, old), (_, new)) in before.into_iter().zip(after) {
        let id: [u8; 16] = id.try_into().unwrap();
        client.rewrap(id, &WrappedKey(old)).await.unwrap();
        let key = WrappedKey(new);
        let refused = client.rewrap(id, &key).await;
        assert_eq!(refused, Err(VaultError::DoesNotDecrypt));
        let bound = Binding {
            workspace: id,
            ..binding(optidev::vault::Tier::Visible)
        };
        let refused = client.seal(&key, &bound, value("anything")).await;
        assert_eq!(refused, Err(VaultError::DoesNotDecrypt));
    }
    world.server.start_again().await;
    world.all_opens().await;
    assert_eq!(world.roots().await, [2]);
}

#[tokio::test]
async fn a_master_of_another_owner_or_mode_is_not_touched() {
    let world = World::start().await;
    let master = world.master();
    let before = std::fs::read(&master).unwrap();
    let refused = async |part: &str| {
        let (status, said, error) = world.server.cli(&ROTATE, "").await;
        assert!(!status.success(), "{said}");
        assert!(error.contains(part), "{error}");
        assert_eq!(std::fs::read(&master).unwrap(), before);
        assert_eq!(world.roots().await, [1]);
    };
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(&master, mode(0o640)).unwrap();
    refused("chmod 600").await;
    std::fs::set_permissions(&master, mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&master, Some(12_345), None).unwrap();
        refused("belongs to user 12345").await;
        std::os::unix::fs::chown(&master, Some(0), None).unwrap();
    }
    // Another file than the one that the vault runs with.
    let other = tempfile::tempdir().unwrap();
    let named = other.path().join("master");
    std::fs::write(&named, format!("1 {}\n", "5a".repeat(32))).unwrap();
    std::fs::set_permissions(&named, mode(0o600)).unwrap();
    std::fs::copy(
        master.with_file_name("install-id"),
        other.path().join("install-id"),
    )
    .unwrap();
    let mut command = world.server.command();
    command.env("OPTIDEV_VAULT__MASTER_FILE", &named);
    let output = command
        .args(ROTATE)
        .arg("--data-dir")
        .arg(world.server.data_dir())
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("other root keys"),
        "{error}"
    );
    assert_eq!(world.roots().await, [1]);
}
