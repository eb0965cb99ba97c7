//! Every route of the server, in one place.

use std::sync::Arc;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::{InfoBuilder, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::containers::Containers;
use super::{health, openapi};
use crate::context::Services;
use crate::features::ai::Ai;
use crate::features::{
    ai, audit, broker, containers, docs, egress, identity, members, projects, secrets, tokens,
};
use crate::kernel::Problem;
use crate::web::{admission, assets, middleware, names};

/// The whole application.
///
/// # Errors
/// When the API's document is not complete, or cannot be written.
pub fn build(services: &Services, containers: &Containers, ai: Arc<Ai>) -> anyhow::Result<Router> {
    let mebibytes = services.config.server.max_import_mib;
    let max_import_bytes = usize::try_from(mebibytes.saturating_mul(1 << 20)).unwrap_or(usize::MAX);
    let (api, document) = api(containers, ai, max_import_bytes).split_for_parts();
    let document = openapi::complete(document)?;
    let own = names::Names::new(&services.config.server, &services.public_url);
    let application = Router::new()
        .route("/healthz", get(health::live))
        .route(
            "/readyz",
            get(health::ready).layer(Extension(health::Lately::default())),
        )
        .route("/assets/{file}", get(assets::serve))
        .merge(identity::pages())
        .merge(members::pages())
        .merge(tokens::pages())
        .merge(projects::pages(max_import_bytes))
        .merge(secrets::pages())
        .merge(secrets::delivery_pages(containers.deliveries.clone()))
        .merge(containers::pages(Arc::clone(&containers.controller)))
        .merge(audit::pages())
        .merge(egress::pages(containers.egress.clone()))
        .merge(docs::routes(docs::Document::new(&document)?))
        .merge(api)
        .fallback(|| async { Problem::not_found() })
        .layer(CatchPanicLayer::custom(
            |_: Box<dyn std::any::Any + Send>| {
                use axum::response::IntoResponse;
                Problem::internal("a handler panicked").into_response()
            },
        ))
        .layer(from_fn_with_state(services.clone(), admission::admit))
        .layer(from_fn_with_state(Arc::new(own), names::check))
        .layer(from_fn_with_state(services.clone(), middleware::wrap))
        // Outside of everything: a preview's host has none of OptiDev's own routes.
        .layer(from_fn_with_state(
            containers.preview.clone(),
            broker::intercept,
        ))
        .layer(from_fn(optidev_agent::linger::linger))
        .with_state(services.clone());
    Ok(application)
}

fn api(containers: &Containers, ai: Arc<Ai>, max_import_bytes: usize) -> OpenApiRouter<Services> {
    let info = InfoBuilder::new()
        .title("OptiDev")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Everything that the console does. Send a token as `Authorization: Bearer odv_…`. Errors are problems \
             as RFC 9457 has them, with a `code` for programs, a `detail` for people and a `request_id`. The AI gateway below `/ai` \
             (`POST /ai/v1/messages`, `POST /ai/v1/messages/count_tokens`, `GET /ai/v1/models`) is Anthropic's Messages API, \
             and documented there.",
        ))
        .build();
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info).build())
        .merge(identity::routes())
        .merge(members::routes())
        .merge(tokens::routes())
        .merge(projects::routes(max_import_bytes))
        .merge(secrets::routes())
        .merge(secrets::delivery_routes(containers.deliveries.clone()))
        .merge(audit::routes())
        .merge(containers::routes(Arc::clone(&containers.controller)))
        .merge(broker::routes(
            Arc::clone(&containers.controller),
            containers.preview.clone(),
        ))
        .merge(egress::routes(
            containers.egress.clone(),
            Arc::clone(&containers.controller),
        ))
        .merge(ai::routes(ai))
}
