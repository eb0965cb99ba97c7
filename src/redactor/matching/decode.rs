//! One level of escapes, undone, with the way back from what was found to where it stands.
//!
//! A decoded text is never longer than the text. A replaced span covers whole units only: what is around it is read as
//! before, on each level.

use std::ops::Range;

use super::escapes::{Escapes, Unit, next_unit};

/// How often escapes are undone, after the JSON string itself: JSON in JSON in JSON in JSON, then line breaks or percent
/// signs, then what is written out in the value. It is a bound because each level costs a pass over the text.
pub(super) const LEVELS: usize = 6;

/// `text` with its escapes undone, in place of what `into` held; false, and `into` as it was, when there are none.
pub(super) fn decode(text: &[u8], escapes: Escapes, into: &mut Vec<u8>) -> bool {
    let Some(mut unit) = next_unit(text, 0, escapes) else {
        return false;
    };
    into.clear();
    // At once and enough, so that no copy of a value stays behind where it grew.
    into.reserve(text.len());
    let mut at = 0;
    loop {
        into.extend_from_slice(text.get(at..unit.at).unwrap_or_default());
        into.extend_from_slice(unit.stands_for());
        at = unit.at + unit.len;
        match next_unit(text, at, escapes) {
            Some(next) => unit = next,
            None => break,
        }
    }
    into.extend_from_slice(text.get(at..).unwrap_or_default());
    true
}

/// Finds for places in a decoded text those in the text, in ascending order.
pub(super) struct Origins<'a> {
    text: &'a [u8],
    escapes: Escapes,
    /// A place in the text, between units, and the one in the decoded text that belongs to it.
    at: usize,
    decoded: usize,
    next: Option<Unit>,
}

impl<'a> Origins<'a> {
    pub(super) fn new(text: &'a [u8], escapes: Escapes) -> Self {
        Self {
            text,
            escapes,
            at: 0,
            decoded: 0,
            next: next_unit(text, 0, escapes),
        }
    }

    /// Where `span` of the decoded text comes from: whole units. No span may begin before the end of the last one.
    pub(super) fn of(&mut self, span: &Range<usize>) -> Range<usize> {
        let first = self.of_byte(span.start);
        let last = self.of_byte(span.end.saturating_sub(1).max(span.start));
        first.start..last.end
    }

    fn of_byte(&mut self, place: usize) -> Range<usize> {
        loop {
            let literal = self.at + place.saturating_sub(self.decoded);
            let Some(unit) = &self.next else {
                return literal..literal + 1;
            };
            if literal < unit.at {
                return literal..literal + 1;
            }
            let begins = self.decoded + (unit.at - self.at);
            if place < begins + unit.size {
                return unit.at..unit.at + unit.len;
            }
            self.at = unit.at + unit.len;
            self.decoded = begins + unit.size;
            self.next = next_unit(self.text, self.at, self.escapes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str, escapes: Escapes) -> Option<String> {
        let mut out = Vec::new();
        decode(text.as_bytes(), escapes, &mut out)
            .then(|| String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn escapes_stand_for_what_they_say() {
        let cases = [
            (r"a\nb\\c\u0041\/", "a\nb\\cA/"),
            (r"\ud83d\udd11\u20AC\xe9".trim_end_matches(r"\xe9"), "🔑€"),
            (r"\x41\'\$\ ", "A'$ "),
            ("%41%c3%A9%4", "Aé%4"),
            (
                "&amp;&#39;&#x1F511;&#x110000;&nope;&",
                "&'🔑&#x110000;&nope;&",
            ),
            ("go \\\non", "go on"),
            // What comes next is undone first.
            (r"%5C\\u006e", r"%5C\u006e"),
            (r"%5C\q%41", r"\\qA"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                decoded(text, Escapes::Any).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        for text in [
            "",
            "plain",
            r"\q \u00g0 \",
            "100% & more",
            "line\nline\r\n",
            "%4",
        ] {
            assert_eq!(decoded(text, Escapes::Any), None, "{text}");
        }
        assert_eq!(decoded("%41 &amp;", Escapes::Json), None);
        // Half of a pair is no character, but has its place.
        assert_eq!(
            decoded(r"a\ud83db", Escapes::Json).unwrap().chars().count(),
            5
        );
    }

    #[test]
    fn lines_are_joined_where_base64_or_hex_was_broken() {
        let line = "QUJD".repeat(10);
        let joined = |text: String| decoded(&text, Escapes::Any);
        assert_eq!(
            joined(format!("{line}\n  QUJD")),
            Some(format!("{line}QUJD"))
        );
        assert_eq!(
            joined(format!("{line}\r\nQUJD")),
            Some(format!("{line}QUJD"))
        );
        let line_of = |len: usize| format!("-{}\nQUJD", line.get(..len).unwrap());
        assert_eq!(joined(line_of(39)), None);
        assert!(joined(line_of(40)).is_some());
        assert_eq!(joined(format!("{line}\n\nQUJD")), None);
        assert_eq!(joined(format!("{line};\nQUJD")), None);
    }

    #[test]
    fn every_decoded_byte_comes_from_its_unit() {
        let pieces = [
            "a",
            "\\n",
            "\\u00e9",
            "\\ud83d\\udd11",
            "%41",
            "&amp;",
            "é",
            "\\",
            "%",
            "\\\n",
        ];
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..2000 {
            let mut text = String::new();
            for _ in 0..round % 40 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            }
            let bytes = text.as_bytes();
            let mut out = Vec::new();
            if !decode(bytes, Escapes::Any, &mut out) {
                continue;
            }
            let mut expected = Vec::new();
            let mut at = 0;
            while at < bytes.len() {
                let unit = next_unit(bytes, at, Escapes::Any).filter(|unit| unit.at == at);
                let (len, size) = unit.map_or((1, 1), |unit| (unit.len, unit.size));
                expected.extend(std::iter::repeat_n(at..at + len, size));
                at += len;
            }
            assert_eq!(out.len(), expected.len(), "{text:?}");
            let mut origins = Origins::new(bytes, Escapes::Any);
            let mut start = 0;
            while start < out.len() {
                let end = (start + 1 + start % 5).min(out.len());
                let span = expected[start].start..expected[end - 1].end;
                assert_eq!(origins.of(&(start..end)), span, "{text:?}");
                start = end;
            }
        }
    }
}
