//! An installation by scripts/cluster-install, its pods, its accounts and their containers. OPTIDEV_INSTALLED names the file that the
//! script wrote.

mod node;
mod people;
pub mod preview;
pub mod unguarded;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::Value;

use super::api::{Api, Way};
use super::processes;

pub use people::Container;

/// What scripts/cluster-install wrote.
#[derive(Debug, Clone, Deserialize)]
pub struct Installed {
    pub url: String,
    pub host: String,
    pub apps_domain: String,
    pub ca_file: String,
    pub node_ip: String,
    /// This machine, as pods reach it.
    pub host_ip: String,
    /// Where on this machine the installation expects the AI provider.
    pub upstream_port: u16,
    /// And object storage.
    pub objects_port: u16,
    pub namespace: String,
    pub release: String,
    pub values_file: String,
    pub kubeconfig: String,
    /// The command of the cluster's kit.
    pub kit: String,
    /// Absent before there is anybody.
    pub workspace: Option<String>,
    /// Makes the first account, once.
    pub sign_in: Option<String>,
    /// By who: `owner`, `user`.
    pub tokens: BTreeMap<String, String>,
    /// The image of those who choose none.
    pub dev_image: String,
    /// An image that may be chosen and whose user is root.
    pub root_image: String,
}

impl Installed {
    pub fn given() -> Self {
        let file = std::env::var("OPTIDEV_INSTALLED")
            .expect("OPTIDEV_INSTALLED names no file: scripts/cluster-install writes one");
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    fn tls(&self) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&self.ca_file).unwrap();
        roots.add(certificate).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// The API without a token, by the node's port: Kubernetes chooses the replica of each connection.
    pub fn anonymous(&self) -> Api {
        let port = url::Url::parse(&self.url).unwrap().port().unwrap();
        self.at(SocketAddr::new(self.node_ip.parse().unwrap(), port))
    }

    fn at(&self, address: SocketAddr) -> Api {
        let tls = self.tls();
        Api::by_way(&self.url, Way { address, tls })
    }

    /// The API as `owner` or `user`.
    pub fn api(&self, who: &str) -> Api {
        self.anonymous().with_token(&self.tokens[who])
    }

    /// The same, of one replica, for WebSockets: the address in requests stays the installation's.
    pub fn api_at(&self, who: &str, replica: &Pod) -> Api {
        let address = SocketAddr::new(replica.address.parse().unwrap(), 8080);
        self.at(address).with_token(&self.tokens[who])
    }

    /// `kubectl` in the installation's namespace; answers what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.run("kubectl", &[&["-n", &self.namespace], arguments].concat())
    }

    /// `helm` likewise.
    pub fn helm(&self, arguments: &[&str]) -> String {
        self.run("helm", &[&["-n", &self.namespace], arguments].concat())
    }

    /// Runs `program` with the cluster's KUBECONFIG, to a good end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.feed(program, arguments, "")
    }

    /// Whether `program` comes to a good end.
    pub fn ends(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        command.status().unwrap().success()
    }

    /// As [`Self::run`], with `input` to read.
    pub fn feed(&self, program: &str, arguments: &[&str], input: &str) -> String {
        let mut child = Command::new(program)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} does not start: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The pods with this label that are not going away; `place` is `-A` for all namespaces.
    fn pods(&self, place: &[&str], label: &str) -> Vec<Pod> {
        let get = ["get", "pods", "-l", label, "-o", "json"];
        let listed = self.run("kubectl", &[&get, place].concat());
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let pods = listed["items"].as_array().unwrap().iter();
        pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
            .map(|pod| Pod {
                name: text(&pod["metadata"]["name"]),
                uid: text(&pod["metadata"]["uid"]),
                address: text(&pod["status"]["podIP"]),
            })
            .collect()
    }

    /// The servers.
    pub fn replicas(&self) -> Vec<Pod> {
        let label = format!(
            "app.kubernetes.io/instance={},app.kubernetes.io/component=web",
            self.release
        );
        self.pods(&["-n", &self.namespace], &label)
    }

    /// The pod of a container.
    pub fn pod_of(&self, container: &str) -> Option<Pod> {
        let label = format!("optidev.dev/container={container}");
        self.pods(&["-A"], &label).pop()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub address: String,
}

impl Pod {
    /// The pod's process whose command line contains `part`. The kit's node is a process of this machine, so its containers' are, too.
    pub fn process(&self, part: &str) -> u32 {
        let cgroup = [self.uid.clone(), self.uid.replace('-', "_")];
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .find(|pid| {
                processes::command(*pid).contains(part)
                    && std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
                        .is_ok_and(|groups| cgroup.iter().any(|uid| groups.contains(uid)))
            })
            .unwrap_or_else(|| panic!("{} has no process {part:?}", self.name))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
