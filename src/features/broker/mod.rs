//! The broker: connects an authorized owner to the agent of their container.
//!
//! What always holds:
//! - Every request passes [`containers::enter`](crate::features::containers::enter): only the owner, whatever the role.
//! - The agent is not trusted: status, body and a short list of headers are passed on, and nothing it says runs in the
//!   console's origin.
//! - Whatever outlives its request (terminals, watches, previews) ends within about a second of its session.

mod access;
mod files;
mod ports;
mod preview;
mod relay;
mod terminals;
mod work;

use std::sync::Arc;

use axum::Extension;
use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use preview::{Preview, intercept};

use crate::context::Services;
use crate::features::containers::Controller;

/// Largest JSON body.
const LARGEST_JSON: usize = 1 << 20;
/// Largest file that can be written.
const LARGEST_FILE: usize = 4 << 30;

/// The API of this feature.
pub fn routes(controller: Arc<Controller>, preview: Preview) -> OpenApiRouter<Services> {
    let uploads = OpenApiRouter::new()
        .routes(routes!(
            files::read,
            files::write,
            files::act,
            files::delete
        ))
        .layer(DefaultBodyLimit::max(LARGEST_FILE));
    let mut router = OpenApiRouter::new()
        .routes(routes!(files::list_home))
        .routes(routes!(work::search))
        .routes(routes!(work::watch))
        .routes(routes!(work::archive))
        .routes(routes!(work::exec))
        .routes(routes!(terminals::list, terminals::create))
        .routes(routes!(terminals::read, terminals::delete))
        .routes(routes!(ports::list))
        .routes(routes!(ports::open))
        .layer(DefaultBodyLimit::max(LARGEST_JSON))
        .merge(uploads)
        .layer(Extension(controller))
        .layer(Extension(preview));
    // axum writes a parameter that takes the rest of the path as `{*path}`, OpenAPI as `{path}`.
    let paths = &mut router.get_openapi_mut().paths.paths;
    let wild: Vec<String> = paths
        .keys()
        .filter(|path| path.contains("{*"))
        .cloned()
        .collect();
    for path in wild {
        if let Some(item) = paths.remove(&path) {
            paths.insert(path.replace("{*", "{"), item);
        }
    }
    router
}
