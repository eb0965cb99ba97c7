//! The rows of sinks, their shapes in the API, and what a sink may be.

use serde::{Deserialize, Serialize};

use crate::kernel::{AuditSinkId, UserId};

/// Sinks.
pub mod sink {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{AuditSinkId, OrganizationId, UserId};

    /// A row of `audit_sink`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_sink")]
    pub struct Model {
        /// Whose log.
        #[sea_orm(primary_key, auto_increment = false)]
        pub organization_id: OrganizationId,
        /// The sink.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: AuditSinkId,
        /// Display name.
        pub name: String,
        /// [`super::Target`] as JSON; no secret in it.
        pub target: String,
        /// The key of a webhook's signatures, sealed by the vault.
        pub sealed_secret: Option<Vec<u8>>,
        /// Whether entries are carried there.
        pub enabled: bool,
        /// The first entry that was not delivered.
        pub next_seq: i64,
        /// The last entry of the batch that was begun at `next_seq`, if it is not below it: a repeated batch is the same.
        pub batch_end: i64,
        /// Why the last try failed; none after a success.
        pub last_error: Option<String>,
        /// When it failed.
        pub last_error_ms: Option<i64>,
        /// When entries were last delivered.
        pub last_delivered_ms: Option<i64>,
        /// Who made it.
        pub created_by: UserId,
        /// Since when.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::organization_entity!(sink);

/// Where entries go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// Syslog messages (RFC 5424) over TLS (RFC 5425).
    Syslog {
        /// Name or address of the receiver; its certificate must be for it.
        host: String,
        /// Its port.
        #[serde(default = "syslog_port")]
        port: u16,
        /// Whether TLS is spoken.
        #[serde(default = "yes")]
        tls: bool,
        /// Certificates (PEM) that the receiver's is checked against, in place of the system's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_pem: Option<String>,
        /// Said in words: without TLS, everybody on the way can read and change entries.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accept_unencrypted: bool,
    },
    /// JSON by POST, signed as Standard Webhooks has it.
    Webhook {
        /// The address, with https.
        url: String,
    },
}

fn syslog_port() -> u16 {
    6514
}

fn yes() -> bool {
    true
}

impl Target {
    /// For people: where to.
    pub fn place(&self) -> String {
        match self {
            Self::Syslog {
                host, port, tls, ..
            } => format!("{host}:{port}{}", if *tls { "" } else { ", not encrypted" }),
            Self::Webhook { url } => url.clone(),
        }
    }

    /// `syslog` or `webhook`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Syslog { .. } => "syslog",
            Self::Webhook { .. } => "webhook",
        }
    }
}

/// A sink.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Sink {
    /// Its id.
    pub id: AuditSinkId,
    /// Display name.
    pub name: String,
    /// Where entries go.
    pub target: Target,
    /// Whether entries are carried there.
    pub enabled: bool,
    /// The number of the first entry that was not delivered.
    pub next_seq: i64,
    /// How many entries wait.
    pub waiting: i64,
    /// Why the last try failed; none after a success.
    pub last_error: Option<String>,
    /// When it failed, milliseconds since the epoch.
    pub last_error_ms: Option<i64>,
    /// When entries were last delivered, milliseconds since the epoch.
    pub last_delivered_ms: Option<i64>,
    /// Who made it.
    pub created_by: UserId,
    /// Since when, milliseconds since the epoch.
    pub created_at_ms: i64,
}

/// A sink to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSink {
    /// Display name, 1 to 100 characters.
    pub name: String,
    /// Where entries go.
    pub target: Target,
    /// Carry the log from its first entry on, and not from now on.
    #[serde(default)]
    pub from_beginning: bool,
}

/// A sink that was made.
#[derive(Serialize, utoipa::ToSchema)]
pub struct MadeSink {
    /// The sink.
    pub sink: Sink,
    /// The key of a webhook's signatures, shown this once: `whsec_` and base64.
    pub secret: Option<String>,
}

/// What to change of a sink; what is left out stays.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeSink {
    /// Display name, 1 to 100 characters.
    pub name: Option<String>,
    /// Where entries go; of the same kind.
    pub target: Option<Target>,
    /// Whether entries are carried there.
    pub enabled: Option<bool>,
}

/// What came of a test.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TestResult {
    /// Whether the test entry arrived.
    pub delivered: bool,
    /// Why not.
    pub error: Option<String>,
}
