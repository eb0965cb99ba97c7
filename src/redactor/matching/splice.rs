//! Puts placeholders in place of what was found.
//!
//! A string of a JSON body is worked on by itself: nothing that is put in can end it. A body that is no JSON is one text.
//! In each text, all levels are searched, the hits are brought back to the places where they stand, and each is replaced,
//! those that overlap as one: what one value covers of another must not leave the other's rest. Then the same again, until there is no hit: what is put in may make a form together with what
//! stood before it.
//!
//! That could go on for ever only with values which look like placeholders themselves. A value, or any form of it, that
//! stands within a placeholder is not looked for at all. For those that reach over the edge of one, there is an end after
//! [`PASSES`]: then the whole text becomes one placeholder, in which no form can be.

use std::cmp::Reverse;
use std::ops::Range;

use super::TooCostly;
use super::decode::{self, LEVELS, Origins};
use super::escapes::Escapes;
use super::finder::Finder;
use super::strings::{self, Token};

/// The most places in one text, and the most bytes of what comes out. Whoever writes one value a million times, or has a long
/// name for a short one, is told that it is too much.
const MOST_SPANS: usize = 200_000;
const MOST_OUT: usize = 33 << 20;

/// How often one text is gone over. Two are usual: one that finds, and one that sees that nothing is left.
const PASSES: usize = 8;

/// The longest part of a name that is put in. Shells take longer ones, people do not write them.
const LONGEST_NAME: usize = 256;

/// What is put in for a variable.
pub(super) struct Placeholder {
    plain: Vec<u8>,
    braced: Vec<u8>,
}

impl Placeholder {
    /// What no shell takes in a name becomes "_", and so nothing in a placeholder needs an escape anywhere.
    pub(super) fn of(name: &str) -> Self {
        let word = |byte| if is_word(byte) { byte } else { b'_' };
        let name: Vec<u8> = name.bytes().take(LONGEST_NAME).map(word).collect();
        Self {
            plain: [b"$", name.as_slice()].concat(),
            braced: [b"${", name.as_slice(), b"}"].concat(),
        }
    }

