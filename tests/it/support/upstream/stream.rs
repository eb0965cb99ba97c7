//! A turn in the API's own shapes: one JSON message, or the events of a stream.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};

use super::script::{Block, Turn};

/// A message on its way out.
pub struct Message {
    id: String,
    model: Value,
    content: Vec<Value>,
    stop_reason: String,
    input_tokens: usize,
    output_tokens: usize,
}

impl Message {
    /// The answer number `count` to the request `body`.
    pub fn new(body: &Value, turn: &Turn, count: usize) -> Self {
        let content: Vec<Value> = turn
            .blocks
            .iter()
            .enumerate()
            .map(|(at, block)| match block {
                Block::Text(text) => json!({"type": "text", "text": text}),
                Block::ToolUse { name, input } => json!({"type": "tool_use", "id": format!("toolu_{count:04}{at:020}"), "name": name, "input": input}),
            })
            .collect();
        Self {
            id: format!("msg_{count:024}"),
            model: body["model"].clone(),
            output_tokens: tokens(json!(content).to_string().as_bytes()),
            content,
            stop_reason: turn.stop().to_owned(),
            input_tokens: tokens(body.to_string().as_bytes()),
        }
    }

    /// The answer without streaming.
    pub fn whole(&self) -> Value {
        json!({
            "id": self.id, "type": "message", "role": "assistant", "model": self.model, "content": self.content,
            "stop_reason": self.stop_reason, "stop_sequence": null, "usage": self.usage(self.output_tokens),
        })
    }

    /// The events of a stream, each as it stands on the wire.
    pub fn events(&self) -> Vec<String> {
        let mut start = self.whole();
        start["content"] = json!([]);
        start["stop_reason"] = Value::Null;
        start["usage"] = self.usage(1);
        let mut events = vec![event(&json!({"type": "message_start", "message": start}))];
        for (index, block) in self.content.iter().enumerate() {
            let is_text = block["type"] == "text";
            let mut empty = block.clone();
            empty[if is_text { "text" } else { "input" }] =
                if is_text { json!("") } else { json!({}) };
            events.push(event(
                &json!({"type": "content_block_start", "index": index, "content_block": empty}),
            ));
            if index == 0 {
                events.push(event(&json!({"type": "ping"})));
            }
            let deltas: Vec<Value> = if is_text {
                let text = block["text"].as_str().unwrap_or_default();
                pieces(text)
                    .into_iter()
                    .map(|piece| json!({"type": "text_delta", "text": piece}))
                    .collect()
            } else {
                // The real API begins every tool's input with an empty piece.
                let input = block["input"].to_string();
                let pieces = std::iter::once(String::new()).chain(pieces(&input));
                pieces
                    .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                    .collect()
            };
            events.extend(deltas.iter().map(|delta| {
                event(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
            }));
            events.push(event(
                &json!({"type": "content_block_stop", "index": index}),
            ));
        }
        let delta = json!({"stop_reason": self.stop_reason, "stop_sequence": null});
        events.push(event(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": self.output_tokens}})));
        events.push(event(&json!({"type": "message_stop"})));
        events
    }

    fn usage(&self, output: usize) -> Value {
        json!({"input_tokens": self.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": output, "service_tier": "standard"})
    }
}

/// The events as the turn wants them sent: slow, in odd pieces, broken or cut.
pub fn bytes(
    mut events: Vec<String>,
    turn: &Turn,
) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    if let Some((after, failure)) = &turn.breaks {
        events.truncate(*after);
        events.push(event(&failure.body()));
    }
    if let Some(after) = turn.cut {
        events.truncate(after);
    }
    let pieces: Vec<Vec<u8>> = match turn.chop {
        0 => events.into_iter().map(String::into_bytes).collect(),
        size => events
            .concat()
            .into_bytes()
            .chunks(size)
            .map(<[u8]>::to_vec)
            .collect(),
    };
    let delay = turn.delay;
    let sent = stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(delay).await;
        Ok::<_, Infallible>(Bytes::from(piece))
    });
    let ending = turn
        .cut
        .map(|_| Err(io::Error::other("the script cuts the connection here")));
    sent.map(|piece| piece.map_err(|never| match never {}))
        .chain(stream::iter(ending))
}

/// About four bytes make a token.
pub fn tokens(text: &[u8]) -> usize {
    text.len().div_ceil(4)
}

fn event(data: &Value) -> String {
    format!(
        "event: {}\ndata: {data}\n\n",
        data["type"].as_str().unwrap_or_default()
    )
}

/// Pieces of some characters each, as a model's tokens come.
fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters
        .chunks(12)
        .map(|piece| piece.iter().collect())
        .collect()
}
