//! Requests, bodies and upgrades.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tower::Service;

use super::connect::AgentStream;
use super::{Agent, AgentError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A connection after `101 Switching Protocols`.
pub type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// Longest wait for the head of an answer. Bodies and upgrades are not limited.
const HEAD: Duration = Duration::from_secs(30);
/// Most bytes of a JSON answer.
const LARGEST_JSON: usize = 32 << 20;

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is at hand.
pub fn bytes(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is still arriving.
pub fn stream<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

impl Agent {
    /// Sends a request whose URI is a path and a query of the protocol, and gives the answer's head as soon as it is
    /// there, whatever its status.
    ///
    /// # Errors
    /// [`AgentError::Connect`], [`AgentError::Timeout`] after 30 s (a running upload stops that clock: it starts when
    /// the body has been sent).
    pub async fn request(&self, request: Request<Body>) -> Result<Response<Incoming>, AgentError> {
        self.request_within(request, HEAD).await
    }

    /// As [`Agent::request`], with another limit for the head of the answer.
    ///
    /// # Errors
    /// As [`Agent::request`].
    pub async fn request_within(
        &self,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<Response<Incoming>, AgentError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |whole| whole.as_str()).to_owned();
        parts.uri = Uri::builder()
            .scheme("http")
            .authority(self.authority())
            .path_and_query(path)
            .build()
            .map_err(|error| AgentError::Protocol(error.to_string()))?;
        let (sent, mut progress) = tokio::sync::watch::channel(());
        let body = Watched { body, sent }.boxed_unsync();
        let answer = self.http.request(Request::from_parts(parts, body));
        tokio::pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(connect_error),
                // Every piece of an upload that goes through starts the clock again.
                Ok(()) = progress.changed() => {}
                () = tokio::time::sleep(limit) => {
                    return Err(AgentError::Timeout(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)));
                }
            }
        }
    }

    /// Asks for an upgrade and gives the raw connection.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with the agent's reason when it does not switch.
    pub async fn upgrade(&self, request: Request<Body>) -> Result<(Response<()>, Upgraded), AgentError> {
        let answer = self.request(request).await?;
        if answer.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(answer).await);
        }
        let (parts, body) = answer.into_parts();
        let head = Response::from_parts(parts.clone(), ());
        let upgraded = hyper::upgrade::on(Response::from_parts(parts, body)).await.map_err(|error| {
            AgentError::Connect(format!("the connection ended during the upgrade: {error}"))
        })?;
        Ok((head, TokioIo::new(upgraded)))
    }

    /// The reason in an answer that is not a success.
    pub async fn refusal(&self, answer: Response<Incoming>) -> AgentError {
        refusal(answer).await
    }

    /// A JSON answer, or the refusal.
    pub(super) async fn json<T: serde::de::DeserializeOwned>(
        &self,
        request: Request<Body>,
        limit: Duration,
    ) -> Result<T, AgentError> {
        let answer = self.request_within(request, limit).await?;
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        let body = collect(answer.into_body(), LARGEST_JSON).await?;
        serde_json::from_slice(&body).map_err(|error| AgentError::Protocol(error.to_string()))
    }

    /// A successful answer whose body does not matter, or the refusal.
    pub(super) async fn done(&self, request: Request<Body>, limit: Duration) -> Result<(), AgentError> {
        let answer = self.request_within(request, limit).await?;
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        // Read to its end, so that the connection can be used again.
        collect(answer.into_body(), LARGEST_JSON).await.map(drop)
    }
}

/// A body of at most `limit` bytes.
pub(super) async fn collect(body: Incoming, limit: usize) -> Result<Bytes, AgentError> {
    let whole = Limited::new(body, limit).collect().await;
    Ok(whole.map_err(|error| AgentError::Protocol(error.to_string()))?.to_bytes())
}

/// The reason in an answer that is not a success.
pub(super) async fn refusal(answer: Response<Incoming>) -> AgentError {
    let status = answer.status().as_u16();
    match collect(answer.into_body(), 64 << 10).await {
        Ok(body) => AgentError::refused(status, &body),
        Err(error) => error,
    }
}

fn connect_error(error: hyper_util::client::legacy::Error) -> AgentError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    AgentError::Connect(text)
}

/// A body that tells when a piece of it was taken.
struct Watched {
    body: Body,
    sent: tokio::sync::watch::Sender<()>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.sent.send_replace(());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// A connection being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<AgentStream>> + Send>>;

/// Connects to the agent that a URI's authority names.
#[derive(Clone)]
pub struct Connector(std::sync::Arc<dyn Fn(Uri) -> Connecting + Send + Sync>);

impl Connector {
    pub(super) fn new(connect: impl Fn(Uri) -> Connecting + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(connect))
    }
}

impl Service<Uri> for Connector {
    type Response = AgentStream;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        (self.0)(uri)
    }
}
