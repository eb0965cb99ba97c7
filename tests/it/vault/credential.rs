//! Credentials of the installation that were given to the vault on the host.

use reqwest::Method;
use serde_json::json;

use crate::containers::owner;
use crate::support::api::Api;
use crate::support::mail::{MailServer, Secured};
use crate::support::server::Server;
use crate::support::upstream::{Turn, Upstream};

const PASSWORD: &str = "mail password 42";

async fn run(server: &Server, arguments: &[&str], input: &str) -> (bool, String) {
    let all = [&["vault", "credential"], arguments].concat();
    let (status, said, error) = server.cli(&all, input).await;
    (status.success(), said + &error)
}

async fn ask(api: &Api) -> u16 {
    let question =
        json!({"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]});
    let request = api
        .request(Method::POST, "//ai/v1/messages")
        .header("anthropic-version", "2023-06-01")
        .json(&question);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn the_upstream_key_is_given_on_the_host_and_opens_for_its_purpose_alone() {
    let turns = (0..4).map(|_| Turn::text("hello")).collect();
    let upstream = Upstream::with_turns(turns).await;
    let server = Server::builder()
        .set("ai.anthropic_base_url", upstream.url())
        .start()
        .await;
    let api = owner(&server).await;
    assert_eq!(ask(&api).await, 503, "none is there yet");
    let set = ["set", "upstream_ai_key", "--value-stdin"];
    let (done, said) = run(&server, &set, upstream.key()).await;
    assert!(done && !said.contains(upstream.key()), "{said}");
    assert_eq!(ask(&api).await, 200);
    assert_eq!(
        upstream.message_calls()[0].header("x-api-key"),
        upstream.key()
    );
    let (done, said) = run(&server, &["list"], "").await;
    assert!(done && said.contains("upstream_ai_key anthropic"), "{said}");
    assert!(!said.contains(upstream.key()), "{said}");
    let (done, said) = server_rotates(&server).await;
    assert!(done, "{said}");
    assert_eq!(ask(&api).await, 200);
    // The same ciphertext in another purpose's row.
    let other = ["set", "smtp", "--name", "anthropic", "--value-stdin"];
    let (done, said) = run(&server, &other, PASSWORD).await;
    assert!(done, "{said}");
    server
        .execute("DELETE FROM system_credential WHERE purpose = 'upstream_ai_key'")
        .await;
    server
        .execute("UPDATE system_credential SET purpose = 'upstream_ai_key'")
        .await;
    let before = upstream.calls().len();
    assert!(ask(&api).await >= 500);
    assert_eq!(upstream.calls().len(), before, "nothing was sent");
    let (done, said) = run(&server, &["set", "everything", "--value-stdin"], "x").await;
    assert!(!done && said.contains("is no purpose"), "{said}");
    let (done, said) = run(&server, &["delete", "upstream_ai_key"], "").await;
    assert!(done, "{said}");
    assert_eq!(ask(&api).await, 503);
    let (done, said) = run(&server, &["delete", "upstream_ai_key"], "").await;
    assert!(!done && said.contains("no credential"), "{said}");
}

async fn server_rotates(server: &Server) -> (bool, String) {
    let (status, said, error) = server
        .cli(&["vault", "rotate-master", "--copied"], "")
        .await;
    (status.success(), said + &error)
}

#[tokio::test]
async fn the_mail_servers_password_is_given_on_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let mail = MailServer::secured(Secured::Starttls, "localhost", ("optidev", PASSWORD)).await;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, mail.ca_pem()).unwrap();
    let server = Server::builder()
        .set("mail.smtp_host", "\"localhost\"")
        .set("mail.smtp_port", mail.port().to_string())
        .set("mail.ca_file", ca.to_str().unwrap())
        .set("mail.username", "\"optidev\"")
        .set("mail.from", "\"OptiDev <optidev@example.com>\"")
        .start()
        .await;
    let api = owner(&server).await;
    let invitations = format!("/workspaces/{}/invitations", api.workspace().await);
    let invite = async |email: &str| {
        let body = json!({"email": email, "role": "user"});
        api.post(&invitations, &body).await.expect(201).json()
    };
    assert_eq!(invite("one@example.com").await["sent"], false);
    let (done, said) = run(&server, &["set", "smtp", "--value-stdin"], PASSWORD).await;
    assert!(done, "{said}");
    assert_eq!(invite("two@example.com").await["sent"], true);
    mail.next(std::time::Duration::from_secs(10)).await;
}
