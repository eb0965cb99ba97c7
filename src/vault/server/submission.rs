//! Values that a client encrypted to the vault, so that the server that carries them never sees them.
//!
//! HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. The key pair comes from the root
//! key's seed by `DeriveKeyPair` (section 7.1.3), so that it needs no storage and changes with the master. `info` is
//! [`INFO`]; the additional data holds, each with its length as 64 bits before it: the installation, the workspace, the
//! name, the purpose and the tier. So a value that somebody meant to be Sensitive cannot be submitted as Visible by the
//! server that carries it, nor under another name or in another workspace.

use hpke::{
    Deserializable, Kem, OpModeR, Serializable, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use zeroize::Zeroizing;

use super::keys::Keys;
use crate::vault::{
    protocol::{BindingRef, SubmissionRef},
    types::{SUBMISSION_INFO as INFO, VaultError, submission_data},
};

/// The current public key and the number of its root key.
///
/// # Errors
/// [`VaultError::Refused`] without a root key.
pub fn public_key(keys: &Keys) -> Result<(u32, [u8; 32]), VaultError> {
    let (number, seed) = keys.submission()?;
    let (_, public) = X25519HkdfSha256::derive_keypair(seed);
    Ok((number, public.to_bytes().into()))
}

/// The value in a submission that is meant for `binding`.
///
/// # Errors
/// [`VaultError::DoesNotDecrypt`] when it was made for anything else, or to a key that is retired.
pub fn open(
    keys: &Keys,
    binding: &BindingRef<'_>,
    submission: &SubmissionRef<'_>,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let seed = keys.submission_of(submission.root)?;
    let (private, _) = X25519HkdfSha256::derive_keypair(seed);
    let encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(submission.enc)
        .map_err(|_| VaultError::DoesNotDecrypt)?;
    let data = submission_data(
        &keys.install(),
        binding.workspace,
        binding.name,
        binding.purpose,
        binding.tier,
    );
    hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        INFO,
        submission.ciphertext,
        &data,
    )
    .map(Zeroizing::new)
    .map_err(|_| VaultError::DoesNotDecrypt)
}
