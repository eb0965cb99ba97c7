//! The second wall: whatever a query says, the server's role sees and changes rows of the transaction's tenant alone.

use std::fmt::Write as _;

use optidev_migrations::tables;

use crate::support::postgres::{Database, Postgres, RUNTIME};

/// A workspace and its organization.
struct Tenant {
    workspace: String,
    organization: String,
}

impl Tenant {
    fn new(digit: char) -> Self {
        let id = |last: char| {
            let eight = digit.to_string().repeat(8);
            format!("{eight}-0000-7000-8000-00000000000{last}")
        };
        Self {
            workspace: id('a'),
            organization: id('b'),
        }
    }

    /// The start of a transaction of the server for this tenant.
    fn begin(&self) -> String {
        format!(
            "BEGIN; SELECT set_config('app.workspace', '{}', true), set_config('app.organization', '{}', true)",
            self.workspace, self.organization
        )
    }
}

/// A table, and the column that says whose a row is.
struct Table {
    name: String,
    column: &'static str,
}

impl Table {
    fn owner<'a>(&self, tenant: &'a Tenant) -> &'a str {
        match (self.name.as_str(), self.column) {
            ("organization", _) | (_, "organization_id") => &tenant.organization,
            _ => &tenant.workspace,
        }
    }

    /// The rows of `tenant`, as a condition.
    fn of(&self, tenant: &Tenant) -> String {
        format!("{} = '{}'", self.column, self.owner(tenant))
    }

    /// A statement that adds a row of `tenant`, with something in each column that must have something.
    fn insert(&self, database: &Database<'_>, tenant: &Tenant) -> String {
        let columns = database.sql(&format!(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 \
             AND NOT attisdropped AND (attnotnull OR attname IN ('workspace_id', 'organization_id'))",
            self.name
        ));
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for line in columns.lines() {
            let (name, kind) = line.split_once('|').unwrap();
            names.push(name);
            values.push(match (name, kind) {
                (name, _) if name == self.column => format!("'{}'", self.owner(tenant)),
                ("workspace_id", _) => format!("'{}'", tenant.workspace),
                ("organization_id", _) => format!("'{}'", tenant.organization),
                (_, "uuid") => "gen_random_uuid()".to_owned(),
                (_, "text" | "character varying") => "gen_random_uuid()::text".to_owned(),
                (_, "bytea") => "''::bytea".to_owned(),
                (_, "boolean") => "false".to_owned(),
                (_, "bigint" | "integer" | "smallint") => "1".to_owned(),
                (_, other) => panic!("{}.{name}: say what to put into a {other}", self.name),
            });
        }
        format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.name,
            names.join(", "),
            values.join(", ")
        )
    }
}

/// Every table with rows of a tenant, found in the catalogue.
fn tenant_tables(database: &Database<'_>) -> Vec<Table> {
    let found = database.sql(
        "SELECT c.relname, count(*) FILTER (WHERE a.attname = 'workspace_id') FROM pg_class c \
         JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind IN ('r', 'p') \
         AND c.relnamespace = 'public'::regnamespace AND NOT a.attisdropped AND (a.attname IN ('workspace_id', \
         'organization_id') OR (c.relname = 'organization' AND a.attname = 'id')) GROUP BY 1 ORDER BY 1",
    );
    let table = |line: &str| {
        let (name, workspaces) = line.split_once('|').unwrap();
        let column = match (name, workspaces) {
            ("organization" | "workspace", _) => "id",
            (_, "0") => "organization_id",
            _ => "workspace_id",
        };
        Table {
            name: name.to_owned(),
            column,
        }
    };
    found.lines().map(table).collect()
}

#[test]
fn every_table_of_a_tenant_has_a_forced_policy_with_its_rule() {
    let database = Postgres::shared().new_database();
    let tables: Vec<String> = tenant_tables(&database)
        .into_iter()
        .map(|table| table.name)
        .collect();
    let known: Vec<&str> = tables::ROWS.iter().map(|(table, _)| *table).collect();
    assert_eq!(tables, known, "say in migrations/src/tables.rs whose rows");
    assert!(tables::WITHOUT_POLICY.is_empty());
    let mut rules = String::new();
    for table in &tables {
        let forced = format!(
            "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = '{table}'::regclass"
        );
        assert_eq!(database.sql(&forced), "t", "{table}");
        let policies = format!(
            "SELECT permissive, roles, cmd, with_check = qual, qual FROM pg_policies WHERE tablename = '{table}'"
        );
        // One line each: a second policy would be seen as well as another rule.
        writeln!(rules, "{table}: {}", database.sql(&policies)).unwrap();
    }
    insta::assert_snapshot!("policies", rules);
}

#[test]
fn no_statement_of_the_servers_role_reaches_a_foreign_row_of_any_table() {
    let database = Postgres::shared().new_database();
    let (ada, eve) = (Tenant::new('a'), Tenant::new('e'));
    let tables = tenant_tables(&database);
    assert!(tables.len() >= 18);
    for table in &tables {
        for tenant in [&ada, &eve] {
            // Whether rows fit together is not asked here.
            let insert = table.insert(&database, tenant);
            database.sql(&format!("SET session_replication_role = replica; {insert}"));
        }
    }
    for table in &tables {
        let name = &table.name;
        let as_eve = |statement: &str| format!("{}; {statement}; ROLLBACK", eve.begin());
        let answer = |statement: &str| database.sql_as(RUNTIME, &as_eve(statement));
        let says = |statement: &str, line: &str| {
            let answer = answer(statement);
            assert!(
                answer.lines().any(|one| one == line),
                "{statement}: {answer}"
            );
        };
        let refused = |statement: &str| {
            let said = database.refusal(RUNTIME, &as_eve(statement));
            assert!(said.contains("row-level security"), "{statement}: {said}");
        };
        let (theirs, own) = (table.of(&ada), table.of(&eve));
        let (column, id) = (table.column, table.owner(&ada));
        // Eve's own row is there, so that nothing is proved by an empty table.
        says(&format!("SELECT count(*) FROM {name} WHERE {own}"), "1");
        says(&format!("SELECT count(*) FROM {name} WHERE {theirs}"), "0");
        says(&format!("SELECT count(*) FROM {name}"), "1");
        refused(&table.insert(&database, &ada));
        if tables::APPEND_ONLY.contains(&name.as_str()) {
            for statement in [
                format!("UPDATE {name} SET {column} = {column}"),
                format!("DELETE FROM {name}"),
            ] {
                let said = database.refusal(RUNTIME, &as_eve(&statement));
                assert!(said.contains("permission denied"), "{statement}: {said}");
            }
            continue;
        }
        let update = format!("UPDATE {name} SET {column} = {column}");
        says(&format!("{update} WHERE {theirs}"), "UPDATE 0");
        says(&update, "UPDATE 1");
        says(&format!("DELETE FROM {name} WHERE {theirs}"), "DELETE 0");
        // What others are kept in cannot go before them.
        if !matches!(name.as_str(), "organization" | "workspace") {
            says(&format!("DELETE FROM {name}"), "DELETE 1");
        }
        // Her own row cannot be made another's.
        refused(&format!("UPDATE {name} SET {column} = '{id}'"));
    }
    for table in &tables {
        let there = format!(
            "SELECT count(*) FROM {} WHERE {}",
            table.name,
            table.of(&ada)
        );
        assert_eq!(database.sql(&there), "1", "{}", table.name);
    }
}
