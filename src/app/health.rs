//! `/healthz` and `/readyz`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::context::Services;

/// How long an answer of `/readyz` is believed: anybody may ask, as often as they like.
const BELIEVED: Duration = Duration::from_secs(1);

type Answer = (StatusCode, Value);

/// What `/readyz` last said, and when.
#[derive(Clone, Default)]
pub struct Lately(Arc<Mutex<Option<(Instant, Answer)>>>);

/// The process runs.
pub async fn live() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// Everything that a request needs answers: the database and the vault.
pub async fn ready(
    State(services): State<Services>,
    Extension(lately): Extension<Lately>,
) -> Response {
    // Those who come meanwhile wait for the one answer.
    let mut known = lately.0.lock().await;
    let answer = match &*known {
        Some((since, answer)) if since.elapsed() < BELIEVED => answer.clone(),
        _ => {
            let answer = look(&services).await;
            *known = Some((Instant::now(), answer.clone()));
            answer
        }
    };
    drop(known);
    (answer.0, Json(answer.1)).into_response()
}

async fn look(services: &Services) -> Answer {
    let limit = Duration::from_secs(1);
    let (database, vault, redis, objects) = tokio::join!(
        tokio::time::timeout(limit, services.store.ping()),
        tokio::time::timeout(limit, services.vault.status()),
        services.shared.ping(),
        services.objects.answers(),
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
    // And without storage nothing fails but what needs an archive.
    if let (Some(objects), Some(body)) = (objects, body.as_object_mut()) {
        body.insert("objects".to_owned(), word(objects).into());
    }
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, body)
}
