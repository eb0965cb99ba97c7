//! Who is asking.

use super::Scope;
use crate::kernel::{SessionId, TokenId, UserId};

/// How the actor proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A signed-in browser.
    Session(SessionId),
    /// An API token with these scopes.
    Token(TokenId, Vec<Scope>),
}

/// A person who was recognised in this request.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The account.
    pub user: UserId,
    /// For display.
    pub name: String,
    /// For display.
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
            Credential::Token(_, scopes) => scopes.contains(&scope) || scopes.contains(&Scope::All),
        }
    }
}
