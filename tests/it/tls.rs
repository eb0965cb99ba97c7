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

/// A certificate for `localhost` and its key, in files of their own.
fn certificate(folder: &std::path::Path, name: &str) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = [
        ("crt", made.cert.pem()),
        ("key", made.signing_key.serialize_pem()),
    ];
    files.map(|(ending, text)| {
        let file = folder.join(format!("{name}.{ending}"));
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    })
}

#[tokio::test]
async fn a_given_certificate_is_served_and_no_other_is_made() {
    let folder = tempfile::TempDir::new().unwrap();
    let [given, key] = certificate(folder.path(), "given");
    let [other, _] = certificate(folder.path(), "other");
    let server = Server::builder()
        .set("tls.enabled", "true")
        .set("tls.certificate_file", &given)
        .set("tls.key_file", &key)
        .spawn();
    let url = format!("https://localhost:{}/readyz", server.port());
    eventually("an answer over TLS", Duration::from_secs(20), || async {
        let (done, text) = curl(&["--cacert", &given, &url]);
        (done && text.contains("\"ready\"")).then_some(())
    })
    .await;
    assert!(
        !curl(&["--cacert", &other, &url]).0,
        "another certificate is served"
    );
    assert!(
        !server
            .data_dir()
            .join("tls")
            .join("self-signed.crt")
            .exists()
    );
}

#[tokio::test]
async fn certificates_that_cannot_be_served_are_explained() {
    let folder = tempfile::TempDir::new().unwrap();
    let [first, first_key] = certificate(folder.path(), "first");
    let [_, second_key] = certificate(folder.path(), "second");
    let absent = folder
        .path()
        .join("absent.pem")
        .to_str()
        .unwrap()
        .to_owned();
    let text = folder.path().join("text.pem").to_str().unwrap().to_owned();
    std::fs::write(&text, "no PEM").unwrap();
    for (certificate, key, parts) in [
        (&first, &second_key, ["certificate", "do not fit together"]),
        (&absent, &first_key, ["certificate_file", &absent]),
        (&first, &absent, ["key_file", &absent]),
        (&text, &first_key, ["certificate_file", &text]),
        (&first, &text, ["key_file", &text]),
    ] {
        let (status, said) = Server::builder()
            .set("tls.enabled", "true")
            .set("tls.certificate_file", certificate)
            .set("tls.key_file", key)
            .start_and_fail()
            .await;
        assert!(!status.success(), "{certificate} with {key}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
    }
}

/// An authority, and a client's certificate of it: its files, and the client's.
fn client_certificate(folder: &std::path::Path, name: &str) -> (String, [String; 2]) {
    let write = |ending: &str, text: String| {
        let file = folder.join(format!("{name}.{ending}"));
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (key, mut params) = (
        rcgen::KeyPair::generate().unwrap(),
        rcgen::CertificateParams::new(Vec::new()).unwrap(),
    );
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let client_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["proxy".to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client = params.signed_by(&client_key, &issuer).unwrap();
    let files = [
        write("crt", client.pem()),
        write("key", client_key.serialize_pem()),
    ];
    (write("ca", authority.pem()), files)
}

#[tokio::test]
async fn only_the_proxy_in_front_is_answered_when_its_certificate_is_demanded() {
    let folder = tempfile::TempDir::new().unwrap();
    let [given, key] = certificate(folder.path(), "given");
    let (authority, [proxy, proxy_key]) = client_certificate(folder.path(), "proxy");
    let (_, [stranger, stranger_key]) = client_certificate(folder.path(), "stranger");
    let server = Server::builder()
        .set("tls.enabled", "true")
        .set("tls.certificate_file", &given)
        .set("tls.key_file", &key)
        .set("tls.client_ca_file", &authority)
        .spawn();
    let origin = format!("https://localhost:{}", server.port());
    let ask = |path: &str, more: &[&str]| {
        let url = format!("{origin}{path}");
        curl(&[&["--cacert", &given, &url], more].concat())
    };
    eventually(
        "health, without a certificate",
        Duration::from_secs(20),
        || async { ask("/readyz", &[]).1.contains("\"ready\"").then_some(()) },
    )
    .await;
    let own = ["--cert", &proxy, "--key", &proxy_key];
    let foreign = ["--cert", &stranger, "--key", &stranger_key];
    assert!(ask("/api/v1/me", &own).1.contains("unauthenticated"));
    assert!(!ask("/readyz", &foreign).0, "another authority's");
    for path in ["/api/v1/me", "/", "/readyz/../api/v1/me", "/setup?code=x"] {
        for version in ["--http1.1", "--http2"] {
            let (_, text) = ask(path, &["--path-as-is", version]);
            assert!(
                text.contains("through the proxy in front"),
                "{path}: {text}"
            );
        }
    }
    // Names of previews are no way around it.
    let preview = ["--header", "host: 80--00000000000000000000000000.localhost"];
    assert!(ask("/", &preview).1.contains("through the proxy in front"));
    assert!(ask("/readyz", &preview).1.contains("\"ready\""));
}

#[tokio::test]
async fn a_demand_for_certificates_that_cannot_be_is_explained() {
    let folder = tempfile::TempDir::new().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let [given, key] = certificate(folder.path(), "given");
    for (tls, file, said) in [
        ("false", given.as_str(), "enabled"),
        ("true", "/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("true", empty.to_str().unwrap(), "no certificate in PEM"),
    ] {
        let (status, text) = Server::builder()
            .set("tls.enabled", tls)
            .set("tls.certificate_file", &given)
            .set("tls.key_file", &key)
            .set("tls.client_ca_file", file)
            .start_and_fail()
            .await;
        assert!(!status.success());
        assert!(
            text.contains("client_ca_file") && text.contains(said),
            "{text}"
        );
    }
}
