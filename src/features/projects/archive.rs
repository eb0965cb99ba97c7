//! Keeps archives of projects among the objects, and removes them with their projects.

use std::time::Duration;

use super::model::ArchiveFormat;
use crate::clients::objects::{ObjectKey, ObjectsError};
use crate::context::Services;
use crate::kernel::{Problem, ProjectId, WorkspaceId};

/// When a removal that failed is tried again.
const AGAIN: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(10 * 60),
];

/// The name of a project's archive.
///
/// # Errors
/// When an id were no plain name.
pub fn key(
    workspace: WorkspaceId,
    project: ProjectId,
    format: ArchiveFormat,
) -> Result<ObjectKey, Problem> {
    Ok(ObjectKey::new(
        workspace,
        &format!("{project}.{}", format.as_str()),
    )?)
}

/// The name and the format of an archive as a row of `workspace` has it.
///
/// # Errors
/// `internal` when no server wrote this row.
pub fn stored(workspace: WorkspaceId, text: &str) -> Result<(ObjectKey, ArchiveFormat), Problem> {
    let format = if text.ends_with(".zip") {
        ArchiveFormat::Zip
    } else {
        ArchiveFormat::TarGz
    };
    Ok((ObjectKey::stored(workspace, text)?, format))
}

/// Removes an archive that no row names any more. What does not succeed now goes on beside, for a while.
pub async fn remove(services: &Services, key: ObjectKey) {
    let Err(error) = services.objects.delete(&key).await else {
        return;
    };
    tracing::warn!(%key, %error, "an archive that nobody needs could not be removed; trying again");
    let all = services.clone();
    services.tasks.spawn(async move {
        match persist(&all, &key).await {
            Ok(()) => tracing::info!(%key, "the archive is removed"),
            // It costs what it costs to keep, and is found by its name.
            Err(error) => {
                tracing::error!(%key, %error, "an archive that nobody needs was left behind: remove it by hand");
            }
        }
    });
}

async fn persist(services: &Services, key: &ObjectKey) -> Result<(), ObjectsError> {
    let mut last = Ok(());
    for pause in AGAIN {
        tokio::select! {
            () = services.shutdown.cancelled() => return services.objects.delete(key).await,
            () = tokio::time::sleep(pause) => {}
        }
        last = services.objects.delete(key).await;
        if last.is_ok() {
            break;
        }
    }
    last
}
