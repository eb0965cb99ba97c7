//! Connections to the server: checked by authority and name, one protocol each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::identity::SERVER_NAME;
use crate::problem::Problem;

/// Connection and handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// One request and its answer.
const ANSWER: Duration = Duration::from_secs(20);
const ANSWER_MAX: usize = 256 << 10;

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the server at {address} cannot be reached: {error}")]
    Unreachable {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("the server refuses ({status}): {detail}")]
    Refused { status: StatusCode, detail: String },
    /// Nothing that asking again could not change.
    #[error("the server did not answer as it should: {0}")]
    Answer(String),
}

/// One way to speak to the server.
pub struct Link {
    address: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Link {
    /// # Errors
    /// Never, as the name is a constant.
    pub fn new(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        Ok(Self {
            address,
            name: ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?,
            config,
        })
    }

    /// # Errors
    /// [`LinkError::Unreachable`], also when the other end is not the server or does not speak the protocol.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, LinkError> {
        let connecting = async {
            let socket = TcpStream::connect(self.address).await?;
            socket.set_nodelay(true)?;
            let connector = TlsConnector::from(Arc::clone(&self.config));
            let stream = connector.connect(self.name.clone(), socket).await?;
            // A server that knows no protocols agrees to none, and TLS has no objection.
            if stream.get_ref().1.alpn_protocol()
                != self.config.alpn_protocols.first().map(Vec::as_slice)
            {
                return Err(io::Error::other("it does not speak the protocol of agents"));
            }
            Ok(stream)
        };
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        connected
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(|error| LinkError::Unreachable {
                address: self.address,
                error,
            })
    }

    /// One request on a connection of its own.
    ///
    /// # Errors
    /// All of [`LinkError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, LinkError> {
        let stream = self.connect().await?;
        let body = Wiped(serde_json::to_vec(body).map_err(wrong)?.into());
        let asking = ask(stream, path, Bytes::from_owner(body));
        let (status, answer) = tokio::time::timeout(ANSWER, asking)
            .await
            .map_err(|_| wrong("nothing came in time"))??;
        if status == StatusCode::OK {
            return serde_json::from_slice(&answer).map_err(wrong);
        }
        let detail = match serde_json::from_slice::<Problem>(&answer) {
            Ok(problem) => problem.detail.into(),
            Err(_) => "it does not say why".to_owned(),
        };
        // Too early, too many, too slow: the same request may do later.
        let passing = matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
        if status.is_client_error() && !passing {
            Err(LinkError::Refused { status, detail })
        } else {
            Err(wrong(format!("{status}: {detail}")))
        }
    }
}

/// The body of a request, which may hold the token.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn wrong(error: impl ToString) -> LinkError {
    LinkError::Answer(error.to_string())
}

async fn ask(
    stream: TlsStream<TcpStream>,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), LinkError> {
    let request = Request::post(path)
        .header(header::HOST, SERVER_NAME)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(wrong)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(wrong)?;
    let asked = async {
        let (parts, body) = sender
            .send_request(request)
            .await
            .map_err(wrong)?
            .into_parts();
        let body = Limited::new(body, ANSWER_MAX)
            .collect()
            .await
            .map_err(wrong)?;
        Ok((parts.status, body.to_bytes()))
    };
    tokio::pin!(asked);
    // The connection is driven here, so that it ends with the request.
    tokio::select! {
        answer = &mut asked => answer,
        // Closed after its answer, perhaps: what came of it lies with the request.
        _ = connection => asked.await,
    }
}