    /// `$NAME`
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// `${NAME}`, for where a character of a name follows.
    pub(super) fn braced(&self) -> &[u8] {
        &self.braced
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// A part of a text that becomes a placeholder.
#[derive(Debug, Clone)]
struct Span {
    at: Range<usize>,
    owner: usize,
    braced: bool,
}

/// A text that is put in place of another, with the owner of each placeholder in it.
struct Edit {
    at: Range<usize>,
    put: Vec<u8>,
    owners: Vec<usize>,
}

/// What became of a body. The counts are by the place in `names`.
pub(super) struct Spliced {
    /// With placeholders.
    pub(super) body: Vec<u8>,
    /// How often each name was put in.
    pub(super) found: Vec<u32>,
    /// How often each name stays where nobody may touch it.
    pub(super) kept: Vec<u32>,
    /// Whether the body is JSON. Then there is nothing left to find.
    valid: bool,
}

/// A body with placeholders; none without a hit.
///
/// # Errors
/// [`TooCostly`]
pub(super) fn redact(
    finder: &Finder,
    names: &[(String, Placeholder)],
    body: &[u8],
) -> Result<Option<Spliced>, TooCostly> {
    let Some(mut done) = once(finder, names, body)? else {
        return Ok(None);
    };
    // What was no JSON may have become JSON, and is another text then.
    for _ in 0..PASSES {
        if done.valid {
            break;
        }
        let Some(mut again) = once(finder, names, &done.body)? else {
            break;
        };
        for (times, more) in again.found.iter_mut().zip(&done.found) {
            *times = times.saturating_add(*more);
        }
        done = again;
    }
    Ok(Some(done))
}

fn once(
    finder: &Finder,
    names: &[(String, Placeholder)],
    body: &[u8],
) -> Result<Option<Spliced>, TooCostly> {
    let mut work = Work {
        finder,
        names,
        levels: Vec::new(),
        owners: Vec::new(),
        too_costly: false,
    };
    let mut edits: Vec<Edit> = Vec::new();
    let exempt = strings::read(body, |token| {
        let (at, put) = match token {
            Token::String(at) => {
                let put = work.text(body.get(at.clone()).unwrap_or_default(), Escapes::Json);
                (at, put)
            }
            Token::Number(at) => {
                let put = work.number(body.get(at.clone()).unwrap_or_default());
                (at, put)
            }
        };
        if let Some(put) = put {
            let owners = std::mem::take(&mut work.owners);
            edits.push(Edit { at, put, owners });
        }
    });
    let valid = exempt.is_some();
    let mut kept = vec![0_u32; names.len()];
    match exempt {
        // Only now it is known what stands around a string.
        Some(exempt) => edits.retain(|edit| {
            let among = exempt.binary_search_by_key(&edit.at.start, |one| one.start);
            if among.is_ok() {
                count(&mut kept, &edit.owners);
            }
            among.is_err()
        }),
        None => {
            work.owners.clear();
            edits.clear();
            if let Some(put) = work.text(body, Escapes::Any) {
                let at = 0..body.len();
                let owners = std::mem::take(&mut work.owners);
                edits.push(Edit { at, put, owners });
            }
        }
    }
    let out: usize = edits.iter().map(|edit| edit.put.len()).sum();
    if work.too_costly || body.len().saturating_add(out) > 2 * MOST_OUT {
        return Err(TooCostly);
    }
    if edits.is_empty() && kept.iter().all(|times| *times == 0) {
        return Ok(None);
    }
    let (body, found) = apply(&edits, body, names.len());
    if body.len() > MOST_OUT {
        return Err(TooCostly);
    }
    Ok(Some(Spliced {
        body,
        found,
        kept,
        valid,
    }))
}

fn count(times: &mut [u32], owners: &[usize]) {
    for owner in owners {
        if let Some(times) = times.get_mut(*owner) {
            *times = times.saturating_add(1);
        }
    }
}

fn apply(edits: &[Edit], body: &[u8], names: usize) -> (Vec<u8>, Vec<u32>) {
    let mut found = vec![0_u32; names];
    let mut out = Vec::with_capacity(body.len());
    let mut copied = 0;
    for edit in edits {
        out.extend_from_slice(body.get(copied..edit.at.start).unwrap_or_default());
        out.extend_from_slice(&edit.put);
        copied = edit.at.end;
        count(&mut found, &edit.owners);
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    (out, found)
}

struct Work<'a> {
    finder: &'a Finder,
    names: &'a [(String, Placeholder)],
    /// Buffers for decoded texts, kept from one string to the next.
    levels: Vec<Vec<u8>>,
    /// Of the placeholders that were put in.
    owners: Vec<usize>,
    /// Something was given up; what came out is nothing to use.
    too_costly: bool,
}

impl Work<'_> {
    /// `text` with placeholders; none without a hit. It is written in the escapes that are given.
    fn text(&mut self, text: &[u8], written: Escapes) -> Option<Vec<u8>> {
        let spans = self.spans(text, written);
        if spans.is_empty() {
            return None;
        }
        let mut out = self.replace(text, &spans);
        for _ in 1..PASSES {
            let spans = self.spans(&out, written);
            if spans.is_empty() || self.too_costly {
                return Some(out);
            }
            out = self.replace(&out, &spans);
        }
        match self.spans(&out, written).first() {
            None => Some(out),
            Some(one) => Some(self.placeholder(one.owner, false)),
        }
    }

    /// A number that is a value becomes a string: there is no other way to name the variable in its place.
    fn number(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let mut owner = None;
        let whole = self
            .finder
            .find_all(text, |hit| owner = owner.or(Some(hit.owner)));
        self.too_costly |= !whole;
        let placeholder = self.placeholder(owner?, false);
        Some([b"\"", placeholder.as_slice(), b"\""].concat())
    }

    fn placeholder(&mut self, owner: usize, braced: bool) -> Vec<u8> {
        self.owners.push(owner);
        let placeholder = self.names.get(owner).map(|(_, placeholder)| placeholder);
        let text = placeholder.map(|one| if braced { one.braced() } else { one.plain() });
        text.unwrap_or_default().to_vec()
    }

    fn replace(&mut self, text: &[u8], spans: &[Span]) -> Vec<u8> {
        let put = |span: &Span| {
            self.names
                .get(span.owner)
                .map_or(0, |(_, placeholder)| placeholder.braced().len())
        };
        let put: usize = spans.iter().map(put).sum();
        if text.len().saturating_add(put) > 2 * MOST_OUT {
            self.too_costly = true;
            return Vec::new();
        }
        let mut out = Vec::with_capacity(text.len());
        let mut copied = 0;
        for span in spans {
            out.extend_from_slice(text.get(copied..span.at.start).unwrap_or_default());
            out.extend_from_slice(&self.placeholder(span.owner, span.braced));
            copied = span.at.end;
        }
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        out
    }

    /// What is to be replaced in `text`, from left to right, without overlaps.
    fn spans(&mut self, text: &[u8], written: Escapes) -> Vec<Span> {
        let mut all: Vec<Span> = Vec::new();
        // A JSON string is not what it is written as: its first level is what it says.
        let json = written == Escapes::Json && self.decode(text, 0, Escapes::Json);
        let first = usize::from(json);
        let mut depth = first;
        loop {
            let mut new: Vec<Span> = Vec::new();
            let here = level(text, &self.levels, depth);
            let whole = self.finder.find_all(here, |hit| match new.last_mut() {
                Some(last) if hit.start < last.at.end => {
                    if hit.end > last.at.end {
                        last.at.end = hit.end;
                        last.braced = word_at(here, hit.end);
                    }
                }
                _ => new.push(Span {
                    at: hit.start..hit.end,
                    owner: hit.owner,
                    braced: word_at(here, hit.end),
                }),
            });
            if !whole || all.len() + new.len() > MOST_SPANS {
                self.too_costly = true;
                return Vec::new();
            }
            for above in (0..depth).rev() {
                let escapes = if above < first {
                    Escapes::Json
                } else {
                    Escapes::Any
                };
                bring_up(&mut new, level(text, &self.levels, above), escapes);
            }
            all.append(&mut new);
            // What is no JSON may be a part of one: then its first level is an escape like others.
            let most = LEVELS + usize::from(json || written == Escapes::Any);
            if depth == most || !self.decode(text, depth, Escapes::Any) {
                break;
            }
            depth += 1;
        }
        if written == Escapes::Json {
            for span in &mut all {
                span.at = whole_characters(text, &span.at);
                // Another place may be its end now.
                span.braced |= word_at(text, span.at.end);
            }
        }
        joined(all)
    }

    /// Decodes the level at `depth` into the next one.
    fn decode(&mut self, text: &[u8], depth: usize, escapes: Escapes) -> bool {
        if self.levels.len() <= depth {
            self.levels.resize_with(depth + 1, Vec::new);
        }
        let (above, below) = self.levels.split_at_mut(depth);
        let here = level(text, above, depth);
        below
            .first_mut()
            .is_some_and(|into| decode::decode(here, escapes, into))
    }
}

/// The text itself, and then what it says, level by level.
fn level<'a>(text: &'a [u8], levels: &'a [Vec<u8>], depth: usize) -> &'a [u8] {
    match depth.checked_sub(1) {
        None => text,
        Some(index) => levels.get(index).map(Vec::as_slice).unwrap_or_default(),
    }
}

/// Places in a decoded text become those in the text `above`.
fn bring_up(spans: &mut Vec<Span>, above: &[u8], escapes: Escapes) {
    let mut origins = Origins::new(above, escapes);
    let mut end = 0;
    spans.retain_mut(|span| {
        span.at = origins.of(&span.at);
        // What comes from one character may have been two hits; the second waits for the next pass.
        let apart = span.at.start >= end;
        end = end.max(span.at.end);
        // Whoever reads this level must see where the name ends, too. In JSON as it is written, nobody does.
        if escapes == Escapes::Any {
            let line_ends = matches!(above.get(span.at.end), Some(b'\n' | b'\r'));
            span.braced = !line_ends && (span.braced || word_at(above, span.at.end));
        }
        apart
    });
}

fn word_at(text: &[u8], at: usize) -> bool {
    text.get(at).is_some_and(|byte| is_word(*byte))
}

/// A value whose bytes are no text may begin within a character. Half of one is none.
fn whole_characters(text: &[u8], span: &Range<usize>) -> Range<usize> {
    let inner = |at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let Range { mut start, mut end } = *span;
    while start > 0 && inner(start) {
        start -= 1;
    }
    while inner(end) {
        end += 1;
    }
    start..end
}

/// Spans that overlap become one, with the name of the leftmost, of those that begin together the longest, of the same ones the
/// first in order of names.
fn joined(mut all: Vec<Span>) -> Vec<Span> {
    all.sort_unstable_by_key(|span| (span.at.start, Reverse(span.at.end), span.owner, span.braced));
    let mut kept: Vec<Span> = Vec::new();
    for span in all {
        match kept.last_mut() {
            // Found on several levels, or with others; each has a say in what follows it.
            Some(last) if span.at.start < last.at.end => {
                last.at.end = last.at.end.max(span.at.end);
                last.braced |= span.braced;
            }
            _ => kept.push(span),
        }
    }
    kept
}
