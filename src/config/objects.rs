//! `[objects]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where archives of imported projects are kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectsConfig {
    /// `disk` is the folder `objects` of the data folder, which is right for one server; `s3` is storage that speaks S3, which
    /// several servers share; with `none` no project can be imported from an archive.
    pub kind: ObjectsKind,
    /// Address of the storage, without the bucket. Example: `"https://ACCOUNT.r2.cloudflarestorage.com"`.
    pub s3_endpoint: String,
    /// The bucket, which is there already. Example: `"optidev"`.
    pub bucket: String,
    /// Region that requests are signed for. Example: `"us-ashburn-1"`, and `"auto"` with Cloudflare R2.
    pub region: String,
    /// Whose key it is; no secret.
    pub access_key_id: String,
    /// File with the secret key. Example: `"/etc/optidev/objects.key"`.
    pub secret_access_key_file: Option<PathBuf>,
    /// Before every name, so that installations can share a bucket. Nothing outside of it is read or written.
    pub prefix: String,
    /// The bucket is part of the path (`https://storage/bucket/…`), not of the name (`https://bucket.storage/…`).
    pub path_style: bool,
    /// PEM file with the certificate authority of the storage, trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// Take `http://` to another machine: then somebody between here and the storage can read and change all archives. For
    /// networks that protect the way by other means.
    pub allow_http: bool,
    /// The storage has this long to begin an answer, and for each further part of it.
    pub timeout_ms: u64,
}

/// What keeps archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectsKind {
    /// The data folder.
    Disk,
    /// Storage that speaks S3.
    S3,
    /// Nothing.
    None,
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        Self {
            kind: ObjectsKind::Disk,
            s3_endpoint: String::new(),
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            access_key_id: String::new(),
            secret_access_key_file: None,
            prefix: "optidev".to_owned(),
            path_style: true,
            ca_file: None,
            allow_http: false,
            timeout_ms: 30_000,
        }
    }
}

impl ObjectsConfig {
    /// What cannot be together, as a sentence.
    pub(super) fn contradiction(&self) -> Option<String> {
        if self.kind != ObjectsKind::S3 {
            // Else a server would keep on its own disk what somebody meant all servers to have.
            let word = if self.kind == ObjectsKind::Disk {
                "disk"
            } else {
                "none"
            };
            return [
                ("s3_endpoint", self.s3_endpoint.is_empty()),
                ("bucket", self.bucket.is_empty()),
                ("access_key_id", self.access_key_id.is_empty()),
                (
                    "secret_access_key_file",
                    self.secret_access_key_file.is_none(),
                ),
            ]
            .iter()
            .find(|(_, empty)| !empty)
            .map(|(key, _)| {
                format!(
                    "[objects] {key} is set and kind is \"{word}\": set kind = \"s3\", or remove {key}."
                )
            });
        }
        for (key, missing) in [
            ("s3_endpoint", self.s3_endpoint.is_empty()),
            ("bucket", self.bucket.is_empty()),
            ("region", self.region.is_empty()),
            ("access_key_id", self.access_key_id.is_empty()),
            (
                "secret_access_key_file",
                self.secret_access_key_file.is_none(),
            ),
        ] {
            if missing {
                return Some(format!(
                    "[objects] kind is \"s3\" and {key} is empty: set it."
                ));
            }
        }
        if !is_name(&self.bucket) {
            return Some(format!(
                "[objects] bucket is {:?}, which is no name of a bucket: use letters, digits, '.', '-' and '_'.",
                self.bucket
            ));
        }
        if !self.prefix.is_empty() && !self.prefix.split('/').all(is_name) {
            return Some(format!(
                "[objects] prefix is {:?}: use letters, digits, '.', '-' and '_', with single slashes between them and none \
                 at its ends.",
                self.prefix
            ));
        }
        None
    }
}

/// A part of an address that means itself: nothing in it is escaped, and it is no way up.
fn is_name(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !part.is_empty() && part.chars().all(plain) && !part.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3() -> ObjectsConfig {
        ObjectsConfig {
            kind: ObjectsKind::S3,
            s3_endpoint: "https://storage.example.com".to_owned(),
            bucket: "optidev".to_owned(),
            access_key_id: "id".to_owned(),
            secret_access_key_file: Some("/key".into()),
            ..ObjectsConfig::default()
        }
    }

    #[test]
    fn what_is_missing_or_in_vain_is_named() {
        assert_eq!(ObjectsConfig::default().contradiction(), None);
        assert_eq!(s3().contradiction(), None);
        let said = |change: fn(&mut ObjectsConfig)| {
            let mut config = s3();
            change(&mut config);
            config.contradiction().unwrap_or_default()
        };
        assert!(said(|c| c.bucket.clear()).contains("bucket is empty"));
        assert!(said(|c| c.secret_access_key_file = None).contains("secret_access_key_file"));
        assert!(said(|c| c.kind = ObjectsKind::Disk).contains("kind is \"disk\""));
        assert!(said(|c| c.kind = ObjectsKind::None).contains("kind is \"none\""));
        for prefix in ["../x", "a//b", "/a", "a/", "a b", "a%2e"] {
            let mut config = s3();
            config.prefix = prefix.to_owned();
            let said = config.contradiction().unwrap_or_default();
            assert!(said.contains("prefix"), "{prefix}: {said}");
        }
        for bucket in ["a/b", "..", "a?b"] {
            let mut config = s3();
            config.bucket = bucket.to_owned();
            assert!(config.contradiction().is_some(), "{bucket}");
        }
    }
}
