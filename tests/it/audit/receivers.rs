//! Receivers for sinks: a webhook over HTTP and syslog over TLS, on fixed ports so that they can go and come back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Fails unless the request was signed with the secret that the sink's maker was shown.
    pub fn assert_signed_with(&self, secret: &str) {
        let key = secret.strip_prefix("whsec_").unwrap();
        let key = BASE64_STANDARD.decode(key).unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.", self.id, self.timestamp).as_bytes());
        mac.update(&self.body);
        let right = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(self.signature, format!("v1,{right}"));
    }

    pub fn seqs(&self) -> Vec<i64> {
        let entries = self.json()["entries"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| entry["seq"].as_i64().unwrap())
            .collect()
    }
}

/// Answers every request with `status`; ends when dropped.
pub struct Webhook {
    pub requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Webhook {
    pub async fn start(port: u16, status: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let request = read(stream, status).await;
                kept.lock().unwrap().push(request);
            }
        });
        Self { requests, task }
    }

    pub fn all(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read(mut stream: TcpStream, status: u16) -> Request {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).await.unwrap();
        assert!(count > 0, "a request broke off");
        bytes.extend_from_slice(&part[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let length: usize = header(&head, "content-length").parse().unwrap();
        if bytes.len() >= end + 4 + length {
            break (head, bytes[end + 4..].to_vec());
        }
    };
    let answer =
        format!("HTTP/1.1 {status} Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    Request {
        id: header(&head, "webhook-id"),
        timestamp: header(&head, "webhook-timestamp"),
        signature: header(&head, "webhook-signature"),
        body,
    }
}

fn header(head: &str, name: &str) -> String {
    let mut lines = head.lines();
    lines
        .find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
        .unwrap_or_default()
}

/// A syslog receiver over TLS with a certificate for `name` from an authority of its own.
pub struct Syslog {
    pub ca_pem: String,
    pub messages: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Syslog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who a syslog receiver is: it keeps that when it goes and comes back.
pub struct Identity {
    pub ca_pem: String,
    acceptor: TlsAcceptor,
}

impl Identity {
    /// A certificate for `name` from an authority of its own.
    pub fn new(name: &str) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self {
            ca_pem: authority.pem(),
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }
}

impl Syslog {
    pub async fn start(port: u16, name: &str) -> Self {
        Self::start_as(port, &Identity::new(name)).await
    }

    pub async fn start_as(port: u16, identity: &Identity) -> Self {
        let acceptor = identity.acceptor.clone();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&messages);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut bytes = Vec::new();
                // A sender that was killed does not close in order, and sends it all again.
                if stream.read_to_end(&mut bytes).await.is_ok() {
                    kept.lock().unwrap().extend(frames(&bytes));
                }
                let _ = stream.shutdown().await;
            }
        });
        Self {
            ca_pem: identity.ca_pem.clone(),
            messages,
            task,
        }
    }

    pub fn all(&self) -> Vec<String> {
        self.messages.lock().unwrap().clone()
    }
}

/// A receiver that answers without end, once it was sent something; ends when dropped.
pub struct Flood {
    pub sent: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Flood {
    /// `greeting` comes first.
    pub async fn start(port: u16, greeting: &'static str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sent);
        let task = tokio::spawn(async move {
            let part = vec![b'x'; 64 * 1024];
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut first = [0; 4096];
                let _ = stream.read(&mut first).await;
                let _ = stream.write_all(greeting.as_bytes()).await;
                while stream.write_all(&part).await.is_ok() {
                    counted.fetch_add(part.len(), Ordering::Relaxed);
                }
            }
        });
        Self { sent, task }
    }

    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

/// Octet counting: a length, a space, and that many bytes (RFC 5425, 4.3.1).
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&bytes[..space])
            .unwrap()
            .parse()
            .unwrap();
        let (message, rest) = bytes[space + 1..].split_at(length);
        found.push(String::from_utf8(message.to_vec()).unwrap());
        bytes = rest;
    }
    found
}
