//! Vault, redactor and server as three users, as on Kubernetes: who is given what. Needs root.

use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::ask;
use crate::support::api::Api;
use crate::support::server::{Builder, Server};
use crate::support::upstream::Upstream;
use crate::vault::apart::{Apart, SERVER, SHARED};
use crate::vault::attack::{attacks, is_root};

const REDACTOR: u32 = 64_305;
const VALUE: &str = "sk_live_51Hq8Zt0Yx9";

struct Three {
    apart: Apart,
    redactor: Child,
}

impl Drop for Three {
    fn drop(&mut self) {
        let _ = self.redactor.kill();
        let _ = self.redactor.wait();
    }
}

impl Three {
    /// The vault knows the redactor by its user, unless it is told another one's.
    fn start(known: u32) -> Self {
        let mut apart = Apart::new();
        apart.start_vault_by(&[], &[format!("--redactor-uid={known}")]);
        apart.folder_of(REDACTOR, SHARED, 0o2750, "redactor");
        let redactor = apart
            .as_user(REDACTOR, apart.path("optidev").to_str().unwrap())
            .args(["redactor", "--require-hardening"])
            .arg(format!("--client-uid={SERVER}"))
            .arg("--socket")
            .arg(apart.path("redactor/redactor.sock"))
            .arg("--vault")
            .arg(apart.path("socket/vault.sock"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let three = Self { apart, redactor };
        for socket in ["socket/vault.sock", "redactor/redactor.sock"] {
            let begun = Instant::now();
            while UnixStream::connect(three.apart.path(socket)).is_err() {
                assert!(begun.elapsed() < Duration::from_secs(20), "{socket}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        three
    }

    /// A server with a person and a secret.
    async fn with_secret(&self, upstream: &Upstream) -> (Server, Api) {
        let server = self.server(upstream).start().await;
        server.create_owner("ada@example.com").await;
        let api = server.api("ada@example.com", "all").await;
        let path = format!("/workspaces/{}/secrets/STRIPE_KEY", api.workspace().await);
        let body = json!({"tier": "sensitive", "value": VALUE});
        api.put(&path, &body).await.expect(200);
        (server, api)
    }

    fn server(&self, upstream: &Upstream) -> Builder {
        let key = self.apart.path("server-key");
        std::fs::write(&key, upstream.key()).unwrap();
        std::os::unix::fs::chown(&key, Some(SERVER), None).unwrap();
        self.apart
            .server(SERVER)
            .set(
                "redactor.socket",
                self.apart
                    .path("redactor/redactor.sock")
                    .display()
                    .to_string(),
            )
            .set("ai.anthropic_base_url", upstream.url())
            .set("ai.anthropic_api_key_file", key.display().to_string())
    }
}

#[tokio::test]
async fn three_users_and_each_gets_what_is_its_own() {
    if !is_root() {
        eprintln!("not root, so these cannot be three users");
        return;
    }
    let mut three = Three::start(REDACTOR);
    let upstream = Upstream::with_turns(Vec::new()).await;
    let (_server, api) = three.with_secret(&upstream).await;
    let text = json!({"model": "m", "messages": [{"role": "user", "content": VALUE}]});
    let text = text.to_string().into_bytes();
    ask(&api, text.clone()).await.expect(200);
    let sent = String::from_utf8(upstream.calls()[0].raw.to_vec()).unwrap();
    assert!(
        sent.contains("$STRIPE_KEY") && !sent.contains(VALUE),
        "{sent}"
    );

    // The server's user looks into neither, and others are answered by neither.
    let pid = three.redactor.id();
    let tried = attacks(three.apart.path("").as_path(), Some(SERVER), pid);
    assert_eq!(tried.len(), 13);
    for (name, possible) in tried {
        assert!(!possible, "{name} is possible");
    }
    let probe = |uid| {
        three.apart.run(
            uid,
            &["redactor", "--alive", "--socket"],
            "redactor/redactor.sock",
        )
    };
    assert!(probe(REDACTOR).status.success());
    assert!(probe(SERVER).status.success());

    // Without the redactor nothing goes out.
    three.redactor.kill().unwrap();
    three.redactor.wait().unwrap();
    let answer = ask(&api, text).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(upstream.calls().len(), 1);
}

#[tokio::test]
async fn a_redactor_that_the_vault_does_not_know_learns_nothing() {
    if !is_root() {
        eprintln!("not root, so these cannot be three users");
        return;
    }
    let three = Three::start(REDACTOR + 1);
    let upstream = Upstream::with_turns(Vec::new()).await;
    let (_server, api) = three.with_secret(&upstream).await;
    assert_eq!(ask(&api, b"{}".to_vec()).await.status, 503);
    assert_eq!(upstream.calls().len(), 0);
}

#[test]
fn server_and_redactor_are_not_one_user() {
    let output = std::process::Command::new(crate::vault::harness::OPTIDEV)
        .args(
            "vault serve --socket s --client-uid 7 --redactor-uid 7 --master-file m --state-dir d"
                .split(' '),
        )
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("--redactor-uid and --client-uid are both 7"),
        "{said}"
    );
}
