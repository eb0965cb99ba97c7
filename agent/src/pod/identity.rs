//! The agent's key pair and certificate, and the place where the present ones are held.
//!
//! Always holds: a private key never leaves the memory of this run, and each certificate has a key of its own.

use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::authority::Authority;
use super::validity::Validity;
use crate::identity::container_name;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("no key or request could be made")]
    Make(#[from] rcgen::Error),
    #[error("the certificate is not PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("the certificate is not of the key, the authority or the name that was asked for")]
    Wrong(#[from] rustls::Error),
    #[error("the certificate's validity cannot be read")]
    Validity,
}

/// A certificate and its key, in use.
#[derive(Debug)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    pub validity: Validity,
}

/// A fresh key that waits for its certificate.
pub struct Request {
    key: KeyPair,
    name: String,
    pub csr: String,
}

impl Request {
    /// # Errors
    /// [`IdentityError::Make`]
    pub fn new(container: &str) -> Result<Self, IdentityError> {
        let key = KeyPair::generate()?;
        let name = container_name(container);
        let mut params = CertificateParams::new(vec![name.clone()])?;
        // The name is an alternative name alone; rcgen would add a subject of its own.
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key)?.pem()?;
        Ok(Self { key, name, csr })
    }

    /// Takes the certificate that was issued for it.
    ///
    /// # Errors
    /// It is of another key, another authority, another name, or no certificate.
    pub fn accept(&self, pem: &str, authority: &Authority) -> Result<Identity, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(IdentityError::Pem)?;
        authority.check(&chain, &self.name)?;
        let validity = chain
            .first()
            .and_then(|certificate| Validity::of(certificate))
            .ok_or(IdentityError::Validity)?;
        let private = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let key = CertifiedKey::from_der(chain, private.into(), &authority.provider)?;
        Ok(Identity {
            key: Arc::new(key),
            validity,
        })
    }
}

/// The present identity. Handshakes take it from here, so a new one counts from the next handshake on.
#[derive(Debug)]
pub struct Holder(RwLock<Identity>);

impl Holder {
    pub fn new(first: Identity) -> Self {
        Self(RwLock::new(first))
    }

    pub fn replace(&self, new: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    pub fn validity(&self) -> Validity {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .validity
    }

    fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).key)
    }
}

impl ResolvesServerCert for Holder {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for Holder {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
