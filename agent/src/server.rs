//! The routes of agent protocol v1, and serving them on any listener.

use std::io;

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::serve::Listener;
use axum::{Json, Router, routing};

use crate::app::App;
use crate::problem::Problem;
use crate::wire::{Activity, Hello, PROTOCOL};
use crate::{environment, exec, files, isolation, ports, projects, search, terminals, watch};

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/v1/hello", routing::get(hello))
        .route("/v1/activity", routing::get(activity))
        .route("/v1/shutdown", routing::post(shutdown))
        .merge(isolation::routes())
        .merge(environment::routes())
        .merge(files::routes())
        .merge(search::routes())
        .merge(watch::routes())
        .merge(projects::routes())
        .merge(terminals::routes())
        .merge(exec::routes())
        .merge(ports::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(axum::middleware::from_fn_with_state(
            app.clone(),
            isolation::guard,
        ))
        .layer(axum::middleware::from_fn(crate::linger::linger))
        .with_state(app)
}

/// Serves until the agent is told to stop. Who may connect is the listener's to say.
pub(crate) async fn serve<L>(listener: L, app: App) -> io::Result<()>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let stop = app.stop.clone();
    let serving = axum::serve(listener, routes(app)).into_future();
    tokio::select! {
        result = serving => result,
        // Open streams (terminals, watches) end with the process; their clients reconnect.
        () = stop.cancelled() => Ok(()),
    }
}

async fn hello(State(app): State<App>) -> Json<Hello> {
    Json(Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: app.boot_id.clone(),
        hpke_public_key: app.keys.public_base64(),
        started_at_ms: app.started_at_ms,
        isolation: app.gate.last(),
    })
}

async fn activity(State(app): State<App>) -> Json<Activity> {
    Json(Activity {
        last_activity_ms: app.activity.last_ms(),
        terminals: app.terminals.alive(),
        commands: app.activity.commands(),
    })
}

async fn shutdown(State(app): State<App>) -> StatusCode {
    let stop = app.stop.clone();
    app.tasks.spawn(async move {
        // Lets the answer out first.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        stop.cancel();
    });
    StatusCode::ACCEPTED
}

async fn no_route(uri: Uri) -> Problem {
    Problem::not_found(format!("The agent has no resource {:?}.", uri.path()))
}

async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "bad_request",
        "Method not allowed",
        format!("{:?} does not take {method}.", uri.path()),
    )
}
