//! The installation's authority, and clients and servers that have its certificates.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub type TlsClient = tokio_rustls::client::TlsStream<TcpStream>;

/// From how many seconds ago until in how many seconds a certificate is valid.
pub type Life = (i64, i64);
pub const DAY: Life = (60, 86_400);

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// A certificate for server and client, with a key made here.
    pub fn issue(&self, name: &str, life: Life) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        limit(&mut params, life);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// What a server does with a request: it says itself whose certificate it becomes.
    pub fn sign(&self, csr: &str, name: &str, life: Life) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(csr).unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        limit(&mut params, life);
        request.params = params;
        request.signed_by(&self.issuer).unwrap().pem()
    }

    /// A client that believes this authority.
    pub fn client(
        &self,
        who: Option<Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots());
        match who {
            Some(who) => builder.with_client_auth_cert(who.chain, who.key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }

    /// A server with this certificate, which checks those of clients that have one.
    pub fn server(&self, who: Identity, alpn: &[&[u8]]) -> ServerConfig {
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots(), provider())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(who.chain, who.key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|one| one.to_vec()).collect();
        config
    }
}

fn limit(params: &mut CertificateParams, (before, after): Life) {
    params.not_before = OffsetDateTime::now_utc() - Duration::seconds(before);
    params.not_after = OffsetDateTime::now_utc() + Duration::seconds(after);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub async fn connect(
    address: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<TlsClient> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}
