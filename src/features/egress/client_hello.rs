//! Finds the server name in the first bytes of a TLS connection (RFC 8446, section 4.1.2; RFC 6066, section 3). Pure.
//!
//! Reads what a server would read: the hello may be spread over several records. Anything that is not well-formed is
//! [`Hello::Invalid`], so that no byte sequence is taken for a name that the server would not take for it.

/// Bytes after which an unfinished hello is given up; real ones have less than 4 KiB.
pub const LIMIT: usize = 32 * 1024;

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_TYPE_HOST: u8 = 0;

/// What the bytes so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hello {
    /// More bytes are needed.
    Incomplete,
    /// This is not the beginning of a TLS connection.
    Invalid,
    /// A whole hello; the host name of its SNI, if it has one.
    Complete(Option<String>),
}

/// Reads the beginning of what a client sent.
pub fn read(bytes: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        let Some((record, after)) = (match take_record(rest) {
            Ok(record) => record,
            Err(Invalid) => return Hello::Invalid,
        }) else {
            return if bytes.len() >= LIMIT {
                Hello::Invalid
            } else {
                Hello::Incomplete
            };
        };
        message.extend_from_slice(record);
        rest = after;
        match whole_message(&message) {
            Ok(Some(body)) => {
                return match server_name(body) {
                    Some(name) => Hello::Complete(name),
                    None => Hello::Invalid,
                };
            }
            Ok(None) => {}
            Err(Invalid) => return Hello::Invalid,
        }
    }
}

struct Invalid;

/// A record's payload, and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// The payload of the first record and what follows it; `None` when it is not all there. What can be judged of an
/// unfinished record is judged, so that other protocols are refused at their first byte.
fn take_record(bytes: &[u8]) -> Result<Option<Split<'_>>, Invalid> {
    if bytes.first().is_some_and(|&kind| kind != RECORD_HANDSHAKE)
        || bytes.get(1).is_some_and(|&major| major != 3)
    {
        return Err(Invalid);
    }
    let Some((header, rest)) = bytes.split_at_checked(5) else {
        return Ok(None);
    };
    let length = match header {
        [_, _, _, high, low] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => return Err(Invalid),
    };
    if length == 0 || length > 16_384 {
        return Err(Invalid);
    }
    Ok(rest.split_at_checked(length))
}

/// The body of the ClientHello when all of it is there.
fn whole_message(bytes: &[u8]) -> Result<Option<&[u8]>, Invalid> {
    if bytes
        .first()
        .is_some_and(|&kind| kind != MESSAGE_CLIENT_HELLO)
    {
        return Err(Invalid);
    }
    let Some((header, rest)) = bytes.split_at_checked(4) else {
        return Ok(None);
    };
    let length = match header {
        [_, a, b, c] => {
            usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).map_err(|_| Invalid)?
        }
        _ => return Err(Invalid),
    };
    if length > LIMIT {
        return Err(Invalid);
    }
    Ok(rest.get(..length))
}

/// `None` when the hello is malformed, `Some(None)` when it names no server.
fn server_name(body: &[u8]) -> Option<Option<String>> {
    let mut reader = Reader(body);
    // legacy_version and random.
    reader.take(2 + 32)?;
    let session = reader.u8()?;
    reader.take(usize::from(session))?;
    let suites = reader.u16()?;
    reader.take(usize::from(suites))?;
    let compression = reader.u8()?;
    reader.take(usize::from(compression))?;
    if reader.0.is_empty() {
        return Some(None);
    }
    let length = reader.u16()?;
    let mut extensions = Reader(reader.take(usize::from(length))?);
    if !reader.0.is_empty() {
        return None;
    }
    let mut found = None;
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let length = extensions.u16()?;
        let data = extensions.take(usize::from(length))?;
        if kind == EXTENSION_SERVER_NAME {
            // Two names would let two readers see different ones.
            if found.is_some() {
                return None;
            }
            found = Some(host_name(data)?);
        }
    }
    Some(found)
}

