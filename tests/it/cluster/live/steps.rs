//! The nine steps of the main job in a browser (tests/e2e), against the installation.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};

use super::{Installed, shell};
use crate::e2e::{Place, conversation, nine_steps, no_secret_in};
use crate::support::egress::Registry;
use crate::support::upstream::Upstream;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_nine_steps_in_a_browser() {
    let installed = Installed::given();
    let registry = Relay::to_the_registry(&installed.host_ip).await;
    let address = format!("{}:{}", installed.host_ip, installed.upstream_port);
    let upstream = Upstream::with_turns_at(&address, conversation()).await;
    let mut place = InCluster { installed };
    nine_steps(&mut place, &upstream, "e2e-cluster").await;
    let label = "app.kubernetes.io/component=web";
    let logs = ["logs", "-l", label, "--all-containers", "--tail=-1"];
    no_secret_in(&place.installed.kubectl(&logs), &upstream);
    drop(registry);
}

struct InCluster {
    installed: Installed,
}

impl Place for InCluster {
    fn sign_in(&self) -> String {
        self.installed
            .sign_in
            .clone()
            .expect("somebody was made already: install with OPTIDEV_PEOPLE=none")
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let Installed {
            host,
            node_ip,
            ca_file,
            apps_domain,
            ..
        } = self.installed.clone();
        let certificate = CertificateDer::from_pem_file(&ca_file).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        let hash = STANDARD.encode(Sha256::digest(parsed.public_key().raw));
        vec![
            ("E2E_ADDRESS", node_ip),
            ("E2E_DOMAIN", host),
            ("E2E_APPS_DOMAIN", apps_domain),
            ("E2E_KEY_HASH", hash),
            ("E2E_PODS", "yes".to_owned()),
            ("NODE_EXTRA_CA_CERTS", ca_file),
        ]
    }

    /// Nothing mounts a file with it: the vault is given it, for all servers.
    async fn give_key(&mut self, key: &str) {
        let set = [
            "vault",
            "credential",
            "set",
            "upstream_ai_key",
            "--value-stdin",
        ];
        self.installed.server_cli(&set, key);
    }

    /// The registry may have a certificate that only this machine's own list of authorities knows; and the dev image's Node.js, which is
    /// Debian 12's, is too old for the project.
    async fn ready_for_npm(&mut self) {
        let api = self.installed.api_of("ada@example.com").await;
        let workspace = api.workspace().await;
        let listed = api
            .get(&format!("/workspaces/{workspace}/containers"))
            .await
            .ok();
        let container = listed["items"][0]["id"].as_str().unwrap();
        let path = format!("/workspaces/{workspace}/containers/{container}");
        let files = format!("{path}/files");
        let authorities = std::fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap();
        api.put_bytes(&format!("{files}/.authorities.crt"), authorities)
            .await
            .ok();
        let settings =
            b"cafile=/home/dev/.authorities.crt\nfund=false\naudit=false\nupdate-notifier=false\n";
        api.put_bytes(&format!("{files}/.npmrc"), settings.to_vec())
            .await
            .ok();
        shell(&api, &path, "npm install -g node@22").await;
    }

    async fn restart(&mut self) {
        let deployment = format!("deployment/{}", self.installed.release);
        self.installed.kubectl(&["rollout", "restart", &deployment]);
        self.installed
            .kubectl(&["rollout", "status", &deployment, "--timeout=120s"]);
    }
}

/// npm's registry at this machine's address in the cluster, where the cluster's DNS has its name; the bytes are left as they are.
struct Relay(tokio::task::JoinHandle<()>);

impl Relay {
    async fn to_the_registry(host_ip: &str) -> Self {
        let url = url::Url::parse(&Registry::of_this_machine().url).unwrap();
        let (name, port) = (
            url.host_str().unwrap().to_owned(),
            url.port_or_known_default().unwrap(),
        );
        let found = tokio::net::lookup_host((name, port)).await.unwrap();
        let there: SocketAddr = found.into_iter().find(SocketAddr::is_ipv4).unwrap();
        let listener = TcpListener::bind((host_ip, port)).await.unwrap();
        Self(tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(there).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        }))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Installed {
    /// The API with a new token of somebody's.
    async fn api_of(&self, email: &str) -> crate::support::api::Api {
        let token = [
            "admin", "token", "--user", email, "--scopes", "all", "--json",
        ];
        let made: Value = serde_json::from_str(&self.server_cli(&token, "")).unwrap();
        self.anonymous().with_token(made["token"].as_str().unwrap())
    }

    /// A command beside a running server; answers what it printed.
    fn server_cli(&self, arguments: &[&str], input: &str) -> String {
        let deployment = format!("deployment/{}", self.release);
        let mut command = Command::new("kubectl")
            .args([
                "-n",
                &self.namespace,
                "exec",
                "-i",
                &deployment,
                "-c",
                "web",
                "--",
            ])
            .arg("/usr/bin/optidev")
            .args(arguments)
            .args(["--config", "/etc/optidev/optidev.toml"])
            .args(["--data-dir", "/var/lib/optidev/data"])
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        command
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = command.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "optidev {arguments:?}: {}",
            output.status
        );
        String::from_utf8(output.stdout).unwrap()
    }
}
