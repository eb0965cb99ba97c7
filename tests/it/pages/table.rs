//! The routes that are not in the API's document: who gets what from each.

/// What somebody gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// An answer. A POST that is allowed is not sent: other tests do what it does.
    Allowed,
    /// Sent to the sign-in page.
    SignIn,
    /// 401, for programs.
    Unauthenticated,
    /// 403: their role does not allow it.
    Forbidden,
    /// 404, as for what is not there.
    NotFound,
}

/// One route with one method, and who gets what from it.
#[derive(Debug)]
pub struct Route {
    pub method: &'static str,
    /// As the router has it.
    pub path: &'static str,
    /// Fields that are right, so that nothing else is wrong with the form.
    pub form: &'static [(&'static str, &'static str)],
    /// In this order: anonymous; owner, admin, user, viewer of the workspace; the owner of another workspace of the same
    /// organization; the owner of another organization.
    pub cells: [Expected; 7],
}

impl Route {
    /// Whether it is about something that belongs to a workspace or an organization.
    pub fn names_a_place(&self) -> bool {
        self.path.contains("{workspace}") || self.path.contains("{organization}")
    }
}

const fn cell(letter: u8) -> Expected {
    match letter {
        b'a' => Expected::Allowed,
        b's' => Expected::SignIn,
        b'u' => Expected::Unauthenticated,
        b'f' => Expected::Forbidden,
        _ => Expected::NotFound,
    }
}

const fn route(
    method: &'static str,
    path: &'static str,
    form: &'static [(&'static str, &'static str)],
    cells: &'static str,
) -> Route {
    let letters = cells.as_bytes();
    assert!(letters.len() == 7, "seven people");
    let mut all = [Expected::NotFound; 7];
    let mut place = 0;
    while place < 7 {
        all[place] = cell(letters[place]);
        place += 1;
    }
    Route {
        method,
        path,
        form,
        cells: all,
    }
}

