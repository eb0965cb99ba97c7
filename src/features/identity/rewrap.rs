//! The sealed seeds of all one-time passwords, for a rotation of the master.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use crate::authz::accounts::account;
use crate::context::Services;
use crate::kernel::UserId;
use crate::store::{StoreError, SystemPurpose, Unaudited};

/// All of them.
///
/// # Errors
/// [`StoreError`].
pub async fn totp_seeds(services: &Services) -> Result<Vec<(UserId, Vec<u8>)>, StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    let with = account::Entity::find().filter(account::Column::TotpSealed.is_not_null());
    let rows = tx.all(with).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.id, row.totp_sealed?)))
        .collect())
}

/// Puts the third in the place of the second, where that still stands: a factor that was turned off meanwhile stays off.
///
/// # Errors
/// [`StoreError`]; none was replaced then.
pub async fn replace_totp_seeds(
    services: &Services,
    seeds: Vec<(UserId, Vec<u8>, Vec<u8>)>,
) -> Result<(), StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    for (id, old, new) in seeds {
        let unchanged = Condition::all()
            .add(account::Column::Id.eq(id))
            .add(account::Column::TotpSealed.eq(old));
        let values = account::ActiveModel {
            totp_sealed: Set(Some(new)),
            ..Default::default()
        };
        tx.update_where::<account::Entity>(unchanged, values)
            .await?;
    }
    tx.commit_unaudited(Unaudited::Housekeeping).await
}
