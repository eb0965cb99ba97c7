//! Which strings of a request nobody may touch.
//!
//! Exempt is what the provider checks or made, in exactly the place where the provider takes it from:
//! - in a message's own content blocks: `thinking`, `signature` and `data` of a block of type "thinking" or
//!   "redacted_thinking", and `signature` of any other;
//! - `data` of the `source` of a block, there or in a tool's result, if the source is of type "base64".
//!
//! `signature`, and `data` in each case, must look like base64. The place matters: the input of a tool is whatever the model
//! or a client says, and an object in it that looks like a block is text to the provider. An object is not exempt
//! when one of the keys that decide is there twice with different types, when a field is there twice, or when it is no
//! string; keys count as what they say, however they are written. What is not exempt is no loss: it is searched as
//! all else, and an encrypted text or a picture holds no value by chance.

use std::ops::Range;

use super::decode;
use super::escapes::Escapes;

/// Objects and lists that lead to an exempt string, by where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A request, which holds messages.
    Top,
    /// A batch holds many.
    Requests,
    Request,
    Params,
    Messages,
    Message,
    Content,
    Block,
    /// What a tool answered, within a block.
    Result,
    ResultBlock,
    Source,
}

impl Place {
    /// What begins within `parent`, as the value of `key` if that is an object.
    fn within(parent: Option<Self>, key: &[u8], object: bool) -> Option<Self> {
        match (parent, key, object) {
            (None, _, true) => Some(Self::Top),
            (Some(Self::Top), b"requests", false) => Some(Self::Requests),
            (Some(Self::Requests), _, true) => Some(Self::Request),
            (Some(Self::Request), b"params", true) => Some(Self::Params),
            (Some(Self::Top | Self::Params), b"messages", false) => Some(Self::Messages),
            (Some(Self::Messages), _, true) => Some(Self::Message),
            (Some(Self::Message), b"content", false) => Some(Self::Content),
            (Some(Self::Content), _, true) => Some(Self::Block),
            (Some(Self::Block), b"content", false) => Some(Self::Result),
            (Some(Self::Result), _, true) => Some(Self::ResultBlock),
            (Some(Self::Block | Self::ResultBlock), b"source", true) => Some(Self::Source),
            _ => None,
        }
    }
}

/// Follows a reader through a body.
pub(super) struct Watch<'a> {
    body: &'a [u8],
    /// The outermost objects and lists, as long as each has a place.
    seen: Vec<Seen>,
    /// The key whose value comes next, as it is written.
    key: Range<usize>,
    exempt: Vec<Range<usize>>,
}

/// What an object or a list has held so far.
struct Seen {
    place: Place,
    kind: Option<Range<usize>>,
    thinking: Option<Range<usize>>,
    signature: Option<Range<usize>>,
    data: Option<Range<usize>>,
    /// Two readers could take it for two things.
    ambiguous: bool,
}

impl<'a> Watch<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            seen: Vec::new(),
            key: 0..0,
            exempt: Vec::new(),
        }
    }

    /// The contents of all exempt strings, in order.
    pub(super) fn exempt(mut self) -> Vec<Range<usize>> {
        self.exempt.sort_unstable_by_key(|range| range.start);
        self.exempt
    }

    /// A key in the object at `depth`; the outermost is at 1.
    pub(super) fn key(&mut self, key: Range<usize>, depth: usize) {
        if self.seen.len() == depth {
            self.key = key;
        }
    }

    /// A value in the object or list at `depth`: the content of a string, or something else.
    pub(super) fn value(&mut self, content: Option<Range<usize>>, depth: usize) {
        if self.seen.len() != depth {
            return;
        }
        let key = name(self.body, &self.key);
        let Some(seen) = self.seen.last_mut() else {
            return;
        };
        if !matches!(seen.place, Place::Block | Place::Source) {
            return;
        }
        let field = match key.as_slice() {
            b"type" => &mut seen.kind,
            b"thinking" => &mut seen.thinking,
            b"signature" => &mut seen.signature,
            b"data" => &mut seen.data,
            _ => return,
        };
        match (&field, content) {
            (None, Some(content)) => *field = Some(content),
            // Twice the same type says nothing new. Any other field that is there twice does.
            (Some(before), Some(content))
                if key == b"type" && name(self.body, before) == name(self.body, &content) => {}
            _ => seen.ambiguous = true,
        }
    }

    /// An object or a list begins, within `depth` others.
    pub(super) fn begin(&mut self, object: bool, depth: usize) {
        self.value(None, depth);
        if self.seen.len() != depth {
            return;
        }
        let parent = self.seen.last().map(|seen| seen.place);
        if let Some(place) = Place::within(parent, &name(self.body, &self.key), object) {
            self.seen.push(Seen {
                place,
                kind: None,
                thinking: None,
                signature: None,
                data: None,
                ambiguous: false,
            });
        }
    }

    /// The object or list at `depth` ends.
    pub(super) fn end(&mut self, depth: usize) {
        if self.seen.len() != depth {
            return;
        }
        let Some(seen) = self.seen.pop() else {
            return;
        };
        if seen.ambiguous {
            return;
        }
        let kind = seen.kind.map(|kind| name(self.body, &kind));
        let (thinking, signature, data) = match (seen.place, kind.as_deref()) {
            (Place::Block, Some(b"thinking" | b"redacted_thinking")) => {
                (seen.thinking, seen.signature, seen.data)
            }
            (Place::Block, _) => (None, seen.signature, None),
            (Place::Source, Some(b"base64")) => (None, None, seen.data),
            _ => (None, None, None),
        };
        let encoded = [signature, data].into_iter().flatten();
        let encoded = encoded.filter(|content| is_base64(self.body, content));
        self.exempt.extend(thinking);
        self.exempt.extend(encoded);
    }
}

