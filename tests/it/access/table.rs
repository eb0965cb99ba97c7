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

/// One operation. Strangers get 401, and owners of other workspaces 404, from every one with a workspace.
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
    /// A member with the role user.
    pub user: Expected,
    /// A member with the role viewer.
    pub viewer: Expected,
}

impl Operation {
    /// Whether it is about a thing that has an id within the workspace.
    pub fn names_a_thing(&self) -> bool {
        ["{project}", "{container}", "{session}", "{sink}"]
            .iter()
            .any(|name| {
                self.path.contains(name) || self.body.is_some_and(|body| body.contains(name))
            })
    }
}

use Expected::{Allowed, Forbidden, NotFound};

#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    op("GET", "/api/v1/me", "", None, &[], Allowed, Allowed),
    op("GET", "/api/v1/workspaces/{workspace}/projects", "", None, &["projects"], Allowed, Allowed),
    op("POST", "/api/v1/workspaces/{workspace}/projects", "", Some(r#"{"name":"New","source":{"kind":"empty"}}"#), &["projects"], Allowed, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/projects/import", "?name=New", Some("bytes"), &["projects"], Allowed, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/projects/{project}", "", None, &["projects"], Allowed, Allowed),
    op("DELETE", "/api/v1/workspaces/{workspace}/projects/{project}", "", None, &["projects"], Allowed, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/audit", "", None, &["audit:read"], Forbidden, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/audit/export", "", None, &["audit:read"], Forbidden, Forbidden),
    op("GET", "/api/v1/organizations/{organization}/audit", "", None, &["organization"], NotFound, NotFound),
    op("GET", "/api/v1/organizations/{organization}/audit/export", "", None, &["organization"], NotFound, NotFound),
    op("GET", "/api/v1/organizations/{organization}/audit-sinks", "", None, &["organization"], NotFound, NotFound),
    op("POST", "/api/v1/organizations/{organization}/audit-sinks", "", Some(r#"{"name":"x","target":{"kind":"webhook","url":"https://siem.example.com/"}}"#), &["organization"], NotFound, NotFound),
    op("GET", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", None, &["organization"], NotFound, NotFound),
    op("PATCH", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", Some("{}"), &["organization"], NotFound, NotFound),
    op("DELETE", "/api/v1/organizations/{organization}/audit-sinks/{sink}", "", None, &["organization"], NotFound, NotFound),
    op("POST", "/api/v1/organizations/{organization}/audit-sinks/{sink}/test", "", None, &["organization"], NotFound, NotFound),
    op("GET", "/api/v1/workspaces/{workspace}/containers", "", None, &["containers"], Allowed, Allowed),
    op("POST", "/api/v1/workspaces/{workspace}/containers", "", Some("{}"), &["containers"], Allowed, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}", "", None, &["containers"], Allowed, Allowed),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}", "", None, &["containers"], Forbidden, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/start", "", None, &["containers"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/stop", "", None, &["containers"], Forbidden, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/events", "", None, &["containers"], Allowed, Allowed),
    op("PUT", "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}", "", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}", "", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/egress", "", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/files", "?list=1", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", None, &["containers"], NotFound, Forbidden),
    op("PUT", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", Some("theirs"), &["containers"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "?action=move", Some(r#"{"to":"stolen","overwrite":true}"#), &["containers"], NotFound, Forbidden),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}/files/{path}", "", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/search", "?query=kept", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/watch", "?path=", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/archive", "?path=", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/terminals", "", None, &["containers"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/terminals", "", Some(r#"{"cols":80,"rows":24}"#), &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}", "", None, &["containers"], NotFound, Forbidden),
    op("DELETE", "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}", "", None, &["containers"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/exec", "", Some(r#"{"command":["touch","ran"]}"#), &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/containers/{container}/ports", "", None, &["containers"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/containers/{container}/ports/{port}/open", "", None, &["containers"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/secrets", "", None, &["secrets"], Allowed, Allowed),
    op("PUT", "/api/v1/workspaces/{workspace}/secrets/{name}", "", Some(r#"{"tier":"visible","value":"theirs"}"#), &["secrets"], Forbidden, Forbidden),
    op("DELETE", "/api/v1/workspaces/{workspace}/secrets/{name}", "", None, &["secrets"], Forbidden, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/secrets/{name}/reveal", "", None, &["secrets"], Forbidden, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/ai", "", None, &["ai"], Allowed, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions", "", None, &["containers", "ai"], Allowed, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions", "", Some(r#"{"project_id":"{project}","container_id":"{container}"}"#), &["containers", "ai"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions/{session}", "", None, &["containers", "ai"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/messages", "", Some(r#"{"text":"Give me the secrets."}"#), &["containers", "ai"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/stop", "", None, &["containers", "ai"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/calls/{call}", "", Some(r#"{"decision":"allow"}"#), &["containers", "ai"], NotFound, Forbidden),
    op("POST", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/turns/{turn}/undo", "", None, &["containers", "ai"], NotFound, Forbidden),
    op("GET", "/api/v1/workspaces/{workspace}/ai/sessions/{session}/events", "", None, &["containers", "ai"], NotFound, Forbidden),
];

const fn op(
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: Option<&'static str>,
    scopes: &'static [&'static str],
    user: Expected,
    viewer: Expected,
) -> Operation {
    Operation {
        method,
        path,
        query,
        body,
        scopes,
        user,
        viewer,
    }
}
