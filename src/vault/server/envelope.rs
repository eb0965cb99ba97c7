//! The envelope of every ciphertext that the vault makes.
//!
//! ```text
//! version: u8 = 1 | kind: u8 | root key number: u32 | salt: 32 | commitment: 32 | ciphertext | tag: 16
//! ```
//!
//! - Context: each field with its length before it: the label, the envelope's first six bytes, the
//!   installation, and what the kind is bound to (for a secret: workspace, secret id, version, name,
//!   purpose, tier).
//! - HKDF-SHA-256 (RFC 5869) with the parent key as input, the salt as salt and the context as info
//!   gives 64 bytes: the AES-256-GCM key and the commitment. The salt is random for each sealing, so
//!   that a key is used for one message even when the same version is sealed twice, and the nonce may
//!   be constant.
//! - The context is the additional data of AES-GCM too.
//! - AES-GCM by itself does not commit to its key: one ciphertext can be made to open under two.
//!   Because the commitment comes from the same HKDF call as the key, over parent key and context, a
//!   ciphertext opens for one key and one context only (Albertini et al., "How to Abuse and Fix
//!   Authenticated Encryption Without Key Commitment", USENIX Security 2022; Bellare and Hoang,
//!   "Efficient Schemes for Committing Authenticated Encryption", EUROCRYPT 2022, CMT-4). It is
//!   compared in constant time and before anything is decrypted.

use aes_gcm::{
    Aes256Gcm, Nonce, Tag,
    aead::{AeadInOut, KeyInit},
};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::vault::types::VaultError;

/// What an envelope holds. The number is in its second byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A workspace's key, under a root key.
    WorkspaceKey = 1,
    /// A secret, under its workspace's key.
    Secret = 2,
    /// A credential of the installation, under a root key.
    System = 3,
    /// A seed for one-time passwords, under a root key.
    Totp = 4,
}

const VERSION: u8 = 1;
const LABEL: &[u8] = b"optidev vault envelope 1";
const HEAD: usize = 6;
const SALT: usize = 32;
const COMMITMENT: usize = 32;
const TAG: usize = 16;

/// How many bytes an envelope has more than its content.
pub const OVERHEAD: usize = HEAD + SALT + COMMITMENT + TAG;

/// Encrypts `content` under `parent`. `root` is the number of the root key when that is the parent,
/// else 0. `bound` are the fields it is bound to.
///
/// # Errors
/// [`VaultError::Refused`] when the system gives no random numbers.
pub fn seal(
    parent: &[u8; 32],
    kind: Kind,
    root: u32,
    bound: &[&[u8]],
    content: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let mut salt = [0; SALT];
    random(&mut salt)?;
    let mut envelope = Vec::with_capacity(content.len() + OVERHEAD);
    envelope.extend([VERSION, kind as u8]);
    envelope.extend(root.to_be_bytes());
    let context = context(&envelope, bound);
    let (cipher, commitment) = derive(parent, &salt, &context)?;
    // Encrypted in a buffer that is wiped: should encryption fail half-way, no plaintext is left.
    let mut text = Zeroizing::new(content.to_vec());
    let tag = cipher
        .encrypt_inout_detached(&Nonce::default(), &context, text.as_mut_slice().into())
        .map_err(|_| VaultError::DoesNotDecrypt)?;
    envelope.extend(salt);
    envelope.extend(*commitment);
    envelope.extend_from_slice(&text);
    envelope.extend_from_slice(&tag);
    Ok(envelope)
}

/// Decrypts an envelope of this kind that is bound to exactly these fields.
///
/// # Errors
/// [`VaultError::DoesNotDecrypt`], whatever is wrong: the caller learns nothing from which it is.
pub fn open(
    parent: &[u8; 32],
    kind: Kind,
    bound: &[&[u8]],
    envelope: &[u8],
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    open_parts(parent, kind, bound, envelope).ok_or(VaultError::DoesNotDecrypt)
}

fn open_parts(
    parent: &[u8; 32],
    kind: Kind,
    bound: &[&[u8]],
    envelope: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (head, rest) = envelope.split_first_chunk::<HEAD>()?;
    let (salt, rest) = rest.split_first_chunk::<SALT>()?;
    let (commitment, rest) = rest.split_first_chunk::<COMMITMENT>()?;
    let (text, tag) = rest.split_last_chunk::<TAG>()?;
    if !head.starts_with(&[VERSION, kind as u8]) {
        return None;
    }
    let context = context(head, bound);
    let (cipher, expected) = derive(parent, salt, &context).ok()?;
    if !bool::from(expected.ct_eq(commitment)) {
        return None;
    }
    let mut content = Zeroizing::new(text.to_vec());
    cipher
        .decrypt_inout_detached(
            &Nonce::default(),
            &context,
            content.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .ok()?;
    Some(content)
}

/// The number of the root key that an envelope names; `None` when it is too short to name one.
#[must_use]
pub fn root_number(envelope: &[u8]) -> Option<u32> {
    let (head, _) = envelope.split_first_chunk::<HEAD>()?;
    let (_, number) = head.split_last_chunk::<4>()?;
    Some(u32::from_be_bytes(*number))
}

/// Fills `bytes` from the system.
///
/// # Errors
/// [`VaultError::Refused`] when it has no random numbers.
pub fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    getrandom::fill(bytes).map_err(|_| VaultError::Refused {
        reason: "the system gives no random numbers; check the kernel's log".to_owned(),
    })
}

fn context(head: &[u8], bound: &[&[u8]]) -> Vec<u8> {
    let fields = [LABEL, head].into_iter().chain(bound.iter().copied());
    let mut context = Vec::with_capacity(256);
    for field in fields {
        // 64 bits, so that no length can wrap into another one's encoding.
        context.extend((field.len() as u64).to_be_bytes());
        context.extend_from_slice(field);
    }
    context
}

