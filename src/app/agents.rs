//! The port for agents in pods: enrolment, renewal, and their way out.
//!
//! What always holds: TLS 1.3 with the installation's own authority in both directions; the protocol (ALPN) says what a
//! connection is for; whose it is says the name in its certificate, and nothing that is sent. Without a certificate there is
//! nothing but enrolment.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use optidev_agent::identity::{
    BROKER_NAME, CONTAINER_DOMAIN, EGRESS_ALPN, ENROL_ALPN, ENROL_PATH, RENEW_PATH, SERVER_NAME,
};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::ways_out::WaysOut;
use crate::clients::agent::{Broker, Rotating};
use crate::context::Services;
use crate::features::containers::EgressHandler;
use crate::features::containers::pods::{self, Authority, EnrolError};
use crate::kernel::{Code, ContainerId, Problem};

/// A connection that takes longer to shake hands is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A request and its answer.
const REQUEST: Duration = Duration::from_secs(30);
/// Largest body of a request.
const BODY: usize = 64 << 10;
/// The servers' own certificates are good for a day.
const RENEW_OWN: Duration = Duration::from_secs(8 * 3600);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(20);

/// What the port answers with.
pub struct Door {
    services: Services,
    authority: Authority,
    own: Arc<Rotating>,
    ways_out: Arc<WaysOut>,
}

impl Door {
    /// Opens the authority, makes it when there is none, and gets this server its certificates: the one of the port, and the
    /// broker's. Both are renewed until the server shuts down.
    ///
    /// # Errors
    /// When the vault or the database does not answer.
    pub async fn open(services: &Services) -> anyhow::Result<(Self, Broker)> {
        let authority = Authority::open(services).await.map_err(|problem| {
            anyhow::anyhow!("opening the authority of agents: {}", problem.detail)
        })?;
        let broker = keep_own(services, &authority, BROKER_NAME).await?;
        let own = keep_own(services, &authority, SERVER_NAME).await?;
        let roots = roots(&authority)?;
        let broker = Broker::new(roots, broker).context("making the broker's TLS")?;
        let door = Self {
            services: services.clone(),
            authority,
            own,
            ways_out: WaysOut::watched(services),
        };
        Ok((door, broker))
    }

