//! Secrets of a member's own, expiry, references, and when each was delivered last.
//!
//! A name is unique within its scope now. SQLite cannot drop the old constraint, so there the two tables are copied.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

#[derive(DeriveMigrationName)]
pub struct Migration;

const NEW: [&str; 6] = [
    "scope text NOT NULL DEFAULT ''",
    "expand boolean NOT NULL DEFAULT FALSE",
    "refers_to text NOT NULL DEFAULT ''",
    "expires_at_ms bigint NULL",
    "reminded bigint NOT NULL DEFAULT 0",
    "last_delivered_at_ms bigint NULL",
];

/// As SQLite has the tables, with what is new.
const COPIED: [&str; 6] = [
    "INSERT INTO secret_10 (workspace_id, id, name, tier, description, version, created_by, created_at_ms, updated_by, \
     updated_at_ms) SELECT workspace_id, id, name, tier, description, version, created_by, created_at_ms, updated_by, \
     updated_at_ms FROM secret",
    "INSERT INTO secret_version_10 (workspace_id, secret_id, version, tier, sealed, created_by, created_at_ms) SELECT \
     workspace_id, secret_id, version, tier, sealed, created_by, created_at_ms FROM secret_version",
    // The one that refers to the other first: else its rows would go with the other's.
    "DROP TABLE secret_version",
    "DROP TABLE secret",
    "ALTER TABLE secret_10 RENAME TO secret",
    "ALTER TABLE secret_version_10 RENAME TO secret_version",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    // All or nothing, and on one connection: another one of SQLite's would not know yet that a table is gone.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut statements = Vec::new();
        if manager.get_connection().get_database_backend() == DatabaseBackend::Postgres {
            for column in NEW {
                statements.push(format!("ALTER TABLE secret ADD COLUMN {column}"));
            }
            statements.extend([
                "ALTER TABLE secret_version ADD COLUMN refers_to text NOT NULL DEFAULT ''"
                    .to_owned(),
                "ALTER TABLE secret DROP CONSTRAINT secret_workspace_id_name_key".to_owned(),
                "ALTER TABLE secret ADD UNIQUE (workspace_id, scope, name)".to_owned(),
            ]);
        } else {
            statements.extend([
                format!(
                    "CREATE TABLE secret_10 (workspace_id uuid_text NOT NULL, id uuid_text NOT NULL, name text NOT NULL, \
                     tier text NOT NULL, description text NOT NULL, version bigint NOT NULL, created_by uuid_text NOT \
                     NULL, created_at_ms bigint NOT NULL, updated_by uuid_text NOT NULL, updated_at_ms bigint NOT NULL, \
                     {}, PRIMARY KEY (workspace_id, id), UNIQUE (workspace_id, scope, name), FOREIGN KEY (workspace_id) \
                     REFERENCES workspace (id) ON DELETE CASCADE)",
                    NEW.join(", ")
                ),
                "CREATE TABLE secret_version_10 (workspace_id uuid_text NOT NULL, secret_id uuid_text NOT NULL, version \
                 bigint NOT NULL, tier text NOT NULL, sealed blob NOT NULL, created_by uuid_text NOT NULL, created_at_ms \
                 bigint NOT NULL, refers_to text NOT NULL DEFAULT '', PRIMARY KEY (workspace_id, secret_id, version), \
                 FOREIGN KEY (workspace_id) REFERENCES workspace (id) ON DELETE CASCADE, FOREIGN KEY (workspace_id, \
                 secret_id) REFERENCES secret_10 (workspace_id, id) ON DELETE CASCADE)"
                    .to_owned(),
            ]);
            statements.extend(COPIED.map(str::to_owned));
        }
        statements.push("CREATE INDEX secret_expires_at_ms ON secret (expires_at_ms)".to_owned());
        for statement in statements {
            manager
                .get_connection()
                .execute_unprepared(&statement)
                .await?;
        }
        Ok(())
    }
}
