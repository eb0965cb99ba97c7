//! Names of objects. Pure.

use std::fmt;

use super::ObjectsError;
use crate::kernel::WorkspaceId;

/// The name of an object: `<workspace>/<name>`, so that each workspace has a folder of its own. However it was made, it is
/// two plain parts: none of them is a way up, an absolute path, or anything that has to be escaped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The object `name` of `workspace`.
    ///
    /// # Errors
    /// [`ObjectsError::Key`] when the name is not plain.
    pub fn new(workspace: WorkspaceId, name: &str) -> Result<Self, ObjectsError> {
        let key = format!("{workspace}/{name}");
        if is_plain(name) {
            return Ok(Self(key));
        }
        Err(ObjectsError::Key(key))
    }

    /// A key as a row of `workspace` has it.
    ///
    /// # Errors
    /// [`ObjectsError::Key`] when it is none, or one of another workspace: somebody changed the row.
    pub fn stored(workspace: WorkspaceId, text: &str) -> Result<Self, ObjectsError> {
        text.strip_prefix(&workspace.to_string())
            .and_then(|rest| rest.strip_prefix('/'))
            .filter(|name| is_plain(name))
            .map(|_| Self(text.to_owned()))
            .ok_or_else(|| ObjectsError::Key(text.to_owned()))
    }

    /// The text, for a row.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 200 && name.chars().all(plain) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[test]
    fn no_key_leads_out_of_its_workspace() {
        let (clock, rng) = (Clock::fixed(1), Rng);
        let (one, other) = (
            WorkspaceId::new(&clock, &rng),
            WorkspaceId::new(&clock, &rng),
        );
        let good = ObjectKey::new(one, "prj_1.tar.gz").unwrap();
        assert_eq!(ObjectKey::stored(one, good.as_str()).unwrap(), good);
        assert!(ObjectKey::stored(other, good.as_str()).is_err());
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/etc/passwd",
            "a\\b",
            "%2e%2e",
            "a b",
            "a?b",
            "a#b",
            "ä",
            "a\0b",
            "a\nb",
            ".hidden",
        ] {
            assert!(ObjectKey::new(one, bad).is_err(), "{bad:?}");
            assert!(ObjectKey::stored(one, bad).is_err(), "{bad:?}");
            assert!(
                ObjectKey::stored(one, &format!("{one}/{bad}")).is_err(),
                "{bad:?}"
            );
        }
        for bad in [
            format!("{one}"),
            format!("{one}x/a"),
            format!("../{one}/a"),
            format!("{other}/../{one}/a"),
        ] {
            assert!(ObjectKey::stored(one, &bad).is_err(), "{bad}");
        }
    }
}
