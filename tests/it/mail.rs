//! Mail by SMTP over TLS: what is sent, and that nothing is said to whom is not the configured server.

use std::time::Duration;

use optidev::clients::mail::{MailError, Mailer};
use optidev::config::{MailConfig, MailTls};
use serde_json::json;

use crate::containers::owner;
use crate::support::mail::{MailServer, Secured};
use crate::support::server::Server;

const SOON: Duration = Duration::from_secs(10);
const SIGN_IN: (&str, &str) = ("optidev", "mail password 42");

/// Settings for `server`; the files are in `folder`.
fn settings(server: &MailServer, tls: MailTls, folder: &std::path::Path) -> MailConfig {
    let (ca, password) = (folder.join("ca.pem"), folder.join("password"));
    std::fs::write(&ca, server.ca_pem()).unwrap();
    std::fs::write(&password, format!("{}\n", SIGN_IN.1)).unwrap();
    MailConfig {
        smtp_host: "localhost".to_owned(),
        smtp_port: server.port(),
        tls,
        ca_file: Some(ca),
        username: SIGN_IN.0.to_owned(),
        password_file: Some(password),
        from: "OptiDev <optidev@example.com>".to_owned(),
        ..MailConfig::default()
    }
}

async fn send(config: &MailConfig) -> Result<(), MailError> {
    let mailer = Mailer::new(config).unwrap().unwrap();
    let text = "Words for one person.".to_owned();
    mailer.send("new@example.com", "Hello", text).await
}

#[tokio::test]
async fn mail_goes_over_tls_after_signing_in() {
    let folder = tempfile::TempDir::new().unwrap();
    for (secured, tls) in [
        (Secured::Starttls, MailTls::Starttls),
        (Secured::Implicit, MailTls::Implicit),
    ] {
        let server = MailServer::secured(secured, "localhost", SIGN_IN).await;
        send(&settings(&server, tls, folder.path())).await.unwrap();
        let mail = server.next(SOON).await;
        assert!(mail.contains("Words for one person."), "{tls:?}: {mail}");
        assert!(!server.heard_in_the_clear().contains("AUTH"), "{tls:?}");
    }
}

#[tokio::test]
async fn nothing_is_said_to_a_server_that_cannot_show_who_it_is() {
    let folder = tempfile::TempDir::new().unwrap();
    for (secured, tls) in [
        (Secured::Starttls, MailTls::Starttls),
        (Secured::Implicit, MailTls::Implicit),
    ] {
        // Nobody whom this machine trusts has signed it.
        let server = MailServer::secured(secured, "localhost", SIGN_IN).await;
        let mut config = settings(&server, tls, folder.path());
        config.ca_file = None;
        assert!(send(&config).await.is_err(), "{tls:?}: unknown authority");
        server.got_nothing();
        // Signed, and for somebody else.
        let server = MailServer::secured(secured, "mail.example.com", SIGN_IN).await;
        let config = settings(&server, tls, folder.path());
        assert!(send(&config).await.is_err(), "{tls:?}: another name");
        server.got_nothing();
    }
    // TLS was taken out of what the server offers: no mail in the clear instead.
    let server = MailServer::start().await;
    let mut config = settings(&server, MailTls::Starttls, folder.path());
    config.ca_file = None;
    assert!(send(&config).await.is_err());
    server.got_nothing();
}

#[tokio::test]
async fn a_wrong_password_sends_nothing_and_the_link_is_shown() {
    let folder = tempfile::TempDir::new().unwrap();
    let mail = MailServer::secured(Secured::Implicit, "localhost", SIGN_IN).await;
    let config = settings(&mail, MailTls::Implicit, folder.path());
    let file = |path: &Option<std::path::PathBuf>| format!("{:?}", path.as_deref().unwrap());
    let set = |password: &str| {
        std::fs::write(config.password_file.as_deref().unwrap(), password).unwrap();
        Server::builder()
            .set("mail.smtp_host", "\"localhost\"")
            .set("mail.smtp_port", mail.port().to_string())
            .set("mail.tls", "\"implicit\"")
            .set("mail.ca_file", file(&config.ca_file))
            .set("mail.username", format!("{:?}", SIGN_IN.0))
            .set("mail.password_file", file(&config.password_file))
            .set("mail.from", "\"OptiDev <optidev@example.com>\"")
    };
    let invite = json!({"email": "new@example.com", "role": "user"});
    let server = set("wrong password").start().await;
    let ada = owner(&server).await;
    let invitations = format!("/workspaces/{}/invitations", ada.workspace().await);
    let made = ada.post(&invitations, &invite).await.expect(201).json();
    assert_eq!(made["sent"], false, "{made}");
    assert!(made["link"].is_string() && made["notice"].is_string());
    assert!(!made.to_string().contains("wrong password"));
    mail.got_nothing();
    drop(server);
    let server = set(SIGN_IN.1).start().await;
    let ada = owner(&server).await;
    let invitations = format!("/workspaces/{}/invitations", ada.workspace().await);
    let made = ada.post(&invitations, &invite).await.expect(201).json();
    assert_eq!(made["sent"], true, "{made}");
    assert!(mail.next(SOON).await.contains("/invitations/"));
}
