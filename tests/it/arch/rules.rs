//! The rules, as tables, and the checker that holds a tree of sources against them.

use std::collections::BTreeSet;

use super::imports::{self, References};

/// A top-level module and its layer; imports go to lower numbers only. Each feature is a node of its own.
pub const LAYERS: &[(&str, u8)] = &[
    ("kernel", 0),
    ("config", 0),
    ("metrics", 0),
    ("vault", 1),
    ("redactor", 1),
    ("store", 1),
    ("clients", 1),
    ("authz", 2),
    ("shared", 2),
    ("context", 2),
    ("jobs", 3),
    ("web", 3),
    ("features", 4),
    ("app", 5),
    ("cli", 6),
];

/// The layer of src/main.rs, which parses and dispatches.
const MAIN: u8 = 7;

/// An import that the layers forbid and that is right all the same.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// The importing node: `store`, or `features/secrets`.
    pub from: &'static str,
    /// What it may import: a path and all below it, `authz::MintKey`.
    pub to: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Macros stand at the crate's root whatever module defines them; this says which.
pub const ROOT_MACROS: &[(&str, &str)] = &[
    ("tenant_entity", "store"),
    ("organization_entity", "store"),
    ("scoped_entity", "store"),
];

/// A crate that only some modules may name.
#[derive(Debug, Clone, Copy)]
pub struct Ban {
    /// The crate, or a path in it.
    pub path: &'static str,
    /// Where it may be named: beginnings of module paths, `features/*` matching any feature.
    pub only_in: &'static [&'static str],
    /// Why.
    pub reason: &'static str,
}

/// Crates with one home each.
pub const BANS: &[Ban] = &[
    Ban {
        path: "reqwest",
        only_in: &["clients", "cli"],
        reason: "outbound HTTP has one way out, which checks the destination",
    },
    Ban {
        path: "sea_orm",
        only_in: &["store", "authz", "jobs", "app", "features/*"],
        reason: "entities and queries stand beside the operations that own them, and run on a scoped transaction",
    },
    Ban {
        path: "sea_orm::DatabaseConnection",
        only_in: &["store"],
        reason: "the pool is private to store",
    },
    Ban {
        path: "optidev_migrations",
        only_in: &["store", "app", "cli"],
        reason: "the schema is the store's",
    },
    Ban {
        path: "sea_orm::Statement",
        only_in: &["store"],
        reason: "raw SQL can forget the workspace",
    },
    Ban {
        path: "sea_orm::ConnectionTrait",
        only_in: &["store"],
        reason: "with it a statement runs outside the scope",
    },
    Ban {
        path: "sqlx",
        only_in: &["store"],
        reason: "the pool is private to store",
    },
    Ban {
        path: "anyhow",
        only_in: &["app", "cli", "main"],
        reason: "everything below says its errors in types",
    },
    Ban {
        path: "figment",
        only_in: &["config"],
        reason: "settings are read in one place",
    },
    Ban {
        path: "clap",
        only_in: &["cli", "main"],
        reason: "the command line is cli's",
    },
    Ban {
        path: "askama",
        only_in: &["web", "features/*"],
        reason: "pages are made in web and in features",
    },
    Ban {
        path: "axum",
        only_in: &["web", "features/*", "app", "cli", "clients"],
        reason: "kernel, config, vault, store and authz know no HTTP server",
    },
    Ban {
        path: "getrandom",
        only_in: &["kernel", "vault"],
        reason: "randomness comes from kernel::rng",
    },
    Ban {
        path: "jiff",
        only_in: &["kernel", "web", "features/*", "cli"],
        reason: "time is an integer below the pages",
    },
];

/// Methods that take SQL as text; their home is `store`.
const RAW_SQL: &[&str] = &[
    "execute_unprepared",
    "execute_raw",
    "query_one_raw",
    "query_all_raw",
    "from_raw_sql",
    "stream_raw",
];

/// What the vault process may use: its memory holds the master secret.
const VAULT_SERVER_MAY: &[&str] = &["kernel", "vault"];

/// What the redactor may use: its memory holds hidden values.
const REDACTOR_MAY: &[&str] = &["kernel", "redactor", "vault"];

