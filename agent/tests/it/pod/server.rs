//! The server's port for agents, as far as agents see it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use optidev_agent::identity::{
    EGRESS_ALPN, ENROL_ALPN, ENROL_PATH, EnrolRequest, RENEW_PATH, RenewRequest, SERVER_NAME,
    container_name,
};
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::authority::{Authority, DAY, Life};
use super::{CONTAINER, Pod, TOKEN};

/// How a server behaves; what it saw.
pub struct Behaviour {
    pub life: Life,
    pub next_life: Life,
    /// Whose certificates it gives out.
    pub name: String,
    /// Answered before anything else.
    pub statuses: VecDeque<u16>,
    pub token: Option<String>,
    pub enrolments: Vec<EnrolRequest>,
    /// The certificates that renewals came with, and their requests.
    pub renewals: Vec<(CertificateDer<'static>, RenewRequest)>,
    pub config: Arc<ServerConfig>,
}

pub struct Server {
    pub behaviour: Arc<Mutex<Behaviour>>,
    serving: tokio::task::JoinHandle<()>,
}

const ALPN: [&[u8]; 2] = [ENROL_ALPN, EGRESS_ALPN];

impl Server {
    /// One that does all as it should.
    pub async fn start(pod: &Pod) -> Self {
        Self::start_as(pod, &pod.authority, SERVER_NAME, &ALPN).await
    }

    /// One whose certificate is of that authority and name.
    pub async fn start_as(pod: &Pod, of: &Authority, name: &str, alpn: &[&[u8]]) -> Self {
        let config = Arc::new(of.server(of.issue(name, DAY), alpn));
        let behaviour = Arc::new(Mutex::new(Behaviour {
            life: DAY,
            next_life: DAY,
            name: container_name(CONTAINER),
            statuses: VecDeque::new(),
            token: Some(TOKEN.to_owned()),
            enrolments: Vec::new(),
            renewals: Vec::new(),
            config,
        }));
        let listener = TcpListener::bind(pod.server_address()).await.unwrap();
        let (shared, authority) = (Arc::clone(&behaviour), Arc::clone(&pod.authority));
        let serving = tokio::spawn(async move {
            // The connections end with the server.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = TlsAcceptor::from(Arc::clone(&shared.lock().unwrap().config));
                let (shared, authority) = (Arc::clone(&shared), Arc::clone(&authority));
                connections.spawn(async move {
                    if let Ok(stream) = acceptor.accept(socket).await {
                        if stream.get_ref().1.alpn_protocol() == Some(EGRESS_ALPN) {
                            egress(stream).await;
                        } else {
                            enrol(stream, shared, authority).await;
                        }
                    }
                });
            }
        });
        Self { behaviour, serving }
    }

    pub fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    pub fn saw<T>(&self, look: impl FnOnce(&Behaviour) -> T) -> T {
        look(&self.behaviour.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn peer(stream: &TlsStream<TcpStream>) -> Option<CertificateDer<'static>> {
    let chain = stream.get_ref().1.peer_certificates()?;
    chain.first().map(|one| one.clone().into_owned())
}

pub fn has_name(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let name = ServerName::try_from(name).unwrap();
    verify_server_name(&ParsedCertificate::try_from(certificate).unwrap(), &name).is_ok()
}

async fn enrol(
    stream: TlsStream<TcpStream>,
    shared: Arc<Mutex<Behaviour>>,
    authority: Arc<Authority>,
) {
    let certificate = peer(&stream);
    let service = service_fn(|request: Request<Incoming>| {
        let (shared, authority) = (Arc::clone(&shared), Arc::clone(&authority));
        let certificate = certificate.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let mut shared = shared.lock().unwrap();
            let answer = answer(&mut shared, &authority, &path, &body, certificate);
            let (status, body) = answer.unwrap_or_else(|status| {
                (
                    status,
                    json!({"type": "about:blank", "title": "No", "status": status, "code": "no", "detail": "the token was used"}),
                )
            });
            let response = Response::builder().status(status);
            Ok::<_, hyper::Error>(
                response
                    .body(Full::new(Bytes::from(body.to_string())))
                    .unwrap(),
            )
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(
    shared: &mut Behaviour,
    authority: &Authority,
    path: &str,
    body: &[u8],
    certificate: Option<CertificateDer<'static>>,
) -> Result<(u16, serde_json::Value), u16> {
    let (csr, life) = match (path, certificate) {
        (ENROL_PATH, None) => {
            let request: EnrolRequest = serde_json::from_slice(body).unwrap();
            shared.enrolments.push(request.clone());
            if let Some(status) = shared.statuses.pop_front() {
                return Err(status);
            }
            if shared
                .token
                .take_if(|token| *token == request.token)
                .is_none()
            {
                return Err(403);
            }
            assert_eq!(request.container, CONTAINER);
            (request.csr.clone(), shared.life)
        }
        (RENEW_PATH, Some(certificate)) => {
            let request: RenewRequest = serde_json::from_slice(body).unwrap();
            shared.renewals.push((certificate.clone(), request.clone()));
            if let Some(status) = shared.statuses.pop_front() {
                return Err(status);
            }
            assert!(has_name(&certificate, &container_name(CONTAINER)));
            (request.csr, shared.next_life)
        }
        _ => return Err(404),
    };
    let certificate = authority.sign(&csr, &shared.name, life);
    Ok((200, json!({"certificate": certificate})))
}

/// Says who asks, then sends back whatever comes.
async fn egress(mut stream: TlsStream<TcpStream>) {
    let known = peer(&stream).is_some_and(|one| has_name(&one, &container_name(CONTAINER)));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let status = if known { "200 Known" } else { "407 Unknown" };
    let line = format!("HTTP/1.1 {status}\r\n\r\n");
    stream.write_all(line.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}
