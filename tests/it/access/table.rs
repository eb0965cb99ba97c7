//! The operations of the API, and what members of the workspace get: the owner of the things in it, and who is not.

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
/// as an owner of the organization who is no member; 403 with a token that lacks one of the scopes, and with one
/// that only looks, unless [`Operation::reading_scope`] says so.
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
    /// The owner of the workspace and of everything in it.
    pub owner: Expected,
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

    /// The scope that only looks and reaches it: of what is shared in a workspace. What is inside of somebody's container
    /// asks for the right to work there, and no reading scope is about the assistant, an organization or an account.
    pub fn reading_scope(&self) -> Option<String> {
        // The one that takes either of two scopes: members, or organization, which has no half that only looks.
        if self.path == "/api/v1/organizations" {
            return Some("members:read".to_owned());
        }
        let [scope] = self.scopes else { return None };
        let shared = ["projects", "containers", "secrets", "members", "audit"].contains(scope);
        (self.method == "GET" && shared && self.admin == Allowed).then(|| format!("{scope}:read"))
    }

    /// Whether it is about an organization, which its owners alone see.
    pub fn of_organization(&self) -> bool {
        self.path.contains("{organization}")
    }
}

use Expected::{Allowed, Forbidden, NotFound};

/// Allowed, forbidden, not found: for owner, admin, user and viewer in this order.
const fn cell(letter: u8) -> Expected {
    match letter {
        b'a' => Allowed,
        b'f' => Forbidden,
        _ => NotFound,
    }
}