/// What a short string says; nothing for one that is too long to be any name that is asked for.
fn name(body: &[u8], content: &Range<usize>) -> Vec<u8> {
    let written = body.get(content.clone()).unwrap_or_default();
    let mut says = Vec::new();
    // Each character may be written with six.
    if written.len() <= 6 * 32 && !decode::decode(written, Escapes::Json, &mut says) {
        says.extend_from_slice(written);
    }
    says
}

fn is_base64(body: &[u8], content: &Range<usize>) -> bool {
    let mut text = body.get(content.clone()).unwrap_or_default();
    let other = |byte: &u8| !(byte.is_ascii_alphanumeric() | matches!(byte, b'+' | b'/' | b'='));
    loop {
        // 32 at a time without a branch, which becomes vector code: a picture is long.
        let (chunks, _) = text.as_chunks::<32>();
        let any = |chunk: &[u8; 32]| chunk.iter().fold(false, |any, byte| any | other(byte));
        let plain = 32 * chunks.iter().position(any).unwrap_or(chunks.len());
        text = text.get(plain..).unwrap_or_default();
        let Some(escape) = text.iter().position(other) else {
            return true;
        };
        // Some write the slash with a backslash.
        match text
            .get(escape..)
            .and_then(|rest| rest.strip_prefix(b"\\/"))
        {
            Some(rest) => text = rest,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{patterns, redacted};

    /// The value is base64 itself, so that its looks do not decide.
    const VALUE: &str = "hunter22hunter22";

    fn blocks(blocks: &str) -> String {
        format!(r#"{{"messages": [{{"role": "assistant", "content": [{blocks}]}}]}}"#)
    }

    /// How often the value is left in a body.
    fn left(body: &str) -> usize {
        let body = body.replace('@', VALUE);
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
        let out = redacted(&patterns(&[("NAME", VALUE)]), &body);
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
        let before = body.matches(VALUE).count();
        let (left, put) = (out.matches(VALUE).count(), out.matches("$NAME").count());
        assert_eq!(left + put, before, "{out}");
        left
    }

    #[test]
    fn what_the_provider_checks_is_not_touched() {
        let cases = [
            (
                r#"{"type": "thinking", "thinking": "so @ is", "signature": "@="}"#,
                2,
            ),
            (
                r#"{"thinking": "@", "signature": "@+\/", "type": "thinking"}"#,
                2,
            ),
            (r#"{"data": "@", "type": "redacted_thinking"}"#, 1),
            (r#"{"\u0074ype": "th\u0069nking", "thin\u006bing": "@"}"#, 1),
            (
                r#"{"type": "thinking", "type": "thinking", "thinking": "@"}"#,
                1,
            ),
            (r#"{"type": "tool_use", "signature": "@", "input": "@"}"#, 1),
            (
                r#"{"type": "image", "source": {"data": "@", "type": "base64"}}"#,
                1,
            ),
            (
                r#"{"type": "tool_result", "content": [{"type": "image", "source": {"type": "base64", "data": "@"}}]}"#,
                1,
            ),
            (
                r#"{"type": "text", "text": "@"}, {"type": "thinking", "thinking": "@"}, {"type": "text", "text": "@"}"#,
                1,
            ),
        ];
        for (block, kept) in cases {
            let body = blocks(block);
            assert_eq!(left(&body), kept, "{block}");
            // A batch.
            let batch = format!(r#"{{"requests": [{{"custom_id": "1", "params": {body}}}]}}"#);
            assert_eq!(left(&batch), kept, "{block}");
        }
    }

    #[test]
    fn a_block_that_could_be_something_else_is_searched() {
        let cases = [
            // Not that type, not that field.
            r#"{"type": "text", "thinking": "@", "data": "@"}"#,
            r#"{"thinking": "@"}"#,
            r#"{"type": "thinking ", "thinking": "@"}"#,
            r#"{"type": "Thinking", "thinking": "@"}"#,
            r#"{"type": ["thinking"], "thinking": "@"}"#,
            r#"{"type": "thinking", "text": "@"}"#,
            r#"{"type": "thinking", "@": 1}"#,
            // Two types, or two of a field: readers differ in which one counts.
            r#"{"type": "thinking", "type": "text", "thinking": "@"}"#,
            r#"{"type": "text", "thinking": "@", "type": "thinking"}"#,
            r#"{"type": "thinking", "\u0074ype": "text", "thinking": "@"}"#,
            r#"{"type": "thinking", "type": null, "thinking": "@"}"#,
            r#"{"type": "thinking", "thinking": "@", "thinking": "b"}"#,
            r#"{"type": "thinking", "thinking": "b", "thinkin\u0067": "@"}"#,
            r#"{"type": "thinking", "thinking": {"thinking": "@"}}"#,
            // What is checked looks like base64.
            r#"{"type": "thinking", "signature": "see @"}"#,
            r#"{"type": "redacted_thinking", "data": "\u0020@"}"#,
            r#"{"type": "image", "source": {"type": "base64", "data": "text @"}}"#,
            r#"{"type": "document", "source": {"type": "text", "data": "@"}}"#,
            r#"{"type": "image", "source": {"type": "base64", "type": "text", "data": "@"}}"#,
            r#"{"type": "image", "source": {"type": "base64", "signature": "@", "thinking": "@"}}"#,
            r#"{"type": "base64", "data": "@"}"#,
            // Not where the provider takes a block from.
            r#"{"type": "tool_use", "input": {"type": "thinking", "thinking": "@", "signature": "@"}}"#,
            r#"{"type": "tool_use", "input": {"content": [{"type": "thinking", "thinking": "@"}]}}"#,
            r#"{"type": "tool_use", "input": {"source": {"type": "base64", "data": "@"}}}"#,
            r#"{"type": "tool_result", "content": [{"type": "thinking", "thinking": "@", "signature": "@"}]}"#,
            r#"[{"type": "thinking", "thinking": "@"}]"#,
            r#"{"type": "text", "citations": [{"source": {"type": "base64", "data": "@"}}]}"#,
        ];
        for block in cases {
            assert_eq!(left(&blocks(block)), 0, "{block}");
        }
        let thinking = r#"{"type": "thinking", "thinking": "@", "signature": "@"}"#;
        for body in [
            thinking.to_owned(),
            format!("[{thinking}]"),
            format!(r#"{{"system": [{thinking}]}}"#),
            format!(r#"{{"tools": [{{"input_schema": {thinking}}}]}}"#),
            format!(r#"{{"messages": {{"content": [{thinking}]}}}}"#),
            format!(r#"{{"messages": [{{"content": {thinking}}}]}}"#),
            format!(r#"{{"x": {{"messages": [{{"content": [{thinking}]}}]}}}}"#),
            format!(r#"[{{"messages": [{{"content": [{thinking}]}}]}}]"#),
        ] {
            assert_eq!(left(&body), 0, "{body}");
        }
        // Not valid: then nobody knows what the provider takes it for.
        let cut = blocks(thinking).replace('@', VALUE);
        let out = redacted(&patterns(&[("NAME", VALUE)]), &cut[..cut.len() - 1]);
        assert!(!out.contains(VALUE));
    }
}
