//! The permission table: one exhaustive `match` from role and permission to yes or no.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Role;
use crate::store::Permission;

/// What a token may be limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything that the user may do.
    All,
    /// Projects.
    Projects,
    /// Containers: files, terminals, commands, ports.
    Containers,
    /// Secrets.
    Secrets,
    /// The gateway and the assistant.
    Ai,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 5] = [
        Self::All,
        Self::Projects,
        Self::Containers,
        Self::Secrets,
        Self::Ai,
    ];

    /// The word in tokens and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Projects => "projects",
            Self::Containers => "containers",
            Self::Secrets => "secrets",
            Self::Ai => "ai",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| {
                format!("{text:?} is not a scope; use all, projects, containers, secrets or ai")
            })
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident: $scope:ident;)*) => {
        /// A row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum PermissionId { $($(#[$doc])* $name,)* }

        impl PermissionId {
            /// All rows.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The scope that a token needs for it.
            pub fn scope(self) -> Scope {
                match self { $(Self::$name => Scope::$scope,)* }
            }
        }

        $(
            $(#[$doc])*
            pub struct $name;
            impl Permission for $name { const ID: PermissionId = PermissionId::$name; }
        )*
    };
}

permissions! {
    /// See projects.
    ProjectsRead: Projects;
    /// Make and delete projects.
    ProjectsWrite: Projects;
    /// See which containers there are, and their state.
    ContainersRead: Containers;
    /// Have a container of one's own: start it, stop it, work in it.
    ContainersUse: Containers;
    /// Stop and delete the containers of others.
    ContainersManage: Containers;
    /// See the names of secrets, and the values of visible ones.
    SecretsRead: Secrets;
    /// Set and delete secrets.
    SecretsWrite: Secrets;
    /// See the value of a masked secret.
    SecretsReveal: Secrets;
    /// Talk to the assistant.
    AssistantUse: Ai;
}

impl Role {
    /// The table.
    pub fn allows(self, permission: PermissionId) -> bool {
        use PermissionId as P;
        match permission {
            P::ProjectsRead | P::ContainersRead | P::SecretsRead => true,
            P::ProjectsWrite | P::ContainersUse | P::AssistantUse => self != Self::Viewer,
            P::ContainersManage | P::SecretsWrite | P::SecretsReveal => {
                matches!(self, Self::Owner | Self::Admin)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_nested() {
        for permission in PermissionId::ALL {
            for pair in Role::ALL.windows(2) {
                assert!(
                    pair[0].allows(*permission) || !pair[1].allows(*permission),
                    "{:?} may {permission:?} but {:?} may not",
                    pair[1],
                    pair[0]
                );
            }
        }
    }

    #[test]
    fn a_viewer_changes_nothing() {
        for permission in PermissionId::ALL {
            if Role::Viewer.allows(*permission) {
                assert!(
                    format!("{permission:?}").ends_with("Read"),
                    "{permission:?}"
                );
            }
        }
    }
}