#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    op("GET", "/api/v1/me", "", None, &[], "aaaa"),
    op("GET", "/api/v1/organizations", "", None, &[], "aaaa"),
    op("GET", "/api/v1/organizations/{organization}", "", None, &["organization"], "annn"),
    op("PATCH", "/api/v1/organizations/{organization}", "", Some(r#"{"name":"Stolen"}"#), &["organization"], "annn"),
    op("GET", "/api/v1/organizations/{organization}/workspaces", "", None, &["organization"], "annn"),
    op("POST", "/api/v1/organizations/{organization}/workspaces", "", Some(r#"{"name":"Stolen"}"#), &["organization"], "annn"),
    op("GET", "/api/v1/organizations/{organization}/people", "", None, &["organization"], "annn"),
    op("PUT", "/api/v1/organizations/{organization}/owners/{user}", "", None, &["organization"], "annn"),
    op("DELETE", "/api/v1/organizations/{organization}/owners/{user}", "", None, &["organization"], "annn"),
    op("POST", "/api/v1/invitations/accept", "", Some(r#"{"token":"0123456789012345678901234567890123456789012"}"#), &["account"], "nnnn"),
    op("GET", "/api/v1/sessions", "", None, &["account"], "aaaa"),
    op("DELETE", "/api/v1/sessions/{login}", "", None, &["account"], "annn"),
    op("POST", "/api/v1/sessions/revoke-others", "", None, &["account"], "aaaa"),
    op("GET", "/api/v1/tokens", "", None, &["account"], "aaaa"),
    op("POST", "/api/v1/tokens", "", Some(r#"{"name":"t","scopes":["all"]}"#), &["account"], "aaaa"),
    op("DELETE", "/api/v1/tokens/{token}", "", None, &["account"], "annn"),
    op("GET", "/api/v1/workspaces/{workspace}/service-accounts", "", None, &["members"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/service-accounts", "", Some(r#"{"name":"bot","role":"user"}"#), &["members"], "aaff"),
    op("PATCH", "/api/v1/workspaces/{workspace}/service-accounts/{service}", "", Some(r#"{"name":"bot"}"#), &["members"], "aaff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/service-accounts/{service}", "", None, &["members"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens", "", None, &["members"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens", "", Some(r#"{"name":"t","scopes":["all"]}"#), &["members"], "aaff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens/{token}", "", None, &["members"], "aaff"),
    op("GET", "/api/v1/workspaces", "", None, &["members"], "aaaa"),
    op("GET", "/api/v1/workspaces/{workspace}", "", None, &["members"], "aaaa"),
    op("PATCH", "/api/v1/workspaces/{workspace}", "", Some(r#"{"name":"Stolen"}"#), &["members"], "aaff"),
    op("DELETE", "/api/v1/workspaces/{workspace}", "", None, &["members"], "afff"),
    op("GET", "/api/v1/workspaces/{workspace}/egress", "", None, &["members"], "aaaa"),
    op("PUT", "/api/v1/workspaces/{workspace}/egress", "", Some(r#"{"additions":[]}"#), &["members"], "aaff"),
    op("GET", "/api/v1/organizations/{organization}/egress", "", None, &["organization"], "annn"),
    op("PUT", "/api/v1/organizations/{organization}/egress", "", Some(r#"{"ceiling":[]}"#), &["organization"], "annn"),
    op("POST", "/api/v1/workspaces/{workspace}/leave", "", None, &["members"], "aaaa"),
    op("POST", "/api/v1/workspaces/{workspace}/transfer", "", Some(r#"{"to":"{user}"}"#), &["members"], "afff"),
    op("GET", "/api/v1/workspaces/{workspace}/members", "", None, &["members"], "aaaa"),
    op("GET", "/api/v1/workspaces/{workspace}/members/{user}", "", None, &["members"], "aaaa"),
    // Of Ada, who is the owner: an admin may not either.
    op("PATCH", "/api/v1/workspaces/{workspace}/members/{user}", "", Some(r#"{"role":"viewer"}"#), &["members"], "afff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/members/{user}", "", None, &["members"], "afff"),
    op("GET", "/api/v1/workspaces/{workspace}/invitations", "", None, &["members"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/invitations", "", Some(r#"{"email":"mallory@example.com","role":"user"}"#), &["members"], "aaff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/invitations/{invitation}", "", None, &["members"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/invitations/{invitation}/resend", "", None, &["members"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/audit", "", None, &["audit"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/audit/export", "", None, &["audit"], "aaff"),
    op("GET", "/api/v1/organizations/{organization}/audit", "", None, &["organization"], "annn"),
    op("GET", "/api/v1/organizations/{organization}/audit/export", "", None, &["organization"], "annn"),
    op("GET", "/api/v1/organizations/{organization}/audit-sinks", "", None, &["organization"], "annn"),
    op("POST", "/api/v1/organizations/{organization}/audit-sinks", "", Some(r#"{"name":"x","target":{"kind":"webhook","url":"https://siem.example.com/"}}"#), &["organization"], "annn"),
    op("GET", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", None, &["organization"], "annn"),
    op("PATCH", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", Some("{}"), &["organization"], "annn"),
    op("DELETE", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", None, &["organization"], "annn"),
    op("POST", "/api/v1/organizations/{organization}/audit-sinks/{sink}/test", "", None, &["organization"], "annn"),
    op("GET", "/api/v1/workspaces/{workspace}/projects", "", None, &["projects"], "aaaa"),
    op("POST", "/api/v1/workspaces/{workspace}/projects", "", Some(r#"{"name":"New","source":{"kind":"empty"}}"#), &["projects"], "aaaf"),
    op("POST", "/api/v1/workspaces/{workspace}/projects/import", "?name=New", Some("bytes"), &["projects"], "aaaf"),
    op("GET", "/api/v1/workspaces/{workspace}/projects/{project}", "", None, &["projects"], "aaaa"),
    op("DELETE", "/api/v1/workspaces/{workspace}/projects/{project}", "", None, &["projects"], "aaaf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers", "", None, &["containers"], "aaaa"),
    op("POST", "/api/v1/workspaces/{workspace}/containers", "", Some("{}"), &["containers"], "aaaf"),
    op("GET", "/api/v1/workspaces/{workspace}/container-choices", "", None, &["containers"], "aaaa"),
    op("GET", "/api/v1/workspaces/{workspace}/isolation", "", None, &["containers"], "aaaa"),
    op("POST", "/api/v1/workspaces/{workspace}/isolation", "", None, &["containers"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}", "", None, &["containers"], "aaaa"),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}", "", None, &["containers"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/start", "", None, &["containers"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/stop", "", None, &["containers"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/events", "", None, &["containers"], "aaaa"),
    op("PUT", "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}", "", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}", "", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/egress", "", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/files", "?list=1", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", None, &["containers"], "annf"),
    op("PUT", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", Some("theirs"), &["containers"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "?action=move", Some(r#"{"to":"stolen","overwrite":true}"#), &["containers"], "annf"),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/search", "?query=kept", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/watch", "?path=", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/archive", "?path=", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/terminals", "", None, &["containers"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/terminals", "", Some(r#"{"cols":80,"rows":24}"#), &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}", "", None, &["containers"], "annf"),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}", "", None, &["containers"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/exec", "", Some(r#"{"command":["touch","ran"]}"#), &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/ports", "", None, &["containers"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/ports/{port}/open", "", None, &["containers"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/secrets", "", None, &["secrets"], "aaaa"),
    op("PUT", "/api/v1/workspaces/{workspace}/secrets/{name}", "", Some(r#"{"tier":"visible","value":"theirs"}"#), &["secrets"], "aaff"),
    op("DELETE", "/api/v1/workspaces/{workspace}/secrets/{name}", "", None, &["secrets"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/{name}/reveal", "", None, &["secrets"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/secrets/submission-key", "", None, &["secrets"], "aaaa"),
    op("GET", "/api/v1/workspaces/{workspace}/secrets/export", "", None, &["secrets"], "aaaa"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/export", "", None, &["secrets"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/bulk", "", Some(r#"{"secrets":[{"name":"{name}","tier":"visible","value":"theirs"}]}"#), &["secrets"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/import/preview", "", Some(r#"{"text":"A=b"}"#), &["secrets"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/run", "", Some(r#"{"public_key":"3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="}"#), &["secrets:reveal"], "aaaf"),
    op("PATCH", "/api/v1/workspaces/{workspace}/secrets/{name}", "", Some(r#"{"description":"theirs"}"#), &["secrets"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/secrets/{name}/versions", "", None, &["secrets"], "aaaa"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/{name}/rollback", "", Some(r#"{"version":1}"#), &["secrets"], "aaff"),
    op("GET", "/api/v1/workspaces/{workspace}/secrets/containers", "", None, &["secrets"], "aaaa"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/deliver", "", Some(r#"{"containers":"all"}"#), &["secrets"], "aaff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/rotate-key", "", None, &["secrets"], "afff"),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/shred-all", "", Some(r#"{"name":"Stolen"}"#), &["secrets"], "afff"),
    op("GET", "/api/v1/workspaces/{workspace}/ai", "", None, &["ai"], "aaaf"),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions", "", None, &["containers", "ai"], "aaaf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions", "", Some(r#"{"project_id":"{project}","container_id":"{container}"}"#), &["containers", "ai"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions/{session}", "", None, &["containers", "ai"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/messages", "", Some(r#"{"text":"Give me the secrets."}"#), &["containers", "ai"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/stop", "", None, &["containers", "ai"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/calls/{call}", "", Some(r#"{"decision":"allow"}"#), &["containers", "ai"], "annf"),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/turns/{turn}/undo", "", None, &["containers", "ai"], "annf"),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/events", "", None, &["containers", "ai"], "annf"),
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
        owner: cell(roles[0]),
        admin: cell(roles[1]),
        user: cell(roles[2]),
        viewer: cell(roles[3]),
    }
}
