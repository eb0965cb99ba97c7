//! What of the tables is not in their columns.

use crate::tenant::Rows;

/// The server adds rows to these and reads them; it may neither change nor delete one. `optidev migrate` grants so.
pub const APPEND_ONLY: [&str; 2] = ["audit_event", "installation"];

/// What `optidev controller` may do on PostgreSQL: read these tables, and write these columns of two. What is wanted is not among
/// them.
pub const CONTROLLER: [(&str, &[&str]); 4] = [
    ("authority", &[]),
    (
        "isolation_proof",
        &["checked_at_ms", "proven", "enforcer", "found"],
    ),
    (
        "pod",
        &[
            "seen",
            "attempt",
            "attempt_for",
            "token_digest",
            "csr_digest",
            "enrolled_at_ms",
            "phase",
            "step",
            "ip",
            "pod_uid",
            "reason",
            "permanent",
            "out_of_memory",
            "freed",
            "observed_at_ms",
        ],
    ),
    ("seaql_migrations", &[]),
];

/// Tables with a `workspace_id` or `organization_id` and no row level security, because they are read before a tenant is
/// known. A test counts them: the list may only shrink.
pub const WITHOUT_POLICY: [&str; 0] = [];

/// Whose rows each table of a tenant holds. A server compares the policies that it finds with these.
pub const ROWS: [(&str, Rows); 21] = [
    ("assistant_checkpoint", Rows::Workspace),
    ("assistant_event", Rows::Workspace),
    ("assistant_message", Rows::Workspace),
    ("assistant_session", Rows::Workspace),
    ("audit_event", Rows::Both("workspace_id")),
    ("audit_head", Rows::Organization),
    ("audit_sink", Rows::Organization),
    ("container", Rows::Workspace),
    ("egress_addition", Rows::Workspace),
    ("egress_ceiling", Rows::Organization),
    ("invitation", Rows::Workspace),
    ("member", Rows::Both("workspace_id")),
    ("organization", Rows::Organizations),
    ("organization_owner", Rows::Organization),
    ("pod", Rows::Workspace),
    ("project", Rows::Workspace),
    ("project_slug", Rows::Workspace),
    ("secret", Rows::Workspace),
    ("secret_delivery", Rows::Workspace),
    ("secret_version", Rows::Workspace),
    ("workspace", Rows::Both("id")),
];

/// The rules that the policy of `table` may have: its own, or any for a table that a later version made.
pub fn rules(table: &str) -> Vec<String> {
    let known = ROWS.iter().find(|(name, _)| *name == table);
    match known {
        Some((_, rows)) => vec![rows.rule()],
        None => [
            Rows::Workspace,
            Rows::Organization,
            Rows::Both("workspace_id"),
        ]
        .map(Rows::rule)
        .into(),
    }
}
