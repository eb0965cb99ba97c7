//! The key hierarchy above the envelopes.
//!
//! ```text
//! master secret (32 random bytes, numbered)
//!   HKDF-SHA-256, salt = installation id
//!     "wrap"   -> wraps random workspace keys -> each secret (see envelope)
//!     "system" -> the installation's own credentials and the seeds of one-time passwords
//!     "submit" -> the key pair to which clients encrypt values (see submission)
//!     "mac base" -> the MAC secret, where the master file has none of its own
//!     "check"  -> eight public bytes that tell one master from another
//! MAC secret (32 random bytes, a line of the master file)
//!   HKDF-SHA-256, salt = installation id
//!     purpose -> HMAC-SHA-256 keys
//! ```
//!
//! The master itself is wiped as soon as these are derived; they live in [`SecretPages`]. Two root
//! keys may be live: the highest number wraps what is new, and both unwrap. A rotation of the master leaves the MAC secret as
//! it is: what is stored as a keyed hash (sessions, tokens, the audit log's chain) must keep its meaning.

use std::io;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    envelope::{self, Kind},
    memory::SecretPages,
};
use crate::vault::types::{self, MacPurpose, VaultError};

/// The most root keys that may be live.
pub const MAX_LIVE: usize = 2;

const LABEL: &[u8] = b"optidev vault root 1";
const MAC_LABEL: &[u8] = b"optidev vault mac 1";

/// What is derived from one master secret.
pub struct RootKey {
    number: u32,
    fingerprint: [u8; 8],
    wrapping: &'static [u8; 32],
    system: &'static [u8; 32],
    submission: &'static [u8; 32],
    mac_base: &'static [u8; 32],
}

impl RootKey {
    /// Derives everything from `master`.
    ///
    /// # Errors
    /// When `pages` are used up.
    pub fn derive(
        number: u32,
        master: &[u8; 32],
        install: &[u8; 16],
        pages: &mut SecretPages,
    ) -> io::Result<Self> {
        let hkdf = Hkdf::<Sha256>::new(Some(install), master);
        let fill = |use_for: &[u8], purpose: u8, key: &mut [u8]| {
            let info = [LABEL, &number.to_be_bytes(), use_for, &[purpose]];
            hkdf.expand_multi_info(&info, key)
                .map_err(|_| io::Error::other("a key of this length cannot be derived"))
        };
        let mut key = |use_for: &[u8], purpose: u8| -> io::Result<&'static [u8; 32]> {
            let key = pages.take_key()?;
            fill(use_for, purpose, key)?;
            Ok(key)
        };
        let wrapping = key(b"wrap", 0)?;
        let system = key(b"system", 0)?;
        let submission = key(b"submit", 0)?;
        let mac_base = key(b"mac base", 0)?;
        let mut fingerprint = [0; 8];
        fill(b"check", 0, &mut fingerprint)?;
        Ok(Self {
            number,
            fingerprint,
            wrapping,
            system,
            submission,
            mac_base,
        })
    }
}

