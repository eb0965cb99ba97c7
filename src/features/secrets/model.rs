//! Secrets: the rows, the API's shape, the tiers, and the rules of names.

use serde::{Deserialize, Serialize};

use crate::kernel::{SecretId, UserId, WorkspaceId};
use crate::vault::{Binding, Purpose};

/// Names, tiers and current versions.
pub mod secret {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{SecretId, UserId, WorkspaceId};

    /// A row of `secret`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The secret.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SecretId,
        /// Name of the environment variable.
        pub name: String,
        /// A word of [`Tier`](super::Tier).
        pub tier: String,
        /// For people.
        pub description: String,
        /// The current version, from 1.
        pub version: i64,
        /// Who made it.
        pub created_by: UserId,
        /// When.
        pub created_at_ms: i64,
        /// Who set it last.
        pub updated_by: UserId,
        /// When.
        pub updated_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Sealed values.
pub mod version {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{SecretId, UserId, WorkspaceId};

    /// A row of `secret_version`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret_version")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The secret.
        #[sea_orm(primary_key, auto_increment = false)]
        pub secret_id: SecretId,
        /// From 1.
        #[sea_orm(primary_key, auto_increment = false)]
        pub version: i64,
        /// The tier that the ciphertext is bound to.
        pub tier: String,
        /// The vault's ciphertext.
        pub sealed: Vec<u8>,
        /// Who set it.
        pub created_by: UserId,
        /// When.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(secret);
crate::tenant_entity!(version);

/// Most secrets of a workspace: a list shows them all, and a start delivers them all.
pub const MOST: u64 = 1_000;

// Beside the secrets, a delivery holds a few variables of the container's own.
const _: () = assert!(MOST + 100 <= crate::vault::MAX_DELIVERY as u64);

/// How much of a secret a person may see again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Shown.
    Visible,
    /// Hidden; revealed after re-authentication.
    Masked,
    /// Write-only.
    Sensitive,
}

impl Tier {
    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Visible => "visible",
            Self::Masked => "masked",
            Self::Sensitive => "sensitive",
        }
    }

    /// Reads [`Tier::as_str`]. An unknown word counts as the strictest tier.
    pub fn stored(word: &str) -> Self {
        match word {
            "visible" => Self::Visible,
            "masked" => Self::Masked,
            _ => Self::Sensitive,
        }
    }

    fn vault(self) -> crate::vault::Tier {
        match self {
            Self::Visible => crate::vault::Tier::Visible,
            Self::Masked => crate::vault::Tier::Masked,
            Self::Sensitive => crate::vault::Tier::Sensitive,
        }
    }
}

/// What a ciphertext is bound to.
pub fn binding(
    workspace: WorkspaceId,
    id: SecretId,
    version: i64,
    name: &str,
    tier: Tier,
) -> Binding {
    Binding {
        workspace: workspace.bytes(),
        secret: id.bytes(),
        version: u32::try_from(version).unwrap_or(0),
        name: name.to_owned(),
        purpose: Purpose::Environment,
        tier: tier.vault(),
    }
}

/// A secret as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SecretItem {
    /// Name of the environment variable.
    pub name: String,
    /// Its tier.
    pub tier: Tier,
    /// For people.
    pub description: String,
    /// The current version, from 1.
    pub version: i64,
    /// The value of a visible secret; null for the other tiers.
    pub value: Option<String>,
    /// When it was set last, milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// Who set it last.
    pub updated_by: UserId,
}

/// Names that containers set themselves: a secret must not replace them.
const RESERVED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "PWD",
    "OLDPWD",
    "IFS",
    "ENV",
    "BASH_ENV",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "NODE_OPTIONS",
];

/// Why a name is not taken.
pub fn name_complaint(name: &str) -> Option<String> {
    let mut characters = name.chars();
    let well_formed = characters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 128;
    if !well_formed {
        return Some(format!(
            "{name:?} is not the name of an environment variable: letters, digits and _, not starting with a digit, at \
             most 128 characters."
        ));
    }
    let upper = name.to_ascii_uppercase();
    if RESERVED.contains(&upper.as_str())
        || upper.starts_with("LD_")
        || upper.starts_with("OPTIDEV_")
    {
        return Some(format!(
            "{name} is set by the container itself. Choose another name."
        ));
    }
    None
}

/// Why a value is not taken.
pub fn value_complaint(value: &str) -> Option<String> {
    if value.is_empty() {
        return Some("The value is empty. To remove a secret, delete it.".to_owned());
    }
    if value.len() > 64 * 1024 {
        return Some(format!(
            "The value has {} bytes; an environment variable holds at most 65536.",
            value.len()
        ));
    }
    if value.contains('\0') {
        return Some(
            "The value holds a NUL character, which no environment variable can. Encode it."
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_variables_and_not_the_containers_own() {
        assert!(name_complaint("DATABASE_URL").is_none());
        for bad in [
            "",
            "1A",
            "A-B",
            "A B",
            "PATH",
            "ld_preload",
            "OPTIDEV_X",
            "é",
            &"A".repeat(129),
        ] {
            assert!(name_complaint(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn an_unknown_tier_is_the_strictest() {
        assert_eq!(Tier::stored("visible"), Tier::Visible);
        assert_eq!(Tier::stored("edited"), Tier::Sensitive);
    }
}
