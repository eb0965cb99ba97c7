//! The sealed keys of all webhooks' signatures, for a rotation of the master.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::model::sink;
use super::ops::secret_name;
use crate::context::Services;
use crate::kernel::AuditSinkId;
use crate::store::{StoreError, SystemPurpose, Unaudited};

/// One of them: which, and the name that its ciphertext is bound to.
#[derive(Debug, Clone)]
pub struct SinkSecret {
    id: AuditSinkId,
    /// For the vault, with the purpose `Integration`.
    pub name: String,
}

/// All of them.
///
/// # Errors
/// [`StoreError`].
pub async fn sink_secrets(services: &Services) -> Result<Vec<(SinkSecret, Vec<u8>)>, StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    let with = sink::Entity::find().filter(sink::Column::SealedSecret.is_not_null());
    let rows = tx.all(with).await?;
    let secret = |row: sink::Model| {
        let name = secret_name(row.id);
        Some((SinkSecret { id: row.id, name }, row.sealed_secret?))
    };
    Ok(rows.into_iter().filter_map(secret).collect())
}

/// Puts the third in the place of the second, where that still stands.
///
/// # Errors
/// [`StoreError`]; none was replaced then.
pub async fn replace_sink_secrets(
    services: &Services,
    secrets: Vec<(SinkSecret, Vec<u8>, Vec<u8>)>,
) -> Result<(), StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    for (secret, old, new) in secrets {
        let unchanged = Condition::all()
            .add(sink::Column::Id.eq(secret.id))
            .add(sink::Column::SealedSecret.eq(old));
        let values = sink::ActiveModel {
            sealed_secret: Set(Some(new)),
            ..Default::default()
        };
        tx.update_where::<sink::Entity>(unchanged, values).await?;
    }
    tx.commit_unaudited(Unaudited::Housekeeping).await
}
