//! The operations of the API, and what members of the workspace get who are not the owner of the things in it.

/// What somebody gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// An answer.
    Allowed,
    /// 403: their role does not allow it, and they know of the thing from lists.
    Forbidden,
    /// 404, as for what is not there.
    NotFound,
}

/// One operation, and who gets what from it. Whoever is not in a row gets the same from every row: 401 without a
/// credential; 404 as the owner of another organization, as a member of another workspace of the same organization, and
/// as an owner of the organization who is no member; 403 with a token that lacks one of the scopes.
#[derive(Debug)]
pub struct Operation {
    pub method: &'static str,
    /// As in the document.
    pub path: &'static str,
    /// With its question mark.
    pub query: &'static str,
    /// A body that is right, so that nothing else is wrong with the request.
    pub body: Option<&'static str>,
    /// A token needs all of them.
    pub scopes: &'static [&'static str],
    /// A member with the role admin.
    pub admin: Expected,
    /// A member with the role user, and a service account with that role.
    pub user: Expected,
    /// A member with the role viewer.
    pub viewer: Expected,
}

impl Operation {
    /// Whether it is about a thing that has an id within the workspace, or about an organization.
    pub fn names_a_thing(&self) -> bool {
        let ids = [
            "{project}",
            "{container}",
            "{session}",
            "{organization}",
            "{user}",
            "{invitation}",
            "{sink}",
            "{token}",
            "{service}",
            "{login}",
        ];
        ids.iter().any(|name| {
            self.path.contains(name) || self.body.is_some_and(|body| body.contains(name))
        })
    }

    /// Whether it is about an organization, which its owners alone see.
    pub fn of_organization(&self) -> bool {
        self.path.contains("{organization}")
    }
}

use Expected::{Allowed, Forbidden, NotFound};

/// Allowed, forbidden, not found: for admin, user and viewer in this order.
const fn cell(letter: u8) -> Expected {
    match letter {
        b'a' => Allowed,
        b'f' => Forbidden,
        _ => NotFound,
    }
}