/// Order inside a feature; a file imports from lower numbers of its own feature only.
const INSIDE_FEATURE: &[(&str, u8)] = &[
    ("model", 0),
    ("store", 1),
    ("ops", 2),
    ("pages", 3),
    ("api", 3),
];

/// A source file: its path below the root, with `/`, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    /// `src/features/secrets/ops.rs`
    pub path: String,
    /// The whole file.
    pub text: String,
}

/// Checks the imports of `sources` (all of `src/`); answers what is wrong, a sentence each.
pub fn check_imports(sources: &[Source], allowed: &[Edge]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources.iter().filter(|source| !is_test_file(&source.path)) {
        let module = module_of(&source.path);
        let references = match imports::read(&source.text, &module) {
            Ok(references) => references,
            Err(error) => {
                wrong.push(format!("{}: cannot be parsed: {error}", source.path));
                continue;
            }
        };
        check_own(source, &module, &references, allowed, &mut used, &mut wrong);
        check_foreign(source, &module, &references, &mut wrong);
        for lint in &references.allows {
            wrong.push(format!("{}: #[allow({lint})]: say #[expect({lint}, reason = \"...\")], which fails when it is no longer true", source.path));
        }
        for template in &references.templates {
            wrong.extend(unescaped(template).map(|what| {
                format!(
                    "{}: {what} in #[template(...)]: escaping is never switched off",
                    source.path
                )
            }));
        }
        if !source.text.starts_with("//!") && !module.is_empty() {
            wrong.push(format!("{}: starts without //!: say what the module is, what always holds, and what it must not import", source.path));
        }
    }
    for (at, edge) in allowed.iter().enumerate() {
        if !used.contains(&at) {
            wrong.push(format!(
                "stale exception: nothing in {} imports {} any more; remove the row ({})",
                edge.from, edge.to, edge.reason
            ));
        }
    }
    wrong
}

fn check_own(
    source: &Source,
    module: &[String],
    references: &References,
    allowed: &[Edge],
    used: &mut BTreeSet<usize>,
    wrong: &mut Vec<String>,
) {
    let from = node_of(module);
    let Some(from_layer) = layer_of(module) else {
        wrong.push(format!(
            "{}: module `{}` has no layer; give it one in LAYERS, tests/it/arch/rules.rs",
            source.path, module[0]
        ));
        return;
    };
    let targets: BTreeSet<Vec<String>> = references.own.iter().map(|path| at_home(path)).collect();
    for target in &targets {
        let to = node_of(target);
        let shown = target.join("::");
        if target.is_empty() || to == from {
            wrong.extend(inside_feature(source, module, target));
            continue;
        }
        let Some(to_layer) = layer_of(target) else {
            // Names at the crate's root (macros, re-exports) belong to no layer and hide where things come from.
            wrong.push(format!("{}: crate::{shown}: not a module with a layer; import from the module that defines it", source.path));
            continue;
        };
        if module.starts_with(&["vault".to_owned(), "server".to_owned()])
            && !VAULT_SERVER_MAY.contains(&target[0].as_str())
        {
            wrong.push(format!("{}: crate::{shown}: the vault process holds the master secret and uses kernel and vault only", source.path));
            continue;
        }
        if module.starts_with(&["redactor".to_owned()])
            && !REDACTOR_MAY.contains(&target[0].as_str())
        {
            wrong.push(format!("{}: crate::{shown}: the redactor holds hidden values and uses kernel and vault only", source.path));
            continue;
        }
        if to_layer < from_layer {
            continue;
        }
        // Every row that covers the import counts as used.
        let rows: Vec<usize> = (0..allowed.len())
            .filter(|at| allowed[*at].from == from && covers(allowed[*at].to, target))
            .collect();
        if rows.is_empty() {
            wrong.push(format!(
                "{}: `{from}` (layer {from_layer}) imports crate::{shown} (layer {to_layer}): imports go downward only; \
                 move the code, or add a row with a reason to ALLOWED in tests/it/arch.rs",
                source.path
            ));
        }
        used.extend(rows);
    }
}

