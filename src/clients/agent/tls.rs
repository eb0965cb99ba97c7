//! TLS to agents in pods: by name, with the certificate of the broker, and no other protocol beside it.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};

/// A certificate that is exchanged while connections are made with it: the next handshake has the new one.
#[derive(Debug, Default)]
pub struct Rotating(RwLock<Option<Arc<CertifiedKey>>>);

impl Rotating {
    /// Shows this one from now on.
    ///
    /// # Errors
    /// When key and certificate do not fit together.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), rustls::Error> {
        let provider = rustls::crypto::ring::default_provider();
        let new = Arc::new(CertifiedKey::from_der(chain, key, &provider)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(new);
        Ok(())
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ResolvesClientCert for Rotating {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current()
    }

    fn has_certs(&self) -> bool {
        self.current().is_some()
    }
}

impl ResolvesServerCert for Rotating {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// How agents in pods are spoken to. Cheap to clone; equal to its clones alone.
#[derive(Debug, Clone)]
pub struct Broker(Arc<ClientConfig>);

impl Broker {
    /// Believes `roots` alone and shows what `own` has.
    ///
    /// # Errors
    /// Those of rustls; none is expected.
    pub fn new(roots: RootCertStore, own: Arc<Rotating>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_cert_resolver(own);
        // A resumed session would skip the look at the certificate.
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn connector(&self) -> tokio_rustls::TlsConnector {
        tokio_rustls::TlsConnector::from(Arc::clone(&self.0))
    }
}

impl PartialEq for Broker {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Broker {}