#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    op("GET", "/api/v1/me", "", None, &[], "aaa"),
    op("GET", "/api/v1/organizations", "", None, &[], "aaa"),
    op("GET", "/api/v1/organizations/{organization}", "", None, &["organization"], "nnn"),
    op("PATCH", "/api/v1/organizations/{organization}", "", Some(r#"{"name":"Stolen"}"#), &["organization"], "nnn"),
    op("GET", "/api/v1/organizations/{organization}/workspaces", "", None, &["organization"], "nnn"),
    op("POST", "/api/v1/organizations/{organization}/workspaces", "", Some(r#"{"name":"Stolen"}"#), &["organization"], "nnn"),
    op("GET", "/api/v1/organizations/{organization}/people", "", None, &["organization"], "nnn"),
    op("PUT", "/api/v1/organizations/{organization}/owners/{user}", "", None, &["organization"], "nnn"),
    op("DELETE", "/api/v1/organizations/{organization}/owners/{user}", "", None, &["organization"], "nnn"),
    op("POST", "/api/v1/invitations/accept", "", Some(r#"{"token":"0123456789012345678901234567890123456789012"}"#), &["account"], "nnn"),
    op("GET", "/api/v1/sessions", "", None, &["account"], "aaa"),
    op("DELETE", "/api/v1/sessions/{login}", "", None, &["account"], "nnn"),
    op("POST", "/api/v1/sessions/revoke-others", "", None, &["account"], "aaa"),
    op("GET", "/api/v1/tokens", "", None, &["account"], "aaa"),
    op("POST", "/api/v1/tokens", "", Some(r#"{"name":"t","scopes":["all"]}"#), &["account"], "aaa"),
    op("DELETE", "/api/v1/tokens/{token}", "", None, &["account"], "nnn"),
    op("GET", "/api/v1/workspaces/{workspace}/service-accounts", "", None, &["members"], "aff"),
    op("POST", "/api/v1/workspaces/{workspace}/service-accounts", "", Some(r#"{"name":"bot","role":"user"}"#), &["members"], "aff"),
    op("PATCH", "/api/v1/workspaces/{workspace}/service-accounts/{service}", "", Some(r#"{"name":"bot"}"#), &["members"], "aff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/service-accounts/{service}", "", None, &["members"], "aff"),
    op("GET", "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens", "", None, &["members"], "aff"),
    op("POST", "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens", "", Some(r#"{"name":"t","scopes":["all"]}"#), &["members"], "aff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens/{token}", "", None, &["members"], "aff"),
    op("GET", "/api/v1/workspaces", "", None, &["members"], "aaa"),
    op("GET", "/api/v1/workspaces/{workspace}", "", None, &["members"], "aaa"),
    op("PATCH", "/api/v1/workspaces/{workspace}", "", Some(r#"{"name":"Stolen"}"#), &["members"], "aff"),
    op("DELETE", "/api/v1/workspaces/{workspace}", "", None, &["members"], "fff"),
    op("POST", "/api/v1/workspaces/{workspace}/leave", "", None, &["members"], "aaa"),
    op("POST", "/api/v1/workspaces/{workspace}/transfer", "", Some(r#"{"to":"{user}"}"#), &["members"], "fff"),
    op("GET", "/api/v1/workspaces/{workspace}/members", "", None, &["members"], "aaa"),
    op("GET", "/api/v1/workspaces/{workspace}/members/{user}", "", None, &["members"], "aaa"),
    // Of Ada, who is the owner: an admin may not either.
    op("PATCH", "/api/v1/workspaces/{workspace}/members/{user}", "", Some(r#"{"role":"viewer"}"#), &["members"], "fff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/members/{user}", "", None, &["members"], "fff"),
    op("GET", "/api/v1/workspaces/{workspace}/invitations", "", None, &["members"], "aff"),
    op("POST", "/api/v1/workspaces/{workspace}/invitations", "", Some(r#"{"email":"mallory@example.com","role":"user"}"#), &["members"], "aff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/invitations/{invitation}", "", None, &["members"], "aff"),
    op("POST", "/api/v1/workspaces/{workspace}/invitations/{invitation}/resend", "", None, &["members"], "aff"),
    op("GET", "/api/v1/workspaces/{workspace}/audit", "", None, &["audit"], "aff"),
    op("GET", "/api/v1/workspaces/{workspace}/audit/export", "", None, &["audit"], "aff"),
    op("GET", "/api/v1/organizations/{organization}/audit", "", None, &["organization"], "nnn"),
    op("GET", "/api/v1/organizations/{organization}/audit/export", "", None, &["organization"], "nnn"),
    op("GET", "/api/v1/organizations/{organization}/audit-sinks", "", None, &["organization"], "nnn"),
    op("POST", "/api/v1/organizations/{organization}/audit-sinks", "", Some(r#"{"name":"x","target":{"kind":"webhook","url":"https://siem.example.com/"}}"#), &["organization"], "nnn"),
    op("GET", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", None, &["organization"], "nnn"),
    op("PATCH", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", Some("{}"), &["organization"], "nnn"),
    op("DELETE", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", None, &["organization"], "nnn"),
    op("POST", "/api/v1/organizations/{organization}/audit-sinks/{sink}/test", "", None, &["organization"], "nnn"),
    op("GET", "/api/v1/workspaces/{workspace}/projects", "", None, &["projects"], "aaa"),
    op("POST", "/api/v1/workspaces/{workspace}/projects", "", Some(r#"{"name":"New","source":{"kind":"empty"}}"#), &["projects"], "aaf"),
    op("POST", "/api/v1/workspaces/{workspace}/projects/import", "?name=New", Some("bytes"), &["projects"], "aaf"),
    op("GET", "/api/v1/workspaces/{workspace}/projects/{project}", "", None, &["projects"], "aaa"),
    op("DELETE", "/api/v1/workspaces/{workspace}/projects/{project}", "", None, &["projects"], "aaf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers", "", None, &["containers"], "aaa"),
    op("POST", "/api/v1/workspaces/{workspace}/containers", "", Some("{}"), &["containers"], "aaf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}", "", None, &["containers"], "aaa"),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}", "", None, &["containers"], "aff"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/start", "", None, &["containers"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/stop", "", None, &["containers"], "aff"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/events", "", None, &["containers"], "aaa"),
    op("PUT", "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}", "", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}", "", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/egress", "", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/files", "?list=1", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", None, &["containers"], "nnf"),
    op("PUT", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", Some("theirs"), &["containers"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "?action=move", Some(r#"{"to":"stolen","overwrite":true}"#), &["containers"], "nnf"),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/search", "?query=kept", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/watch", "?path=", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/archive", "?path=", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/terminals", "", None, &["containers"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/terminals", "", Some(r#"{"cols":80,"rows":24}"#), &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}", "", None, &["containers"], "nnf"),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}", "", None, &["containers"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/exec", "", Some(r#"{"command":["touch","ran"]}"#), &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/ports", "", None, &["containers"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/ports/{port}/open", "", None, &["containers"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/secrets", "", None, &["secrets"], "aaa"),
    op("PUT", "/api/v1/workspaces/{workspace}/secrets/{name}", "", Some(r#"{"tier":"visible","value":"theirs"}"#), &["secrets"], "aff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/secrets/{name}", "", None, &["secrets"], "aff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/{name}/reveal", "", None, &["secrets"], "aff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/rotate-key", "", None, &["secrets"], "fff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/shred-all", "", Some(r#"{"name":"Stolen"}"#), &["secrets"], "fff"),
    op("GET", "/api/v1/workspaces/{workspace}/ai", "", None, &["ai"], "aaf"),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions", "", None, &["containers", "ai"], "aaf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions", "", Some(r#"{"project_id":"{project}","container_id":"{container}"}"#), &["containers", "ai"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions/{session}", "", None, &["containers", "ai"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/messages", "", Some(r#"{"text":"Give me the secrets."}"#), &["containers", "ai"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/stop", "", None, &["containers", "ai"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/calls/{call}", "", Some(r#"{"decision":"allow"}"#), &["containers", "ai"], "nnf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/turns/{turn}/undo", "", None, &["containers", "ai"], "nnf"),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/events", "", None, &["containers", "ai"], "nnf"),
];

const fn op(
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: Option<&'static str>,
    scopes: &'static [&'static str],
    roles: &'static str,
) -> Operation {
    let roles = roles.as_bytes();
    Operation {
        method,
        path,
        query,
        body,
        scopes,
        admin: cell(roles[0]),
        user: cell(roles[1]),
        viewer: cell(roles[2]),
    }
}
