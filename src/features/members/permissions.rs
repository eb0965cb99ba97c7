//! "What each role may do": the table of `authz`, for the page and for docs/permissions.md.

use crate::authz::permission::ORGANIZATION_RIGHTS;
use crate::authz::{PermissionId, Role, Scope};

/// The table as Markdown: docs/permissions.md is checked against it.
pub fn permissions_markdown() -> String {
    let mut text = String::from(
        "# What each role may do\n\nMade from the table in `src/authz/permission.rs`, which is the only source: the console's page of members and \
         the tests render the same one. `PERMISSIONS_UPDATE=1 cargo test --test it permissions` writes this file anew.\n",
    );
    for row in permission_rows() {
        if let Some(group) = row.group {
            text.push_str(&format!(
                "\n## {group}\n\n| permission | Owner | Admin | User | Viewer |\n| --- | --- | --- | --- | --- |\n"
            ));
        }
        let marks = row.allowed.map(|allowed| if allowed { "yes" } else { "" });
        text.push_str(&format!("| {} | {} |\n", row.about, marks.join(" | ")));
    }
    text.push_str(
        "\n## Organization\n\nOwners of an organization are no members of its workspaces by that: inside them the tables above hold.\n\n\
         | right | Owner of the organization | Member of one of its workspaces |\n| --- | --- | --- |\n",
    );
    for right in ORGANIZATION_RIGHTS {
        let members = if right.members { "yes" } else { "" };
        text.push_str(&format!("| {} | yes | {members} |\n", right.about));
    }
    text.push_str("\n## Scopes of tokens\n\nA token does what its scopes reach and its account's role allows.\n\n| scope | reaches |\n| --- | --- |\n");
    for scope in Scope::ALL {
        text.push_str(&format!("| `{}` | {} |\n", scope.as_str(), scope.about()));
    }
    text
}

/// A row of "what each role may do": one mark for each role, most powerful first.
pub(super) struct PermissionRow {
    pub group: Option<&'static str>,
    pub about: &'static str,
    pub allowed: [bool; 4],
}

/// The table of permissions, as `authz` has it.
pub(super) fn permission_rows() -> Vec<PermissionRow> {
    let mut last = "";
    PermissionId::ALL
        .iter()
        .map(|permission| {
            let group = permission.group();
            let first = group != last;
            last = group;
            PermissionRow {
                group: first.then_some(group),
                about: permission.about(),
                allowed: Role::ALL.map(|role| role.allows(*permission)),
            }
        })
        .collect()
}
