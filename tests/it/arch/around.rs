//! Which files work around a request's grant or the audit log: each with the purposes that it names, so that a new one is
//! seen in review.
//!
//! Transactions without a workspace can read any table on SQLite; grants for somebody who does not ask now are for what
//! goes on after its request. Both are needed in few places, which are these.

use std::collections::BTreeMap;

use super::rules::Source;

/// Files that open system transactions, with the purposes and how often.
const SYSTEM: &[(&str, &str)] = &[
    ("src/app/installation.rs", "Setup 1"),
    ("src/app/rotation.rs", "Rotation 2"),
    ("src/authz/authorize.rs", "Memberships 2"),
    ("src/authz/recognize.rs", "SignInRead 3, SignInWrite 2"),
    ("src/features/ai/gateway/pass.rs", "Memberships 1"),
    ("src/features/audit/anchor.rs", "AuditRead 2"),
    ("src/features/audit/ops.rs", "AuditRead 3"),
    (
        "src/features/audit/sinks/carry.rs",
        "AuditRead 2, Housekeeping 2",
    ),
    ("src/features/audit/sinks/rewrap.rs", "Rotation 2"),
    ("src/features/audit/verify.rs", "AuditRead 3"),
    (
        "src/features/containers/controller/leading.rs",
        "Housekeeping 2",
    ),
    (
        "src/features/containers/pods/authority.rs",
        "Credentials 1, Housekeeping 1",
    ),
    (
        "src/features/containers/pods/store.rs",
        "ContainerObserve 6, ContainerScan 3",
    ),
    (
        "src/features/containers/pods/verify.rs",
        "ContainerObserve 1, ContainerScan 1",
    ),
    (
        "src/features/containers/store.rs",
        "ContainerObserve 4, ContainerScan 4, Memberships 1",
    ),
    (
        "src/features/credentials/mod.rs",
        "Credentials 2, Housekeeping 2, Rotation 2",
    ),
    ("src/features/egress/store.rs", "ContainerScan 1"),
    ("src/features/identity/admin.rs", "Setup 1, SignInWrite 1"),
    (
        "src/features/identity/change_password.rs",
        "SignInRead 1, SignInWrite 1",
    ),
    ("src/features/identity/invitation_pages.rs", "SignInWrite 1"),
    ("src/features/identity/rewrap.rs", "Rotation 2"),
    (
        "src/features/identity/second_factor.rs",
        "SignInRead 2, SignInWrite 3",
    ),
    (
        "src/features/identity/sessions.rs",
        "SignInRead 1, SignInWrite 2",
    ),
    (
        "src/features/identity/setup.rs",
        "Setup 1, SignInRead 1, SignInWrite 1",
    ),
    (
        "src/features/identity/sign_in.rs",
        "SignInRead 3, SignInWrite 5",
    ),
    ("src/features/identity/sweep.rs", "Housekeeping 1"),
    (
        "src/features/members/invitations.rs",
        "SignInRead 1, SignInWrite 1",
    ),
    ("src/features/members/ops.rs", "Memberships 4"),
    (
        "src/features/members/organizations.rs",
        "Memberships 1, Setup 1",
    ),
    ("src/features/members/people.rs", "Memberships 1"),
    ("src/features/members/rewrap.rs", "Rotation 2"),
    ("src/features/secrets/expiry.rs", "Housekeeping 2"),
    ("src/features/tokens/ops.rs", "SignInRead 1, SignInWrite 2"),
    (
        "src/features/tokens/service.rs",
        "SignInRead 1, SignInWrite 5",
    ),
];

/// Files that have a grant minted for somebody who does not ask now.
const WITHOUT_A_REQUEST: &[(&str, &str)] = &[
    (
        "src/features/ai/assistant/events.rs",
        "a stream looks again whether its reader may still see it",
    ),
    (
        "src/features/ai/assistant/pen.rs",
        "a turn goes on after the request that began it, as long as its user may",
    ),
    (
        "src/features/containers/controller/starting.rs",
        "a start is for the owner, who may be away by then",
    ),
    (
        "src/features/containers/liveness.rs",
        "what is open looks again whether it may be",
    ),
    (
        "src/features/secrets/delivery/mod.rs",
        "a container gets what its owner may have, who is not the one who asks",
    ),
];

