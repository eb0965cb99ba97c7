//! Secrets: the rows, the API's shape, the tiers, and the rules of names.

use serde::{Deserialize, Serialize};

use crate::kernel::{ProjectId, SecretId, UserId, WorkspaceId};
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
        /// A word of [`DeliveredAs`](super::DeliveredAs).
        pub delivered_as: String,
        /// Whose it is: empty for the workspace's, else the id of the project, or of the member whose own it is.
        pub scope: String,
        /// For people.
        pub description: String,
        /// Whether `${NAME}` in the value stands for another secret.
        pub expand: bool,
        /// The names that the current value refers to, with spaces between; of a value that is expanded only.
        pub refers_to: String,
        /// Until when the value is good, for people: it is delivered afterwards, too.
        pub expires_at_ms: Option<i64>,
        /// How much was told of that: a number of [`Told`](super::super::expiry::Told).
        pub reminded: i64,
        /// When it was delivered to a container last.
        pub last_delivered_at_ms: Option<i64>,
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
        /// The names that this value refers to, as in the secret's row.
        pub refers_to: String,
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

/// Which projects there are; all else about them, and every change, is their own feature's.
pub mod project {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{ProjectId, WorkspaceId};

    /// A row of `project`, as far as it matters here.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "project")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The project.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ProjectId,
        /// The name of its folder below `projects` in containers.
        pub slug: String,
        /// Display name.
        pub name: String,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

// For reading only.
impl crate::store::TenantRead<WorkspaceId> for project::Entity {
    fn scope_column() -> project::Column {
        project::Column::WorkspaceId
    }
}

crate::tenant_entity!(secret);
crate::tenant_entity!(version);

/// Most secrets of a workspace, of a project, and of a member's own: a list shows them all, and a start delivers them all.
pub const MOST: u64 = 1_000;

// Of a workspace, a project and a member.
const _: () = assert!(3 * MOST <= crate::vault::MAX_DELIVERY as u64);

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

    /// As the vault has it.
    pub fn vault(self) -> crate::vault::Tier {
        match self {
            Self::Visible => crate::vault::Tier::Visible,
            Self::Masked => crate::vault::Tier::Masked,
            Self::Sensitive => crate::vault::Tier::Sensitive,
        }
    }
}

/// How a secret is given to containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveredAs {
    /// As an environment variable.
    #[default]
    Environment,
    /// As a file alone, below `/run/secrets`, which is memory; the variable `NAME_FILE` has its path.
    File,
    /// As a variable and a file; there is no `NAME_FILE`.
    Both,
}

impl DeliveredAs {
    /// The word in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::File => "file",
            Self::Both => "both",
        }
    }

    /// Reads [`DeliveredAs::as_str`]. An unknown word is what is without a choice.
    pub fn stored(word: &str) -> Self {
        match word {
            "file" => Self::File,
            "both" => Self::Both,
            _ => Self::Environment,
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

/// Whose secrets are meant, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
// Tokens have scopes too, and the API's document has one list of names.
#[schema(as = SecretScope)]
pub enum ScopeWord {
    /// The workspace's: delivered to every member's container.
    #[default]
    Workspace,
    /// A project's: in place of the workspace's of the same name, for programs that are started in that project's folder.
    Project,
    /// The caller's own in this workspace: delivered to their container only, in place of the others of the same name.
    Own,
}

/// Whose secrets are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The workspace's.
    Workspace,
    /// A project's.
    Project(ProjectId),
    /// The caller's own.
    Own,
}

impl Scope {
    /// How projects' scopes begin as they are stored: the rest of the project's id follows.
    pub const OF_PROJECTS: &str = "prj_";

    /// From what is asked for.
    ///
    /// # Errors
    /// What is wrong, when a project is named without need or is not named.
    pub fn asked(word: ScopeWord, project: Option<ProjectId>) -> Result<Self, String> {
        match (word, project) {
            (ScopeWord::Workspace, None) => Ok(Self::Workspace),
            (ScopeWord::Own, None) => Ok(Self::Own),
            (ScopeWord::Project, Some(project)) => Ok(Self::Project(project)),
            (ScopeWord::Project, None) => {
                Err("project: With scope=project, say which: project=prj_….".to_owned())
            }
            (_, Some(project)) => Err(format!(
                "project: {project} is named, and the scope is another. Add scope=project, or leave project out."
            )),
        }
    }

    /// As the database has it, for what `user` asks. Nobody can name another member's.
    pub fn stored(self, user: UserId) -> String {
        match self {
            Self::Workspace => String::new(),
            Self::Project(project) => project.to_string(),
            Self::Own => user.to_string(),
        }
    }

    /// Whose a row is.
    pub fn of(row: &secret::Model) -> Self {
        Self::read(&row.scope)
    }

    /// Reads [`Scope::stored`]. What is neither the workspace's nor a project's is taken for a member's own, which is kept from
    /// others.
    pub fn read(stored: &str) -> Self {
        match stored.parse() {
            _ if stored.is_empty() => Self::Workspace,
            Ok(project) => Self::Project(project),
            Err(_) => Self::Own,
        }
    }

    /// How addresses of the API and of pages say it, from the `?` on; empty for the workspace's.
    pub fn query(self) -> String {
        match self {
            Self::Workspace => String::new(),
            Self::Project(project) => format!("?scope=project&project={project}"),
            Self::Own => "?scope=own".to_owned(),
        }
    }

    /// The word for it.
    pub fn word(self) -> ScopeWord {
        match self {
            Self::Workspace => ScopeWord::Workspace,
            Self::Project(_) => ScopeWord::Project,
            Self::Own => ScopeWord::Own,
        }
    }

    /// The project, if it is one's.
    pub fn project(self) -> Option<ProjectId> {
        match self {
            Self::Project(project) => Some(project),
            Self::Workspace | Self::Own => None,
        }
    }
}

/// A secret as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SecretItem {
    /// Name of the environment variable.
    pub name: String,
    /// Whose it is.
    pub scope: ScopeWord,
    /// The project, when it is a project's.
    pub project: Option<ProjectId>,
    /// Its tier.
    pub tier: Tier,
    /// For people.
    pub description: String,
    /// How it is given to containers.
    pub delivered_as: DeliveredAs,
    /// The current version, from 1.
    pub version: i64,
    /// The value of a visible secret; null for the other tiers.
    pub value: Option<String>,
    /// Whether `${NAME}` in the value stands for another secret's value, put in at delivery.
    pub expand: bool,
    /// The secrets that the value refers to, when it is expanded.
    pub references: Vec<String>,
    /// Until when the value is good, milliseconds since the epoch. It is delivered afterwards, too.
    pub expires_at_ms: Option<i64>,
    /// Whether that time has come.
    pub expired: bool,
    /// Whether it comes within seven days.
    pub expires_soon: bool,
    /// When it was delivered to a container last.
    pub last_delivered_at_ms: Option<i64>,
    /// When it was set last, milliseconds since the epoch.
    pub updated_at_ms: i64,
    /// Who set it last.
    pub updated_by: UserId,
}

