//! The nine steps of the main job in a browser (tests/e2e), against the installation.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};

use crate::e2e::{Place, conversation, nine_steps, no_secret_in};
use crate::support::egress::Registry;
use crate::support::installed::{Container, Installed};
use crate::support::objects::Storage;
use crate::support::upstream::Upstream;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn the_nine_steps_in_a_browser() {
    let installed = Installed::given();
    let registry = Relay::to_the_registry(&installed.host_ip).await;
    let address = format!("{}:{}", installed.host_ip, installed.upstream_port);
    let storage = Storage::start_at(&installed.host_ip, installed.objects_port);
    let upstream = Upstream::with_turns_at(&address, conversation()).await;
    let mut place = InCluster { installed };
    nine_steps(&mut place, &upstream, "e2e-cluster").await;
    let label = "app.kubernetes.io/component=web";
    let logs = ["logs", "-l", label, "--all-containers", "--tail=-1"];
    no_secret_in(&place.installed.kubectl(&logs), &upstream);
    // Both archives of the second step: whichever server took them, the one that opened them found them here.
    assert_eq!(storage.objects().len(), 2, "{:?}", storage.objects());
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
        self.installed.cli(&set, key);
    }

    /// The registry may have a certificate that only this machine's own list of authorities knows; and the dev image's Node.js, which is
    /// Debian 12's, is too old for the project.
    async fn ready_for_npm(&mut self) {
        let api = self.installed.api_of("ada@example.com");
        let workspace = api.workspace().await;
        let container = Container::running(&api, &workspace).await;
        let authorities = std::fs::read("/etc/ssl/certs/ca-certificates.crt").unwrap();
        let settings =
            "cafile=/home/dev/.authorities.crt\nfund=false\naudit=false\nupdate-notifier=false\n";
        for (name, content) in [
            (".authorities.crt", authorities),
            (".npmrc", settings.into()),
        ] {
            let path = format!("{}/files/{name}", container.path);
            api.put_bytes(&path, content).await.ok();
        }
        container.sh("npm install -g node@22").await;
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