/// Files that commit a change which no entry tells of, with the reasons and how often.
const UNAUDITED: &[(&str, &str)] = &[
    ("src/app/installation.rs", "Housekeeping 1"),
    ("src/authz/recognize.rs", "LastSeen 2"),
    ("src/features/ai/assistant/change.rs", "Transcript 3"),
    ("src/features/ai/assistant/ops.rs", "Transcript 1"),
    ("src/features/ai/assistant/pen.rs", "Transcript 2"),
    ("src/features/ai/assistant/turn.rs", "Transcript 1"),
    ("src/features/audit/sinks/carry.rs", "Housekeeping 2"),
    ("src/features/audit/sinks/rewrap.rs", "Housekeeping 1"),
    (
        "src/features/containers/controller/leading.rs",
        "Housekeeping 3",
    ),
    (
        "src/features/containers/pods/authority.rs",
        "Housekeeping 1",
    ),
    ("src/features/containers/pods/store.rs", "Observed 6"),
    ("src/features/containers/pods/verify.rs", "Observed 1"),
    ("src/features/containers/store.rs", "Observed 3"),
    ("src/features/credentials/mod.rs", "Housekeeping 1"),
    ("src/features/identity/rewrap.rs", "Housekeeping 1"),
    ("src/features/identity/second_factor.rs", "UsedUp 1"),
    ("src/features/identity/setup.rs", "UsedUp 1"),
    ("src/features/identity/sweep.rs", "Housekeeping 1"),
    ("src/features/members/rewrap.rs", "Housekeeping 1"),
    ("src/features/secrets/delivery/mod.rs", "Observed 1"),
];

#[test]
fn files_that_work_around_a_grant_are_counted() {
    let sources = super::sources(&["src"], &["rs"]);
    let sources = sources.iter().filter(|source| is_product(source));
    let mut purposes = Counts::default();
    let mut unaudited = Counts::default();
    let mut minting = Vec::new();
    for source in sources {
        let code = source.text.split("#[cfg(test)]").next().unwrap();
        purposes.add(source, code, ".system(", "SystemPurpose::");
        unaudited.add(source, code, ".commit_unaudited(", "Unaudited::");
        if !source.path.starts_with("src/authz/") && code.contains("authorize_user_now") {
            minting.push(source.path.as_str());
        }
    }
    assert_eq!(purposes.words(), owned(SYSTEM));
    assert_eq!(unaudited.words(), owned(UNAUDITED));
    let known: Vec<&str> = WITHOUT_A_REQUEST.iter().map(|(path, _)| *path).collect();
    assert_eq!(minting, known);
}

/// By file and word, how often a call names it.
#[derive(Default)]
struct Counts<'a>(BTreeMap<&'a str, BTreeMap<&'a str, usize>>);

impl<'a> Counts<'a> {
    /// Counts the words after `call` and `kind`, and refuses one that stands in a variable, which would not be counted.
    fn add(&mut self, source: &'a Source, code: &'a str, call: &str, kind: &str) {
        for found in code.split(call).skip(1) {
            let word = found.trim_start().strip_prefix(kind);
            let word = word.unwrap_or_else(|| {
                panic!(
                    "{}: name the {kind} in {call} where it is used",
                    source.path
                )
            });
            let end = word.find(|c: char| !c.is_alphanumeric()).unwrap();
            let counts = self.0.entry(&source.path).or_default();
            *counts.entry(&word[..end]).or_default() += 1;
        }
    }

    fn words(&self) -> Vec<(String, String)> {
        let files = self.0.iter().map(|(path, counts)| {
            let words = counts.iter().map(|(name, count)| format!("{name} {count}"));
            let words: Vec<String> = words.collect();
            ((*path).to_owned(), words.join(", "))
        });
        files.collect()
    }
}

fn owned(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let rows = rows.iter();
    rows.map(|(path, words)| ((*path).to_owned(), (*words).to_owned()))
        .collect()
}

/// Not the store, which makes them, and not tests.
fn is_product(source: &Source) -> bool {
    let path = &source.path;
    !path.starts_with("src/store/") && !path.contains("/tests/") && !path.ends_with("testing.rs")
}
