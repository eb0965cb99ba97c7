//! Tokens and service accounts as the API shows them, and what is taken for new ones.

use serde::{Deserialize, Serialize};

use crate::authz::accounts::api_token;
use crate::authz::{Role, Scope};
use crate::kernel::{Code, Problem, TokenId, UserId};

/// Tokens of one account.
pub const MOST: usize = 100;
/// Service accounts of one workspace.
pub const MOST_ACCOUNTS: usize = 100;
/// Longest life of a token, in days.
pub const LONGEST_DAYS: u32 = 3_650;

/// A token, without its value.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// For display.
    pub name: String,
    /// What it reaches.
    pub scopes: Vec<Scope>,
    /// When it was made, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// When it ends, milliseconds since the epoch, if ever.
    pub expires_at_ms: Option<i64>,
    /// When it was last used, to about a minute.
    pub last_used_ms: Option<i64>,
}

impl From<api_token::Model> for Token {
    fn from(row: api_token::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: row
                .scopes
                .split(' ')
                .filter_map(|word| word.parse().ok())
                .collect(),
            created_at_ms: row.created_at_ms,
            expires_at_ms: row.expires_at_ms,
            last_used_ms: row.last_used_ms,
        }
    }
}

/// A new token with its value, which nothing shows again.
#[derive(Serialize, utoipa::ToSchema)]
pub struct NewToken {
    /// `odv_` and 49 characters.
    pub value: String,
    /// The token.
    pub token: Token,
}

/// What a token is to be.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// From 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// At least one.
    #[schema(min_items = 1)]
    pub scopes: Vec<Scope>,
    /// From 1 to 3650; left out, it does not end by itself.
    #[schema(minimum = 1, maximum = 3650)]
    pub expires_in_days: Option<u32>,
}

impl TokenRequest {
    /// # Errors
    /// `unprocessable` naming the field that is not right.
    pub fn check(&self) -> Result<(), Problem> {
        let complaint = if let Some(message) = crate::features::members::name_complaint(&self.name)
        {
            Some(format!("name: {message}"))
        } else if self.scopes.is_empty() {
            Some("scopes: Choose at least one.".to_owned())
        } else {
            match self.expires_in_days {
                Some(days) if days == 0 || days > LONGEST_DAYS => Some(format!(
                    "expires_in_days: {days} is not between 1 and {LONGEST_DAYS}."
                )),
                _ => None,
            }
        };
        complaint.map_or(Ok(()), |text| Err(Problem::new(Code::Unprocessable, text)))
    }
}

/// A service account.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ServiceAccount {
    /// Its id, also among the members.
    pub id: UserId,
    /// For display.
    pub name: String,
    /// What it may do in the workspace.
    pub role: Role,
    /// Since when, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// How many tokens it has.
    pub tokens: usize,
}