fn check_foreign(
    source: &Source,
    module: &[String],
    references: &References,
    wrong: &mut Vec<String>,
) {
    let paths: BTreeSet<String> = references
        .foreign
        .iter()
        .map(|path| path.join("::"))
        .collect();
    for ban in BANS {
        let named = paths
            .iter()
            .find(|path| *path == ban.path || path.starts_with(&format!("{}::", ban.path)));
        if let Some(named) = named
            && !ban.only_in.iter().any(|home| is_below(module, home))
        {
            wrong.push(format!(
                "{}: names {named}: allowed in {} only, because {}",
                source.path,
                ban.only_in.join(", "),
                ban.reason
            ));
        }
    }
    // `sea_orm` may be imported as a whole, so the last two names count too.
    let statement = paths.iter().any(|path| path.contains("Statement::from_"));
    let method = references
        .methods
        .iter()
        .find(|method| RAW_SQL.contains(&method.as_str()));
    if (statement || method.is_some()) && !is_below(module, "store") {
        let what = method.map_or("Statement::from_*", String::as_str);
        wrong.push(format!(
            "{}: {what}: raw SQL stands in src/store and migrations only",
            source.path
        ));
    }
}

/// Inside a feature: pages and api, then ops, then store, then model.
fn inside_feature(source: &Source, module: &[String], target: &[String]) -> Option<String> {
    let rank = |path: &[String]| {
        let part = path.get(2)?;
        INSIDE_FEATURE
            .iter()
            .find(|(name, _)| name == part)
            .map(|(_, rank)| *rank)
    };
    let (from, to) = (rank(module)?, rank(target)?);
    (module[0] == "features" && to > from).then(|| {
        format!(
            "{}: imports {}: inside a feature it goes pages | api -> ops -> store -> model",
            source.path,
            target.join("::")
        )
    })
}

/// How a template text switches escaping off, if it does.
pub fn unescaped(template: &str) -> Option<&'static str> {
    let tight: String = template.split_whitespace().collect();
    // After the bar, `safe` must end there: `|safely` is some other filter.
    let filter = tight.match_indices("|safe").any(|(at, found)| {
        !tight[at + found.len()..].starts_with(|sign: char| sign.is_alphanumeric() || sign == '_')
    });
    if filter {
        Some("|safe")
    } else if tight.contains("|escape(\"none\")") || tight.contains("|e(\"none\")") {
        Some("|escape(\"none\")")
    } else if tight.contains("{%autoescape") || tight.contains("{%-autoescape") {
        Some("{% autoescape")
    } else if tight.contains("escape=\"none\"") {
        Some("escape = \"none\"")
    } else {
        None
    }
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are `[a, b]`; `src/lib.rs` is the root; `src/main.rs` is `[main]`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || inner == "lib" {
        module.pop();
    }
    module
}

/// A root macro's path with the module that defines it in front; any other path as it is.
fn at_home(path: &[String]) -> Vec<String> {
    let home = ROOT_MACROS
        .iter()
        .find(|(name, _)| path.first().is_some_and(|first| first == name));
    home.map_or_else(
        || path.to_vec(),
        |(_, module)| [&[(*module).to_owned()], path].concat(),
    )
}

/// The node of the graph: a top-level module, or one feature.
fn node_of(path: &[String]) -> String {
    match path {
        [features, name, ..] if features == "features" => format!("features/{name}"),
        [name, ..] => name.clone(),
        [] => "lib".to_owned(),
    }
}

fn layer_of(path: &[String]) -> Option<u8> {
    match path {
        // lib.rs lists the modules and so stands above them all.
        [] => Some(MAIN),
        [main] if main == "main" => Some(MAIN),
        [name, ..] => LAYERS
            .iter()
            .find(|(layer, _)| layer == name)
            .map(|(_, number)| *number),
    }
}

/// Whether `module` is `home` or below it; `*` stands for any one name.
fn is_below(module: &[String], home: &str) -> bool {
    let home: Vec<&str> = home.split('/').collect();
    module.len() >= home.len()
        && home
            .iter()
            .zip(module)
            .all(|(want, have)| *want == "*" || want == have)
}

fn covers(row: &str, target: &[String]) -> bool {
    let row: Vec<&str> = row.split("::").collect();
    target.len() >= row.len() && row.iter().zip(target).all(|(want, have)| want == have)
}

/// Test modules in files of their own: `tests.rs`, or a folder of that name.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}