fn host_name(data: &[u8]) -> Option<String> {
    let mut reader = Reader(data);
    let length = reader.u16()?;
    let mut list = Reader(reader.take(usize::from(length))?);
    if !reader.0.is_empty() || list.u8()? != NAME_TYPE_HOST {
        return None;
    }
    let length = list.u16()?;
    let name = list.take(usize::from(length))?;
    // One name only: RFC 6066 forbids a second of the same type, and no other type exists.
    if name.is_empty() || !list.0.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    String::from_utf8(name.to_vec()).ok()
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::kernel::Rng;

    /// A real hello, made by rustls.
    pub fn real(name: &str) -> Vec<u8> {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    /// The same hello in records of `size` bytes of payload.
    fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for part in hello[5..].chunks(size) {
            out.extend_from_slice(&[22, 3, 1]);
            out.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    #[test]
    fn finds_the_name_however_the_hello_is_cut() {
        let hello = real("registry.npmjs.org");
        let wanted = Hello::Complete(Some("registry.npmjs.org".to_owned()));
        assert_eq!(read(&hello), wanted);
        for end in 0..hello.len() {
            assert_eq!(read(&hello[..end]), Hello::Incomplete, "{end}");
        }
        for size in [1, 3, 4, 5, 50, 200] {
            assert_eq!(read(&in_records(&hello, size)), wanted, "{size}");
        }
        let mut more = hello.clone();
        more.extend_from_slice(b"early data");
        assert_eq!(read(&more), wanted);
    }

    #[test]
    fn a_hello_to_an_address_has_no_name() {
        assert_eq!(read(&real("127.0.0.1")), Hello::Complete(None));
    }

    #[test]
    fn other_protocols_are_refused_at_once() {
        for text in [
            "GET / HTTP/1.1\r\n",
            "SSH-2.0-OpenSSH\r\n",
            "\u{16}\u{2}",
            "\0",
            "\u{80}\u{2e}\u{1}",
        ] {
            assert_eq!(read(text.as_bytes()), Hello::Invalid, "{text:?}");
        }
        assert_eq!(
            read(&[22, 3, 1, 0, 1, 2]),
            Hello::Invalid,
            "a server's hello"
        );
        assert_eq!(read(&[22, 3, 1, 0, 0]), Hello::Invalid, "an empty record");
        assert_eq!(
            read(&[22, 3, 1, 255, 255]),
            Hello::Invalid,
            "a record over the limit"
        );
        assert_eq!(
            read(&[22, 3, 1, 0, 4, 1, 255, 255, 255]),
            Hello::Invalid,
            "a message over the limit"
        );
    }

    #[test]
    fn two_names_are_refused() {
        let hello = real("a.example");
        let at = hello
            .windows(9)
            .position(|window| window == b"a.example")
            .unwrap()
            - 9;
        // The whole extension (type, length, list length, name type, name length, name), once more.
        let extension = hello[at..at + 9 + 9].to_vec();
        let mut twice = hello.clone();
        for byte in extension.iter().rev() {
            twice.insert(at, *byte);
        }
        let grow = |bytes: &mut Vec<u8>, place: usize| {
            let length = u16::from_be_bytes([bytes[place], bytes[place + 1]]) + 18;
            bytes[place..place + 2].copy_from_slice(&length.to_be_bytes());
        };
        grow(&mut twice, 3);
        grow(&mut twice, 7);
        // Extensions' length: after version, random, session id, suites, compression.
        let session = 5 + 4 + 34;
        let suites = session + 1 + usize::from(twice[session]);
        let compression =
            suites + 2 + usize::from(u16::from_be_bytes([twice[suites], twice[suites + 1]]));
        let extensions = compression + 1 + usize::from(twice[compression]);
        grow(&mut twice, extensions);
        assert_eq!(read(&twice), Hello::Invalid);
    }

    #[test]
    fn never_panics_and_never_finds_another_name() {
        let hello = real("registry.npmjs.org");
        let mut changed = hello.clone();
        for place in 0..hello.len() {
            for value in [0, 1, 127, 128, 255, hello[place].wrapping_add(1)] {
                changed[place] = value;
                let _ = read(&changed);
            }
            changed[place] = hello[place];
        }
        for _ in 0..20_000 {
            let noise = Rng.bytes::<96>();
            let _ = read(&noise);
            let mut framed = vec![22, 3, 1, 0, 96, 1, 0, 0, 92];
            framed.extend_from_slice(&noise);
            let _ = read(&framed);
        }
    }
}
