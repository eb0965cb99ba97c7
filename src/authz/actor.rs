//! Who is asking.

use super::{PermissionId, Scope};
use crate::kernel::{SessionId, TokenId, UserId};

/// How the actor proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A signed-in browser.
    Session(SessionId),
    /// An API token with these scopes.
    Token(TokenId, Vec<Scope>),
}

/// Whether somebody sits at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// A person.
    Person,
    /// A service account: it has tokens and one workspace.
    Service,
}

/// Somebody who was recognised in this request. Only `authz` makes one or changes whom it names: what an actor may do is
/// what may be done.
#[derive(Debug, Clone)]
pub struct Actor {
    pub(super) user: UserId,
    pub(super) name: String,
    pub(super) kind: ActorKind,
    pub(super) email: String,
    pub(super) credential: Credential,
    pub(super) authenticated_at_ms: i64,
    pub(super) address: String,
}

impl Actor {
    /// The account.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// For display.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A person or a service account.
    pub fn kind(&self) -> ActorKind {
        self.kind
    }

    /// For display; empty for a service account.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Session or token.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// When the person last proved who they are, milliseconds since the epoch. Tokens never count as fresh.
    pub fn authenticated_at_ms(&self) -> i64 {
        self.authenticated_at_ms
    }

    /// Network address of the request, for the audit log.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the credential reaches acts of this scope; a session reaches all.
    pub fn has_scope(&self, scope: Scope) -> bool {
        match &self.credential {
            Credential::Session(_) => true,
            Credential::Token(_, scopes) => scopes.iter().any(|held| held.includes(scope)),
        }
    }

    /// Whether the credential reaches this kind of act, whatever the role says.
    pub fn may(&self, permission: PermissionId) -> bool {
        self.has_scope(permission.scope())
    }
}
