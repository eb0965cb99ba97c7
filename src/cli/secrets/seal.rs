//! Values on their way to the vault, sealed where they are.

use anyhow::{Context, bail};
use axum::http::Method;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::remote::Remote;
use crate::clients::api::ApiError;
use crate::features::secrets::Tier;
use crate::kernel::WorkspaceId;
use crate::vault::{SUBMISSION_INFO, SubmissionKey, submit};

/// Seals values for one workspace of one installation.
pub struct Sealer {
    key: SubmissionKey,
    install: [u8; 16],
    workspace: WorkspaceId,
}

#[derive(Deserialize)]
struct Shown {
    root: u32,
    public_key: String,
    info: String,
    data_prefix: String,
}

impl Sealer {
    async fn fetch(remote: &Remote) -> anyhow::Result<Self> {
        let path = remote.secrets("/submission-key");
        let shown: Shown = remote.api.ask(Method::GET, &path, None).await?;
        read(remote.workspace, &shown).context(
            "the server's submission key is of another kind; use optidev of the server's version",
        )
    }

    /// What the API takes as `sealed`.
    ///
    /// # Errors
    /// When the server's key is none.
    pub fn seal(&self, name: &str, tier: Tier, value: &str) -> anyhow::Result<Value> {
        let place = (&self.install, &self.workspace.bytes());
        let sealed = submit(&self.key, place, name, tier.vault(), value.as_bytes());
        let Some(sealed) = sealed else {
            bail!("the server's submission key is no key that anything can be sealed to");
        };
        Ok(json!({
            "root": sealed.root,
            "enc": BASE64_STANDARD.encode(sealed.enc),
            "ciphertext": BASE64_STANDARD.encode(sealed.ciphertext),
        }))
    }
}

/// The key, when it is what this program knows how to seal to, and for this workspace.
fn read(workspace: WorkspaceId, shown: &Shown) -> Option<Sealer> {
    let prefix = BASE64_STANDARD.decode(&shown.data_prefix).ok()?;
    // Installation and workspace, each after its length in eight bytes.
    let (length, rest) = prefix.split_first_chunk::<8>()?;
    let (install, rest) = rest.split_first_chunk::<16>()?;
    let mut expected = 16_u64.to_be_bytes().to_vec();
    expected.extend(workspace.bytes());
    let known = *length == 16_u64.to_be_bytes()
        && *rest == *expected
        && shown.info.as_bytes() == SUBMISSION_INFO;
    let public = BASE64_STANDARD.decode(&shown.public_key).ok()?;
    let public = public.try_into().ok()?;
    known.then_some(Sealer {
        key: SubmissionKey {
            root: shown.root,
            public,
        },
        install: *install,
        workspace,
    })
}

/// Sends a request with sealed values; once more with a key that is fetched again, when the vault could not open them: its root
/// key may have changed between the two.
///
/// # Errors
/// What the server says.
pub async fn send<T: DeserializeOwned>(
    remote: &Remote,
    (method, path): (Method, &str),
    body: impl Fn(&Sealer) -> anyhow::Result<Value>,
) -> anyhow::Result<T> {
    let first = body(&Sealer::fetch(remote).await?)?;
    match remote.api.ask(method.clone(), path, Some(&first)).await {
        Err(ApiError::Refused { code, detail })
            if code == "unprocessable" && detail.contains("sealed: ") =>
        {
            let again = body(&Sealer::fetch(remote).await?)?;
            Ok(remote.api.ask(method, path, Some(&again)).await?)
        }
        answer => Ok(answer?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_for_another_workspace_or_of_another_kind_is_not_used() {
        let workspace = |text: &str| text.parse::<WorkspaceId>().unwrap();
        let own = workspace("wsp_01h455vb4pex5vsknk084sn02q");
        let other = workspace("wsp_01h455vb4pex5vsknk084sn02r");
        let mut prefix = Vec::new();
        for field in [[7; 16], own.bytes()] {
            prefix.extend(16_u64.to_be_bytes());
            prefix.extend(field);
        }
        let shown = |info: &str, prefix: &[u8]| Shown {
            root: 1,
            public_key: BASE64_STANDARD.encode([9; 32]),
            info: info.to_owned(),
            data_prefix: BASE64_STANDARD.encode(prefix),
        };
        let info = std::str::from_utf8(SUBMISSION_INFO).unwrap();
        assert_eq!(read(own, &shown(info, &prefix)).unwrap().install, [7; 16]);
        assert!(read(other, &shown(info, &prefix)).is_none());
        assert!(read(own, &shown("another", &prefix)).is_none());
        assert!(read(own, &shown(info, &prefix[..40])).is_none());
    }
}
