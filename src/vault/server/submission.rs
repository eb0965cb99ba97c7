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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    /// RFC 9180, appendix A.1.1: both key pairs of DHKEM(X25519, HKDF-SHA256) from their key material. Clients hold on to
    /// the public key, and what they sent must open after an update, so the derivation may never change.
    #[test]
    fn derives_the_key_pairs_of_the_standard() {
        for (material, private, public) in [
            (
                "7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234",
                "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
                "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
            ),
            (
                "6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037",
                "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
                "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d",
            ),
        ] {
            let (derived, its_public) = X25519HkdfSha256::derive_keypair(&bytes(material));
            // The crate keeps the number as X25519 uses it (RFC 7748, section 5): the same point, three bits set already.
            let mut private = bytes(private);
            private[0] &= 0xf8;
            private[31] = private[31] & 0x7f | 0x40;
            assert_eq!(derived.to_bytes().to_vec(), private);
            assert_eq!(its_public.to_bytes().to_vec(), bytes(public));
        }
    }
}