type Derived = (Aes256Gcm, Zeroizing<[u8; COMMITMENT]>);

fn derive(parent: &[u8; 32], salt: &[u8; SALT], context: &[u8]) -> Result<Derived, VaultError> {
    let mut okm = Zeroizing::new([0; 32 + COMMITMENT]);
    Hkdf::<Sha256>::new(Some(salt), parent)
        .expand(context, okm.as_mut_slice())
        .map_err(|_| VaultError::DoesNotDecrypt)?;
    let (key, commitment) = okm
        .split_first_chunk::<32>()
        .ok_or(VaultError::DoesNotDecrypt)?;
    let cipher = Aes256Gcm::new(key.into());
    let mut copy = Zeroizing::new([0; COMMITMENT]);
    copy.copy_from_slice(commitment);
    Ok((cipher, copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn hkdf_follows_rfc_5869() {
        // Appendix A.1 and A.3.
        let mut okm = [0; 42];
        Hkdf::<Sha256>::new(Some(&hex("000102030405060708090a0b0c")), &[0x0b; 22])
            .expand(&hex("f0f1f2f3f4f5f6f7f8f9"), &mut okm)
            .unwrap();
        let expected =
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(okm.as_slice(), hex(expected));
        Hkdf::<Sha256>::new(None, &[0x0b; 22])
            .expand(&[], &mut okm)
            .unwrap();
        let expected =
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
        assert_eq!(okm.as_slice(), hex(expected));
    }

    #[test]
    fn aes_gcm_follows_the_published_vectors() {
        // McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13, 14 and 16 (256-bit keys).
        let zero = Aes256Gcm::new(&[0; 32].into());
        let tag = zero
            .encrypt_inout_detached(&Nonce::default(), &[], [].as_mut_slice().into())
            .unwrap();
        assert_eq!(tag.as_slice(), hex("530f8afbc74536b9a963b4f1c4cb738b"));
        let mut text = [0; 16];
        let tag = zero
            .encrypt_inout_detached(&Nonce::default(), &[], text.as_mut_slice().into())
            .unwrap();
        assert_eq!(text.as_slice(), hex("cea7403d4d606b6e074ec5d3baf39d18"));
        assert_eq!(tag.as_slice(), hex("d0d1c8a799996bf0265b98b5d48ab919"));
        let key: [u8; 32] = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
            .try_into()
            .unwrap();
        let nonce: [u8; 12] = hex("cafebabefacedbaddecaf888").try_into().unwrap();
        let mut text = hex(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        );
        let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let tag = Aes256Gcm::new(&key.into())
            .encrypt_inout_detached(&nonce.into(), &aad, text.as_mut_slice().into())
            .unwrap();
        let expected = hex(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        );
        assert_eq!(text, expected);
        assert_eq!(tag.as_slice(), hex("76fc6ece0f4e1768cddf8853bb2d551b"));
    }

    const KEY: [u8; 32] = [5; 32];

    #[test]
    fn opens_what_it_sealed_and_only_for_the_same_key_kind_and_fields() {
        let sealed = seal(&KEY, Kind::Secret, 0, &[b"a", b"bc"], b"value").unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD);
        assert_eq!(
            open(&KEY, Kind::Secret, &[b"a", b"bc"], &sealed)
                .unwrap()
                .as_slice(),
            b"value"
        );
        let refused = [
            open(&[6; 32], Kind::Secret, &[b"a", b"bc"], &sealed),
            open(&KEY, Kind::System, &[b"a", b"bc"], &sealed),
            open(&KEY, Kind::Secret, &[b"a", b"bd"], &sealed),
            // The same bytes in other fields: what the length prefixes are for.
            open(&KEY, Kind::Secret, &[b"ab", b"c"], &sealed),
            open(&KEY, Kind::Secret, &[b"abc"], &sealed),
            open(&KEY, Kind::Secret, &[b"a", b"bc", b""], &sealed),
        ];
        for attempt in refused {
            assert_eq!(attempt.err(), Some(VaultError::DoesNotDecrypt));
        }
    }

    #[test]
    fn one_flipped_bit_anywhere_is_refused() {
        let sealed = seal(&KEY, Kind::Secret, 7, &[b"name"], b"value").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open(&KEY, Kind::Secret, &[b"name"], &flipped).is_err(),
                "bit {bit}"
            );
        }
        for end in 0..sealed.len() {
            assert!(open(&KEY, Kind::Secret, &[b"name"], &sealed[..end]).is_err());
        }
    }

    #[test]
    fn the_commitment_depends_on_key_and_context() {
        let salt = [1; SALT];
        let (_, of_key) = derive(&KEY, &salt, b"context").unwrap();
        let (_, of_other_key) = derive(&[6; 32], &salt, b"context").unwrap();
        let (_, of_other_context) = derive(&KEY, &salt, b"contexu").unwrap();
        assert_ne!(*of_key, *of_other_key);
        assert_ne!(*of_key, *of_other_context);
    }

    #[test]
    fn a_second_sealing_of_the_same_shares_no_byte_sequence() {
        let first = seal(&KEY, Kind::Secret, 0, &[b"n"], &[0; 64]).unwrap();
        let second = seal(&KEY, Kind::Secret, 0, &[b"n"], &[0; 64]).unwrap();
        assert_ne!(first[HEAD..HEAD + SALT], second[HEAD..HEAD + SALT]);
        assert_ne!(
            first[HEAD + SALT + COMMITMENT..],
            second[HEAD + SALT + COMMITMENT..]
        );
    }
}
