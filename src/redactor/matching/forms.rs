//! How a value may be written, apart from escapes, which `decode` undoes in the text.
//!
//! Of each value, without white space around it:
//! - as it is, and what its own escapes stand for, on each level: a text is matched on each level, so a value that holds an
//!   escape must be, too. With "+" for each space, as forms of web pages are sent. With each kind of line end;
//! - in base64 and base64url, at the three places in a group at which it can begin. Characters that depend on what stands
//!   before or after are left out, so padding does not matter;
//! - in hex, lower and upper;
//! - each of its lines that is long enough, in all these forms. A part of a key is a secret, too, and a tool's output is
//!   often cut;
//! - when its bytes are no text: also what a program prints that puts a sign in place of them.
//!
//! The encodings are not shared with `kernel::leaks`, a check of debug builds that must not make the same mistakes.

use zeroize::Zeroizing;

use super::TooMuch;
use super::common::{self, SHORTEST, Unlooked};
use super::decode::{self, LEVELS};
use super::escapes::Escapes;
use super::splice::Placeholder;

/// The most bytes that all forms may have together. The automaton has about forty for each while it is made, and fifteen
/// afterwards.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A line of fewer bytes says little, and may stand in any file.
const SHORTEST_LINE: usize = 16;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

type Text = Zeroizing<Vec<u8>>;

/// What to look for. It has eight bytes or more.
pub(super) struct Form {
    pub(super) bytes: Text,
    /// Whose it is, as the caller counts.
    pub(super) owner: u32,
}

/// All forms of all values.
pub(super) struct Forms<'a> {
    all: Vec<Form>,
    bytes: usize,
    /// The ends of all placeholders, each from some place in it on, in order: what begins one of them is in a placeholder.
    public: Vec<&'a [u8]>,
}

impl<'a> Forms<'a> {
    /// None yet. What stands in a placeholder is not looked for: names are no secrets, and a placeholder that holds a value
    /// would be replaced for ever.
    pub(super) fn new(placeholders: impl Iterator<Item = &'a Placeholder>) -> Self {
        let texts =
            placeholders.flat_map(|placeholder| [placeholder.plain(), placeholder.braced()]);
        let mut public: Vec<&[u8]> = texts
            .flat_map(|text| (0..text.len()).filter_map(|from| text.get(from..)))
            .filter(|end| end.len() >= SHORTEST)
            .collect();
        public.sort_unstable();
        Self {
            all: Vec::new(),
            bytes: 0,
            public,
        }
    }

    /// All forms of a value, or why there are none.
    ///
    /// # Errors
    /// [`TooMuch`]
    pub(super) fn add(&mut self, owner: usize, value: &[u8]) -> Result<Option<Unlooked>, TooMuch> {
        let value = value.trim_ascii();
        if let Some(reason) = common::unlooked(value) {
            return Ok(Some(reason));
        }
        if self.is_public(value) {
            return Ok(Some(Unlooked::TooCommon));
        }
        if value.len() > MAX_BYTES {
            return Err(TooMuch { limit: MAX_BYTES });
        }
        let owner = u32::try_from(owner).map_err(|_| TooMuch { limit: MAX_BYTES })?;
        let unix = with_line_ends(value, b"\n");
        for text in levels(&unix) {
            self.text(owner, &text)?;
            if text.contains(&b'\n') {
                self.text(owner, &with_line_ends(&text, b"\r\n"))?;
                self.lines(owner, &text)?;
            }
        }
        self.encoded(owner, &unix)?;
        // A file that holds it in JSON, in base64. Of values with lines, the lines are found there.
        if !unix.contains(&b'\n')
            && let Some(escaped) = json(&unix)
        {
            self.encoded(owner, &escaped)?;
        }
        if std::str::from_utf8(value).is_err() {
            let printed = Zeroizing::new(String::from_utf8_lossy(value).into_owned());
            let legible = printed
                .chars()
                .filter(|one| *one != char::REPLACEMENT_CHARACTER);
            if legible.count() >= SHORTEST {
                self.text(owner, printed.as_bytes())?;
            }
        }
        Ok(None)
    }

