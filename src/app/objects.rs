//! What is said about the storage for archives when the server starts.

use crate::config::{Config, ObjectsKind};
use crate::context::Services;

/// Asks the storage, beside the start: a server without it does all but import and open archives, which says so.
pub fn look(services: &Services) {
    if let Some(warning) = warning(&services.config) {
        tracing::warn!("{warning}");
    }
    let objects = services.objects.clone();
    services.tasks.spawn(async move {
        match objects.ping().await {
            None | Some(Ok(())) => {}
            Some(Err(error)) if error.is_passing() => {
                tracing::warn!(%error, "the object storage does not answer; starting all the same");
            }
            Some(Err(error)) => tracing::error!(
                %error,
                "the object storage refuses this server: no project can be imported from an archive, or opened from one"
            ),
        }
    });
}

/// What is right for one server only, where there seem to be several.
pub fn warning(config: &Config) -> Option<&'static str> {
    let several = config.objects.kind == ObjectsKind::Disk && !config.redis.url.is_empty();
    several.then_some(
        "[redis] is configured for several servers, and archives of imported projects are kept on this server's own disk: the \
         others cannot open these projects unless they share its folder objects. Set [objects] kind = \"s3\".",
    )
}
