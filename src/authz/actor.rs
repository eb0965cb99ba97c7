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

/// Somebody who was recognised in this request.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The account.
    pub user: UserId,
    /// For display.
    pub name: String,
    /// A person or a service account.
    pub kind: ActorKind,
    /// For display; empty for a service account.
    pub email: String,
    /// Session or token.
    pub credential: Credential,
    /// When the person last proved who they are, milliseconds since the epoch. Tokens never count as fresh.
    pub authenticated_at_ms: i64,
    /// Network address of the request, for the audit log.
    pub address: String,
}

impl Actor {
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
