//! The listener: plain TCP, or TLS 1.2 and 1.3.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Config, Paths};

/// A connection that takes longer to shake hands is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts connections.
pub enum Listener {
    /// Without TLS.
    Plain(TcpListener),
    /// Handshakes happen beside each other; finished ones arrive here.
    Tls(
        mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
        SocketAddr,
    ),
}

/// One connection.
pub enum Stream {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether the other side showed a certificate that was asked for and is good.
    pub fn is_certified(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.peer_certificates().is_some(),
        }
    }
}

/// Binds the configured address.
pub async fn bind(config: &Config, paths: &Paths) -> anyhow::Result<Listener> {
    let address = config.server.listen;
    let tcp = TcpListener::bind(address).await.with_context(|| {
        format!("listening on {address}: is it in use? Choose another with [server] listen")
    })?;
    if !config.tls.enabled {
        if config.tls.client_ca_file.is_some() {
            bail!(
                "[tls] client_ca_file is set and enabled is not: certificates are shown in TLS alone. Set enabled = true, or leave \
                 client_ca_file out"
            );
        }
        return Ok(Listener::Plain(tcp));
    }
    let acceptor = TlsAcceptor::from(Arc::new(tls(config, paths)?));
    let (finished, incoming) = mpsc::channel(64);
    #[expect(
        clippy::disallowed_methods,
        reason = "ends with the process, like the listener that it feeds"
    )]
    tokio::spawn(accept_all(tcp, acceptor, finished));
    Ok(Listener::Tls(incoming, address))
}

async fn accept_all(
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    finished: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let mut handshakes = tokio::task::JoinSet::new();
    loop {
        let (stream, peer) = accept_plain(&tcp).await;
        let (acceptor, finished) = (acceptor.clone(), finished.clone());
        handshakes.spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                let _ = finished.send((stream, peer)).await;
            }
        });
        while handshakes.try_join_next().is_some() {}
    }
}

fn tls(config: &Config, paths: &Paths) -> anyhow::Result<rustls::ServerConfig> {
    let (certificate, key) = match (&config.tls.certificate_file, &config.tls.key_file) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        (None, None) => self_signed(config, paths)?,
        (Some(_), None) => {
            bail!("[tls] certificate_file is set and key_file is not: set both, or neither")
        }
        (None, Some(_)) => {
            bail!("[tls] key_file is set and certificate_file is not: set both, or neither")
        }
    };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            anyhow::anyhow!("[tls] certificate_file {}: {error}", certificate.display())
        })?;
    if chain.is_empty() {
        bail!(
            "[tls] certificate_file {}: no certificate in PEM is in it",
            certificate.display()
        );
    }
    let private = PrivateKeyDer::from_pem_file(&key)
        .map_err(|error| anyhow::anyhow!("[tls] key_file {}: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = match &config.tls.client_ca_file {
        Some(file) => client_verifier(file, Arc::clone(&provider))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, private)
        .with_context(|| {
            format!(
                "[tls] certificate_file {} and key_file {} do not fit together",
                certificate.display(),
                key.display()
            )
        })?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(server)
}

/// Takes certificates of the authorities in `file`, and none at all: health checks have none, and what else comes without one is
/// refused in words (`connections`).
fn client_verifier(
    file: &Path,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = rustls::RootCertStore::empty();
    CertificateDer::pem_file_iter(file)
        .map_err(anyhow::Error::from)
        .and_then(|all| {
            for certificate in all {
                roots.add(certificate?)?;
            }
            anyhow::ensure!(!roots.is_empty(), "no certificate in PEM is in it");
            Ok(())
        })
        .with_context(|| format!("[tls] client_ca_file {}", file.display()))?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .with_context(|| format!("[tls] client_ca_file {}", file.display()))
}

/// Makes a certificate once and keeps it, so that a browser's exception stays good.
fn self_signed(
    config: &Config,
    paths: &Paths,
) -> anyhow::Result<(std::path::PathBuf, std::path::PathBuf)> {
    let folder = paths.tls();
    let (certificate_file, key_file) = (
        folder.join("self-signed.crt"),
        folder.join("self-signed.key"),
    );
    if certificate_file.exists() && key_file.exists() {
        return Ok((certificate_file, key_file));
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let apps = &config.server.apps_domain;
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        format!("*.{apps}"),
    ];
    if let Some(host) = url::Url::parse(&config.server.public_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
    {
        names.push(host);
    }
    let made =
        rcgen::generate_simple_self_signed(names).context("making a self-signed certificate")?;
    write_private(&key_file, made.signing_key.serialize_pem().as_bytes())?;
    std::fs::write(&certificate_file, made.cert.pem())?;
    tracing::warn!(file = %certificate_file.display(), "no certificate is configured: made a self-signed one");
    Ok((certificate_file, key_file))
}

fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    Ok(())
}

impl axum::serve::Listener for Listener {
    type Io = Stream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Stream, SocketAddr) {
        match self {
            Self::Plain(tcp) => {
                let (stream, peer) = accept_plain(tcp).await;
                (Stream::Plain(stream), peer)
            }
            Self::Tls(incoming, _) => match incoming.recv().await {
                Some((stream, peer)) => (Stream::Tls(Box::new(stream)), peer),
                None => std::future::pending().await,
            },
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(tcp) => tcp.local_addr(),
            Self::Tls(_, address) => Ok(*address),
        }
    }
}

async fn accept_plain(tcp: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match tcp.accept().await {
            Ok((stream, peer)) => {
                // Terminals and streamed answers are many small writes.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                // Out of descriptors, or the peer left: neither may end the server.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(task, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(task, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(task, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(task, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(task),
            Self::Tls(stream) => Pin::new(stream).poll_flush(task),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(task),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(task),
        }
    }
}