    /// Listens until the server shuts down.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn listen(self, egress: EgressHandler) -> anyhow::Result<SocketAddr> {
        let address = self.services.config.kubernetes.listen;
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("listening on {address} for agents: is it in use? Choose another with [kubernetes] listen")
        })?;
        let bound = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(self.tls()?));
        let door = Arc::new(self);
        let services = door.services.clone();
        services.tasks.clone().spawn(async move {
            let shutdown = services.shutdown.clone();
            loop {
                let accepted = tokio::select! {
                    () = shutdown.cancelled() => break,
                    accepted = listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else {
                    // Out of descriptors: others have to end first.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (door, acceptor, egress) =
                    (Arc::clone(&door), acceptor.clone(), egress.clone());
                let shutdown = shutdown.clone();
                services.tasks.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                    match shaken {
                        Ok(Ok(stream)) => door.answer(stream, &egress, &shutdown).await,
                        Ok(Err(error)) => {
                            tracing::debug!(%error, "a handshake with an agent failed")
                        }
                        Err(_) => {}
                    }
                });
            }
        });
        Ok(bound)
    }

    fn tls(&self) -> anyhow::Result<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(roots(&self.authority)?);
        let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .allow_unauthenticated()
            .build()?;
        let own: Arc<dyn rustls::server::ResolvesServerCert> = Arc::clone(&self.own) as _;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(own);
        config.alpn_protocols = vec![ENROL_ALPN.to_vec(), EGRESS_ALPN.to_vec()];
        // A resumed session would skip the look at the certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    async fn answer(
        self: Arc<Self>,
        stream: TlsStream<TcpStream>,
        egress: &EgressHandler,
        shutdown: &CancellationToken,
    ) {
        let session = stream.get_ref().1;
        let peer = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .and_then(|certificate| container_of(certificate));
        let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
        match (protocol.as_deref(), peer) {
            (Some(ENROL_ALPN), peer) => {
                let service = service_fn(|request| {
                    let door = Arc::clone(&self);
                    async move { Ok::<_, Infallible>(door.respond(request, peer).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HANDSHAKE)
                    .serve_connection(TokioIo::new(stream), service);
                let _ = tokio::time::timeout(REQUEST, connection).await;
            }
            (Some(EGRESS_ALPN), Some(id)) => {
                // Entered first: what happens to the container from here on is seen.
                let way = self.ways_out.enter(id);
                // The row is asked for each connection: a container that is not wanted any more has no way out.
                let Ok(Some(who)) = pods::present(&self.services, id).await else {
                    tracing::warn!(container = %id, "a container that is not wanted running has no way out");
                    return;
                };
                let work = egress(who, Box::new(stream));
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = way.cut() => {}
                    () = work => {}
                }
            }
            _ => tracing::debug!("a connection to the port for agents named no protocol or nobody"),
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: Option<ContainerId>,
    ) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let (services, authority) = (&self.services, &self.authority);
        let answered = match (&parts.method, parts.uri.path(), peer) {
            (&Method::POST, ENROL_PATH, None) => match read(body).await {
                Ok(request) => pods::enrol(services, authority, &request).await,
                Err(problem) => Err(problem.into()),
            },
            (&Method::POST, RENEW_PATH, Some(id)) => match read(body).await {
                Ok(request) => pods::renew(services, authority, id, &request).await,
                Err(problem) => Err(problem.into()),
            },
            _ => Err(Problem::new(Code::NotFound, "There is no such thing here.").into()),
        };
        match answered {
            Ok(issued) => json(StatusCode::OK, &issued),
            Err(EnrolError::Refused) => {
                let detail = EnrolError::Refused.to_string();
                problem(&Problem::new(Code::Forbidden, detail))
            }
            Err(EnrolError::Problem(told)) => problem(&told),
        }
    }
}

/// A certificate of this server's own, renewed until it shuts down.
async fn keep_own(
    services: &Services,
    authority: &Authority,
    name: &'static str,
) -> anyhow::Result<Arc<Rotating>> {
    let own = Arc::new(Rotating::default());
    renew_own(authority, name, &own).await?;
    let (kept, authority) = (Arc::clone(&own), authority.clone());
    let shutdown = services.shutdown.clone();
    services.tasks.spawn(async move {
        let renewing = async {
            let mut wait = RENEW_OWN;
            loop {
                tokio::time::sleep(wait).await;
                wait = match renew_own(&authority, name, &kept).await {
                    Ok(()) => RENEW_OWN,
                    Err(error) => {
                        tracing::warn!(name, %error, "a certificate cannot be renewed; trying again");
                        AGAIN
                    }
                };
            }
        };
        shutdown.run_until_cancelled(renewing).await
    });
    Ok(own)
}

async fn renew_own(authority: &Authority, name: &str, own: &Rotating) -> anyhow::Result<()> {
    let issued = authority.own(name).await.map_err(|problem| {
        anyhow::anyhow!("issuing a certificate for {name}: {}", problem.detail)
    })?;
    Ok(own.replace(issued.chain, issued.key)?)
}

fn roots(authority: &Authority) -> anyhow::Result<rustls::RootCertStore> {
    pods::roots(authority.certificate())
        .map_err(|problem| anyhow::anyhow!("the authority's certificate: {}", problem.detail))
}

/// The container that a certificate is of: the chain was checked, so the name is what the authority wrote.
fn container_of(der: &[u8]) -> Option<ContainerId> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let [GeneralName::DNSName(name)] = names.value.general_names.as_slice() else {
        return None;
    };
    let id = name.strip_suffix(CONTAINER_DOMAIN)?.strip_suffix('.')?;
    id.replacen('-', "_", 1).parse().ok()
}

async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Problem> {
    let wrong = |error: String| {
        Problem::new(
            Code::BadRequest,
            format!("The request cannot be read: {error}."),
        )
    };
    let body = Limited::new(body, BODY)
        .collect()
        .await
        .map_err(|error| wrong(error.to_string()))?;
    // The token in it is wiped by its type; this copy lives as long as the request.
    serde_json::from_slice(&body.to_bytes()).map_err(|error| wrong(error.to_string()))
}

fn problem(told: &Problem) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct Told<'a> {
        code: &'a str,
        detail: &'a str,
    }
    if let Some(cause) = &told.cause {
        tracing::error!(%cause, "an agent's request failed");
    }
    let status =
        StatusCode::from_u16(told.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(
        status,
        &Told {
            code: told.code.as_str(),
            detail: &told.detail,
        },
    )
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[test]
    fn a_certificate_of_one_containers_name_is_that_containers() {
        let id = ContainerId::new(&Clock::fixed(1), &Rng);
        let issue = |names: Vec<String>| {
            let key = rcgen::KeyPair::generate().unwrap();
            let params = rcgen::CertificateParams::new(names).unwrap();
            params.self_signed(&key).unwrap().der().to_vec()
        };
        assert_eq!(container_of(&issue(vec![pods::name(id)])), Some(id));
        for names in [
            vec![BROKER_NAME.to_owned()],
            vec![SERVER_NAME.to_owned()],
            vec![pods::name(id), BROKER_NAME.to_owned()],
            vec![format!("x{}", pods::name(id))],
            vec![format!("{}.{CONTAINER_DOMAIN}", "usr-x")],
            Vec::new(),
        ] {
            assert_eq!(container_of(&issue(names.clone())), None, "{names:?}");
        }
    }
}
