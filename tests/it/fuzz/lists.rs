//! Operations that are treated differently from all others, each with the reason.

/// Operations that are not asked: each by its id, with the reason.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("assistant_follow", "an event stream has no end to wait for"),
    (
        "containers_events",
        "an event stream has no end to wait for",
    ),
    ("files_watch", "an event stream has no end to wait for"),
    ("terminals_read", "a WebSocket"),
    ("tokens_revoke", "would end the token that asks"),
    (
        "terminals_exec",
        "takes any command line: most that are made up run into the time limit",
    ),
];

/// Operations that end what others need. They are asked last, with every DELETE.
pub const LAST: &[(&str, &str)] = &[("containers_stop", "nothing inside of it answers any more")];

/// Operations that are asked and must refuse: an API token may not do them, or what they need is not to be made up.
pub const REFUSED: &[(&str, &str)] = &[
    (
        "members_accept_invitation",
        "the token of an invitation is no one's to guess",
    ),
    ("members_leave", "the last owner stays"),
    ("members_remove_member", "the only member is the last owner"),
    (
        "members_transfer",
        "asks for a person who signed in a moment ago",
    ),
    (
        "organizations_add_owner",
        "asks for a person who signed in a moment ago",
    ),
    (
        "organizations_remove_owner",
        "asks for a person who signed in a moment ago",
    ),
    (
        "workspaces_delete_workspace",
        "asks for a person who signed in a moment ago",
    ),
    (
        "tokens_create",
        "a token makes no tokens: it would outlive its revocation",
    ),
    (
        "service_accounts_create_service_token",
        "a token makes no tokens: it would outlive its revocation",
    ),
    (
        "service_accounts_revoke_service_token",
        "there is none, for a token makes no tokens",
    ),
    (
        "identity_end_session",
        "the fuzzer's account has a session of a browser only where a browser signed in",
    ),
    (
        "secrets_export_masked",
        "asks for a person who signed in a moment ago",
    ),
    (
        "secrets_reveal",
        "asks for a person who signed in a moment ago",
    ),
    (
        "secrets_run",
        "asks for a scope that no other includes, and the fuzzer's token has all others",
    ),
    (
        "secrets_rotate_key",
        "asks for a person who signed in a moment ago",
    ),
    (
        "secrets_shred",
        "asks for a person who signed in a moment ago",
    ),
    ("assistant_send", "there is no upstream to answer"),
    ("assistant_decide", "there is no upstream that asks"),
    ("assistant_undo", "there is no upstream that changes a file"),
    ("projects_import", "no generator makes up an archive"),
];

/// Operations of which it depends on what was made up before whether one request is well: each with the reason.
pub const MISSED: &[(&str, &str)] = &[
    (
        "containers_prove",
        "the server of this test has no pods, between which something could be proven: it says so",
    ),
    (
        "members_resend_invitation",
        "an address that is invited again has another invitation, and the known one is gone",
    ),
    (
        "members_revoke_invitation",
        "an address that is invited again has another invitation, and the known one is gone",
    ),
];
