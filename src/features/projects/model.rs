//! Projects: the row, the API's shape, and the rules of names and addresses.

use serde::{Deserialize, Serialize};

use crate::clients::objects::ObjectKey;
use crate::kernel::ProjectId;

/// The table.
pub mod project {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{ProjectId, UserId, WorkspaceId};

    /// A row of `project`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "project")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The project.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ProjectId,
        /// Display name.
        pub name: String,
        /// Name of its folder, which no other project of the workspace has or had.
        pub slug: String,
        /// `empty`, `git` or `archive`.
        pub source_kind: String,
        /// Address of the git remote.
        pub source_url: Option<String>,
        /// Branch to clone.
        pub source_branch: Option<String>,
        /// Name of the stored archive.
        pub object_key: Option<String>,
        /// What the code is built with, when that could be told.
        pub framework: Option<String>,
        /// Who made it.
        pub created_by: UserId,
        /// When.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The folder names that were ever given out.
pub mod given_slug {
    use sea_orm::entity::prelude::*;

    use crate::kernel::WorkspaceId;

    /// A row of `project_slug`; it stays when its project goes.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "project_slug")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The folder's name.
        #[sea_orm(primary_key, auto_increment = false)]
        pub slug: String,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(project);
crate::tenant_entity!(given_slug);

/// Most projects of a workspace. A list shows them all.
pub const MOST: u64 = 5_000;

/// Where a project's code comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// An empty folder.
    Empty {},
    /// A clone of a git remote.
    Git {
        /// `https://` or `http://` address without credentials.
        url: String,
        /// Branch; the remote's default without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<String>,
    },
    /// An archive that was uploaded; made by the import route only.
    Archive {},
}

/// Formats of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// A tar file, compressed by gzip.
    TarGz,
    /// A zip file.
    Zip,
}

impl ArchiveFormat {
    /// The format's ending and its word in the agent's protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        }
    }

    /// The format that the first bytes of a file show.
    pub fn sniff(start: &[u8]) -> Option<Self> {
        match start {
            [0x1f, 0x8b, ..] => Some(Self::TarGz),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(Self::Zip),
            _ => None,
        }
    }
}

/// What a container needs in order to get the code.
#[derive(Debug, Clone)]
pub enum StoredSource {
    /// Make the folder.
    Empty,
    /// Clone it.
    Git {
        /// The address.
        url: String,
        /// The branch.
        branch: Option<String>,
    },
    /// Extract it.
    Archive {
        /// The object.
        key: ObjectKey,
        /// Its format.
        format: ArchiveFormat,
    },
}

/// A project as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// Display name.
    pub name: String,
    /// Name of its folder.
    pub slug: String,
    /// What the code is built with, when that could be told.
    pub framework: Option<String>,
    /// Where the code comes from.
    pub source: Source,
    /// Its folder, relative to the home of each container.
    pub folder: String,
    /// When it was made, milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl From<project::Model> for Project {
    fn from(row: project::Model) -> Self {
        let source = match (row.source_kind.as_str(), row.source_url) {
            ("git", Some(url)) => Source::Git {
                url,
                branch: row.source_branch,
            },
            ("archive", _) => Source::Archive {},
            _ => Source::Empty {},
        };
        Self {
            folder: format!("projects/{}", row.slug),
            id: row.id,
            name: row.name,
            slug: row.slug,
            framework: row.framework,
            source,
            created_at_ms: row.created_at_ms,
        }
    }
}

/// A folder name made from a display name: lower-case letters, digits and hyphens; `project` when nothing is left.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.len() >= 40 {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "project".to_owned()
    } else {
        slug.to_owned()
    }
}

/// Why a name is not taken.
pub fn name_complaint(name: &str) -> Option<String> {
    let length = name.trim().chars().count();
    if length == 0 {
        return Some("Give the project a name.".to_owned());
    }
    if length > 100 || name.chars().any(char::is_control) {
        return Some(format!(
            "A name has at most 100 characters and no control characters; this one has {length}."
        ));
    }
    None
}

/// Why a git address is not taken: the field, and the sentence for it.
pub fn git_complaint(text: &str, branch: Option<&str>) -> Option<(&'static str, String)> {
    let complain = |why: &str| {
        Some((
            "url",
            format!("{text:?} {why}. Write it like https://git.example.com/team/app.git."),
        ))
    };
    let Ok(url) = url::Url::parse(text) else {
        return complain("is not an address");
    };
    if !matches!(url.scheme(), "https" | "http") {
        return complain("cannot be cloned: only https and http addresses pass the egress role");
    }
    if url.host_str().is_none_or(str::is_empty) || text.len() > 2000 {
        return complain("names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some((
            "url",
            "Leave user and password out of the address: keep them as secrets.".to_owned(),
        ));
    }
    let branch = branch?;
    let plain = branch
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_./+@".contains(c));
    if !plain || branch.starts_with('-') || branch.contains("..") || branch.len() > 255 {
        return Some(("branch", format!("{branch:?} is not the name of a branch.")));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_safe_folder_names() {
        assert_eq!(slug_of("My App!"), "my-app");
        assert_eq!(slug_of("../../etc"), "etc");
        assert_eq!(slug_of("日本"), "project");
        assert_eq!(slug_of(&"x".repeat(500)).len(), 40);
    }

    #[test]
    fn git_addresses_that_could_do_harm_are_refused() {
        assert!(git_complaint("https://github.com/a/b.git", Some("main")).is_none());
        for bad in [
            "file:///etc",
            "ssh://x/y",
            "ext::sh -c id",
            "--upload-pack=x",
            "https://u:p@h/x",
            "nonsense",
        ] {
            assert!(git_complaint(bad, None).is_some(), "{bad}");
        }
        assert!(git_complaint("https://h/x", Some("--exec=x")).is_some());
    }

    #[test]
    fn formats_show_in_the_first_bytes() {
        assert_eq!(
            ArchiveFormat::sniff(&[0x1f, 0x8b, 8]),
            Some(ArchiveFormat::TarGz)
        );
        assert_eq!(
            ArchiveFormat::sniff(b"PK\x03\x04"),
            Some(ArchiveFormat::Zip)
        );
        assert_eq!(ArchiveFormat::sniff(b"<html>"), None);
    }
}
