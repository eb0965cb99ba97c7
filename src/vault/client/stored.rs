//! Calls about values that clients encrypted themselves, and about those that are stored and stay unseen.

use super::{VaultClient, bytes};
use crate::vault::{
    protocol::{BindingRef, Request, SubmissionRef},
    types::{Binding, Sealed, Submission, SubmissionKey, SystemPurpose, VaultError, WrappedKey},
};

impl VaultClient {
    /// The public key to which clients encrypt values, so that the server never sees them.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] and the like.
    pub async fn submission_key(&self) -> Result<SubmissionKey, VaultError> {
        self.call(&Request::SubmissionKey, |mut r| {
            let key = SubmissionKey {
                root: r.u32("root key")?,
                public: *r.fixed("public key")?,
            };
            r.end()?;
            Ok(key)
        })
        .await
    }

    /// As [`VaultClient::seal`], for a value that a client encrypted to the vault.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] when it was meant for another workspace, name, purpose or tier, or encrypted to a key
    /// that is retired; [`VaultError::Refused`] when it cannot be a variable's value.
    pub async fn seal_submitted(
        &self,
        key: &WrappedKey,
        binding: &Binding,
        submission: &Submission,
    ) -> Result<Sealed, VaultError> {
        let request = Request::SealSubmitted {
            key: &key.0,
            binding: BindingRef::from(binding),
            submission: SubmissionRef::from(submission),
        };
        self.call(&request, bytes).await.map(Sealed)
    }

    /// Seals a stored value anew without showing it: as another version, in a stricter tier, or with another key of the same
    /// workspace. `from` and `to` name the same secret.
    ///
    /// # Errors
    /// [`VaultError::Refused`] for a weaker tier or another secret; [`VaultError::DoesNotDecrypt`].
    pub async fn reseal(
        &self,
        from: (&WrappedKey, &Binding),
        sealed: &Sealed,
        to: (&WrappedKey, &Binding),
    ) -> Result<Sealed, VaultError> {
        let request = Request::Reseal {
            from_key: &from.0.0,
            from: BindingRef::from(from.1),
            sealed: &sealed.0,
            to_key: &to.0.0,
            to: BindingRef::from(to.1),
        };
        self.call(&request, bytes).await.map(Sealed)
    }

    /// A credential of the installation under the current root key, for rotation of the master.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] for another purpose or name.
    pub async fn rewrap_system(
        &self,
        purpose: SystemPurpose,
        name: &str,
        sealed: &Sealed,
    ) -> Result<Sealed, VaultError> {
        let request = Request::RewrapSystem {
            purpose,
            name,
            sealed: &sealed.0,
        };
        self.call(&request, bytes).await.map(Sealed)
    }

    /// A seed for one-time passwords under the current root key, for rotation of the master.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] when it is another user's.
    pub async fn rewrap_totp(&self, user: [u8; 16], sealed: &Sealed) -> Result<Sealed, VaultError> {
        let request = Request::RewrapTotp {
            user: &user,
            sealed: &sealed.0,
        };
        self.call(&request, bytes).await.map(Sealed)
    }
}