#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    // What everybody may have.
    route("GET", "/healthz", &[], "aaaaaaa"),
    route("GET", "/readyz", &[], "aaaaaaa"),
    route("GET", "/assets/{file}", &[], "aaaaaaa"),
    route("GET", "/api/v1/openapi.json", &[], "aaaaaaa"),
    route("GET", "/api/docs", &[], "aaaaaaa"),
    route("GET", "/sign-in", &[], "aaaaaaa"),
    route("POST", "/sign-in", &[], "aaaaaaa"),
    // Without the code, and with one that nobody has, there is nothing.
    route("GET", "/setup", &[], "nnnnnnn"),
    route("POST", "/setup", &[("code", "0123456789012345678901234567890123456789012"), ("name", "Mallory"), ("email", "mallory@example.com"), ("password", "correct horse battery staple 42"), ("organization", "Stolen"), ("workspace", "Stolen")], "nnnnnnn"),
    route("GET", "/invitations/{token}", &[], "nnnnnnn"),
    route("POST", "/invitations/{token}", &[("name", "Mallory"), ("password", "correct horse battery staple 42")], "nnnnnnn"),
    route("POST", "/invitations/{token}/accept", &[], "snnnnnn"),
    // One's own.
    route("GET", "/", &[], "saaaaaa"),
    route("GET", "/sign-in/second-factor", &[], "sssssss"),
    route("POST", "/sign-in/second-factor", &[("code", "123456")], "sssssss"),
    route("POST", "/sign-out", &[], "saaaaaa"),
    route("GET", "/account", &[], "saaaaaa"),
    route("GET", "/account/second-factor", &[], "saaaaaa"),
    route("POST", "/account/second-factor", &[], "saaaaaa"),
    route("POST", "/account/second-factor/disable", &[], "saaaaaa"),
    route("POST", "/account/password", &[("current", "correct horse battery staple 42"), ("password", "another horse battery staple 43")], "saaaaaa"),
    route("GET", "/account/reauthenticate", &[], "saaaaaa"),
    route("POST", "/account/reauthenticate", &[], "saaaaaa"),
    route("POST", "/account/sessions/{login}/end", &[], "sannnnn"),
    route("GET", "/account/tokens", &[], "saaaaaa"),
    route("POST", "/account/tokens", &[], "saaaaaa"),
    route("POST", "/account/tokens/{own}/revoke", &[], "sannnnn"),
    // An organization is its owners'.
    route("GET", "/organizations", &[], "saaaaaa"),
    route("GET", "/organizations/{organization}", &[], "sannnnn"),
    route("POST", "/organizations/{organization}", &[("name", "Stolen")], "sannnnn"),
    route("POST", "/organizations/{organization}/workspaces", &[("name", "Stolen")], "sannnnn"),
    route("POST", "/organizations/{organization}/owners/{user}/add", &[], "sannnnn"),
    route("POST", "/organizations/{organization}/owners/{user}/remove", &[], "sannnnn"),
    route("GET", "/organizations/{organization}/audit", &[], "sannnnn"),
    route("GET", "/organizations/{organization}/audit/export", &[], "sannnnn"),
    route("GET", "/organizations/{organization}/audit/{seq}", &[], "sannnnn"),
    route("POST", "/organizations/{organization}/audit/sinks", &[("name", "Mine"), ("kind", "webhook"), ("place", "https://siem.example.com/")], "sannnnn"),
    route("POST", "/organizations/{organization}/audit/sinks/{sink}/{act}", &[], "sannnnn"),
    route("GET", "/organizations/{organization}/egress", &[], "sannnnn"),
    route("POST", "/organizations/{organization}/egress", &[("hosts", "")], "sannnnn"),
    // A workspace.
    route("GET", "/workspaces/{workspace}/members", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/members", &[("email", "mallory@example.com"), ("role", "user")], "saaffnn"),
    route("POST", "/workspaces/{workspace}/members/{user}/role", &[("role", "viewer")], "safffnn"),
    route("POST", "/workspaces/{workspace}/members/{user}/remove", &[], "safffnn"),
    route("POST", "/workspaces/{workspace}/invitations/{invitation}/resend", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/invitations/{invitation}/revoke", &[], "saaffnn"),
    route("GET", "/workspaces/{workspace}/settings", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/settings", &[("name", "Stolen")], "saaffnn"),
    route("GET", "/workspaces/{workspace}/egress", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/egress", &[("hosts", "")], "saaffnn"),
    route("POST", "/workspaces/{workspace}/leave", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/transfer", &[("to", "{user}")], "safffnn"),
    route("POST", "/workspaces/{workspace}/delete", &[("name", "{title}")], "safffnn"),
    route("GET", "/workspaces/{workspace}/audit", &[], "saaffnn"),
    route("GET", "/workspaces/{workspace}/audit/export", &[], "saaffnn"),
    route("GET", "/workspaces/{workspace}/audit/{seq}", &[], "saaffnn"),
    route("GET", "/workspaces/{workspace}/projects", &[], "saaaann"),
    route("GET", "/workspaces/{workspace}/projects/new", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/projects/new", &[("name", "Mine"), ("kind", "empty")], "saaafnn"),
    route("GET", "/workspaces/{workspace}/projects/{project}", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/projects/{project}/delete", &[], "saaafnn"),
    route("GET", "/workspaces/{workspace}/containers", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/containers", &[], "saaafnn"),
    route("POST", "/workspaces/{workspace}/containers/proof", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/containers/{container}/stop", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/containers/{container}/delete", &[], "saaffnn"),
    route("GET", "/workspaces/{workspace}/secrets", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/secrets", &[("name", "MINE"), ("tier", "visible"), ("value", "v")], "saaffnn"),
    route("GET", "/workspaces/{workspace}/secrets/import", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/secrets/import", &[("text", "MINE=v")], "saaffnn"),
    route("POST", "/workspaces/{workspace}/secrets/import/confirm", &[("text", "MINE=v"), ("take", "MINE"), ("tier", "visible")], "saaffnn"),
    route("GET", "/workspaces/{workspace}/secrets/export", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/secrets/export", &[], "saaaann"),
    route("GET", "/workspaces/{workspace}/secrets/{name}", &[], "saaaann"),
    route("POST", "/workspaces/{workspace}/secrets/{name}", &[("tier", "visible"), ("value", "mine")], "saaffnn"),
    route("POST", "/workspaces/{workspace}/secrets/{name}/change", &[("description", "Mine")], "saaffnn"),
    route("POST", "/workspaces/{workspace}/secrets/{name}/rollback", &[("version", "1")], "saaffnn"),
    route("POST", "/workspaces/{workspace}/secrets/{name}/delete", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/secrets/deliver", &[], "saaafnn"),
    route("GET", "/workspaces/{workspace}/service-accounts", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/service-accounts", &[("name", "Mine"), ("role", "user")], "saaffnn"),
    route("GET", "/workspaces/{workspace}/service-accounts/{service}", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/service-accounts/{service}", &[("name", "t"), ("days", "30"), ("scope", "all")], "saaffnn"),
    route("POST", "/workspaces/{workspace}/service-accounts/{service}/delete", &[], "saaffnn"),
    route("POST", "/workspaces/{workspace}/service-accounts/{service}/tokens/{own}/revoke", &[], "saaffnn"),
    // The gateway, asked with tokens for Ada's workspace.
    route("POST", "/ai/v1/messages", &[], "uaaafnn"),
    route("POST", "/ai/v1/messages/count_tokens", &[], "uaaafnn"),
    route("GET", "/ai/v1/models", &[], "uaaafnn"),
    route("HEAD", "/ai", &[], "aaaaaaa"),
    route("HEAD", "/ai/", &[], "aaaaaaa"),
    route("ANY", "/ai/{*path}", &[], "nnnnnnn"),
];
