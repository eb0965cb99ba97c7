//! Holds the shape of the source: layers, homes of crates, escaping in templates, length of files.
//!
//! Privacy and clippy's bans come first; this test catches what they cannot see. Its tables are exceptions with a
//! reason each: a row that nothing needs any more fails too, so that the tables only shrink.

pub mod actions;
mod around;
mod imports;
mod rules;
#[cfg(test)]
mod selftest;

use std::fs;
use std::path::Path;

use optidev::store::{SystemPurpose, Unaudited};
use rules::{Edge, Source, check_imports, unescaped};

/// Imports against the direction of the layers, and from one feature to another.
const ALLOWED: &[Edge] = &[
    Edge {
        from: "store",
        to: "authz::MintKey",
        reason: "only authz can mint a Grant; a type without behaviour",
    },
    Edge {
        from: "store",
        to: "authz::PermissionId",
        reason: "a Grant says what it permits; a type without behaviour",
    },
    Edge {
        from: "store",
        to: "authz::Role",
        reason: "a Grant says whose role gave it; a type without behaviour",
    },
    Edge {
        from: "store",
        to: "vault",
        reason: "a change is committed with audit entries that the vault has sealed",
    },
    Edge {
        from: "context",
        to: "authz",
        reason: "a Ctx carries the actor whom authz recognized; authz knows no context",
    },
    Edge {
        from: "context",
        to: "shared",
        reason: "every operation may count, lock and tell; shared knows no context",
    },
    Edge {
        from: "features/identity",
        to: "features::members",
        reason: "the first visit makes the owner's account and workspace in one transaction",
    },
    Edge {
        from: "features/identity",
        to: "features::audit",
        reason: "signing in and out, and what changes an account, is written to the audit log",
    },
    Edge {
        from: "features/projects",
        to: "features::audit",
        reason: "each change is written to the audit log in its own transaction",
    },
    Edge {
        from: "features/secrets",
        to: "features::audit",
        reason: "each change and each reveal is written to the audit log",
    },
    Edge {
        from: "features/projects",
        to: "features::members",
        reason: "pages show the workspace's name and the person's role",
    },
    Edge {
        from: "features/projects",
        to: "features::secrets",
        reason: "a project's secrets go with it, in one transaction; secrets knows projects by their ids only",
    },
    Edge {
        from: "features/secrets",
        to: "features::members",
        reason: "the workspace's wrapped key and its name belong to members",
    },
    Edge {
        from: "features/docs",
        to: "features::members",
        reason: "the page keeps the reader's navigation",
    },
    Edge {
        from: "features/ai",
        to: "features::audit",
        reason: "beginning and undoing are recorded in the transaction of the act",
    },
    Edge {
        from: "features/ai",
        to: "features::credentials",
        reason: "the upstream key may have been given to the vault on the host",
    },
    Edge {
        from: "features/members",
        to: "features::credentials",
        reason: "the mail server's password may have been given to the vault on the host",
    },
    Edge {
        from: "features/containers",
        to: "features::credentials",
        reason: "the key of the authority of agents is a credential of the installation",
    },
    Edge {
        from: "features/credentials",
        to: "features::audit",
        reason: "each change is written to the audit log in its own transaction",
    },
    Edge {
        from: "features/ai",
        to: "features::containers",
        reason: "the assistant works in its user's container, entered by the owner's rule",
    },
    Edge {
        from: "features/ai",
        to: "features::secrets",
        reason: "which hidden values must not leave, sealed, is the secrets' to say",
    },
    Edge {
        from: "redactor",
        to: "vault",
        reason: "the redactor asks the vault over its protocol, and locks itself in as the vault does",
    },
    Edge {
        from: "features/ai",
        to: "features::projects",
        reason: "a conversation is about a project, whose folder its tools stay in",
    },
    Edge {
        from: "features/egress",
        to: "features::containers",
        reason: "whose connection it is, and whose decisions may be seen, is the containers' to say",
    },
    Edge {
        from: "features/egress",
        to: "features::audit",
        reason: "each change of a ceiling or of additions is written to the audit log in its own transaction",
    },
    Edge {
        from: "features/egress",
        to: "features::members",
        reason: "whose ceiling holds for a workspace is its organization's, and pages show the workspace's name",
    },
    Edge {
        from: "features/broker",
        to: "features::audit",
        reason: "each access to the inside of a container says what the audit log tells of it",
    },
    Edge {
        from: "features/broker",
        to: "features::containers",
        reason: "the broker enters a container by the owner's rule, which containers holds",
    },
    Edge {
        from: "features/containers",
        to: "features::members",
        reason: "a container that its owner may not have any more is stopped and told in its organization's log",
    },
    Edge {
        from: "features/tokens",
        to: "features::audit",
        reason: "making and revoking tokens is written to the audit log in its own transaction",
    },
    Edge {
        from: "features/tokens",
        to: "features::members",
        reason: "a service account is a member, and what ends with a membership ends with it",
    },
    Edge {
        from: "features/members",
        to: "features::audit",
        reason: "each change of a membership is written to the audit log in its own transaction",
    },
    Edge {
        from: "features/containers",
        to: "features::projects",
        reason: "bringing a project into a container needs to know where its code comes from",
    },
    Edge {
        from: "features/members",
        to: "features::secrets",
        reason: "what a member has of their own goes with the membership",
    },
    Edge {
        from: "features/secrets",
        to: "features::containers",
        reason: "secrets go to running containers, and the page says which of them have old ones",
    },
    Edge {
        from: "features/containers",
        to: "features::audit",
        reason: "starting, stopping and deleting are recorded in the transaction of the act",
    },
];

