//! TLS by choice: a certificate of its own, made once; and what is on disk is nobody else's.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use crate::support::eventually;
use crate::support::server::Server;

fn curl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "5"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[tokio::test]
async fn tls_is_served_with_a_certificate_that_is_kept() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut first = None;
    for _ in 0..2 {
        let mut server = Server::builder()
            .set("tls.enabled", "true")
            .data_dir(&data)
            .spawn();
        let certificate = data.join("tls/self-signed.crt");
        let url = format!("https://localhost:{}/readyz", server.port());
        let trusted = ["--cacert", certificate.to_str().unwrap(), &url];
        eventually("an answer over TLS", Duration::from_secs(20), || async {
            let (done, text) = curl(&trusted);
            (done && text.contains("\"ready\"")).then_some(())
        })
        .await;
        assert!(!curl(&[&url]).0, "nobody trusts it without being told");
        assert!(
            !curl(&["--insecure", "--tls-max", "1.1", &url]).0,
            "TLS 1.1 is refused"
        );
        let plain = url.replace("https:", "http:");
        assert!(
            !curl(&[&plain]).1.contains("ready"),
            "plain HTTP gets nothing"
        );
        let link = eventually("the printed link", Duration::from_secs(5), || async {
            server.sign_in_url()
        })
        .await;
        assert!(link.starts_with("https://localhost:"), "{link}");
        let key = std::fs::metadata(data.join("tls/self-signed.key")).unwrap();
        assert_eq!(key.mode() & 0o777, 0o600);
        let kept = std::fs::read(&certificate).unwrap();
        assert_eq!(
            first.get_or_insert_with(|| kept.clone()),
            &kept,
            "made once"
        );
        server.terminate().await;
    }
}

#[tokio::test]
async fn the_data_folder_is_nobody_elses() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let _server = Server::builder().data_dir(&data).start().await;
    assert_eq!(std::fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        std::fs::metadata(data.join("vault/master")).unwrap().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_half_configured_certificate_is_explained() {
    let (status, text) = Server::builder()
        .set("tls.enabled", "true")
        .set("tls.certificate_file", "/nowhere/tls.crt")
        .start_and_fail()
        .await;
    assert!(!status.success());
    assert!(text.contains("key_file"), "{text}");
}
