//! What the tests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{ListParams, PostParams};
use optidev::clients::cluster::*;
use serde_json::json;

/// As the chart marks what a release "optidev" in the namespace "optidev" makes.
pub const INSTALL: &str = "optidev.optidev";

pub struct Lab {
    pub admin: kube::Client,
    pub cluster: Cluster,
}

pub fn controllers_config() -> PathBuf {
    std::env::var_os("OPTIDEV_LAB_KUBECONFIG")
        .expect("scripts/cluster-lab prepares the cluster")
        .into()
}

pub fn settings() -> Settings {
    Settings {
        install: INSTALL.to_owned(),
        release_namespace: "optidev".to_owned(),
        web_labels: [
            ("app.kubernetes.io/name", "optidev"),
            ("app.kubernetes.io/instance", "optidev"),
            ("app.kubernetes.io/component", "web"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into(),
        server: Server::Service {
            name: "optidev-agents".to_owned(),
            port: 7444,
        },
        server_port: 7444,
        agent_port: 7443,
        agent_image: "localhost/agent:1".to_owned(),
        authority_pem: "-----BEGIN CERTIFICATE-----".to_owned(),
        environment: [("HOSTS".to_owned(), ".apps.example.com".to_owned())].into(),
        probes: Arc::new(|facts| {
            json!({ "allowed": facts.server, "api": facts.api_server }).to_string()
        }),
        storage_class: Some("lab".to_owned()),
        runtime_class: None,
        overhead: Overhead::default(),
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_secrets: Vec::new(),
        pod_security_level: "restricted".to_owned(),
        uid: 10_000,
        host_users: None,
        allow_tags: true,
        free_namespaces: true,
    }
}

pub async fn controller() -> Cluster {
    with(settings()).await
}

pub async fn with(settings: Settings) -> Cluster {
    let access = Access::Kubeconfig {
        path: controllers_config(),
        context: None,
    };
    Cluster::connect(settings, access).await.unwrap()
}

pub async fn lab() -> Lab {
    Lab {
        admin: kube::Client::try_default().await.unwrap(),
        cluster: controller().await,
    }
}

pub fn class() -> Class {
    Class {
        name: "small".to_owned(),
        cpu_request_milli: 20,
        cpu_limit_milli: 500,
        memory_mib: 64,
        ephemeral_mib: 128,
        volume_gib: 1,
        gpu: None,
    }
}

/// A container with a volume of its own.
pub struct Box_ {
    pub id: String,
    pub namespace: String,
    pub directory: PathBuf,
}

impl Lab {
    /// A new container; its volume is a directory of this machine.
    pub async fn container(&self) -> Box_ {
        let bytes = std::fs::read("/proc/sys/kernel/random/uuid").unwrap();
        let rest: String = bytes
            .iter()
            .filter(|byte| byte.is_ascii_hexdigit())
            .take(26)
            .map(|&byte| char::from(byte))
            .collect();
        let id = format!("ctr_{rest}");
        let namespace = namespace_of(&id).unwrap();
        let directory = PathBuf::from(format!("/tmp/lab-volumes/{rest}"));
        // The home folder, and beside it the agent's own state.
        let home = directory.join("home");
        std::fs::create_dir_all(&home).unwrap();
        for folder in [&directory, &home] {
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(folder, open).unwrap();
        }
        let volume: PersistentVolume = serde_json::from_value(json!({
            "metadata": { "name": format!("lab-{rest}") },
            "spec": {
                "storageClassName": "lab", "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete", "hostPath": { "path": directory },
                "claimRef": { "namespace": namespace, "name": "home" },
            },
        }))
        .unwrap();
        Api::all(self.admin.clone())
            .create(&PostParams::default(), &volume)
            .await
            .unwrap();
        Box_ {
            id,
            namespace,
            directory,
        }
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.admin.clone(), namespace)
    }

    pub async fn pod(&self, container: &Box_) -> Option<Pod> {
        self.api::<Pod>(&container.namespace)
            .get_opt("dev")
            .await
            .unwrap()
    }

    pub async fn namespace(&self, container: &Box_) -> Option<Namespace> {
        Api::all(self.admin.clone())
            .get_opt(&container.namespace)
            .await
            .unwrap()
    }

    pub async fn volume(&self, container: &Box_) -> Option<PersistentVolume> {
        let name = container.namespace.replace("od-", "lab-");
        Api::all(self.admin.clone()).get_opt(&name).await.unwrap()
    }

    pub async fn policies(&self, container: &Box_) -> Vec<String> {
        let listed = self
            .api::<NetworkPolicy>(&container.namespace)
            .list(&ListParams::default())
            .await
            .unwrap();
        listed
            .items
            .into_iter()
            .map(|policy| policy.metadata.name.unwrap())
            .collect()
    }

    /// What must hold at any moment.
    pub async fn check(&self, container: &Box_) {
        // The pod first: policies that are there afterwards may be younger, but nothing removes them here.
        if self.pod(container).await.is_some() {
            let policies = self.policies(container).await;
            assert!(policies.len() >= 2, "a pod with only {policies:?}");
        }
    }

    /// Begins to remove it: a namespace takes ten seconds to go.
    pub async fn discard(&self, container: &Box_) {
        let deleted = container.wanted(WantedState::Deleted);
        until(&self.cluster, &deleted, |seen| {
            matches!(seen.phase, Phase::Terminating | Phase::Gone)
        })
        .await;
    }

    pub async fn remove(&self, container: &Box_) {
        drive(
            &self.cluster,
            &container.wanted(WantedState::Deleted),
            Phase::Gone,
        )
        .await;
    }
}

impl Box_ {
    pub fn wanted(&self, state: WantedState) -> Wanted {
        Wanted {
            container: self.id.clone(),
            workspace: "wsp_01hzy3v9k2m4n6p8q0r2s4t6vx".to_owned(),
            owner: "usr_01hzy3v9k2m4n6p8q0r2s4t6vy".to_owned(),
            state,
        }
    }

    pub fn running(&self, number: u64) -> Wanted {
        self.start(number, |_| {})
    }

    pub fn start(&self, number: u64, change: impl FnOnce(&mut Start)) -> Wanted {
        let mut start = Start {
            number,
            token: optidev::kernel::SecretString::new("hunter2".to_owned()),
            enrolled: false,
            class: class(),
            image: "localhost/dev:1".to_owned(),
            work: Work::Agent,
        };
        change(&mut start);
        self.wanted(WantedState::Running(Box::new(start)))
    }

    pub fn stopped(&self, keep_namespace: bool) -> Wanted {
        self.wanted(WantedState::Stopped { keep_namespace })
    }

    /// How often the agent has started with this volume.
    pub fn starts(&self) -> usize {
        std::fs::read_to_string(self.directory.join("home/starts"))
            .map_or(0, |text| text.lines().count())
    }
}

/// Looks again and again until `phase`.
pub async fn drive(cluster: &Cluster, wanted: &Wanted, phase: Phase) -> Observed {
    until(cluster, wanted, |observed| observed.phase == phase).await
}

pub async fn until(
    cluster: &Cluster,
    wanted: &Wanted,
    is_it: impl Fn(&Observed) -> bool,
) -> Observed {
    let end = Instant::now() + Duration::from_secs(90);
    let mut last = None;
    loop {
        match cluster.converge(wanted).await {
            Ok(observed) => {
                if last.as_ref() != Some(&observed) {
                    tracing::info!(?observed);
                }
                if is_it(&observed) {
                    return observed;
                }
                let wait = observed.look_again.unwrap_or(Duration::from_secs(1));
                last = Some(observed);
                tokio::time::sleep(wait.min(Duration::from_millis(150))).await;
            }
            Err(ClusterError::NotLeader) => panic!("killed"),
            Err(error) => {
                eprintln!("{error}: {:?}", std::error::Error::source(&error));
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        assert!(Instant::now() < end, "never so: {last:?}");
    }
}