/// The keys of message authentication codes.
pub struct MacKeys(Vec<(MacPurpose, &'static [u8; 32])>);

impl MacKeys {
    /// Derives one for each purpose from the MAC secret.
    ///
    /// # Errors
    /// When `pages` are used up.
    pub fn derive(
        secret: &[u8; 32],
        install: &[u8; 16],
        pages: &mut SecretPages,
    ) -> io::Result<Self> {
        let hkdf = Hkdf::<Sha256>::new(Some(install), secret);
        let derive = |purpose: &MacPurpose| {
            let key = pages.take_key()?;
            hkdf.expand_multi_info(&[MAC_LABEL, &[purpose.number()]], key)
                .map_err(|_| io::Error::other("a key of this length cannot be derived"))?;
            Ok((*purpose, &*key))
        };
        MacPurpose::ALL
            .iter()
            .map(derive)
            .collect::<io::Result<Vec<_>>>()
            .map(Self)
    }
}

/// The live root keys and the installation that every ciphertext is bound to.
pub struct Keys {
    install: [u8; 16],
    /// By number, never empty.
    roots: Vec<RootKey>,
    macs: MacKeys,
}

/// A workspace's key while an operation uses it.
pub type WorkspaceKey = Zeroizing<[u8; 32]>;

impl Keys {
    /// The hierarchy over `roots`, with the MAC secret of the master file or, without one, the lowest root's.
    ///
    /// # Errors
    /// When there is no root, more than [`MAX_LIVE`], or a number twice; when `pages` are used up.
    pub fn new(
        install: [u8; 16],
        mut roots: Vec<RootKey>,
        mac_secret: Option<&[u8; 32]>,
        pages: &mut SecretPages,
    ) -> io::Result<Self> {
        roots.sort_by_key(|root| root.number);
        let repeated = roots
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.number == b.number));
        if roots.is_empty() || roots.len() > MAX_LIVE || repeated {
            return Err(io::Error::other(format!(
                "one or {MAX_LIVE} root keys with different numbers are needed"
            )));
        }
        let lowest = roots.first().map(|root| root.mac_base);
        let secret = mac_secret.or(lowest).ok_or(io::ErrorKind::InvalidData)?;
        let macs = MacKeys::derive(secret, &install, pages)?;
        Ok(Self {
            install,
            roots,
            macs,
        })
    }

    /// The MAC secret that is in force without one in the master file: what a rotation writes down.
    #[must_use]
    pub fn mac_base(&self) -> Option<&'static [u8; 32]> {
        self.roots.first().map(|root| root.mac_base)
    }

    /// The number of the current root key and the seed of its key pair for submissions.
    ///
    /// # Errors
    /// [`VaultError::Refused`] without a root key.
    pub fn submission(&self) -> Result<(u32, &'static [u8; 32]), VaultError> {
        self.current().map(|root| (root.number, root.submission))
    }

    /// The seed of the key pair that belongs to root key `number`.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] when it is not live.
    pub fn submission_of(&self, number: u32) -> Result<&'static [u8; 32], VaultError> {
        let root = self.roots.iter().find(|root| root.number == number);
        root.map(|root| root.submission)
            .ok_or(VaultError::DoesNotDecrypt)
    }

    /// The installation's id.
    #[must_use]
    pub const fn install(&self) -> [u8; 16] {
        self.install
    }

    /// The live root keys, without the keys.
    #[must_use]
    pub fn live(&self) -> Vec<types::RootKey> {
        self.roots
            .iter()
            .map(|root| types::RootKey {
                number: root.number,
                fingerprint: root.fingerprint,
            })
            .collect()
    }

    /// A new random workspace key, wrapped.
    ///
    /// # Errors
    /// [`VaultError::Refused`] without random numbers.
    pub fn new_workspace_key(&self, workspace: &[u8; 16]) -> Result<Vec<u8>, VaultError> {
        let mut key = WorkspaceKey::default();
        envelope::random(key.as_mut_slice())?;
        self.wrap(workspace, &key)
    }

    /// Wraps a workspace key under the current root key.
    ///
    /// # Errors
    /// [`VaultError::Refused`] without random numbers.
    pub fn wrap(&self, workspace: &[u8; 16], key: &WorkspaceKey) -> Result<Vec<u8>, VaultError> {
        let root = self.current()?;
        let bound: [&[u8]; 2] = [&self.install, workspace];
        envelope::seal(
            root.wrapping,
            Kind::WorkspaceKey,
            root.number,
            &bound,
            key.as_slice(),
        )
    }

    /// The key in a wrapped workspace key.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] when it is another workspace's or its root key is not live.
    pub fn unwrap(&self, workspace: &[u8; 16], wrapped: &[u8]) -> Result<WorkspaceKey, VaultError> {
        let root = self.named_in(wrapped)?;
        let bound: [&[u8]; 2] = [&self.install, workspace];
        let content = envelope::open(root.wrapping, Kind::WorkspaceKey, &bound, wrapped)?;
        let mut key = WorkspaceKey::default();
        if content.len() != key.len() {
            return Err(VaultError::DoesNotDecrypt);
        }
        key.copy_from_slice(&content);
        Ok(key)
    }

    /// Seals what belongs to the installation and not to a workspace.
    ///
    /// # Errors
    /// [`VaultError::Refused`] without random numbers.
    pub fn seal_system(
        &self,
        kind: Kind,
        bound: &[&[u8]],
        content: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let root = self.current()?;
        envelope::seal(
            root.system,
            kind,
            root.number,
            &self.with_install(bound),
            content,
        )
    }

    /// Opens what [`Keys::seal_system`] sealed.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`]
    pub fn open_system(
        &self,
        kind: Kind,
        bound: &[&[u8]],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let root = self.named_in(sealed)?;
        envelope::open(root.system, kind, &self.with_install(bound), sealed)
    }

    /// HMAC-SHA-256 under the key of `purpose`.
    ///
    /// # Errors
    /// [`VaultError::Refused`] for a purpose without a key, which [`MacKeys::derive`] rules out.
    pub fn mac(&self, purpose: MacPurpose, data: &[u8]) -> Result<[u8; 32], VaultError> {
        let keys = self.macs.0.iter();
        let key = keys
            .into_iter()
            .find_map(|(of, key)| (*of == purpose).then_some(key.as_slice()))
            .ok_or_else(no_root)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| no_root())?;
        mac.update(data);
        Ok(mac.finalize().into_bytes().into())
    }

    fn with_install<'a>(&'a self, bound: &[&'a [u8]]) -> Vec<&'a [u8]> {
        std::iter::once(self.install.as_slice())
            .chain(bound.iter().copied())
            .collect()
    }

    fn current(&self) -> Result<&RootKey, VaultError> {
        self.roots.last().ok_or_else(no_root)
    }

    fn named_in(&self, sealed: &[u8]) -> Result<&RootKey, VaultError> {
        let number = envelope::root_number(sealed).ok_or(VaultError::DoesNotDecrypt)?;
        self.roots
            .iter()
            .find(|root| root.number == number)
            .ok_or(VaultError::DoesNotDecrypt)
    }
}

