//! What somebody does who is neither the vault nor the server: seals a value to the vault, and opens what the vault sealed to
//! them. For the command line; the console does the first of it in the page.
//!
//! Both in HPKE (RFC 9180), base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM.

use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, aead::AesGcm256,
    kdf::HkdfSha256, kem::X25519HkdfSha256 as Kem,
};

use super::types::{
    Audience, Delivery, Purpose, SUBMISSION_INFO, Submission, SubmissionKey, Tier, submission_data,
};
use crate::kernel::SecretBytes;

/// Seals a value of a container's variable to the vault: nobody else can read it, or have it set in another workspace, under
/// another name or in another tier.
///
/// None when `to` is no key of anybody.
#[must_use]
pub fn submit(
    to: &SubmissionKey,
    (install, workspace): (&[u8; 16], &[u8; 16]),
    name: &str,
    tier: Tier,
    value: &[u8],
) -> Option<Submission> {
    let public = <Kem as hpke::Kem>::PublicKey::from_bytes(&to.public).ok()?;
    let data = submission_data(install, workspace, name, Purpose::Environment, tier);
    let (enc, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, Kem>(
        &OpModeS::Base,
        &public,
        SUBMISSION_INFO,
        value,
        &data,
    )
    .ok()?;
    Some(Submission {
        root: to.root,
        enc: enc.to_bytes().into(),
        ciphertext,
    })
}

/// A key pair of one program, for one delivery; never stored.
pub struct Recipient {
    private: <Kem as hpke::Kem>::PrivateKey,
    public: [u8; 32],
}

impl Recipient {
    /// A fresh pair from the operating system's random numbers.
    #[must_use]
    pub fn generate() -> Self {
        let (private, public) = Kem::gen_keypair();
        Self {
            private,
            public: public.to_bytes().into(),
        }
    }

    /// To which the vault seals.
    #[must_use]
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Opens a delivery to a person: a JSON object of name to value.
    ///
    /// None when it was not sealed to this key, with this `info`, for a person; or was changed.
    #[must_use]
    pub fn open(&self, delivery: &Delivery, info: &str) -> Option<SecretBytes> {
        let enc = <Kem as hpke::Kem>::EncappedKey::from_bytes(&delivery.enc).ok()?;
        hpke::single_shot_open::<AesGcm256, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.private,
            &enc,
            info.as_bytes(),
            &delivery.ciphertext,
            Audience::Person.data(),
        )
        .ok()
        .map(SecretBytes::new)
    }
}
