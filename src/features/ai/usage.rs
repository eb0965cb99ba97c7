//! Tokens that an answer used, read from a copy of it. The answer itself is not touched.

use serde::Deserialize;
use serde_json::Value;

use super::sse::SseParser;

/// Largest answer without streaming whose usage is read.
const LARGEST_JSON: usize = 8 << 20;

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Read anew.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Read from the upstream's cache.
    pub cache_read_tokens: u64,
    /// Written to the upstream's cache.
    pub cache_write_tokens: u64,
}

#[derive(Deserialize)]
struct Wire {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl Usage {
    /// Takes over what a `usage` object says; later ones of a stream are cumulative.
    pub fn update(&mut self, usage: &Value) {
        let Ok(wire) = Wire::deserialize(usage) else {
            return;
        };
        for (field, value) in [
            (&mut self.input_tokens, wire.input_tokens),
            (&mut self.output_tokens, wire.output_tokens),
            (&mut self.cache_read_tokens, wire.cache_read_input_tokens),
            (
                &mut self.cache_write_tokens,
                wire.cache_creation_input_tokens,
            ),
        ] {
            *field = value.unwrap_or(*field);
        }
    }

    /// Adds another answer's tokens.
    pub fn add(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
        self.cache_read_tokens += other.cache_read_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
    }
}

/// Reads usage from the bytes of an answer.
pub enum UsageReader {
    /// A stream of events.
    Stream(Box<SseParser>, Usage),
    /// One JSON object, gathered until it is whole.
    Whole(Vec<u8>),
    /// Something without usage, or that cannot be read.
    Nothing,
}

impl UsageReader {
    /// A reader for an answer of this media type.
    pub fn new(content_type: &str) -> Self {
        if content_type.starts_with("text/event-stream") {
            Self::Stream(Box::default(), Usage::default())
        } else if content_type.starts_with("application/json") {
            Self::Whole(Vec::new())
        } else {
            Self::Nothing
        }
    }

    /// Takes a copy of the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Stream(parser, usage) => match parser.feed(bytes) {
                Ok(events) => {
                    for event in events {
                        // Only these two carry usage; the text in between need not be parsed.
                        let key = match event.name.as_str() {
                            "message_start" => "/message/usage",
                            "message_delta" => "/usage",
                            _ => continue,
                        };
                        if let Ok(data) = serde_json::from_str::<Value>(&event.data)
                            && let Some(found) = data.pointer(key)
                        {
                            usage.update(found);
                        }
                    }
                }
                Err(_) => *self = Self::Nothing,
            },
            Self::Whole(gathered) if gathered.len() + bytes.len() <= LARGEST_JSON => {
                gathered.extend_from_slice(bytes)
            }
            Self::Whole(_) => *self = Self::Nothing,
            Self::Nothing => {}
        }
    }

    /// What the bytes so far say.
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Stream(_, usage) => (*usage != Usage::default()).then_some(*usage),
            Self::Whole(gathered) => {
                let answer: Value = serde_json::from_slice(gathered).ok()?;
                let mut usage = Usage::default();
                usage.update(answer.get("usage")?);
                Some(usage)
            }
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_of_a_stream_however_it_is_cut() {
        let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":12,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\nevent: content_block_delta\ndata: {\"delta\":{\"text\":\"hi\"}}\n\nevent: message_delta\ndata: {\"usage\":{\"output_tokens\":40}}\n\n";
        for size in [1, 7, 4096] {
            let mut reader = UsageReader::new("text/event-stream; charset=utf-8");
            stream
                .as_bytes()
                .chunks(size)
                .for_each(|piece| reader.feed(piece));
            let usage = reader.usage().unwrap();
            assert_eq!(
                (
                    usage.input_tokens,
                    usage.output_tokens,
                    usage.cache_read_tokens
                ),
                (12, 40, 3)
            );
        }
    }

    #[test]
    fn usage_of_a_whole_answer_and_of_none() {
        let mut reader = UsageReader::new("application/json");
        reader.feed(b"{\"usage\":{\"input_tokens\":5,");
        assert_eq!(reader.usage(), None, "not whole yet");
        reader.feed(b"\"output_tokens\":6}}");
        assert_eq!(
            reader
                .usage()
                .map(|usage| (usage.input_tokens, usage.output_tokens)),
            Some((5, 6))
        );
        let mut reader = UsageReader::new("text/html");
        reader.feed(b"<html>");
        assert_eq!(reader.usage(), None);
    }
}
