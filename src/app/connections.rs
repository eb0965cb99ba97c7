//! Serves connections, with a limit for what each may take: a client that is slow or silent holds nothing for long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::listener::Listener;
use crate::web::Peer;

/// A request's head must be there within this time; an idle connection is closed after it.
const HEAD: Duration = Duration::from_secs(30);
/// What somebody reads who came past the proxy.
const UNCERTIFIED: &str = "This server is asked through the proxy in front of it only: the connection shows no client certificate by \
                           an authority of [tls] client_ca_file. Open the address that your operator gave you.\n";
/// Connections at a time; the next ones wait at the listener.
const MOST: usize = 8_192;

/// Accepts and serves until `shutdown`, then lets running requests finish. `certified` demands a client certificate of whoever asks for
/// more than health.
pub async fn serve(
    mut listener: Listener,
    application: Router,
    certified: bool,
    shutdown: CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD)
        .keep_alive_timeout(HEAD)
        .max_concurrent_streams(256);
    let places = Arc::new(Semaphore::new(MOST));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let (stream, peer) = tokio::select! {
            accepted = axum::serve::Listener::accept(&mut listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        let health_only = certified && !stream.is_certified();
        let service = service(&application, Peer(peer), health_only);
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A connection that breaks is the client's affair.
            let _ = connection.await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// The application for one connection, whose peer every request knows.
fn service(
    application: &Router,
    peer: Peer,
    health_only: bool,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send,
> + Clone
+ use<> {
    let application = application.clone();
    hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let application = application.clone();
        async move {
            let mut request = if health_only {
                let path = request.uri().path();
                if !matches!(path, "/healthz" | "/readyz") {
                    return Ok((StatusCode::FORBIDDEN, UNCERTIFIED).into_response());
                }
                // Nothing else of the request is looked at: with a host, it could be one for a preview.
                let uri = Uri::from_static(if path == "/healthz" {
                    "/healthz"
                } else {
                    "/readyz"
                });
                let mut health = hyper::Request::new(Body::empty());
                *health.uri_mut() = uri;
                health
            } else {
                request.map(Body::new)
            };
            request.extensions_mut().insert(ConnectInfo(peer));
            application.oneshot(request).await
        }
    })
}
