//! Tables whose rows belong to a workspace, and short words for the columns that every migration uses.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseBackend};

pub fn maybe_uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().null().take()
}

pub fn uuid(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).uuid().not_null().take()
}

pub fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

pub fn maybe_text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().null().take()
}

pub fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

pub fn maybe_big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

pub fn bytes(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().take()
}

pub fn maybe_bytes(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().null().take()
}

pub fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().take()
}

/// A foreign key of tenant tables: it holds the workspace too, so that no id can link across workspaces.
pub struct Link {
    pub columns: &'static [&'static str],
    pub table: &'static str,
    pub to: &'static [&'static str],
}

/// Makes a tenant table with the primary key `(workspace_id, key…)`, and its row level security on PostgreSQL.
pub async fn create(
    manager: &SchemaManager<'_>,
    table: &'static str,
    key: &[&'static str],
    columns: Vec<ColumnDef>,
    unique: &[&[&'static str]],
    links: &[Link],
) -> Result<(), DbErr> {
    let end = ForeignKeyAction::Cascade;
    create_ending(manager, table, key, columns, unique, links, end).await
}

/// As [`create`], with what its rows do when their workspace is deleted: go too, or keep it.
pub async fn create_ending(
    manager: &SchemaManager<'_>,
    table: &'static str,
    key: &[&'static str],
    columns: Vec<ColumnDef>,
    unique: &[&[&'static str]],
    links: &[Link],
    end: ForeignKeyAction,
) -> Result<(), DbErr> {
    let mut statement = Table::create();
    statement.table(table).col(uuid("workspace_id"));
    for column in columns {
        statement.col(column);
    }
    let mut primary = Index::create();
    primary.col("workspace_id");
    for column in key {
        primary.col(*column);
    }
    statement.primary_key(&mut primary);
    for columns in unique {
        let mut index = Index::create();
        index.unique().col("workspace_id");
        for column in *columns {
            index.col(*column);
        }
        statement.index(&mut index);
    }
    let mut to_workspace = ForeignKey::create();
    to_workspace
        .from(table, "workspace_id")
        .to("workspace", "id")
        .on_delete(end);
    statement.foreign_key(&mut to_workspace);
    for link in links {
        let mut foreign = ForeignKey::create();
        foreign
            .from_tbl(table)
            .to_tbl(link.table)
            .on_delete(ForeignKeyAction::Cascade);
        for column in link.columns {
            foreign.from_col(*column);
        }
        for column in link.to {
            foreign.to_col(*column);
        }
        statement.foreign_key(&mut foreign);
    }
    manager.create_table(statement).await?;
    secure(manager, table, Rows::Workspace).await
}

/// Whose rows a table holds: what its policy compares with the transaction's settings.
#[derive(Clone, Copy)]
pub enum Rows {
    /// A workspace's, by `workspace_id`.
    Workspace,
    /// An organization's, by `organization_id`.
    Organization,
    /// A workspace's, which its organization's owners see too, outside any workspace: by the named column and
    /// `organization_id`.
    Both(&'static str),
    /// The organizations themselves, by `id`.
    Organizations,
}

impl Rows {
    /// The condition under which a row is seen and written.
    pub fn rule(self) -> String {
        let workspace = "nullif(current_setting('app.workspace', true), '')::uuid";
        let organization = "nullif(current_setting('app.organization', true), '')::uuid";
        let own = match self {
            Self::Workspace => format!("workspace_id = {workspace}"),
            Self::Organization => format!("organization_id = {organization}"),
            Self::Both(column) => format!(
                "{column} = {workspace} OR ({workspace} IS NULL AND organization_id = {organization})"
            ),
            Self::Organizations => format!("id = {organization}"),
        };
        format!("{own} OR nullif(current_setting('app.system', true), '') IS NOT NULL")
    }
}

/// The second wall on PostgreSQL: rows are seen and written only inside a transaction that named their workspace or
/// organization, or that named itself a system transaction.
pub async fn secure(manager: &SchemaManager<'_>, table: &str, rows: Rows) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if connection.get_database_backend() != DatabaseBackend::Postgres {
        return Ok(());
    }
    let rule = rows.rule();
    for statement in [
        format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY"),
        format!("CREATE POLICY {table}_scope ON {table} USING ({rule}) WITH CHECK ({rule})"),
    ] {
        connection.execute_unprepared(&statement).await?;
    }
    Ok(())
}

/// An index for look-ups that do not begin with the primary key.
pub async fn index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    let mut statement = Index::create();
    statement
        .name(format!("{table}_{}", columns.join("_")))
        .table(table);
    for column in columns {
        statement.col(*column);
    }
    manager.create_index(statement).await
}
