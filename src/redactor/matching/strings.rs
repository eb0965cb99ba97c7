//! JSON, as far as it matters here: whether a body is valid (RFC 8259), and where its strings and numbers are.
//!
//! Nothing is built and nothing recurses. Of each open object or list one bit is kept, and what `exempt` wants to know.

use std::ops::Range;

use super::escapes;
use super::exempt::Watch;

/// A string's content without its quotes, or a number.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    String(Range<usize>),
    Number(Range<usize>),
}

/// Where the quote is that ends the string whose content begins at `at`; none when that is no content of a string.
fn string_end(body: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    loop {
        at = escapes::find(body, at, *b"\"\\", 0x20)?;
        match body.get(at)? {
            b'"' => return Some(at),
            b'\\' => {}
            _ => return None,
        }
        at += match body.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => {
                let digits = body.get(at + 2..at + 6)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(6)?
            }
            _ => return None,
        };
    }
}

/// Reads a body: `each` is given its strings, keys among them, and its numbers, in order, as far as it is valid. Then the
/// contents of all exempt strings, in order; none when the body is not valid to its end.
pub(super) fn read(body: &[u8], each: impl FnMut(Token)) -> Option<Vec<Range<usize>>> {
    std::str::from_utf8(body).ok()?;
    let mut reader = Reader {
        body,
        at: 0,
        open: Open::default(),
        watch: Watch::new(body),
        each,
    };
    reader.read()?;
    Some(reader.watch.exempt())
}

/// What comes next.
#[derive(Clone, Copy)]
enum Next {
    Value,
    FirstValueOrEnd,
    Key,
    FirstKeyOrEnd,
    CommaOrEnd,
}

struct Reader<'a, F> {
    body: &'a [u8],
    at: usize,
    open: Open,
    watch: Watch<'a>,
    each: F,
}

/// Which of the open objects and lists are objects, from the outermost on.
#[derive(Default)]
struct Open {
    bits: Vec<u64>,
    depth: usize,
}

impl Open {
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth / 64, self.depth % 64);
        if self.bits.len() <= word {
            self.bits.push(0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            *word = *word & !(1 << bit) | u64::from(object) << bit;
        }
        self.depth += 1;
    }

    fn is_object(&self) -> Option<bool> {
        let last = self.depth.checked_sub(1)?;
        Some(self.bits.get(last / 64)? >> (last % 64) & 1 == 1)
    }
}

