//! `/healthz` and `/readyz`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::context::Services;

/// The process runs.
pub async fn live() -> Response {
    axum::Json(json!({"status": "ok"})).into_response()
}

/// Everything that a request needs answers: the database and the vault.
pub async fn ready(State(services): State<Services>) -> Response {
    let limit = Duration::from_secs(1);
    let (database, vault, redis) = tokio::join!(
        tokio::time::timeout(limit, services.store.ping()),
        tokio::time::timeout(limit, services.vault.status()),
        services.shared.ping(),
    );
    let word = |good: bool| if good { "ok" } else { "unavailable" };
    let (database, vault) = (matches!(database, Ok(Ok(()))), matches!(vault, Ok(Ok(_))));
    let ready = database && vault;
    let mut body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "database": word(database),
        "vault": word(vault),
    });
    // Without Redis most things work, and what does not says so: taking all replicas away would be worse.
    if let (Some(redis), Some(body)) = (redis, body.as_object_mut()) {
        body.insert("redis".to_owned(), word(redis.is_ok()).into());
    }
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(body)).into_response()
}
