//! Strong entity tags.
//!
//! Up to 1 MiB (whatever an editor opens) the tag is a hash of the content, so it changes exactly
//! when the content does, whoever writes and however fast. Above that, hashing on every read
//! would cost too much: inode, size, modification and change time in nanoseconds. Each write by
//! the agent makes a new inode, and the kernel moves the change time on each write by others, at
//! the granularity of its clock tick (4 ms).

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use sha2::{Digest as _, Sha256};

/// Files up to this size are tagged by content.
pub const CONTENT_MAX: u64 = 1 << 20;

/// 32 hex digits for this content.
pub fn of_content(content: &[u8]) -> String {
    digest(Sha256::new_with_prefix(b"content\0").chain_update(content))
}

/// 32 hex digits for a file too large to hash.
pub fn of_metadata(metadata: &std::fs::Metadata) -> String {
    let mut hasher = Sha256::new_with_prefix(b"metadata\0");
    for number in [
        i64::from_ne_bytes(metadata.ino().to_ne_bytes()),
        i64::from_ne_bytes(metadata.size().to_ne_bytes()),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ] {
        hasher.update(number.to_le_bytes());
    }
    digest(hasher)
}

fn digest(hasher: Sha256) -> String {
    let digest: [u8; 32] = hasher.finalize().into();
    let (half, _) = digest.split_at(16);
    half.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file as it is now: its tag and, when it is small, the very content that was tagged.
pub struct Tagged {
    pub etag: String,
    pub size: u64,
    pub content: Option<Vec<u8>>,
}

/// Reads from the start of a regular file.
pub fn tag(file: &mut File) -> std::io::Result<Tagged> {
    let metadata = file.metadata()?;
    if metadata.len() <= CONTENT_MAX {
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        file.take(CONTENT_MAX + 1).read_to_end(&mut content)?;
        // It may have grown meanwhile; then it is a large file after all.
        if content.len() as u64 <= CONTENT_MAX {
            return Ok(Tagged {
                etag: of_content(&content),
                size: content.len() as u64,
                content: Some(content),
            });
        }
    }
    let metadata = file.metadata()?;
    Ok(Tagged {
        etag: of_metadata(&metadata),
        size: metadata.len(),
        content: None,
    })
}

/// Whether a list of entity tags (RFC 9110 13.1.1) names this one. `weak` as in If-None-Match.
pub fn list_names(list: &str, etag: &str, weak: bool) -> bool {
    list.split(',').map(str::trim).any(|one| {
        let one = if weak {
            one.strip_prefix("W/").unwrap_or(one)
        } else {
            one
        };
        one.trim_matches('"') == etag && !one.starts_with("W/")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_tags_never_match_a_write() {
        assert!(list_names("\"a\", \"b\"", "b", false));
        assert!(!list_names("W/\"b\"", "b", false));
        assert!(list_names("W/\"b\"", "b", true));
        assert!(!list_names("\"c\"", "b", false));
    }
}
