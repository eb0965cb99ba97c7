//! A mail server for one test: takes every mail and keeps it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How it wants to be spoken to.
#[derive(Clone, Copy)]
pub enum Secured {
    /// In the clear, until TLS is asked for.
    Starttls,
    /// TLS from the first byte.
    Implicit,
}

/// Ends with the test.
pub struct MailServer {
    port: u16,
    ca_pem: String,
    heard: Arc<Heard>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    mails: Mutex<Vec<String>>,
    /// Commands that came without TLS.
    clear: Mutex<String>,
    /// What a client must sign in with, as `AUTH PLAIN` sends it (RFC 4616).
    sign_in: Option<String>,
}

impl MailServer {
    /// Without TLS and for anybody.
    pub async fn start() -> Self {
        Self::serve(None, Heard::default()).await
    }

    /// With a certificate for `name` from an authority of its own, for who signs in.
    pub async fn secured(how: Secured, name: &str, (user, password): (&str, &str)) -> Self {
        let (acceptor, ca_pem) = certificate(name);
        let plain = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
        let heard = Heard {
            sign_in: Some(plain),
            ..Heard::default()
        };
        let mut server = Self::serve(Some((how, acceptor)), heard).await;
        server.ca_pem = ca_pem;
        server
    }

    async fn serve(secured: Option<(Secured, TlsAcceptor)>, heard: Heard) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(heard);
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(take(connection, secured.clone(), Arc::clone(&kept)));
            }
        });
        Self {
            port,
            ca_pem: String::new(),
            heard,
            task,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of its authority.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The commands that came without TLS.
    pub fn heard_in_the_clear(&self) -> String {
        self.heard.clear.lock().unwrap().clone()
    }

    /// Neither a mail nor a password came, nor an address in the clear.
    #[track_caller]
    pub fn got_nothing(&self) {
        assert!(self.heard.mails.lock().unwrap().is_empty());
        let clear = self.heard_in_the_clear();
        assert!(
            !clear.contains("AUTH") && !clear.contains("RCPT"),
            "{clear}"
        );
    }

    /// The next mail, headers and all.
    pub async fn next(&self, limit: Duration) -> String {
        super::eventually("a mail comes", limit, || async {
            let mut mails = self.heard.mails.lock().unwrap();
            (!mails.is_empty()).then(|| mails.remove(0))
        })
        .await
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn certificate(name: &str) -> (TlsAcceptor, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let own = own.signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

async fn take(connection: TcpStream, secured: Option<(Secured, TlsAcceptor)>, heard: Arc<Heard>) {
    let hello = &b"220 test ESMTP\r\n"[..];
    match secured {
        None => drop(converse(connection, hello, Offer::Nothing, &heard).await),
        Some((Secured::Implicit, acceptor)) => {
            if let Ok(stream) = acceptor.accept(connection).await {
                converse(stream, hello, Offer::SignIn, &heard).await;
            }
        }
        Some((Secured::Starttls, acceptor)) => {
            let Some(connection) = converse(connection, hello, Offer::Starttls, &heard).await
            else {
                return;
            };
            if let Ok(stream) = acceptor.accept(connection).await {
                converse(stream, b"", Offer::SignIn, &heard).await;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Offer {
    Nothing,
    Starttls,
    SignIn,
}

/// As much of RFC 5321 as a client needs to hand over a mail. Gives the connection back when TLS is to begin.
async fn converse<S>(stream: S, hello: &[u8], offer: Offer, heard: &Heard) -> Option<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    let mut welcome = heard.sign_in.is_none();
    let mut said = hello.to_vec();
    loop {
        stream.write_all(&said).await.ok()?;
        stream.flush().await.ok()?;
        let line = line(&mut stream).await?;
        if offer != Offer::SignIn {
            heard.clear.lock().unwrap().push_str(&line);
        }
        let answer = match (line.split(' ').next().unwrap_or_default(), offer) {
            ("EHLO", Offer::Nothing) => "250-test\r\n250 8BITMIME",
            ("EHLO", Offer::Starttls) => "250-test\r\n250 STARTTLS",
            ("EHLO", Offer::SignIn) => "250-test\r\n250 AUTH PLAIN",
            ("STARTTLS", Offer::Starttls) => {
                stream.write_all(b"220 go on\r\n").await.ok()?;
                stream.flush().await.ok()?;
                return Some(stream.into_inner());
            }
            ("AUTH", Offer::SignIn) => {
                welcome = line.strip_prefix("AUTH PLAIN ") == heard.sign_in.as_deref();
                if welcome {
                    "235 welcome"
                } else {
                    "535 who is this"
                }
            }
            ("MAIL" | "RCPT" | "DATA", _) if !welcome => "530 sign in first",
            ("DATA", _) => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                stream.flush().await.ok()?;
                let mut mail = String::new();
                loop {
                    match self::line(&mut stream).await?.as_str() {
                        "." => break,
                        text => {
                            mail.push_str(text);
                            mail.push('\n');
                        }
                    }
                }
                // Soft line breaks of quoted-printable.
                heard.mails.lock().unwrap().push(mail.replace("=\n", ""));
                "250 taken"
            }
            ("QUIT", _) => "221 bye",
            _ => "250 ok",
        };
        said = format!("{answer}\r\n").into_bytes();
    }
}

async fn line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut text = String::new();
    let count = stream.read_line(&mut text).await.ok()?;
    (count > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned())
}