/// Files that are longer than [`LONGEST`], with the number of lines that they may have.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Lines of a file, beyond which it is time to split it.
const LONGEST: usize = 500;

#[test]
fn imports_go_downward() {
    let sources = sources(&["src"], &["rs"]);
    // Before the first module there is nothing to hold, and no row can be in use.
    if sources
        .iter()
        .all(|source| matches!(source.path.as_str(), "src/lib.rs" | "src/main.rs"))
    {
        return;
    }
    report(check_imports(&sources, ALLOWED));
}

#[test]
fn templates_escape_everything() {
    let wrong = sources(&["templates"], &["html", "svg", "xml", "txt"])
        .iter()
        .filter_map(|source| {
            unescaped(&source.text)
                .map(|what| format!("{}: {what}: escaping is never switched off", source.path))
        })
        .collect();
    report(wrong);
}

#[test]
fn files_are_short() {
    let sources = sources(
        &[
            "src",
            "agent",
            "migrations",
            "tests",
            "benches",
            "templates",
            "assets/src",
        ],
        &["rs", "html", "ts", "css"],
    );
    let lengths: Vec<(&str, usize)> = sources
        .iter()
        .map(|source| (source.path.as_str(), source.text.lines().count()))
        .collect();
    report(check_lengths(&lengths, LONG_FILES));
}

/// What may be done without a workspace. This list may only shrink: a purpose that is new reads or writes across tenants,
/// and most of what seems to need one can have a grant instead.
const SYSTEM_PURPOSES: &[&str] = &[
    "SignInRead",
    "SignInWrite",
    "Memberships",
    "Setup",
    "ContainerScan",
    "ContainerObserve",
    "AuditRead",
    "Housekeeping",
    "Rotation",
    "Credentials",
];

/// Why a change may be committed without an entry of the audit log. This list may only shrink, too.
const UNAUDITED: &[&str] = &[
    "LastSeen",
    "Observed",
    "Transcript",
    "UsedUp",
    "Housekeeping",
];

#[test]
fn the_ways_around_tenancy_are_counted() {
    assert_eq!(
        variants("src/store/system.rs", "SystemPurpose"),
        SYSTEM_PURPOSES
    );
    let all = SystemPurpose::ALL.map(|purpose| format!("{purpose:?}"));
    assert_eq!(all.as_slice(), SYSTEM_PURPOSES);
}

#[test]
fn the_ways_around_the_audit_log_are_counted() {
    assert_eq!(variants("src/store/ledger.rs", "Unaudited"), UNAUDITED);
    let all = Unaudited::ALL.map(|reason| format!("{reason:?}"));
    assert_eq!(all.as_slice(), UNAUDITED);
}

/// The variants of an enum, from the source: one that was left out of ALL counts, too.
fn variants(path: &str, name: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let file = syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
    file.items
        .iter()
        .find_map(|item| match item {
            syn::Item::Enum(one) if one.ident == name => Some(&one.variants),
            _ => None,
        })
        .expect("the enum is where the test looks")
        .iter()
        .map(|variant| variant.ident.to_string())
        .collect()
}

/// What is wrong with the files' lengths: too long, or an exception that is no longer one.
fn check_lengths(lengths: &[(&str, usize)], exceptions: &[(&str, usize, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, lines) in lengths {
        let limit = exceptions
            .iter()
            .find(|(name, ..)| name == path)
            .map_or(LONGEST, |(_, limit, _)| *limit);
        if *lines > limit {
            wrong.push(format!(
                "{path} has {lines} lines, more than {limit}: split it by what its parts are about"
            ));
        }
    }
    for (path, _, reason) in exceptions {
        if !lengths
            .iter()
            .any(|(name, lines)| name == path && *lines > LONGEST)
        {
            wrong.push(format!("stale exception: {path} is gone or short enough; remove it from LONG_FILES ({reason})"));
        }
    }
    wrong
}

/// The files below `folders` of the repository with one of the `endings`; a folder that is missing has none.
fn sources(folders: &[&str], endings: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in folders {
        collect(root, &root.join(folder), endings, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, endings: &[&str], found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != "node_modules" && name != "dist" {
            collect(root, &path, endings, found);
        } else if path
            .extension()
            .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
        {
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push(Source {
                path: path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned(),
                text,
            });
        }
    }
}

fn report(wrong: Vec<String>) {
    assert!(
        wrong.is_empty(),
        "{} broken:\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    );
}
