//! The audit log: who did what to which object, written in the same transaction as the act. Never values.

use sea_orm::ActiveValue::Set;

use crate::authz::{Actor, Credential};
use crate::context::Ctx;
use crate::kernel::AuditEventId;
use crate::store::{ScopedTx, StoreError};

mod event {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{AuditEventId, UserId, WorkspaceId};

    /// A row of `audit_event`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_event")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: AuditEventId,
        pub at_ms: i64,
        pub actor_id: UserId,
        pub credential: String,
        pub address: String,
        pub action: String,
        pub object: String,
        pub detail: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(event);

/// Writes one entry. `action` is `feature.verb`, `object` an id or a name, `detail` a few words without values.
///
/// # Errors
/// [`StoreError`]: the act must not be committed without its entry.
pub async fn record(
    tx: &ScopedTx,
    ctx: &Ctx,
    action: &'static str,
    object: impl ToString,
    detail: impl Into<String>,
) -> Result<(), StoreError> {
    tx.insert(event::ActiveModel {
        workspace_id: Set(tx.workspace()),
        id: Set(AuditEventId::new(&ctx.services.clock, &ctx.services.rng)),
        at_ms: Set(ctx.now_ms()),
        actor_id: Set(ctx.actor.user),
        credential: Set(credential(&ctx.actor)),
        address: Set(ctx.actor.address.clone()),
        action: Set(action.to_owned()),
        object: Set(object.to_string()),
        detail: Set(detail.into()),
    })
    .await?;
    Ok(())
}

fn credential(actor: &Actor) -> String {
    match &actor.credential {
        Credential::Session(id) => id.to_string(),
        Credential::Token(id, _) => id.to_string(),
    }
}
