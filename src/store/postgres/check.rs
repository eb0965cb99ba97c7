//! What a server makes sure of before it works on PostgreSQL: the schema is there, and its role is held by it.

use optidev_migrations::{Migrator, MigratorTrait, tables};
use sea_orm::sqlx::postgres::PgConnection;
use sea_orm::sqlx::{self, Error};

use super::Address;
use crate::store::OpenError;

/// Refuses a schema that this executable does not know yet, and a role that row level security would not hold.
///
/// # Errors
/// [`OpenError::Refused`] with the remedy.
pub async fn check(connection: &mut PgConnection, address: &Address) -> Result<(), OpenError> {
    versions(connection).await?;
    role(connection, &address.role).await?;
    policies(connection).await
}

async fn versions(connection: &mut PgConnection) -> Result<(), OpenError> {
    let migrate = "run `optidev migrate` of this version, then start again";
    let there: bool = sqlx::query_scalar("SELECT to_regclass('seaql_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Err(OpenError::Refused(format!(
            "the database has no tables yet: {migrate}"
        )));
    }
    let applied: Vec<String> = sqlx::query_scalar("SELECT version FROM seaql_migrations")
        .fetch_all(connection)
        .await
        .map_err(|error| match &error {
            Error::Database(told) if told.code().as_deref() == Some("42501") => OpenError::Refused(
                format!("the server's role may not read the tables: {migrate}"),
            ),
            _ => error.into(),
        })?;
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let missing: Vec<&str> = known
        .iter()
        .filter(|name| !applied.contains(name))
        .map(String::as_str)
        .collect();
    if !missing.is_empty() {
        return Err(OpenError::Refused(format!(
            "the database schema is older than this executable, and lacks {}: {migrate}",
            missing.join(", ")
        )));
    }
    let newer: Vec<&String> = applied
        .iter()
        .filter(|name| !known.contains(name))
        .collect();
    if !newer.is_empty() {
        // Migrations expand before they contract, so the version before still works.
        tracing::warn!(
            ?newer,
            "the database schema is newer than this executable; exchange the executable soon"
        );
    }
    Ok(())
}

/// Refuses a role that row level security does not hold, by itself or by a role that it can become.
async fn role(connection: &mut PgConnection, role: &str) -> Result<(), OpenError> {
    let above: Vec<String> = sqlx::query_scalar(
        "SELECT rolname::text FROM pg_roles WHERE (rolsuper OR rolbypassrls) AND pg_has_role(oid, 'MEMBER')",
    )
    .fetch_all(&mut *connection)
    .await?;
    let owned: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace \
         AND relkind IN ('r', 'p', 'v', 'm') AND pg_has_role(relowner, 'MEMBER') ORDER BY 1",
    )
    .fetch_all(connection)
    .await?;
    let remedy = "name a role of the server's own in [database] url, keep the owner's for migrate_url, and run `optidev migrate`";
    if !above.is_empty() {
        return Err(OpenError::Refused(format!(
            "the role {role} in [database] url is a superuser or passes row level security (through {}), so one wrong \
             query could show a foreign workspace: {remedy}",
            above.join(", ")
        )));
    }
    if !owned.is_empty() {
        return Err(OpenError::Refused(format!(
            "the role {role} in [database] url owns tables ({}), so it could switch row level security off: {remedy}",
            shortened(&owned)
        )));
    }
    Ok(())
}

/// Every table that holds rows of a workspace or an organization has one policy, the one that the migrations give it,
/// which holds its owner too.
async fn policies(connection: &mut PgConnection) -> Result<(), OpenError> {
    let known: Vec<&str> = tables::ROWS.iter().map(|(table, _)| *table).collect();
    let found: Vec<(String, bool, Option<String>)> = sqlx::query_as(
        "SELECT c.relname::text, c.relrowsecurity AND c.relforcerowsecurity, \
         (SELECT CASE WHEN count(*) = 1 AND bool_and(p.polpermissive AND p.polcmd = '*' AND p.polroles = '{0}' \
             AND pg_get_expr(p.polqual, c.oid) = pg_get_expr(p.polwithcheck, c.oid)) \
          THEN min(pg_get_expr(p.polqual, c.oid)) END FROM pg_policy p WHERE p.polrelid = c.oid) \
         FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') \
         AND (c.relname = ANY($1) OR EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid \
             AND a.attname IN ('workspace_id', 'organization_id') AND NOT a.attisdropped)) ORDER BY 1",
    )
    .bind(known)
    .fetch_all(connection)
    .await?;
    let (mut bare, mut other) = (Vec::new(), Vec::new());
    for (table, forced, rule) in found {
        if tables::WITHOUT_POLICY.contains(&table.as_str()) {
            continue;
        }
        if !forced {
            bare.push(table);
            continue;
        }
        let rule = rule.as_deref().map(plain);
        let right = tables::rules(&table)
            .iter()
            .any(|right| rule.as_ref() == Some(&plain(right)));
        if !right {
            other.push(table);
        }
    }
    let remedy = "restore its policy from a database that `optidev migrate` made";
    if !bare.is_empty() {
        return Err(OpenError::Refused(format!(
            "row level security is switched off for {}: somebody changed the schema by hand. For each of them run, as the \
             owner: ALTER TABLE … ENABLE ROW LEVEL SECURITY; ALTER TABLE … FORCE ROW LEVEL SECURITY; and {remedy}",
            shortened(&bare)
        )));
    }
    if !other.is_empty() {
        return Err(OpenError::Refused(format!(
            "row level security has another rule, or more rules, than it should have for {}: somebody changed the schema by \
             hand. For each of them, as the owner, DROP POLICY what \\d shows and {remedy}",
            shortened(&other)
        )));
    }
    Ok(())
}

/// A rule without what PostgreSQL writes differently than it was given: case, spaces, brackets, casts to text.
fn plain(rule: &str) -> String {
    let text = rule.to_lowercase().replace("::text", "");
    text.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')'))
        .collect()
}

fn shortened(names: &[String]) -> String {
    let mut text = names.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(3).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
