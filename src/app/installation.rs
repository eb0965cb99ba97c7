//! Holds a database and a master secret together: servers with different masters must not share a database.

use anyhow::{Context, bail};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;

use crate::context::Services;
use crate::store::{StoreError, SystemPurpose, Unaudited};

/// The table `installation`.
mod row {
    use sea_orm::entity::prelude::*;

    /// Its only row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "installation")]
    pub struct Model {
        /// Always 1.
        #[sea_orm(primary_key, auto_increment = false)]
        pub one: i64,
        /// The random id that was made beside the master secret.
        pub install_id: Vec<u8>,
        /// When the first server started.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Makes sure that the vault's keys are those that this database's secrets were sealed with. The first server on a new
/// database writes down whose it is; of several that start at once, one does.
///
/// # Errors
/// When the database belongs to another master secret, or does not answer.
pub async fn claim(services: &Services) -> anyhow::Result<()> {
    let ours = services.vault.status().await?.install;
    // Twice: whoever came second at writing reads what the first wrote.
    for _ in 0..2 {
        let tx = services.store.system(SystemPurpose::Setup).await?;
        if let Some(found) = tx.one(row::Entity::find_by_id(1_i64)).await? {
            return compare(services, &ours, &found.install_id);
        }
        let inserted = tx
            .insert(row::ActiveModel {
                one: Set(1),
                install_id: Set(ours.to_vec()),
                created_at_ms: Set(services.clock.now_ms()),
            })
            .await;
        match inserted {
            Ok(_) => {
                return tx
                    .commit_unaudited(Unaudited::Housekeeping)
                    .await
                    .context("writing down which master secret the database belongs to");
            }
            Err(StoreError::Duplicate) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!(
        "the table `installation` is written and deleted at once: is somebody changing it by hand?"
    )
}

fn compare(services: &Services, ours: &[u8], theirs: &[u8]) -> anyhow::Result<()> {
    if ours == theirs {
        return Ok(());
    }
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    let vault = match &services.config.vault.socket {
        Some(socket) => format!("of the vault process at {}", socket.display()),
        None => services.master_file().display().to_string(),
    };
    bail!(
        "this database belongs to the installation {}, and the master secret {vault} to the installation {}: what one sealed, \
         the other cannot open. Give every server of this database the same two files, master and install-id: the \
         first is named in [vault] master_file, or given to the vault process that is started apart",
        hex(theirs),
        hex(ours),
    )
}