/// How long before its end a secret counts as ending soon.
pub const SOON_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

impl SecretItem {
    /// What is shown of a row at a time, with its value where that may be seen.
    pub fn of(row: secret::Model, value: Option<String>, now_ms: i64) -> Self {
        let left = row.expires_at_ms.map(|at| at.saturating_sub(now_ms));
        let scope = Scope::of(&row);
        Self {
            scope: scope.word(),
            project: scope.project(),
            tier: Tier::stored(&row.tier),
            delivered_as: DeliveredAs::stored(&row.delivered_as),
            references: if row.expand {
                words(&row.refers_to)
            } else {
                Vec::new()
            },
            name: row.name,
            description: row.description,
            version: row.version,
            value,
            expand: row.expand,
            expires_at_ms: row.expires_at_ms,
            expired: left.is_some_and(|left| left <= 0),
            expires_soon: left.is_some_and(|left| left > 0 && left <= SOON_MS),
            last_delivered_at_ms: row.last_delivered_at_ms,
            updated_at_ms: row.updated_at_ms,
            updated_by: row.updated_by,
        }
    }
}

/// In the place of names where nobody has said what a value refers to: it was sealed by a client and is not expanded.
pub const UNSAID: &str = "?";

/// What a value refers to, from the column; none when nobody has said.
pub fn references_in(column: &str) -> Option<Vec<String>> {
    (column != UNSAID).then(|| words(column))
}

/// The names in a column that holds several.
pub fn words(column: &str) -> Vec<String> {
    column.split_whitespace().map(str::to_owned).collect()
}

/// A version of a secret, without its value.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct VersionItem {
    /// From 1.
    pub version: i64,
    /// The tier in which it is kept.
    pub tier: Tier,
    /// Whether it is the one that is delivered.
    pub current: bool,
    /// Who set it.
    pub created_by: UserId,
    /// When, milliseconds since the epoch.
    pub created_at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_with_its_scope_only() {
        let project = "prj_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let asked = Scope::asked(ScopeWord::Project, Some(project));
        assert_eq!(asked, Ok(Scope::Project(project)));
        for (word, project) in [
            (ScopeWord::Project, None),
            (ScopeWord::Workspace, Some(project)),
            (ScopeWord::Own, Some(project)),
        ] {
            let message = Scope::asked(word, project).unwrap_err();
            assert!(message.contains("scope=project"), "{message}");
        }
        let stored = project.to_string();
        assert!(stored.starts_with(Scope::OF_PROJECTS));
        assert_eq!(Scope::read(&stored), Scope::Project(project));
        assert_eq!(
            Scope::Project(project).query(),
            format!("?scope=project&project={project}")
        );
    }

    #[test]
    fn an_unknown_tier_is_the_strictest() {
        assert_eq!(Tier::stored("visible"), Tier::Visible);
        assert_eq!(Tier::stored("edited"), Tier::Sensitive);
    }
}
