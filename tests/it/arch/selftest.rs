//! The checker itself, on small sources: each rule finds what it is for, and nothing else.

use super::check_lengths;
use super::rules::{Edge, Source, check_imports, unescaped};

/// Checks one file, with the `//!` line that every module has.
fn check(path: &str, code: &str) -> Vec<String> {
    check_with(path, code, &[])
}

fn check_with(path: &str, code: &str, allowed: &[Edge]) -> Vec<String> {
    check_imports(
        &[Source {
            path: path.to_owned(),
            text: format!("//! About.\n{code}"),
        }],
        allowed,
    )
}

#[track_caller]
fn finds(path: &str, code: &str, part: &str) {
    let wrong = check(path, code);
    assert!(
        wrong.len() == 1 && wrong[0].contains(part),
        "expected one finding with {part:?}, got {wrong:#?}"
    );
}

#[track_caller]
fn passes(path: &str, code: &str) {
    assert_eq!(check(path, code), Vec::<String>::new());
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    for code in [
        "use crate::features::secrets::Secret;",
        "use crate::{kernel::Clock, features::secrets};",
        "use crate::{features::{secrets::{self, Secret}}};",
        "use crate::features::secrets::*;",
        "use super::features::secrets as s;",
        "fn f() -> crate::features::secrets::Secret { loop {} }",
        "fn f() { crate::features::secrets::rotate() }",
        "fn f() { let x = vec![crate::features::secrets::LIMIT]; }",
        "#[derive(crate::features::secrets::Derive)] struct S;",
        "mod inner { use super::super::features::secrets; }",
        "impl crate::features::secrets::Trait for u8 {}",
        "macro_rules! m { () => { $crate::features::secrets::LIMIT } }",
    ] {
        let wrong = check("src/store/mod.rs", code);
        assert!(!wrong.is_empty() && wrong.iter().all(|line| line.contains("`store` (layer 1) imports crate::features::secrets")), "{code}: {wrong:#?}");
    }
}

#[test]
fn a_downward_import_passes() {
    passes(
        "src/features/secrets/ops.rs",
        "use crate::{kernel::Clock, store::ScopedTx, authz, context::Ctx, web};",
    );
    passes(
        "src/cli/mod.rs",
        "use crate::app; use crate::features::secrets;",
    );
    passes(
        "src/main.rs",
        "use optidev::cli; fn main() { optidev::cli::run() }",
    );
    passes("src/lib.rs", "pub mod kernel;");
}

#[test]
fn neighbours_of_one_layer_do_not_import_each_other() {
    finds(
        "src/clients/mod.rs",
        "use crate::store::Store;",
        "`clients` (layer 1)",
    );
    finds(
        "src/kernel/ids.rs",
        "use crate::config::Config;",
        "`kernel` (layer 0)",
    );
}

#[test]
fn a_feature_imports_another_by_a_row_only() {
    let code = "use crate::features::projects::Project;";
    finds(
        "src/features/containers/ops.rs",
        code,
        "`features/containers` (layer 4)",
    );
    let row = Edge {
        from: "features/containers",
        to: "features::projects",
        reason: "a checkout is of a project",
    };
    assert!(check_with("src/features/containers/ops.rs", code, &[row]).is_empty());
}

#[test]
fn a_row_allows_its_path_only() {
    let row = Edge {
        from: "store",
        to: "authz::MintKey",
        reason: "mints",
    };
    assert!(check_with("src/store/grant.rs", "use crate::authz::MintKey;", &[row]).is_empty());
    let wrong = check_with(
        "src/store/grant.rs",
        "use crate::authz::{MintKey, authorize};",
        &[row],
    );
    assert!(
        wrong.len() == 1 && wrong[0].contains("authz::authorize"),
        "{wrong:#?}"
    );
}

#[test]
fn a_stale_row_is_found() {
    let row = Edge {
        from: "store",
        to: "authz::MintKey",
        reason: "mints",
    };
    let wrong = check_with("src/store/grant.rs", "use crate::kernel::Clock;", &[row]);
    assert!(
        wrong.len() == 1 && wrong[0].starts_with("stale exception"),
        "{wrong:#?}"
    );
}

#[test]
fn tests_inside_a_file_may_import_anything() {
    passes(
        "src/store/mod.rs",
        "#[cfg(test)] mod tests { use crate::app::start; #[test] fn t() {} }",
    );
    passes("src/store/tests.rs", "use crate::app::start;");
    finds(
        "src/store/mod.rs",
        "#[cfg(not(test))] mod real { use crate::app::start; }",
        "crate::app",
    );
    finds(
        "src/store/mod.rs",
        "#[cfg(any(test, unix))] mod real { use crate::app::start; }",
        "crate::app",
    );
}

#[test]
fn an_unknown_module_is_found() {
    finds("src/helpers/mod.rs", "", "has no layer");
    finds(
        "src/app/mod.rs",
        "use crate::shortcut;",
        "not a module with a layer",
    );
}