impl<F: FnMut(Token)> Reader<'_, F> {
    /// None at the first thing that is not as RFC 8259 says.
    fn read(&mut self) -> Option<()> {
        let mut next = Next::Value;
        loop {
            self.skip_space();
            let byte = *self.body.get(self.at)?;
            next = match (next, byte) {
                (Next::Value | Next::FirstValueOrEnd, _) if byte != b']' => self.value(byte)?,
                (Next::Key | Next::FirstKeyOrEnd, b'"') => self.key()?,
                (Next::CommaOrEnd, b',') => {
                    self.at += 1;
                    if self.open.is_object()? {
                        Next::Key
                    } else {
                        Next::Value
                    }
                }
                (Next::FirstValueOrEnd, b']') => self.close(false)?,
                (Next::FirstKeyOrEnd, b'}') => self.close(true)?,
                (Next::CommaOrEnd, b'}' | b']') => self.close(byte == b'}')?,
                _ => return None,
            };
            if self.open.depth == 0 {
                self.skip_space();
                return (self.at == self.body.len()).then_some(());
            }
        }
    }

    fn skip_space(&mut self) {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        while self.body.get(self.at).is_some_and(space) {
            self.at += 1;
        }
    }

    fn begin(&mut self, object: bool) -> Option<Next> {
        self.watch.begin(object, self.open.depth);
        self.open.push(object);
        self.at += 1;
        Some(if object {
            Next::FirstKeyOrEnd
        } else {
            Next::FirstValueOrEnd
        })
    }

    fn close(&mut self, object: bool) -> Option<Next> {
        (self.open.is_object()? == object).then_some(())?;
        self.watch.end(self.open.depth);
        self.open.depth -= 1;
        self.at += 1;
        Some(Next::CommaOrEnd)
    }

    fn value(&mut self, byte: u8) -> Option<Next> {
        match byte {
            b'{' => return self.begin(true),
            b'[' => return self.begin(false),
            b'"' => {
                let content = self.string()?;
                self.watch.value(Some(content), self.open.depth);
                return Some(Next::CommaOrEnd);
            }
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        self.watch.value(None, self.open.depth);
        Some(Next::CommaOrEnd)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.body.get(self.at..)?.starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        self.at += usize::from(self.body.get(self.at) == Some(&b'-'));
        let whole = self.digits()?;
        if whole.len() > 1 && self.body.get(whole.start) == Some(&b'0') {
            return None;
        }
        if self.body.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.body.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.body.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        (self.each)(Token::Number(start..self.at));
        Some(())
    }

    /// One or more.
    fn digits(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        while self.body.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        (self.at > start).then_some(start..self.at)
    }

    /// The content of the string at this place.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at + 1;
        let end = string_end(self.body, start)?;
        self.at = end + 1;
        (self.each)(Token::String(start..end));
        Some(start..end)
    }

    fn key(&mut self) -> Option<Next> {
        let key = self.string()?;
        self.watch.key(key, self.open.depth);
        self.skip_space();
        (self.body.get(self.at) == Some(&b':')).then_some(())?;
        self.at += 1;
        Some(Next::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{patterns, redacted};
    use super::*;

    fn is_valid(body: &str) -> bool {
        read(body.as_bytes(), |_| {}).is_some()
    }

    #[test]
    fn strings_and_numbers_are_told_in_order() {
        let body = r#" {"a\"\\" : [-1.5e+3, "", true, {"b": 0}, null, "\u00e9"]} "#;
        let mut all = Vec::new();
        let told = read(body.as_bytes(), |token| {
            all.push(match token {
                Token::String(at) => format!("s{}", &body[at]),
                Token::Number(at) => format!("n{}", &body[at]),
            });
        });
        assert_eq!(told, Some(vec![]));
        assert_eq!(all, [r#"sa\"\\"#, "n-1.5e+3", "s", "sb", "n0", r"s\u00e9"]);
    }

    #[test]
    fn validity_is_what_another_reader_says() {
        let seeds = [
            r#"{"a": [1, -2.5e3, true, false, null, "x\n\"é"], "b": {"c": {}, "d": []}}"#,
            r#"[[[]], {"a": "b"}, 0, "\u0041"]"#,
            r#""text""#,
            "12.5",
        ];
        let bytes = b"{}[]:,\"\\ntu0169eE+-. \nx\x01";
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let (mut valid, mut invalid) = (0, 0);
        for round in 0..60_000 {
            let mut body = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..round % 3 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let at = (seed >> 8) as usize % body.len();
                let byte = bytes[(seed >> 40) as usize % bytes.len()];
                match seed % 3 {
                    0 => body[at] = byte,
                    1 => body.insert(at, byte),
                    _ => drop(body.remove(at)),
                }
                if body.is_empty() {
                    body.push(b' ');
                }
            }
            let expected = match serde_json::from_slice::<serde_json::Value>(&body) {
                Ok(_) => true,
                // A number that it has no type for is valid all the same.
                Err(error) => error.to_string().starts_with("number out of range"),
            };
            assert_eq!(
                read(&body, |_| {}).is_some(),
                expected,
                "{}",
                String::from_utf8_lossy(&body)
            );
            if expected { valid += 1 } else { invalid += 1 }
        }
        assert!(valid > 1000 && invalid > 1000, "{valid} {invalid}");
    }

    #[test]
    fn nesting_costs_no_stack() {
        let depth = 1_000_000;
        let deep = "[".repeat(depth) + "\"hunter22\"" + &"]".repeat(depth);
        let objects = r#"{"data":"#.repeat(depth) + "\"hunter22\"" + &"}".repeat(depth);
        let open = "[".repeat(depth) + "hunter22";
        let patterns = patterns(&[("NAME", "hunter22")]);
        let run = move || {
            assert!(is_valid(&deep) && is_valid(&objects) && !is_valid(&open));
            for body in [&deep, &objects, &open] {
                assert_eq!(redacted(&patterns, body), body.replace("hunter22", "$NAME"));
            }
        };
        let small = std::thread::Builder::new().stack_size(64 * 1024);
        small.spawn(run).unwrap().join().unwrap();
    }

    #[test]
    fn a_body_that_is_no_json_is_one_text() {
        let patterns = patterns(&[("NAME", "hunter22"), ("KEY", "quo\"ted/value")]);
        let cases = [
            ("hunter22", "$NAME"),
            ("[\"hunter22", "[\"$NAME"),
            ("\u{feff}[\"hunter22\"]", "\u{feff}[\"$NAME\"]"),
            (
                "{\"a\": \"hunter22\"}\n{\"a\": \"\\u0068unter22\"}\n",
                "{\"a\": \"$NAME\"}\n{\"a\": \"$NAME\"}\n",
            ),
            ("{hunter22: 1}", "{$NAME: 1}"),
            ("[\"a\"] hunter22", "[\"a\"] $NAME"),
            ("{\"a\": \"quo\\\"ted\\/value\\\\", "{\"a\": \"$KEY\\\\"),
            ("a=hunter22&b=quo%22ted%2fvalue", "a=$NAME&b=$KEY"),
        ];
        for (before, after) in cases {
            assert_eq!(redacted(&patterns, before), after);
        }
        let bytes = [b"\xff\xfe[\"".as_slice(), b"hunter22", b"\"]\x00"].concat();
        assert_eq!(
            patterns.of(&bytes).unwrap().body,
            b"\xff\xfe[\"$NAME\"]\x00"
        );
    }
}