fn no_root() -> VaultError {
    VaultError::Refused {
        reason: "it has no root key for this; restart it with its master secret".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: [u8; 16] = [1; 16];

    fn root(number: u32, master: u8, install: u8) -> RootKey {
        let mut pages = SecretPages::new(4096).unwrap();
        RootKey::derive(number, &[master; 32], &[install; 16], &mut pages).unwrap()
    }

    fn keys(install: u8, roots: Vec<RootKey>) -> Keys {
        let mut pages = SecretPages::new(4096).unwrap();
        Keys::new([install; 16], roots, Some(&[7; 32]), &mut pages).unwrap()
    }

    #[test]
    fn a_workspace_key_opens_for_its_workspace_installation_and_master_only() {
        let here = keys(9, vec![root(1, 3, 9)]);
        let wrapped = here.new_workspace_key(&WORKSPACE).unwrap();
        assert!(here.unwrap(&WORKSPACE, &wrapped).is_ok());
        assert!(here.unwrap(&[2; 16], &wrapped).is_err());
        assert!(
            keys(8, vec![root(1, 3, 8)])
                .unwrap(&WORKSPACE, &wrapped)
                .is_err()
        );
        assert!(
            keys(9, vec![root(1, 4, 9)])
                .unwrap(&WORKSPACE, &wrapped)
                .is_err()
        );
        assert!(
            keys(9, vec![root(2, 3, 9)])
                .unwrap(&WORKSPACE, &wrapped)
                .is_err()
        );
    }

    #[test]
    fn with_two_root_keys_the_newer_wraps_and_the_older_still_opens() {
        let before = keys(9, vec![root(1, 3, 9)]);
        let wrapped = before.new_workspace_key(&WORKSPACE).unwrap();
        let during = keys(9, vec![root(2, 4, 9), root(1, 3, 9)]);
        let key = during.unwrap(&WORKSPACE, &wrapped).unwrap();
        let rewrapped = during.wrap(&WORKSPACE, &key).unwrap();
        assert_eq!(envelope::root_number(&rewrapped), Some(2));
        let after = keys(9, vec![root(2, 4, 9)]);
        assert!(after.unwrap(&WORKSPACE, &wrapped).is_err());
        assert_eq!(*after.unwrap(&WORKSPACE, &rewrapped).unwrap(), *key);
        let mac = |keys: &Keys| keys.mac(MacPurpose::ApiToken, b"token").unwrap();
        assert_eq!(mac(&before), mac(&during));
    }

    #[test]
    fn every_derived_key_is_another_one() {
        let keys = keys(9, vec![root(1, 3, 9)]);
        let root = &keys.roots[0];
        let mut all: Vec<[u8; 32]> = keys.macs.0.iter().map(|(_, key)| **key).collect();
        all.extend([
            *root.wrapping,
            *root.system,
            *root.submission,
            *root.mac_base,
        ]);
        assert_eq!(all.len(), MacPurpose::ALL.len() + 4);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), MacPurpose::ALL.len() + 4);
    }

    #[test]
    fn without_a_mac_secret_of_its_own_the_lowest_root_gives_it() {
        let mut pages = SecretPages::new(3 * 4096).unwrap();
        let old = Keys::new([9; 16], vec![root(1, 3, 9)], None, &mut pages).unwrap();
        let base = *old.mac_base().unwrap();
        // As a rotation does it: the new master beside the secret that was in force.
        let new = Keys::new([9; 16], vec![root(2, 4, 9)], Some(&base), &mut pages).unwrap();
        let mac = |keys: &Keys| keys.mac(MacPurpose::Audit, b"entry").unwrap();
        assert_eq!(mac(&old), mac(&new));
        let without = Keys::new([9; 16], vec![root(2, 4, 9)], None, &mut pages).unwrap();
        assert_ne!(mac(&old), mac(&without));
    }

    #[test]
    fn refuses_no_root_key_too_many_and_a_number_twice() {
        let mut pages = SecretPages::new(4096).unwrap();
        let mut of = |roots| Keys::new([0; 16], roots, None, &mut pages).is_err();
        assert!(of(vec![]));
        assert!(of(vec![root(1, 1, 0), root(1, 2, 0)]));
        assert!(of(vec![root(1, 1, 0), root(2, 2, 0), root(3, 3, 0)]));
    }
}
