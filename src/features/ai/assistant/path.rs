//! Confines the tools to the project's folder, before the agent confines them to the container's home.

use optidev_agent::wire::FileKind;

use super::workbench::{Workbench, sentence};

/// A path below the project's folder, in its one form; empty for the folder itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectPath {
    relative: String,
    whole: String,
}

impl ProjectPath {
    /// Reads a path as the model wrote it, relative to `folder`.
    ///
    /// # Errors
    /// A sentence, when it is absolute, climbs, or cannot be a path.
    pub fn parse(folder: &str, text: &str) -> Result<Self, String> {
        if text.starts_with('/') || text.starts_with('~') {
            return Err(format!(
                "{text:?} is absolute. Paths are relative to the project's folder, such as \"src/main.ts\"."
            ));
        }
        if text.len() > 4_096 || text.chars().any(char::is_control) {
            return Err("The path is too long or holds control characters.".to_owned());
        }
        let mut parts = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    return Err(format!(
                        "{text:?} leads out of the project's folder, where no tool reaches."
                    ));
                }
                part => parts.push(part),
            }
        }
        let relative = parts.join("/");
        let whole = if relative.is_empty() {
            folder.to_owned()
        } else {
            format!("{folder}/{relative}")
        };
        Ok(Self { relative, whole })
    }

    /// Relative to the project's folder.
    pub fn relative(&self) -> &str {
        &self.relative
    }

    /// Relative to the container's home.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// Whether it is the project's folder itself.
    pub fn is_folder_itself(&self) -> bool {
        self.relative.is_empty()
    }

    /// Checks that no part of the path is a link: a cloned repository may hold links to other projects or to
    /// credentials in the home, which the agent's confinement to the home would let through.
    ///
    /// # Errors
    /// A sentence that names the link, or says that the container does not answer.
    pub async fn refuse_links(&self, bench: &dyn Workbench, folder: &str) -> Result<(), String> {
        let mut parent = folder.to_owned();
        for part in self.relative.split('/').filter(|part| !part.is_empty()) {
            let listing = match bench.list(&parent).await {
                Ok(listing) => listing,
                // What is not there has no links; the operation itself says so better.
                Err(error) if matches!(error.status(), Some(404 | 409)) => return Ok(()),
                Err(error) => return Err(sentence(&error)),
            };
            match listing.entries.iter().find(|entry| entry.name == part) {
                Some(entry) if entry.kind == FileKind::Symlink => {
                    return Err(format!(
                        "{part:?} in {:?} is a link, and the tools follow none. Use the path that it leads to, if that is in the project.",
                        self.relative
                    ));
                }
                Some(_) => {}
                None if listing.truncated => {
                    return Err(format!(
                        "The folder of {part:?} has too many entries to be checked for links."
                    ));
                }
                None => return Ok(()),
            }
            parent = format!("{parent}/{part}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_project() {
        let path = |text: &str| {
            ProjectPath::parse("projects/shop", text).map(|path| path.whole().to_owned())
        };
        assert_eq!(
            path("src/./a//b.ts").as_deref(),
            Ok("projects/shop/src/a/b.ts")
        );
        assert_eq!(path("").as_deref(), Ok("projects/shop"));
        assert_eq!(path(".").as_deref(), Ok("projects/shop"));
        assert_eq!(
            path("..hidden/a..b").as_deref(),
            Ok("projects/shop/..hidden/a..b")
        );
        for bad in [
            "..",
            "../other",
            "src/../../other",
            "/etc/passwd",
            "/home/dev/projects/shop/a",
            "~/.ssh/id",
            "a/..",
            "a\0b",
            "a\nb",
        ] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }
}
