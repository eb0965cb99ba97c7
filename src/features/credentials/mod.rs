//! Credentials of the installation that people gave to the vault on the host: the key of an AI provider, the password of a
//! mail server. The database holds ciphertext; each opens for its own purpose and name only.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait};

use crate::context::Services;
use crate::features::audit::{self, Action};
use crate::kernel::{Code, Problem, SecretBytes, SecretString};
use crate::store::{StoreError, SystemPurpose, SystemTx, Unaudited};
use crate::vault::{Sealed, SystemPurpose as Purpose};

/// The table `system_credential`.
mod row {
    use sea_orm::entity::prelude::*;

    /// A row of it.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "system_credential")]
    pub struct Model {
        /// A label of the vault's `SystemPurpose`.
        #[sea_orm(primary_key, auto_increment = false)]
        pub purpose: String,
        /// Which of several for the same purpose.
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        /// The vault's ciphertext.
        pub sealed: Vec<u8>,
        /// When it was set.
        pub updated_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a credential is for, and which of several.
pub type Id = (Purpose, String);

/// A credential, without its value.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is for.
    pub purpose: String,
    /// Which of several.
    pub name: String,
    /// When it was set, milliseconds since the epoch.
    pub updated_at_ms: i64,
}

/// The purpose with this label.
///
/// # Errors
/// `unprocessable` with the list.
pub fn purpose(label: &str) -> Result<Purpose, Problem> {
    let all = || Purpose::ALL.iter().copied();
    let found = all().find(|purpose| purpose.label() == label);
    found.ok_or_else(|| {
        let known: Vec<&str> = all().map(Purpose::label).collect();
        Problem::new(
            Code::Unprocessable,
            format!(
                "{label:?} is no purpose; it is one of {}.",
                known.join(", ")
            ),
        )
    })
}

/// Which there are.
///
/// # Errors
/// When the database does not answer.
pub async fn list(services: &Services) -> Result<Vec<Item>, Problem> {
    let tx = services.store.system(SystemPurpose::Credentials).await?;
    let rows = tx.all(row::Entity::find()).await?;
    let mut items: Vec<Item> = rows
        .into_iter()
        .map(|row| Item {
            purpose: row.purpose,
            name: row.name,
            updated_at_ms: row.updated_at_ms,
        })
        .collect();
    items.sort_by(|a, b| (&a.purpose, &a.name).cmp(&(&b.purpose, &b.name)));
    Ok(items)
}

/// Adds one that the server made itself, in a transaction of the caller's, which holds the root.
///
/// # Errors
/// When the vault or the database does not answer.
pub async fn insert(
    services: &Services,
    tx: &SystemTx,
    purpose: Purpose,
    name: &str,
    value: SecretBytes,
) -> Result<(), Problem> {
    let sealed = services.vault.seal_system(purpose, name, value).await?;
    tx.insert(row::ActiveModel {
        purpose: Set(purpose.label().to_owned()),
        name: Set(name.to_owned()),
        sealed: Set(sealed.0),
        updated_at_ms: Set(services.clock.now_ms()),
    })
    .await?;
    Ok(())
}

/// Gives `value` to the vault in place of what was there.
///
/// # Errors
/// When the vault or the database does not answer.
pub async fn set(
    services: &Services,
    purpose: Purpose,
    name: &str,
    value: SecretBytes,
) -> Result<(), Problem> {
    let tx = services.store.system(SystemPurpose::Housekeeping).await?;
    tx.hold_root().await?;
    tx.delete_where::<row::Entity>(is(purpose, name)).await?;
    insert(services, &tx, purpose, name, value).await?;
    let entry = audit::by_host(services, Action::CredentialSet, purpose.label(), name);
    Ok(tx.commit(&[], entry).await?)
}

/// Deletes it.
///
/// # Errors
/// 404 when it is not there.
pub async fn delete(services: &Services, purpose: Purpose, name: &str) -> Result<(), Problem> {
    let tx = services.store.system(SystemPurpose::Housekeeping).await?;
    if tx.delete_where::<row::Entity>(is(purpose, name)).await? == 0 {
        return Err(Problem::new(
            Code::NotFound,
            format!("There is no credential {} {name}.", purpose.label()),
        ));
    }
    let entry = audit::by_host(services, Action::CredentialDelete, purpose.label(), name);
    Ok(tx.commit(&[], entry).await?)
}

/// The ciphertext, for the vault to open for `purpose` and `name`.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    services: &Services,
    purpose: Purpose,
    name: &str,
) -> Result<Option<Sealed>, StoreError> {
    let tx = services.store.system(SystemPurpose::Credentials).await?;
    let id = (purpose.label().to_owned(), name.to_owned());
    let row = tx.one(row::Entity::find_by_id(id)).await?;
    Ok(row.map(|row| Sealed(row.sealed)))
}

/// The value of the credential that the server uses for `purpose`, for the moment of its use.
///
/// # Errors
/// When the vault or the database does not answer.
pub async fn open(services: &Services, purpose: Purpose) -> Result<Option<SecretString>, Problem> {
    let Some(name) = usual_name(purpose) else {
        return Ok(None);
    };
    let Some(sealed) = find(services, purpose, name).await? else {
        return Ok(None);
    };
    let value = services.vault.open(purpose, name, &sealed).await?;
    let text = value.into_string();
    text.map(Some)
        .map_err(|_| Problem::internal("a credential is not UTF-8"))
}

/// The name under which the server looks for the one that it uses itself.
pub fn usual_name(purpose: Purpose) -> Option<&'static str> {
    match purpose {
        Purpose::UpstreamAiKey => Some("anthropic"),
        Purpose::Smtp => Some("smtp"),
        _ => None,
    }
}

fn is(purpose: Purpose, name: &str) -> Condition {
    Condition::all()
        .add(row::Column::Purpose.eq(purpose.label()))
        .add(row::Column::Name.eq(name))
}

/// All ciphertexts, for a rotation of the master. One for a purpose that this version does not know is left out.
///
/// # Errors
/// [`StoreError`].
pub async fn all(services: &Services) -> Result<Vec<(Id, Vec<u8>)>, StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    let rows = tx.all(row::Entity::find()).await?;
    let known = |row: row::Model| {
        let purpose = purpose(&row.purpose).ok()?;
        Some(((purpose, row.name), row.sealed))
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Puts the third in the place of the second, where that still stands.
///
/// # Errors
/// [`StoreError`]; none was replaced then.
pub async fn replace(
    services: &Services,
    credentials: Vec<(Id, Vec<u8>, Vec<u8>)>,
) -> Result<(), StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    for ((purpose, name), old, new) in credentials {
        let unchanged = is(purpose, &name).add(row::Column::Sealed.eq(old));
        let values = row::ActiveModel {
            sealed: Set(new),
            ..Default::default()
        };
        tx.update_where::<row::Entity>(unchanged, values).await?;
    }
    tx.commit_unaudited(Unaudited::Housekeeping).await
}