    /// Each form once. One that several have is the first one's, as owners are in the order of names.
    pub(super) fn done(&mut self) -> Vec<Form> {
        let mut all = std::mem::take(&mut self.all);
        all.sort_unstable_by(|one, other| {
            (&*one.bytes, one.owner).cmp(&(&*other.bytes, other.owner))
        });
        all.dedup_by(|later, first| *later.bytes == *first.bytes);
        all
    }

    fn is_public(&self, form: &[u8]) -> bool {
        let at = self.public.partition_point(|end| *end < form);
        self.public.get(at).is_some_and(|end| end.starts_with(form))
    }

    fn put(&mut self, owner: u32, bytes: Text) -> Result<(), TooMuch> {
        if common::unlooked(&bytes).is_some() || self.is_public(&bytes) {
            return Ok(());
        }
        self.bytes += bytes.len();
        if self.bytes > MAX_BYTES {
            return Err(TooMuch { limit: MAX_BYTES });
        }
        self.all.push(Form { bytes, owner });
        Ok(())
    }

    fn text(&mut self, owner: u32, text: &[u8]) -> Result<(), TooMuch> {
        self.put(owner, Zeroizing::new(text.to_vec()))?;
        if text.contains(&b' ') {
            let plus = |byte: &u8| if *byte == b' ' { b'+' } else { *byte };
            self.put(owner, Zeroizing::new(text.iter().map(plus).collect()))?;
        }
        Ok(())
    }

    fn lines(&mut self, owner: u32, text: &[u8]) -> Result<(), TooMuch> {
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
            if tells(line) {
                self.text(owner, line)?;
                self.encoded(owner, line)?;
            }
        }
        Ok(())
    }

    fn encoded(&mut self, owner: u32, value: &[u8]) -> Result<(), TooMuch> {
        // What begins as the first, second or third byte of a group begins at this bit of a character.
        for skipped in [0, 4, 2] {
            let usual = base64(value, skipped, BASE64);
            if usual.iter().any(|byte| matches!(byte, b'+' | b'/')) {
                self.put(owner, base64(value, skipped, BASE64_URL))?;
            }
            self.put(owner, usual)?;
        }
        self.put(owner, hex(value, HEX))?;
        self.put(owner, hex(value, HEX_UPPER))
    }
}

/// Whether a line is worth to be looked for by itself. "-----BEGIN" is not; words without a number are prose.
fn tells(line: &[u8]) -> bool {
    line.len() >= SHORTEST_LINE
        && !line.starts_with(b"-----")
        && (line.iter().any(u8::is_ascii_digit) || !line.contains(&b' '))
}

/// The value, what its escapes stand for, and so on. A last line end may be written as one.
fn levels(value: &[u8]) -> Vec<Text> {
    let mut all = vec![Zeroizing::new(value.to_vec())];
    for _ in 0..LEVELS {
        let mut next = Zeroizing::new(Vec::new());
        match all.last() {
            Some(last) if decode::decode(last, Escapes::Any, &mut next) => {
                all.push(Zeroizing::new(next.trim_ascii().to_vec()));
            }
            _ => break,
        }
    }
    all
}

fn with_line_ends(value: &[u8], line_end: &[u8]) -> Text {
    let lines = value.iter().filter(|byte| **byte == b'\n').count();
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() + lines));
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        let line = rest.get(..at).unwrap_or_default();
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(line_end);
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// The characters that stand for bits of the value alone, when its first `skipped` bits belong to a character before.
fn base64(value: &[u8], skipped: u32, alphabet: &[u8; 64]) -> Text {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() / 3 * 4 + 4));
    let (mut held, mut bits) = (0_u32, 0_u32);
    for (at, byte) in value.iter().enumerate() {
        held = held << 8 | u32::from(*byte);
        bits += if at == 0 { 8 - skipped } else { 8 };
        while bits >= 6 {
            bits -= 6;
            let index = (held >> bits & 63) as usize;
            out.extend(alphabet.get(index));
        }
    }
    out
}

