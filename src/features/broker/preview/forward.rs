//! From a browser's request to the application on a port of a container, and back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Response, StatusCode, Uri, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::clients::agent::{AgentError, Agents, Upgraded};
use crate::kernel::ContainerId;

/// Kept shorter than the five seconds after which Node.js closes an unused connection.
const POOL_IDLE: Duration = Duration::from_secs(2);

/// Why the application did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Nothing listens on the port.
    #[error("nothing listens on the port")]
    NothingListens,
    /// The container does not run.
    #[error("the container is not running")]
    NotRunning,
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

/// Connections to ports in containers. Cheap to clone.
#[derive(Clone)]
pub struct Forwarder(Client<Tunnels, Body>);

impl Forwarder {
    /// Connects through these agents.
    pub fn new(agents: Agents) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(32)
            .build(Tunnels(agents));
        Self(client)
    }

    /// Sends `request`, whose headers are the application's already, and gives its answer while it arrives. For an
    /// upgrade the browser's side comes too: `carry` connects the two.
    pub async fn send(
        &self,
        container: ContainerId,
        port: u16,
        mut request: Request,
    ) -> Result<(Response<Body>, Option<(OnUpgrade, OnUpgrade)>), ForwardError> {
        let upgrade = request.headers().contains_key(header::UPGRADE);
        let browser = upgrade
            .then(|| request.extensions_mut().remove::<OnUpgrade>())
            .flatten();
        if browser.is_some() {
            request
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        } else {
            request.headers_mut().remove(header::UPGRADE);
        }
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |whole| whole.as_str());
        *request.uri_mut() = Uri::builder()
            .scheme("http")
            .authority(format!("{}:{port}", container.suffix()))
            .path_and_query(path)
            .build()
            .map_err(|error| ForwardError::Failed(error.to_string()))?;
        *request.version_mut() = Version::HTTP_11;
        let mut answer = self.0.request(request).await.map_err(reason)?;
        let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let ends = match browser {
            Some(browser) if switched => Some((browser, hyper::upgrade::on(&mut answer))),
            _ => None,
        };
        Ok((answer.map(Body::new), ends))
    }
}

/// Carries bytes between a browser and an application after an upgrade, until either ends.
pub async fn carry(browser: OnUpgrade, application: OnUpgrade) {
    let (Ok(browser), Ok(application)) = tokio::join!(browser, application) else {
        return;
    };
    let (mut browser, mut application) = (TokioIo::new(browser), TokioIo::new(application));
    let _ = tokio::io::copy_bidirectional(&mut browser, &mut application).await;
}

fn reason(error: hyper_util::client::legacy::Error) -> ForwardError {
    let mut text = error.to_string();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let agent = inner.downcast_ref::<AgentError>().or_else(|| {
            inner
                .downcast_ref::<io::Error>()
                .and_then(|error| error.get_ref())
                .and_then(|inner| inner.downcast_ref())
        });
        match agent {
            Some(AgentError::Refused { status: 502, .. }) => return ForwardError::NothingListens,
            Some(AgentError::NotRunning | AgentError::Connect(_)) => {
                return ForwardError::NotRunning;
            }
            _ => {}
        }
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    ForwardError::Failed(text)
}

/// Connects to what a URI's authority names: `<container>:<port>`.
#[derive(Clone)]
struct Tunnels(Agents);

impl tower::Service<Uri> for Tunnels {
    type Response = Tunnel;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Tunnel>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let agents = self.0.clone();
        Box::pin(async move {
            let container = uri
                .host()
                .and_then(|host| ContainerId::from_suffix(host).ok());
            let (Some(container), Some(port)) = (container, uri.port_u16()) else {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "not a container and a port",
                ));
            };
            let agent = agents.get(container).await.map_err(io::Error::other)?;
            Ok(Tunnel(TokioIo::new(
                agent.tunnel(port).await.map_err(io::Error::other)?,
            )))
        })
    }
}

/// A connection to a port in a container.
struct Tunnel(TokioIo<Upgraded>);

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
