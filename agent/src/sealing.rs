//! How a container's variables are sealed to its agent: HPKE base mode (RFC 9180).
//!
//! Always holds: the private key exists in the memory of one agent run only; the suite is fixed
//! here, so that sealer and opener cannot disagree. Additional data is empty, `info` binds the
//! delivery to its context.
//!
//! Must not import axum or the rest of this crate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use zeroize::Zeroizing;

use crate::wire::Sealed;

/// RFC 9180 7.1: DHKEM(X25519, HKDF-SHA256).
pub const KEM_ID: u16 = 0x0020;
/// RFC 9180 7.2: HKDF-SHA256.
pub const KDF_ID: u16 = 0x0001;
/// RFC 9180 7.3: AES-256-GCM.
pub const AEAD_ID: u16 = 0x0002;
/// Bytes of a public key and of `enc`.
pub const PUBLIC_KEY_LEN: usize = 32;

pub type Kem = X25519HkdfSha256;
pub type Kdf = HkdfSha256;
pub type Aead = AesGcm256;

/// Why a sealed message could not be made or opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealingError {
    #[error("`{0}` is not standard base64")]
    Base64(&'static str),
    #[error("`{0}` is not an X25519 public key of {PUBLIC_KEY_LEN} bytes")]
    Key(&'static str),
    #[error(
        "the message does not open: it was sealed to another key (an agent that was restarted has a new one: ask hello again), with another `info`, or was changed"
    )]
    Open,
    #[error("the message could not be sealed to this key")]
    Seal,
}

/// The agent's key pair; made at start, never stored.
pub struct KeyPair {
    private: <Kem as hpke::Kem>::PrivateKey,
    public: <Kem as hpke::Kem>::PublicKey,
}

impl KeyPair {
    /// A fresh pair from the operating system's random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let (private, public) = Kem::gen_keypair();
        Self { private, public }
    }

    /// The public key in standard base64, as in `hello`.
    #[must_use]
    pub fn public_base64(&self) -> String {
        STANDARD.encode(self.public.to_bytes())
    }

    /// Opens what [`seal`] made for this key.
    ///
    /// # Errors
    /// [`SealingError::Base64`], [`SealingError::Key`] for a malformed `enc`, else `Open`.
    pub fn open(&self, sealed: &Sealed, info: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let enc = STANDARD
            .decode(&sealed.enc)
            .map_err(|_| SealingError::Base64("enc"))?;
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&enc)
            .map_err(|_| SealingError::Key("enc"))?;
        let ciphertext = STANDARD
            .decode(&sealed.ciphertext)
            .map_err(|_| SealingError::Base64("ciphertext"))?;
        hpke::single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &self.private,
            &enc,
            info,
            &ciphertext,
            b"",
        )
        .map(Zeroizing::new)
        .map_err(|_| SealingError::Open)
    }
}

/// Seals `plaintext` to an agent's public key (standard base64, from `hello`).
///
/// # Errors
/// [`SealingError::Base64`] or [`SealingError::Key`] for a malformed key, else `Seal`.
pub fn seal(public_base64: &str, info: &[u8], plaintext: &[u8]) -> Result<Sealed, SealingError> {
    let key = STANDARD
        .decode(public_base64)
        .map_err(|_| SealingError::Base64("public key"))?;
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(&key)
        .map_err(|_| SealingError::Key("public key"))?;
    let (enc, ciphertext) =
        hpke::single_shot_seal::<Aead, Kdf, Kem>(&OpModeS::Base, &key, info, plaintext, b"")
            .map_err(|_| SealingError::Seal)?;
    Ok(Sealed {
        enc: STANDARD.encode(enc.to_bytes()),
        ciphertext: STANDARD.encode(ciphertext),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suite_is_the_documented_one() {
        assert_eq!(<Kem as hpke::Kem>::KEM_ID, KEM_ID);
        assert_eq!(<Kdf as hpke::kdf::Kdf>::KDF_ID, KDF_ID);
        assert_eq!(<Aead as hpke::aead::Aead>::AEAD_ID, AEAD_ID);
    }

    #[test]
    fn opens_only_with_its_key_and_info() {
        let (mine, other) = (KeyPair::generate(), KeyPair::generate());
        let sealed = seal(&mine.public_base64(), b"ctr_1", b"{}").unwrap();
        assert_eq!(mine.open(&sealed, b"ctr_1").unwrap().as_slice(), b"{}");
        assert_eq!(mine.open(&sealed, b"ctr_2"), Err(SealingError::Open));
        assert_eq!(other.open(&sealed, b"ctr_1"), Err(SealingError::Open));
        let mut cut = sealed.clone();
        cut.ciphertext = STANDARD.encode(b"short");
        assert_eq!(mine.open(&cut, b"ctr_1"), Err(SealingError::Open));
        cut.enc = "!".into();
        assert_eq!(mine.open(&cut, b"ctr_1"), Err(SealingError::Base64("enc")));
    }
}
