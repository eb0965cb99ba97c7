//! Projects: a body of code in a workspace, from an empty folder, an archive or a git address.
//!
//! What always holds: an archive is inspected before its project exists, so that a bomb or a path that leads outside is
//! refused at the door; the agent checks again while it extracts.

mod api;
mod archive;
mod framework;
mod import;
mod model;
mod ops;
mod pages;
mod store;

pub use model::{ArchiveFormat, Project, Source, StoredSource};
pub use ops::{get, source_of};
pub use pages::pages;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;

/// The API of this feature. `max_import_bytes` bounds an uploaded archive.
pub fn routes(max_import_bytes: usize) -> OpenApiRouter<Services> {
    let import = OpenApiRouter::new()
        .routes(routes!(api::import))
        .layer(axum::extract::DefaultBodyLimit::max(max_import_bytes));
    OpenApiRouter::new()
        .routes(routes!(api::list, api::create))
        .routes(routes!(api::read, api::delete))
        .merge(import)
}
