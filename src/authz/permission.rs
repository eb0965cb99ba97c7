//! The permission table: one exhaustive `match` from role and permission to yes or no.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Role;
use crate::store::Permission;

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident $word:literal $about:literal;)*) => {
        /// What a token may be limited to.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Scope { $($(#[$doc])* #[serde(rename = $word)] $name,)* }

        impl Scope {
            /// All scopes.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in tokens and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What it reaches, for people.
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

scopes! {
    /// Everything that the account may do.
    All "all" "Everything that the account may do, but what secrets:reveal is for";
    /// Everything that only looks.
    Read "read" "What projects:read, containers:read, secrets:read, members:read and audit:read reach together";
    /// Projects.
    Projects "projects" "See, make and delete projects";
    /// Projects, looking.
    ProjectsRead "projects:read" "See projects";
    /// Containers: files, terminals, commands, ports.
    Containers "containers" "Start, stop and work in containers: files, terminals, commands, ports";
    /// Containers, looking.
    ContainersRead "containers:read" "See which containers there are";
    /// Secrets.
    Secrets "secrets" "See names of secrets, set and delete them";
    /// Secrets, looking.
    SecretsRead "secrets:read" "See names of secrets, and values of visible ones";
    /// Masked secrets for programs, without a person who proves that they are there.
    SecretsReveal "secrets:reveal" "Start programs with secrets, masked ones among them; not part of all";
    /// The gateway and the assistant.
    Ai "ai" "Use the AI gateway and the assistant";
    /// Members, invitations, service accounts and the workspace itself.
    Members "members" "Manage the workspace, its members, invitations and service accounts";
    /// Members, looking.
    MembersRead "members:read" "See who the members are";
    /// The audit log.
    AuditRead "audit:read" "Read the audit log";
    /// The audit log and where it is carried to.
    Audit "audit" "Read the audit log and set where it is carried to";
    /// An organization that the account owns.
    Organization "organization" "Manage organizations that the account owns";
    /// The account's own sessions and tokens.
    Account "account" "Manage the account's own sessions and tokens";
}

impl utoipa::PartialSchema for Scope {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("What a token may be limited to."))
            .enum_values(Some(Self::ALL.iter().map(|scope| scope.as_str())))
            .into()
    }
}

impl utoipa::ToSchema for Scope {}

impl Scope {
    /// Whether a token with this scope reaches acts of `other`.
    pub fn includes(self, other: Self) -> bool {
        self == other
            || match self {
                // It stands for a person's presence, so it is given by name only.
                Self::All => other != Self::SecretsReveal,
                // Who takes values may know their names.
                Self::SecretsReveal => other == Self::SecretsRead,
                Self::Read => other.as_str().ends_with(":read"),
                _ => other.as_str().strip_suffix(":read") == Some(self.as_str()),
            }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|scope| scope.as_str()).collect();
                format!("{text:?} is not a scope; use one of {}", known.join(", "))
            })
    }
}

macro_rules! permissions {
    ($($group:literal { $($(#[$doc:meta])* $name:ident: $scope:ident, $about:literal;)* })*) => {
        /// A row of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum PermissionId { $($($(#[$doc])* $name,)*)* }

        impl PermissionId {
            /// All rows.
            pub const ALL: &[Self] = &[$($(Self::$name,)*)*];

            /// The name, for documents and tests.
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$name => stringify!($name),)*)* }
            }

            /// What it allows, for people.
            pub fn about(self) -> &'static str {
                match self { $($(Self::$name => $about,)*)* }
            }

            /// The heading under which it is shown.
            pub fn group(self) -> &'static str {
                match self { $($(Self::$name => $group,)*)* }
            }

            /// The scope that a token needs for it.
            pub fn scope(self) -> Scope {
                match self { $($(Self::$name => Scope::$scope,)*)* }
            }
        }

        $($(
            $(#[$doc])*
            pub struct $name;
            impl Permission for $name { const ID: PermissionId = PermissionId::$name; }
        )*)*
    };
}

