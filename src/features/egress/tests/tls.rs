//! TLS through the proxy: only to the host that was asked for.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::host::{Host, Target};
use super::super::refusal::Refusal;
use super::super::{client_hello, tunnel};
use super::{all, egress, head, open, who};

/// What a tunnel to port 443 does with what the client sends first; gives what the server received, and the outcome.
async fn through_443(first: &[u8], host: &str) -> (Vec<u8>, Result<(), Refusal>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    near.write_all(first).await.unwrap();
    near.shutdown().await.unwrap();
    let target = Target {
        host: Host::parse(host).unwrap(),
        port: 443,
    };
    let client = tokio::spawn(async move { tunnel::run(far, upstream, &target, || ()).await });
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    server.shutdown().await.unwrap();
    let mut back = Vec::new();
    near.read_to_end(&mut back).await.unwrap();
    (received, client.await.unwrap(), back)
}

#[tokio::test]
async fn tls_goes_to_the_host_that_was_asked_for_only() {
    let hello = client_hello::tests::real("registry.npmjs.org");
    let (received, outcome, _) = through_443(&hello, "registry.npmjs.org").await;
    assert_eq!((received, outcome), (hello.clone(), Ok(())));

    let nameless = client_hello::tests::real("127.0.0.1");
    for (first, reason) in [
        (
            client_hello::tests::real("evil.example"),
            "other_server_name",
        ),
        (nameless.clone(), "no_server_name"),
        (
            b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n".to_vec(),
            "not_tls",
        ),
        (b"SSH-2.0-OpenSSH_9\r\n".to_vec(), "not_tls"),
        (hello.get(..60).unwrap().to_vec(), "not_tls"),
        (Vec::new(), "not_tls"),
    ] {
        let (received, outcome, back) = through_443(&first, "registry.npmjs.org").await;
        assert_eq!(outcome.unwrap_err().reason(), reason);
        assert!(
            received.is_empty(),
            "{reason}: the destination got {} bytes",
            received.len()
        );
        assert_eq!(
            back,
            [21, 3, 3, 0, 2, 2, 49],
            "{reason}: the client is told by an alert"
        );
    }
    // To a listed address there is no name to send.
    let (received, outcome, _) = through_443(&nameless, "192.0.2.1").await;
    assert_eq!((received, outcome), (nameless, Ok(())));
}

/// CONNECT through the whole proxy to a real TLS server, by name.
#[tokio::test]
async fn a_tls_connection_works_end_to_end_and_its_name_is_held_to_on_any_port() {
    let key = rcgen::generate_simple_self_signed(vec![
        "tls.example".to_owned(),
        "evil.example".to_owned(),
    ])
    .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut bytes = Vec::new();
                // Half close: the client has finished, and still gets its answer.
                stream.read_to_end(&mut bytes).await.unwrap();
                bytes.reverse();
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
            });
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let egress = egress(
        &[format!("tls.example:{port}")],
        &["127.0.0.0/8"],
        &[("tls.example", "127.0.0.1")],
    );
    let who = who();
    let connect = async |name: &'static str| {
        let mut stream = open(&egress, who);
        let request =
            format!("CONNECT tls.example:{port} HTTP/1.1\r\nhost: tls.example:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
        connector
            .connect(
                rustls::pki_types::ServerName::try_from(name).unwrap(),
                stream,
            )
            .await
    };
    let mut tls = connect("tls.example").await.unwrap();
    tls.write_all(b"olleh").await.unwrap();
    tls.shutdown().await.unwrap();
    assert_eq!(all(&mut tls).await, "hello");
    let error = connect("evil.example").await.err().unwrap().to_string();
    assert!(error.contains("AccessDenied"), "{error}");
    let decisions: Vec<_> = egress
        .decided_here(who.container)
        .into_iter()
        .map(|one| one.reason)
        .collect();
    assert_eq!(decisions, ["other_server_name", "listed"]);
}
