//! A thousand containers on nodes that kwok plays: the real `optidev controller` with PostgreSQL and a real API server, where
//! only the kubelet is not real. No agent ever comes, so a container is as far as it gets when its pod is up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Node, PersistentVolume};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use optidev::clients::cluster::namespace_of;
use optidev::kernel::{Clock, ContainerId, Rng};
use serde_json::json;

use super::lab::{INSTALL, controllers_config};
use crate::support::free_port;
use crate::support::postgres::{Database, Postgres};

const CONTROLLER: &str = "optidev_controller";
/// What a caller of the API may do at a time here.
const AT_ONCE: usize = 32;

/// `OPTIDEV_LAB_CONTAINERS`, else a thousand.
fn how_many() -> usize {
    std::env::var("OPTIDEV_LAB_CONTAINERS").map_or(1000, |count| count.parse().unwrap())
}

#[ignore = "needs a cluster with fake nodes: cluster kwok up 10"]
#[tokio::test]
async fn a_thousand_containers_start_and_are_put_right_again_when_all_drift_at_once() {
    let admin = kube::Client::try_default().await.unwrap();
    let count = how_many();
    room(&admin, count).await;
    let postgres = Postgres::start();
    postgres.sql(&format!("CREATE ROLE {CONTROLLER} LOGIN"));
    let database = postgres.empty_database();
    let url = database.url_of(CONTROLLER);
    let migrated = database
        .migrate_command()
        .env("OPTIDEV_DATABASE__CONTROLLER_URL", &url)
        .status();
    assert!(migrated.unwrap().success());
    let ids = rows(&database, count);
    let home = Homes(admin.clone(), ids);
    home.make().await;

    let folder = tempfile::tempdir().unwrap();
    let before = Calls::now(&admin).await;
    let begun = Instant::now();
    let controller = Controller::start(folder.path(), &url);
    let limit = Duration::from_secs(120 + count as u64 / 2);
    controller
        .until_up(&database, count, begun + limit, |_| {})
        .await;
    let took = begun.elapsed();
    let calls = before.until(&Calls::now(&admin).await);
    said("start", count, took, &calls, controller.pid());
    // Generous: a look too many for each container, or one at a time, is far above it.
    assert!(calls.controllers < 80 * count as u64, "{calls:?}");

    // Quiet: nothing is asked for and nothing changes, so there is nothing to say.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let before = Calls::now(&admin).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let calls = before.until(&Calls::now(&admin).await);
    eprintln!(
        "quiet: {} calls of the controller in 10 s",
        calls.controllers
    );
    // Everything is looked at anew in the course of five minutes, which is 7 calls for each container.
    assert!(calls.controllers < 40 + count as u64, "{calls:?}");

    let before = Calls::now(&admin).await;
    let begun = Instant::now();
    let dropped = policies(&admin).await;
    assert_eq!(dropped.len(), count);
    home.each(|_, namespace| {
        let api: Api<NetworkPolicy> = Api::namespaced(admin.clone(), &namespace);
        async move {
            api.delete("default-deny", &DeleteParams::default())
                .await
                .unwrap();
        }
    })
    .await;
    let deleted = begun.elapsed();
    let mut cut_off = 0;
    let back = loop {
        cut_off = cut_off.max(phases(&database).remove("unprotected").unwrap_or_default());
        let now = policies(&admin).await;
        let fresh = now
            .iter()
            .filter(|(namespace, uid)| dropped.get(*namespace) != Some(uid));
        if fresh.count() == count {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < limit, "policies are missing");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    controller
        .until_up(&database, count, begun + limit, |phases| {
            cut_off = cut_off.max(phases.get("unprotected").copied().unwrap_or_default());
        })
        .await;
    let took = begun.elapsed();
    let calls = before.until(&Calls::now(&admin).await);
    eprintln!(
        "drift: all deleted after {deleted:?}, all back after {back:?}; cut off at a time: {cut_off}"
    );
    said("drift", count, took, &calls, controller.pid());
    assert!(
        cut_off > 0,
        "nobody was cut off while its policy was missing"
    );
    // What is deleted is put right while the rest is being deleted.
    assert!(
        back < deleted + Duration::from_secs(10 + count as u64 / 20),
        "{back:?}"
    );
    let peak = peak_mib(controller.pid());
    assert!(peak < 400, "{peak} MiB");
    drop(controller);
    home.remove().await;
}

fn said(what: &str, count: usize, took: Duration, calls: &Calls, pid: u32) {
    eprintln!(
        "{what}: {count} containers in {:.1} s; the controller made {} calls ({:.1} for each container), all together {}; \
         its memory was at most {} MiB",
        took.as_secs_f64(),
        calls.controllers,
        calls.controllers as f64 / count as f64,
        calls.all,
        peak_mib(pid),
    );
}

fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

/// The fake nodes have room for that many pods; they say nothing of their disks, which the pods ask for.
async fn room(admin: &kube::Client, count: usize) {
    let nodes: Api<Node> = Api::all(admin.clone());
    let fake = ListParams::default().labels("type=kwok");
    let names: Vec<String> = nodes
        .list(&fake)
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|node| node.metadata.name.unwrap())
        .collect();
    assert!(
        names.len() * 110 >= count,
        "{} fake nodes have no room for {count} pods: cluster kwok up {}",
        names.len(),
        count.div_ceil(110)
    );
    for name in names {
        let disk = json!({ "ephemeral-storage": "1Ti" });
        let change = json!({ "status": { "capacity": disk, "allocatable": disk } });
        nodes
            .patch_status(&name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .unwrap();
    }
}

/// Containers that are wanted running, as servers write them.
fn rows(database: &Database<'_>, count: usize) -> Vec<ContainerId> {
    let ids: Vec<ContainerId> = (0..count)
        .map(|_| ContainerId::new(&Clock::system(), &Rng))
        .collect();
    // Nothing here looks at a workspace, so there is none: its foreign keys are left out for this session.
    let mut statement = String::from("SET session_replication_role = replica; BEGIN;\n");
    let workspace = "'018f3b9a-0000-7000-8000-000000000001'";
    for id in &ids {
        let (id, owner) = (id.uuid(), ContainerId::new(&Clock::system(), &Rng).uuid());
        write!(
            statement,
            "INSERT INTO container (workspace_id, id, owner_id, wanted, generation, state, steps, created_at_ms) \
             VALUES ({workspace}, '{id}', '{owner}', 'running', 1, 'starting', '[]', 0);\n\
             INSERT INTO pod (workspace_id, container_id, owner_id, wanted, class, image, asked, asked_at_ms, changed, seen, \
             attempt, attempt_for, phase, permanent, out_of_memory, freed, observed_at_ms) \
             VALUES ({workspace}, '{id}', '{owner}', 'running', 'small', 'localhost/dev:1', 1, 0, 1, 0, 0, 0, 'preparing', \
             false, false, false, 0);\n"
        )
        .unwrap();
    }
    statement
        .push_str("INSERT INTO authority VALUES (1, '-----BEGIN CERTIFICATE-----', 0); COMMIT;");
    let mut session = database.session().spawn().unwrap();
    std::io::Write::write_all(session.stdin.as_mut().unwrap(), statement.as_bytes()).unwrap();
    drop(session.stdin.take());
    assert!(session.wait().unwrap().success());
    assert_eq!(
        database.sql("SELECT count(*) FROM pod"),
        count.to_string(),
        "rows were refused"
    );
    ids
}

/// How many rows there are of each phase.
fn phases(database: &Database<'_>) -> BTreeMap<String, usize> {
    let said = database.sql("SELECT phase, count(*) FROM pod GROUP BY phase");
    let each = said.lines().filter_map(|line| line.split_once('|'));
    each.map(|(phase, count)| (phase.to_owned(), count.parse().unwrap()))
        .collect()
}

/// The uid of each namespace's `default-deny`.
async fn policies(admin: &kube::Client) -> BTreeMap<String, String> {
    // Other installations may have left containers in the same cluster.
    let ours = ListParams::default()
        .fields("metadata.name=default-deny")
        .labels(&format!("optidev.dev/install={INSTALL}"));
    let listed = Api::<NetworkPolicy>::all(admin.clone())
        .list_metadata(&ours)
        .await
        .unwrap();
    let each = listed.items.into_iter().map(|policy| policy.metadata);
    each.filter(|meta| {
        meta.namespace
            .as_deref()
            .is_some_and(|name| name.starts_with("od-"))
    })
    .map(|meta| (meta.namespace.unwrap(), meta.uid.unwrap()))
    .collect()
}

/// The volumes, for no provisioner makes them here.
struct Homes(kube::Client, Vec<ContainerId>);

impl Homes {
    /// Does something for each container, with its number and its namespace.
    async fn each<F: Future<Output = ()>>(&self, what: impl Fn(usize, String) -> F) {
        stream::iter(self.1.iter().enumerate())
            .map(|(number, id)| what(number, namespace_of(&id.to_string()).unwrap()))
            .buffer_unordered(AT_ONCE)
            .collect::<()>()
            .await;
    }

    async fn make(&self) {
        let volumes: Api<PersistentVolume> = Api::all(self.0.clone());
        self.each(|_, namespace| {
            let volume: PersistentVolume = serde_json::from_value(json!({
                "metadata": { "name": namespace.replace("od-", "scale-") },
                "spec": {
                    "storageClassName": "lab", "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": { "path": "/nowhere" },
                    "claimRef": { "namespace": namespace, "name": "home" },
                },
            }))
            .unwrap();
            let volumes = volumes.clone();
            async move {
                volumes
                    .create(&PostParams::default(), &volume)
                    .await
                    .unwrap();
            }
        })
        .await;
    }

    /// Everything is going away; a thousand namespaces take a while.
    async fn remove(&self) {
        let spaces: Api<Namespace> = Api::all(self.0.clone());
        let volumes: Api<PersistentVolume> = Api::all(self.0.clone());
        self.each(|_, namespace| {
            let (spaces, volumes) = (spaces.clone(), volumes.clone());
            async move {
                let how = DeleteParams::default();
                spaces.delete(&namespace, &how).await.unwrap();
                let volume = namespace.replace("od-", "scale-");
                volumes.delete(&volume, &how).await.unwrap();
            }
        })
        .await;
    }
}

/// `optidev controller`; ends with this value.
struct Controller(Child);

impl Controller {
    fn start(folder: &std::path::Path, url: &str) -> Self {
        let config = folder.join("optidev.toml");
        let text = format!(
            r#"
                [runtime]
                kind = "kubernetes"
                [log]
                level = "warn"
                [database]
                url = "{url}"
                [kubernetes]
                kubeconfig = "{}"
                install = "{INSTALL}"
                namespace = "optidev"
                service = "optidev-agents"
                lease = "optidev-controller"
                agent_image = "localhost/agent:1"
                images = ["localhost/dev:1"]
                allow_tags = true
                storage_class = "lab"
                free_namespaces_after_hours = 0
                health_listen = "127.0.0.1:{}"
                default_class = "small"
                [kubernetes.web_labels]
                "app.kubernetes.io/name" = "optidev"
                "app.kubernetes.io/instance" = "optidev"
                "app.kubernetes.io/component" = "web"
                [kubernetes.node_selector]
                type = "kwok"
                [[kubernetes.tolerations]]
                key = "kwok"
                operator = "Exists"
                [kubernetes.classes.small]
                cpu_request_milli = 20
                cpu_limit_milli = 500
                memory_mib = 64
                ephemeral_mib = 128
                volume_gib = 1
            "#,
            controllers_config().display(),
            free_port()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_optidev"));
        command
            .args(["controller", "--config"])
            .arg(config)
            .stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    async fn until_up(
        &self,
        database: &Database<'_>,
        count: usize,
        end: Instant,
        mut look: impl FnMut(&BTreeMap<String, usize>),
    ) {
        let mut said = Instant::now();
        loop {
            let phases = phases(database);
            look(&phases);
            if phases.get("up") == Some(&count) {
                return;
            }
            if said.elapsed() > Duration::from_secs(5) {
                eprintln!("{phases:?}");
                said = Instant::now();
            }
            assert!(Instant::now() < end, "{phases:?}, {}", {
                database.sql("SELECT phase, reason, count(*) FROM pod GROUP BY phase, reason")
            });
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls that the API server has answered.
#[derive(Debug)]
struct Calls {
    all: u64,
    /// Of accounts of pods: in this cluster the controller's alone works.
    controllers: u64,
}

impl Calls {
    async fn now(admin: &kube::Client) -> Self {
        let request = axum::http::Request::get("/metrics")
            .body(Vec::new())
            .unwrap();
        let text = admin.request_text(request).await.unwrap();
        let sum = |name: &str, label: &str| {
            text.lines()
                .filter(|line| line.starts_with(name) && line.contains(label))
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
                .sum::<f64>() as u64
        };
        Self {
            all: sum("apiserver_request_total{", ""),
            controllers: sum(
                "apiserver_flowcontrol_dispatched_requests_total{",
                "flow_schema=\"service-accounts\"",
            ),
        }
    }

    fn until(&self, later: &Self) -> Self {
        Self {
            all: later.all - self.all,
            controllers: later.controllers - self.controllers,
        }
    }
}