permissions! {
    "Workspace" {
        /// See the workspace's name and settings.
        WorkspaceRead: MembersRead, "See the workspace";
        /// Change the workspace's name and settings.
        WorkspaceManage: Members, "Rename the workspace";
        /// Change which hosts the workspace adds to what its containers may reach.
        EgressManage: Members, "Add hosts to what the workspace's containers may reach, where the operator takes additions";
        /// Delete the workspace with all that it holds.
        WorkspaceDelete: Members, "Delete the workspace with everything in it";
    }
    "Members" {
        /// See who the members are, and their roles.
        MembersRead: MembersRead, "See who the members are";
        /// End one's own membership.
        MembersLeave: Members, "Leave the workspace";
        /// Invite and remove members, and change the roles of all but owners.
        MembersManage: Members, "Invite and remove members, change roles up to Admin";
        /// Make owners and unmake them, and hand the workspace over.
        OwnersManage: Members, "Make and unmake owners, hand the workspace over";
        /// See the workspace's service accounts and their tokens, without values.
        ServiceAccountsRead: MembersRead, "See service accounts";
        /// Make and delete service accounts, and their tokens.
        ServiceAccountsManage: Members, "Make and delete service accounts and their tokens";
    }
    "Projects" {
        /// See projects.
        ProjectsRead: ProjectsRead, "See projects";
        /// Make and delete projects.
        ProjectsWrite: Projects, "Make and delete projects";
    }
    "Containers" {
        /// See which containers there are, and their state.
        ContainersRead: ContainersRead, "See which containers there are";
        /// Have a container of one's own: start it, stop it, work in it.
        ContainersUse: Containers, "Have a container of one's own and work in it";
        /// Stop and delete the containers of others; never enter them.
        ContainersManage: Containers, "Stop and delete containers of others (nobody enters them)";
    }
    "Secrets" {
        /// See the names of secrets, and the values of visible ones.
        SecretsRead: SecretsRead, "See names of secrets, and visible values";
        /// Set and delete secrets.
        SecretsWrite: Secrets, "Set and delete secrets";
        /// See the value of a masked secret.
        SecretsReveal: Secrets, "Reveal masked secrets";
        /// Take secrets for a program outside of a container: one's own, and what else one may see or reveal.
        SecretsRun: SecretsReveal, "Start programs with the secrets that one may see or reveal (optidev run)";
        /// Have secrets of one's own, which go to one's own container only: set, reveal and delete them.
        SecretsOwn: Secrets, "Have secrets of one's own (nobody else sees them)";
        /// Change or delete the key that all secrets are sealed with.
        SecretsRotate: Secrets, "Rotate the key of all secrets, or shred them";
    }
    "Assistant" {
        /// Talk to the assistant.
        AssistantUse: Ai, "Use the assistant and the AI gateway";
    }
    "Audit" {
        /// Read the workspace's audit log.
        AuditRead: AuditRead, "Read the audit log";
    }
}

/// What somebody may do in an organization. Owners of it have every right; that gives none inside a workspace.
pub struct OrganizationRight {
    /// What it allows, for people.
    pub about: &'static str,
    /// Whether members of the organization's workspaces have it, too.
    pub members: bool,
}

const fn for_owners(about: &'static str) -> OrganizationRight {
    OrganizationRight {
        about,
        members: false,
    }
}

/// What an `OrganizationGrant` is for, and what needs none.
pub const ORGANIZATION_RIGHTS: &[OrganizationRight] = &[
    OrganizationRight {
        about: "See the organization's name",
        members: true,
    },
    for_owners("Rename the organization"),
    for_owners("See all its workspaces, and make new ones"),
    for_owners("See who is in which of them, and as what"),
    for_owners("Make owners of the organization and unmake them; there is always one"),
    for_owners("Set a ceiling over what its workspaces' containers may reach"),
    for_owners("Read and export its audit log"),
    for_owners("Set where its audit log is carried to"),
];

impl Role {
    /// The table.
    pub fn allows(self, permission: PermissionId) -> bool {
        use PermissionId as P;
        match permission {
            P::WorkspaceRead
            | P::MembersRead
            | P::MembersLeave
            | P::ProjectsRead
            | P::ContainersRead
            | P::SecretsRead => true,
            P::ProjectsWrite
            | P::ContainersUse
            | P::SecretsOwn
            | P::SecretsRun
            | P::AssistantUse => self != Self::Viewer,
            P::WorkspaceManage
            | P::EgressManage
            | P::MembersManage
            | P::ServiceAccountsRead
            | P::ServiceAccountsManage
            | P::ContainersManage
            | P::SecretsWrite
            | P::SecretsReveal
            | P::AuditRead => matches!(self, Self::Owner | Self::Admin),
            P::WorkspaceDelete | P::OwnersManage | P::SecretsRotate => self == Self::Owner,
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
            // Leaving changes nothing for anybody else.
            if Role::Viewer.allows(*permission) && *permission != PermissionId::MembersLeave {
                assert!(
                    format!("{permission:?}").ends_with("Read"),
                    "{permission:?}"
                );
            }
        }
    }

    #[test]
    fn a_scope_includes_its_reading_part_and_nothing_else() {
        assert!(Scope::Projects.includes(Scope::ProjectsRead));
        assert!(!Scope::ProjectsRead.includes(Scope::Projects));
        assert!(Scope::Read.includes(Scope::AuditRead));
        assert!(!Scope::Read.includes(Scope::Account));
        assert!(!Scope::Secrets.includes(Scope::ProjectsRead));
        assert!(!Scope::Secrets.includes(Scope::SecretsReveal));
        assert!(Scope::SecretsReveal.includes(Scope::SecretsRead));
        assert!(!Scope::SecretsReveal.includes(Scope::Secrets));
        for scope in Scope::ALL {
            let by_name_only = *scope == Scope::SecretsReveal;
            assert_eq!(Scope::All.includes(*scope), !by_name_only, "{scope:?}");
            assert_eq!(scope.as_str().parse(), Ok(*scope));
        }
    }

    #[test]
    fn the_scope_read_says_what_it_reaches() {
        let reached = Scope::ALL
            .iter()
            .filter(|scope| scope.as_str().ends_with(":read"));
        for scope in reached {
            assert!(Scope::Read.includes(*scope));
            assert!(Scope::Read.about().contains(scope.as_str()), "{scope:?}");
        }
    }

    #[test]
    fn what_only_looks_needs_a_reading_scope_and_nothing_else_does() {
        for permission in PermissionId::ALL {
            assert_eq!(
                permission.as_str().ends_with("Read"),
                permission.scope().as_str().ends_with(":read"),
                "{permission:?}"
            );
        }
    }
}
