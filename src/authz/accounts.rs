//! The tables of people and of what they sign in with. They have no workspace: see `SystemPurpose`.

/// People.
pub mod account {
    use sea_orm::ActiveValue::Set;
    use sea_orm::entity::prelude::*;

    use crate::kernel::{UserId, WorkspaceId};

    /// A row of `account`.
    #[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "account")]
    pub struct Model {
        /// The person.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: UserId,
        /// `person` or `service`.
        pub kind: String,
        /// Lower case; service accounts have none.
        pub email: Option<String>,
        /// For display.
        pub name: String,
        /// argon2id in PHC form (RFC 9106); empty for a service account, which no password fits.
        pub password_hash: String,
        /// The one workspace of a service account.
        pub home_workspace_id: Option<WorkspaceId>,
        /// The sealed seed of one-time passwords, when the second factor is on.
        pub totp_sealed: Option<Vec<u8>>,
        /// The last time step that was accepted: none is accepted twice (RFC 6238, 5.2).
        pub totp_last_step: Option<i64>,
        /// Since when.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}

    impl ActiveModel {
        /// A new service account: no password fits it, and it has no address.
        pub fn service(id: UserId, name: &str, workspace: WorkspaceId, now_ms: i64) -> Self {
            Self {
                kind: Set("service".to_owned()),
                email: Set(None),
                home_workspace_id: Set(Some(workspace)),
                ..Self::person(id, String::new(), name, String::new(), now_ms)
            }
        }

        /// A new account of a person, with a password and no second factor.
        pub fn person(
            id: UserId,
            email: String,
            name: &str,
            password_hash: String,
            now_ms: i64,
        ) -> Self {
            Self {
                id: Set(id),
                kind: Set("person".to_owned()),
                email: Set(Some(email)),
                name: Set(name.trim().to_owned()),
                password_hash: Set(password_hash),
                home_workspace_id: Set(None),
                totp_sealed: Set(None),
                totp_last_step: Set(None),
                created_at_ms: Set(now_ms),
            }
        }
    }

    impl std::fmt::Debug for Model {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            // Hash and seed stay out of every log.
            f.debug_struct("account")
                .field("id", &self.id)
                .finish_non_exhaustive()
        }
    }
}

/// Signed-in browsers.
pub mod login_session {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{SessionId, UserId};

    /// A row of `login_session`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "login_session")]
    pub struct Model {
        /// For the list of sessions; not the cookie.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: SessionId,
        /// Whose.
        pub account_id: UserId,
        /// The vault's MAC of the cookie's value.
        pub token_hash: Vec<u8>,
        /// `active`, or `second_factor` while the second factor is still to be shown.
        pub stage: String,
        /// Where it was opened from.
        pub address: String,
        /// With which browser.
        pub user_agent: String,
        /// When it was opened.
        pub created_at_ms: i64,
        /// When it was last used, to about a minute.
        pub last_seen_ms: i64,
        /// When the person last proved who they are.
        pub authenticated_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// API tokens.
pub mod api_token {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{TokenId, UserId};

    /// A row of `api_token`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "api_token")]
    pub struct Model {
        /// For the list of tokens; not the token.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: TokenId,
        /// Whose.
        pub account_id: UserId,
        /// For display.
        pub name: String,
        /// The vault's MAC of the token.
        pub token_hash: Vec<u8>,
        /// Words of `Scope`, separated by spaces.
        pub scopes: String,
        /// When it was made.
        pub created_at_ms: i64,
        /// When it ends, if ever.
        pub expires_at_ms: Option<i64>,
        /// When it was last used, to about a minute.
        pub last_used_ms: Option<i64>,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
