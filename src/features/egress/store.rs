//! Reading what a workspace and its organization say: for connections, which nobody asks for by a request, and for operations that
//! have authorized, because a ceiling is the organization's, which a workspace's transaction cannot read.

use sea_orm::EntityTrait;

use super::model::{addition, ceiling};
use crate::features::members;
use crate::kernel::WorkspaceId;
use crate::store::{Store, StoreError, SystemPurpose};

/// Why nobody knows what a workspace may reach.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    /// The database does not answer, or there is no such workspace.
    #[error("reading the lists of a workspace")]
    Store(#[from] StoreError),
    /// A row holds what this version cannot read.
    #[error("the ceiling of an organization cannot be read: {0}")]
    Ceiling(String),
}

/// What a workspace added, and its organization's ceiling, as they were written.
///
/// # Errors
/// [`Unknown`].
pub async fn rows(
    store: &Store,
    workspace: WorkspaceId,
) -> Result<(Vec<String>, Vec<String>), Unknown> {
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    let place = tx
        .one(members::workspace::Entity::find_by_id(workspace))
        .await?
        .ok_or(StoreError::Absent)?;
    let added = tx
        .one(addition::Entity::find_by_id(workspace))
        .await?
        .map_or_else(Vec::new, |row| hosts(&row.hosts).unwrap_or_default());
    let ceiling = tx
        .one(ceiling::Entity::find_by_id(place.organization_id))
        .await?
        .map(|row| hosts(&row.hosts).ok_or(Unknown::Ceiling(row.hosts)))
        .transpose()?
        .unwrap_or_default();
    Ok((added, ceiling))
}

/// The entries in a row; none when it is not of the form in which they are written.
pub fn hosts(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}
