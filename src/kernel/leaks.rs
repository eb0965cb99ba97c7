//! In debug builds: whether a text holds a secret of this process, so that the log can leave the line out and say so.
//!
//! What is remembered of each [`Secret`](super::Secret) are keyed hashes of it and of its usual encodings, never the value:
//! the memory of a debug build is searched for values, too. Release builds have none of this.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Values shorter than this, in bytes, are not looked for: they stand in many texts by chance.
const SHORTEST: usize = 12;
/// The first bytes of a value, which are looked up at each place of a text.
const WINDOW: usize = 8;
/// So many encodings are remembered, the last ones.
const MOST: usize = 16_384;

static KNOWN: LazyLock<Known> = LazyLock::new(Known::default);

/// Remembers a value.
pub fn remember(value: &[u8]) {
    KNOWN.remember(value);
}

/// Whether a value that was remembered stands in `text`, plain or encoded.
#[must_use]
pub fn holds_secret(text: &[u8]) -> bool {
    KNOWN.stand_in(text)
}

#[derive(Default)]
struct Known {
    key: RandomState,
    hashes: Mutex<Hashes>,
}

#[derive(Default)]
struct Hashes {
    /// By the hash of the first bytes and the length: hashes of the whole.
    by_start: HashMap<u64, HashMap<usize, HashSet<u64>>>,
    /// All three in the order in which they came.
    order: VecDeque<(u64, usize, u64)>,
}

impl Known {
    fn remember(&self, value: &[u8]) {
        if value.len() < SHORTEST {
            return;
        }
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        for form in forms(value) {
            let Some(start) = form.get(..WINDOW) else {
                continue;
            };
            let start = self.key.hash_one(start);
            hashes.add(start, form.len(), self.key.hash_one(form.as_slice()));
        }
    }

    fn stand_in(&self, text: &[u8]) -> bool {
        let hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if hashes.order.is_empty() {
            return false;
        }
        text.windows(WINDOW).enumerate().any(|(at, window)| {
            let starting = hashes.by_start.get(&self.key.hash_one(window));
            starting.is_some_and(|known| {
                known.iter().any(|(length, hashes)| {
                    let whole = text.get(at..at + length);
                    whole.is_some_and(|whole| hashes.contains(&self.key.hash_one(whole)))
                })
            })
        })
    }
}

impl Hashes {
    fn add(&mut self, start: u64, length: usize, whole: u64) {
        let lengths = self.by_start.entry(start).or_default();
        if !lengths.entry(length).or_default().insert(whole) {
            return;
        }
        self.order.push_back((start, length, whole));
        if self.order.len() > MOST
            && let Some((start, length, whole)) = self.order.pop_front()
            && let Some(lengths) = self.by_start.get_mut(&start)
            && let Some(hashes) = lengths.get_mut(&length)
        {
            hashes.remove(&whole);
            if hashes.is_empty() {
                lengths.remove(&length);
            }
            if lengths.is_empty() {
                self.by_start.remove(&start);
            }
        }
    }
}

/// The value and its encodings, as they would stand in a line. Base64 may begin anywhere in a group of three bytes, and its
/// last character depends on what follows.
fn forms(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(value.to_vec())];
    if let Ok(text) = std::str::from_utf8(value) {
        let quoted = serde_json::to_vec(text).unwrap_or_default();
        let inside = quoted.get(1..quoted.len().saturating_sub(1));
        forms.push(Zeroizing::new(inside.unwrap_or_default().to_vec()));
        // As `Debug` writes it inside of quotation marks.
        forms.push(Zeroizing::new(text.escape_debug().to_string().into_bytes()));
    }
    let escaped: String = url::form_urlencoded::byte_serialize(value).collect();
    forms.push(Zeroizing::new(escaped.into_bytes()));
    for upper in [false, true] {
        let hex = value.iter().flat_map(|byte| {
            let digits = if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            };
            digits.into_bytes()
        });
        forms.push(Zeroizing::new(hex.collect()));
    }
    for skipped in 0..3 {
        let whole = value.get(skipped..).unwrap_or_default();
        let whole = whole.get(..whole.len() / 3 * 3).unwrap_or_default();
        forms.push(Zeroizing::new(
            BASE64_STANDARD_NO_PAD.encode(whole).into_bytes(),
        ));
        forms.push(Zeroizing::new(
            BASE64_URL_SAFE_NO_PAD.encode(whole).into_bytes(),
        ));
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_every_form_and_no_other_text_is() {
        let known = Known::default();
        let value = b"a \"value\" that nobody sees/\xc3\xa9";
        known.remember(value);
        known.remember(b"short");
        let base64 = |before: &str| {
            let whole = [before.as_bytes(), value, b" and more"].concat();
            BASE64_STANDARD_NO_PAD.encode(whole)
        };
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        for said in [
            "before a \"value\" that nobody sees/é after".to_owned(),
            format!("{:?}", "a \"value\" that nobody sees/é"),
            serde_json::json!({"text": "a \"value\" that nobody sees/é"}).to_string(),
            "q=a+%22value%22+that+nobody+sees%2F%C3%A9".to_owned(),
            hex.to_uppercase(),
            hex,
            base64(""),
            base64("x"),
            base64("xy"),
        ] {
            assert!(known.stand_in(said.as_bytes()), "{said}");
        }
        for said in ["a \"value\" that nobody saw", "short", "", "a"] {
            assert!(!known.stand_in(said.as_bytes()), "{said}");
        }
    }

    #[test]
    fn the_oldest_is_forgotten_and_the_newest_is_not() {
        let known = Known::default();
        let value = |number: usize| format!("value number {number:08}").into_bytes();
        let last = MOST / 4;
        for number in 0..=last {
            known.remember(&value(number));
        }
        assert_eq!(known.hashes.lock().unwrap().order.len(), MOST);
        assert!(known.stand_in(&value(last)));
        assert!(!known.stand_in(&value(0)));
    }
}
