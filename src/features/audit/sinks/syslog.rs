//! Syslog messages: RFC 5424, framed by octet counting over TLS (RFC 5425) or, where that was allowed, TCP (RFC 6587).
//!
//! Syslog has no receipts. Each batch has a connection of its own which is closed in order; the receiver's own close
//! after that shows that it read to the end, and a reset shows that it did not.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::clients::named::Named;
use crate::features::audit::model::AuditEntry;

/// Facility 13, log audit.
const FACILITY: u8 = 13;

/// For handshake, and for writing a batch.
const LIMIT: Duration = Duration::from_secs(15);

/// How long the receiver may take to close after us; one that never does is taken at its silence.
const CLOSING: Duration = Duration::from_secs(5);

/// A receiver has nothing to say. One that says more than this is none, and must not hold the server's memory or time.
const MOST_SAID: usize = 64 * 1024;

/// Sends the messages in their order.
///
/// # Errors
/// A sentence for the owner.
pub async fn send(
    named: &Named,
    host: &str,
    port: u16,
    tls: Option<Option<&str>>,
    messages: &[String],
) -> Result<(), String> {
    let mut frames = Vec::new();
    for message in messages {
        frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
        frames.extend_from_slice(message.as_bytes());
    }
    let stream = named
        .connect(host, port)
        .await
        .map_err(|error| error.to_string())?;
    let Some(ca_pem) = tls else {
        return write(stream, &frames).await;
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = timeout(LIMIT, connector.connect(name, stream))
        .await
        .map_err(|_| format!("{host}:{port} did not finish the TLS handshake"))?
        .map_err(|error| format!("{host}:{port} does not speak TLS as it should: {error}"))?;
    write(stream, &frames).await
}

async fn write(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    frames: &[u8],
) -> Result<(), String> {
    let writing = async {
        stream.write_all(frames).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    timeout(LIMIT, writing)
        .await
        .map_err(|_| "the receiver does not read".to_owned())?
        .map_err(|error| format!("the connection broke: {error}"))?;
    match timeout(CLOSING, closed(&mut stream)).await {
        // A TLS receiver that closes without saying so has read all the same.
        Ok(Err(error)) if error.kind() != ErrorKind::UnexpectedEof => {
            Err(format!("the receiver broke off: {error}"))
        }
        _ => Ok(()),
    }
}

/// Reads until the receiver closes; what it says is thrown away.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut ignored = [0; 4096];
    let mut said = 0;
    loop {
        match stream.read(&mut ignored).await? {
            0 => return Ok(()),
            count => said += count,
        }
        if said > MOST_SAID {
            return Err(std::io::Error::other(format!(
                "it sent more than {} KiB, and a receiver of syslog has nothing to send",
                MOST_SAID / 1024
            )));
        }
    }
}

/// What a receiver's certificate is checked against.
///
/// # Errors
/// A sentence when there is nothing to check against.
pub fn roots(ca_pem: Option<&str>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match ca_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| {
                    format!("The certificates cannot be read: {error}. Paste them in PEM form.")
                })?;
                store.add(certificate).map_err(|error| {
                    format!("A certificate is not one of an authority: {error}.")
                })?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        return Err("There is no certificate to check the receiver's against. Paste one that begins with -----BEGIN CERTIFICATE-----.".to_owned());
    }
    Ok(store)
}

/// An entry as a message of RFC 5424. `host` is who sends.
pub fn message(entry: &AuditEntry, organization: &str, host: &str) -> String {
    // Notice, or warning for what was refused.
    let severity = if entry.action.ends_with(".refused") {
        4
    } else {
        5
    };
    let mut text = format!(
        "<{}>1 {} {} optidev - {} [optidev@0",
        FACILITY * 8 + severity,
        entry.at,
        word(host, 255),
        word(&entry.action, 32),
    );
    let actor = entry.actor.id.map(|id| id.to_string()).unwrap_or_default();
    let workspace = entry.workspace.map(|id| id.to_string()).unwrap_or_default();
    let (id, seq) = (entry.id.to_string(), entry.seq.to_string());
    for (name, value) in [
        ("organization", organization),
        ("seq", &seq),
        ("id", &id),
        ("workspace", &workspace),
        ("actor", &actor),
        ("actor_name", &entry.actor.name),
        ("actor_kind", &entry.actor.kind),
        ("credential", &entry.credential),
        ("address", &entry.address),
        ("request_id", &entry.request_id),
        ("action", &entry.action),
        ("object", &entry.object),
        ("detail", &entry.detail),
        ("mac", &entry.mac),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}=\"{}\"", escaped(value));
    }
    // The BOM says that the text is UTF-8 (RFC 5424, 6.4).
    let _ = write!(text, "] \u{feff}{}: {}", entry.actor.name, entry.about);
    if !entry.object.is_empty() {
        let _ = write!(text, ": {}", entry.object);
    }
    one_line(&text)
}

/// A message is one line whatever its fields hold, such as the path of a file: receivers often write messages to files of
/// lines, where a break would begin what looks like an entry of its own, and terminals obey control characters.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\u{2028}' | '\u{2029}' => char::REPLACEMENT_CHARACTER,
            control if control.is_control() => char::REPLACEMENT_CHARACTER,
            other => other,
        })
        .collect()
}

/// A header field: printable ASCII, or the nil value.
fn word(text: &str, longest: usize) -> String {
    let word: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(longest)
        .collect();
    if word.is_empty() {
        "-".to_owned()
    } else {
        word
    }
}

/// A parameter's value (RFC 5424, 6.3.3).
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '"' | '\\' | ']') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_words_cannot_leave_their_fields() {
        assert_eq!(escaped(r#"a"] b\"#), r#"a\"\] b\\"#);
        assert_eq!(word("ho st\nname", 255), "hostname");
        assert_eq!(word("ü", 255), "-");
        assert_eq!(word(&"x".repeat(40), 32).len(), 32);
    }

    #[test]
    fn a_message_is_one_line_whatever_it_holds() {
        let text = "a\nb\r\u{85}\u{2028}\u{2029}\u{1b}[2J\0ü";
        let shown = one_line(text);
        assert_eq!(shown.chars().count(), text.chars().count());
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert!(!shown.contains(['\u{2028}', '\u{2029}']), "{shown:?}");
        assert!(shown.starts_with('a') && shown.ends_with('ü'));
    }

    #[tokio::test]
    async fn a_receiver_may_close_and_must_not_flood() {
        use tokio::io::{empty, repeat};
        assert!(closed(&mut empty()).await.is_ok());
        assert!(closed(&mut repeat(b'x').take(64 * 1024)).await.is_ok());
        let flood = closed(&mut repeat(b'x')).await;
        assert!(flood.unwrap_err().to_string().contains("64 KiB"));
    }
}
