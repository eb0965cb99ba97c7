//! What of the tables is not in their columns.

/// The server adds rows to these and reads them; it may neither change nor delete one. `optidev migrate` grants so.
pub const APPEND_ONLY: [&str; 2] = ["audit_event", "installation"];

/// Tables with a `workspace_id` or `organization_id` and no row level security, because they are read before a tenant is
/// known. A test counts them: the list may only shrink.
pub const WITHOUT_POLICY: [&str; 0] = [];
