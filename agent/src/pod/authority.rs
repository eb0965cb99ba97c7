//! Whom the agent believes: the installation's authority, and of its certificates those with the right name.
//!
//! Always holds: nothing but `--authority` is a root. No session is resumed in either direction, since a resumed one would
//! skip the look at the certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use super::identity::Holder;
use crate::identity::BROKER_NAME;

/// The installation's root certificates, and how TLS is spoken with them.
pub struct Authority {
    roots: Arc<RootCertStore>,
    pub provider: Arc<CryptoProvider>,
}

impl Authority {
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&std::fs::read(path)?) {
            let certificate = certificate.map_err(io::Error::other)?;
            roots.add(certificate).map_err(io::Error::other)?;
        }
        if roots.is_empty() {
            return Err(io::Error::other("there is no certificate in it"));
        }
        Ok(Self {
            roots: Arc::new(roots),
            provider: Arc::new(rustls::crypto::ring::default_provider()),
        })
    }

    /// How the server is spoken to: one protocol, with a client certificate or without.
    ///
    /// # Errors
    /// Those of rustls; none is expected.
    pub fn client(
        &self,
        alpn: &[u8],
        holder: Option<Arc<Holder>>,
    ) -> io::Result<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match holder {
            Some(holder) => builder.with_client_cert_resolver(holder),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// How the broker is answered.
    ///
    /// # Errors
    /// Those of rustls; none is expected.
    pub fn server(&self, holder: Arc<Holder>) -> io::Result<Arc<ServerConfig>> {
        let chain = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(io::Error::other)?;
        let name = ServerName::try_from(BROKER_NAME).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_client_cert_verifier(Arc::new(BrokerOnly { chain, name }))
            .with_cert_resolver(holder);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// Whether a certificate that this agent was given is good for `name`, so that a mistake shows here and not as a broker
    /// that cannot connect.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, chain: &[CertificateDer<'static>], name: &str) -> Result<(), Error> {
        let (certificate, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let name = ServerName::try_from(name).map_err(|error| Error::General(error.to_string()))?;
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::clone(&self.provider),
        )
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(certificate, rest, &name, &[], UnixTime::now())?;
        Ok(())
    }
}

/// A client certificate of the authority that also has the broker's name. Containers have certificates of the same authority
/// for clients, so without the name each of them could command every other.
#[derive(Debug)]
struct BrokerOnly {
    chain: Arc<dyn ClientCertVerifier>,
    name: ServerName<'static>,
}

impl ClientCertVerifier for BrokerOnly {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(certificate, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(certificate)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        self.chain
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
