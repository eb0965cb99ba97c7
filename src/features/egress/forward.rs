//! Plain HTTP requests in absolute form: sent on over a connection of their own, so that each is judged alone.

use std::time::Duration;

use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::host::Target;
use super::refusal::Refusal;

/// Time for the destination to begin its answer.
const ANSWER: Duration = Duration::from_secs(300);

/// Headers that belong to one connection and not to the message (RFC 9110, section 7.6.1), and those for us.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Sends the request to the destination and gives its answer as it comes.
///
/// # Errors
/// [`Refusal::Unreachable`] when no answer came.
pub async fn send(
    request: Request<Incoming>,
    upstream: TcpStream,
    target: &Target,
    tasks: &TaskTracker,
) -> Result<Response<Incoming>, Refusal> {
    let unreachable = |reason: String| Refusal::Unreachable {
        target: target.clone(),
        reason,
    };
    let request = rewrite(request, target)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(upstream))
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    // Ends when the answer was read or the container went away.
    tasks.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(target: "egress", %error, "a plain HTTP connection ended early");
        }
    });
    let mut response = match timeout(ANSWER, sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => {
            return Err(unreachable(format!(
                "no answer within {} s",
                ANSWER.as_secs()
            )));
        }
    };
    strip(response.headers_mut());
    response
        .headers_mut()
        .append(header::VIA, HeaderValue::from_static("1.1 optidev"));
    Ok(response)
}

/// From the absolute form to the origin form; the Host header is the target's, whatever the client wrote
/// (RFC 9112, section 3.2.2).
fn rewrite(mut request: Request<Incoming>, target: &Target) -> Result<Request<Incoming>, Refusal> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    *request.uri_mut() = path
        .parse::<Uri>()
        .map_err(|_| Refusal::Malformed("the address of the request is malformed."))?;
    let host = if target.port == 80 {
        target.host.to_string()
    } else {
        target.to_string()
    };
    strip(request.headers_mut());
    let host = HeaderValue::from_str(&host)
        .map_err(|_| Refusal::Malformed("the address of the request is malformed."))?;
    request.headers_mut().insert(header::HOST, host);
    request
        .headers_mut()
        .append(header::VIA, HeaderValue::from_static("1.1 optidev"));
    Ok(request)
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Framing is hyper's own, and losing the length would change the message.
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST)
        .collect();
    for name in named.iter().chain(HOP_BY_HOP.iter()) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection"] {
        headers.remove(name);
    }
}