#[test]
fn the_vault_process_uses_kernel_and_vault_only() {
    passes(
        "src/vault/server/mod.rs",
        "use crate::kernel::Secret; use crate::vault::protocol::Request;",
    );
    finds(
        "src/vault/server/mod.rs",
        "use crate::config::Config;",
        "holds the master secret",
    );
    passes("src/vault/client/mod.rs", "use crate::config::Config;");
}

#[test]
fn a_crate_stays_in_its_home() {
    finds(
        "src/features/ai/ops.rs",
        "use reqwest::Client;",
        "one way out",
    );
    finds(
        "src/features/ai/ops.rs",
        "fn f() { reqwest::get(x) }",
        "one way out",
    );
    passes("src/clients/http.rs", "use reqwest::Client;");
    finds(
        "src/features/secrets/ops.rs",
        "use sea_orm::DatabaseConnection;",
        "private to store",
    );
    passes("src/features/secrets/store.rs", "use sea_orm::EntityTrait;");
    finds(
        "src/features/secrets/store.rs",
        "use sea_orm::{EntityTrait, ConnectionTrait};",
        "outside the scope",
    );
    finds(
        "src/kernel/ids.rs",
        "use axum::Json;",
        "know no HTTP server",
    );
    finds("src/store/mod.rs", "use anyhow::Result;", "in types");
    finds(
        "src/kernel/ids.rs",
        "use sea_orm::Value;",
        "stand beside the operations",
    );
    passes("src/features/audit/ops.rs", "use crate::tenant_entity;");
}

#[test]
fn raw_sql_is_found() {
    let wrong = check(
        "src/features/secrets/store.rs",
        "fn f() { sea_orm::Statement::from_string(a, b); }",
    );
    assert!(
        wrong.iter().any(|line| line.contains("raw SQL stands in")),
        "{wrong:#?}"
    );
    finds(
        "src/features/secrets/store.rs",
        "fn f() { tx.execute_unprepared(text); }",
        "execute_unprepared",
    );
    passes(
        "src/store/open.rs",
        "fn f() { tx.execute_unprepared(text); }",
    );
}

#[test]
fn inside_a_feature_model_is_at_the_bottom() {
    finds(
        "src/features/secrets/model.rs",
        "use super::ops::rotate;",
        "pages | api -> ops -> store -> model",
    );
    finds(
        "src/features/secrets/store.rs",
        "use crate::features::secrets::api::Dto;",
        "pages | api -> ops -> store -> model",
    );
    passes(
        "src/features/secrets/pages.rs",
        "use super::ops::rotate; use super::model::Secret;",
    );
}

#[test]
fn silenced_lints_and_missing_docs_are_found() {
    finds(
        "src/kernel/ids.rs",
        "#[allow(clippy::unwrap_used)] fn f() {}",
        "#[expect(",
    );
    passes(
        "src/kernel/ids.rs",
        "#[expect(clippy::unwrap_used, reason = \"...\")] fn f() {}",
    );
    let source = Source {
        path: "src/kernel/ids.rs".to_owned(),
        text: "fn f() {}".to_owned(),
    };
    assert!(check_imports(&[source], &[])[0].contains("without //!"));
}

#[test]
fn a_template_without_escaping_is_found() {
    for text in [
        "{{ name|safe }}",
        "{{ name | safe }}",
        "{{ a|trim|safe|upper }}",
        "{% autoescape false %}",
        "{%- autoescape off -%}",
        "{{ a|escape(\"none\") }}",
    ] {
        assert!(unescaped(text).is_some(), "{text}");
    }
    for text in [
        "{{ name }}",
        "{{ name|safely }}",
        "safe",
        "{{ a || safe_mode }}",
        "{{ name|escape }}",
    ] {
        assert!(unescaped(text).is_none(), "{text}");
    }
    finds(
        "src/web/layout.rs",
        "#[template(path = \"x.html\", escape = \"none\")] struct S;",
        "escaping",
    );
    finds(
        "src/web/layout.rs",
        "#[template(source = \"{{ x|safe }}\", ext = \"html\")] struct S;",
        "escaping",
    );
}

#[test]
fn long_files_and_stale_exceptions_are_found() {
    assert!(check_lengths(&[("a.rs", 500)], &[]).is_empty());
    assert_eq!(check_lengths(&[("a.rs", 501)], &[]).len(), 1);
    assert!(check_lengths(&[("a.rs", 501)], &[("a.rs", 600, "one table")]).is_empty());
    assert_eq!(
        check_lengths(&[("a.rs", 601)], &[("a.rs", 600, "one table")]).len(),
        1
    );
    assert_eq!(
        check_lengths(&[("a.rs", 400)], &[("a.rs", 600, "one table")]).len(),
        1
    );
}
