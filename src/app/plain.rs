//! A small HTTP server for ports of their own that answer machines: health of the controller, and metrics.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One connection, with all that is asked over it.
const CONNECTION: Duration = Duration::from_secs(10);
/// A request's head must be there within this time.
const HEAD: Duration = Duration::from_secs(5);
/// Connections at a time; further ones wait.
const MOST: usize = 256;

/// What is answered to a path.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// What the text is.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}

impl Answer {
    /// A line of plain text.
    pub fn line(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            text: format!("{text}\n"),
        }
    }
}

/// Answers until it is dropped.
pub async fn serve<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(String) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send,
{
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= MOST {
            connections.join_next().await;
            continue;
        }
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let answer = answer.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(request.uri().path().to_owned());
                async move {
                    let answer = answer.await;
                    let mut response = Response::new(Full::new(Bytes::from(answer.text)));
                    *response.status_mut() = answer.status;
                    let kind = HeaderValue::from_static(answer.content_type);
                    response.headers_mut().insert(CONTENT_TYPE, kind);
                    Ok::<_, Infallible>(response)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(CONNECTION, connection).await;
        });
    }
}