fn hex(value: &[u8], digits: &[u8; 16]) -> Text {
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    for byte in value {
        out.extend(digits.get(usize::from(byte >> 4)));
        out.extend(digits.get(usize::from(byte & 15)));
    }
    out
}

/// As it is within a JSON string, when that is different.
fn json(value: &[u8]) -> Option<Text> {
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    if !value.iter().any(special) {
        return None;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(value.len() * 6));
    for byte in value {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\t' => out.extend(b"\\t"),
            b'\r' => out.extend(b"\\r"),
            8 => out.extend(b"\\b"),
            12 => out.extend(b"\\f"),
            0..0x20 => {
                out.extend(b"\\u00");
                out.extend_from_slice(&hex(&[*byte], HEX));
            }
            _ => out.push(*byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(value: &[u8]) -> Vec<Vec<u8>> {
        let mut forms = Forms::new(std::iter::empty());
        assert_eq!(forms.add(0, value).unwrap(), None);
        forms
            .done()
            .iter()
            .map(|form| form.bytes.to_vec())
            .collect()
    }

    #[test]
    fn base64_at_each_place_is_what_does_not_depend_on_neighbours() {
        // echo -n '0123456789' | base64; with one and with two bytes before it.
        assert_eq!(*base64(b"0123456789", 0, BASE64), *b"MDEyMzQ1Njc4O");
        assert_eq!(*base64(b"0123456789", 4, BASE64), *b"AxMjM0NTY3OD");
        assert_eq!(*base64(b"0123456789", 2, BASE64), *b"wMTIzNDU2Nzg5");
        assert_eq!(*base64(&[0xfb, 0xff, 0xbf], 0, BASE64), *b"+/+/");
        assert_eq!(*base64(&[0xfb, 0xff, 0xbf], 0, BASE64_URL), *b"-_-_");
    }

    #[test]
    fn each_line_that_tells_something_is_a_form_and_the_frame_of_a_key_is_not() {
        let key = b"-----BEGIN KEY-----\r\nMIIEvQIBADANBgkqhkiG9w0B\r\n  only words in this line\r\nshort\r\n-----END KEY-----\r\n";
        let forms = forms(key);
        let has = |form: &[u8]| forms.iter().any(|one| one == form);
        assert!(has(b"MIIEvQIBADANBgkqhkiG9w0B"));
        assert!(has(&hex(b"MIIEvQIBADANBgkqhkiG9w0B", HEX)));
        assert!(has(key.trim_ascii()));
        assert!(has(&with_line_ends(key.trim_ascii(), b"\n")));
        assert!(!has(b"-----BEGIN KEY-----"));
        assert!(!has(b"only words in this line"));
    }

    #[test]
    fn a_key_with_written_out_line_ends_has_its_lines_as_forms() {
        let forms = forms(b"-----BEGIN KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B\\n-----END KEY-----\\n");
        assert!(forms.contains(&b"MIIEvQIBADANBgkqhkiG9w0B".to_vec()));
    }

    #[test]
    fn no_form_is_short_or_common() {
        // Its second level is "password".
        let forms = forms(b"%70assword");
        assert!(!forms.contains(&b"password".to_vec()));
        assert!(forms.iter().all(|form| form.len() >= SHORTEST));
    }

    #[test]
    fn more_than_the_limit_is_too_much() {
        let mut forms = Forms::new(std::iter::empty());
        let value: Vec<u8> = (0..1024 * 1024_u32)
            .map(|n| (n.wrapping_mul(n) >> 7) as u8 | 0x80)
            .collect();
        let mut added = 0;
        while forms.add(0, &value).is_ok() {
            added += 1;
        }
        assert!((0..2).contains(&added), "{added}");
    }
}
