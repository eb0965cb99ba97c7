//! Escapes of JSON and of what is found within texts.
//!
//! An escape is a unit: some bytes of the text that stand for fewer, at most four. Units do not overlap.

/// A line with at least so many characters of base64 or hex up to its end was broken by whoever encoded, not by an author.
/// `base64` breaks at 76, PEM at 64, `xxd` at 60.
const WRAPPED: usize = 40;

/// Which escapes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Those of a JSON string, which is known to be valid.
    Json,
    /// Everything that may be within a text: backslashes of JSON, C, JavaScript and the shell, `%41`, `&amp;`, and line
    /// breaks within base64 and hex.
    Any,
}

/// An escape.
pub(super) struct Unit {
    pub(super) at: usize,
    pub(super) len: usize,
    stands_for: [u8; 4],
    /// How many bytes it stands for.
    pub(super) size: usize,
}

/// The first place at or after `from` of one of `bytes`, or of one below `floor`, which is at most 128.
///
/// Eight bytes at a time, by arithmetic: what is sought stands in every line, so it must be found fast, not only missed fast.
pub(super) fn find<const N: usize>(
    text: &[u8],
    from: usize,
    bytes: [u8; N],
    floor: u8,
) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte that is below `limit`. A borrow may set more of them, but none before the first.
    let below = |eight: u64, limit: u8| eight.wrapping_sub(ONES * u64::from(limit)) & !eight & HIGH;
    let rest = text.get(from..)?;
    let (eights, tail) = rest.as_chunks::<8>();
    let mut at = from;
    for eight in eights {
        let eight = u64::from_le_bytes(*eight);
        let mut marks = below(eight, floor);
        for byte in bytes {
            marks |= below(eight ^ (ONES * u64::from(byte)), 1);
        }
        if marks != 0 {
            return Some(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let found = |byte: &u8| *byte < floor || bytes.iter().any(|one| one == byte);
    Some(at + tail.iter().position(found)?)
}

/// The first escape that begins at or after `from`.
pub(super) fn next_unit(text: &[u8], from: usize, escapes: Escapes) -> Option<Unit> {
    let mut at = from;
    loop {
        at = match escapes {
            Escapes::Json => find(text, at, *b"\\", 0)?,
            Escapes::Any => find(text, at, *b"\\%&\n\r", 0)?,
        };
        let unit = match text.get(at)? {
            b'\\' => backslash(text, at),
            b'%' => percent(text, at).filter(|unit| !unit.is_early(text)),
            b'&' => entity(text, at).filter(|unit| !unit.is_early(text)),
            b'\n' => wrap(text, at, 1),
            _ if text.get(at + 1) == Some(&b'\n') => wrap(text, at, 2),
            _ => None,
        };
        if unit.is_some() {
            return unit;
        }
        at += 1;
    }
}

impl Unit {
    pub(super) fn stands_for(&self) -> &[u8] {
        self.stands_for.get(..self.size).unwrap_or_default()
    }

    fn byte(at: usize, len: usize, byte: u8) -> Self {
        Self {
            at,
            len,
            stands_for: [byte, 0, 0, 0],
            size: 1,
        }
    }

    fn nothing(at: usize, len: usize) -> Self {
        Self {
            at,
            len,
            stands_for: [0; 4],
            size: 0,
        }
    }

    /// Whether it stands for the begin of an escape, and what would go on with that is still escaped itself: "%5C" before
    /// "\\u006e". Undone now, it would take a backslash that is not meant for it.
    fn is_early(&self, text: &[u8]) -> bool {
        let [first, ..] = self.stands_for;
        let after = self.at + self.len;
        matches!(first, b'\\' | b'%' | b'&')
            && text.get(after) == Some(&b'\\')
            && backslash(text, after).is_some()
    }

    /// A lone half of a surrogate pair is written as UTF-8 would write its number: no text has those bytes, so it matches
    /// nothing, and its place is known.
    fn character(at: usize, len: usize, number: u32) -> Self {
        let mut stands_for = [0; 4];
        let size = match char::from_u32(number) {
            Some(character) => character.encode_utf8(&mut stands_for).len(),
            None => {
                let low = |shift: u32| 0x80 | ((number >> shift) & 0x3f) as u8;
                stands_for = [0xed, low(6), low(0), 0];
                3
            }
        };
        Self {
            at,
            len,
            stands_for,
            size,
        }
    }
}

fn backslash(text: &[u8], at: usize) -> Option<Unit> {
    let plain = |byte| Some(Unit::byte(at, 2, byte));
    match *text.get(at + 1)? {
        b'n' => plain(b'\n'),
        b't' => plain(b'\t'),
        b'r' => plain(b'\r'),
        b'b' => plain(8),
        b'f' => plain(12),
        b'u' => {
            let high = hex(text, at + 2, 4)?;
            let low = match text.get(at + 6..at + 8) {
                Some(b"\\u") if (0xd800..0xdc00).contains(&high) => hex(text, at + 8, 4),
                _ => None,
            };
            Some(match low {
                Some(low @ 0xdc00..0xe000) => {
                    let number = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    Unit::character(at, 12, number)
                }
                _ => Unit::character(at, 6, high),
            })
        }
        b'x' => Some(Unit::byte(at, 4, hex(text, at + 2, 2)? as u8)),
        // The shell goes on in the next line.
        b'\n' => Some(Unit::nothing(at, 2)),
        other if other.is_ascii_punctuation() || other == b' ' => plain(other),
        _ => None,
    }
}

fn percent(text: &[u8], at: usize) -> Option<Unit> {
    Some(Unit::byte(at, 3, hex(text, at + 1, 2)? as u8))
}

fn entity(text: &[u8], at: usize) -> Option<Unit> {
    let rest = text.get(at + 1..)?;
    // The longest is "&#x10ffff;".
    let end = rest.iter().take(9).position(|byte| *byte == b';')?;
    let name = rest.get(..end)?;
    let byte = match name {
        b"amp" => b'&',
        b"lt" => b'<',
        b"gt" => b'>',
        b"quot" => b'"',
        b"apos" => b'\'',
        _ => {
            let digits = std::str::from_utf8(name.strip_prefix(b"#")?).ok()?;
            let number = match digits.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => digits.parse(),
            };
            let number = number.ok().filter(|number| *number <= 0x10_ffff)?;
            return Some(Unit::character(at, end + 2, number));
        }
    };
    Some(Unit::byte(at, end + 2, byte))
}

/// A line break of `len` bytes within base64 or hex, with the white space after it.
fn wrap(text: &[u8], at: usize, len: usize) -> Option<Unit> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let line = text.get(at.checked_sub(WRAPPED)?..at)?;
    if !line.iter().rev().all(is_digit) {
        return None;
    }
    let rest = text.get(at + len..)?;
    let indent = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    rest.get(indent).filter(|byte| is_digit(byte))?;
    Some(Unit::nothing(at, len + indent))
}

/// The number in exactly `len` hex digits.
fn hex(text: &[u8], at: usize, len: usize) -> Option<u32> {
    let digits = text.get(at..at.checked_add(len)?)?;
    digits.iter().try_fold(0, |number, digit| {
        Some(number << 4 | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sought_is_found_at_each_place() {
        for len in 0..40 {
            for at in 0..len {
                for byte in [b'"', b'\\', 0, 0x1f] {
                    // Neighbours that differ by one bit or a borrow.
                    for other in [b'!', b'#', b']', 0x20, 0x80, 0xa2, 0xff] {
                        let mut text = vec![other; len];
                        text[at] = byte;
                        assert_eq!(find(&text, 0, *b"\"\\", 0x20), Some(at));
                        assert_eq!(find(&text, at, *b"\"\\", 0x20), Some(at));
                        assert_eq!(find(&text, at + 1, *b"\"\\", 0x20), None);
                    }
                }
            }
        }
    }
}
