//! An answer of the model, put together from the events of its stream. Pure.

use serde_json::{Value, json};

use super::super::sse::SseEvent;
use super::super::usage::Usage;

/// What an event of the stream means for whoever listens.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// More text to show.
    Text(String),
    /// The answer is complete.
    End,
    /// The upstream broke off, in its words.
    Error(String),
    /// Nothing to show.
    Quiet,
}

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Reply {
    blocks: Vec<Block>,
    /// The model's word for why it ended.
    pub stop_reason: Option<String>,
    /// What it cost.
    pub usage: Usage,
}

#[derive(Debug)]
struct Block {
    value: Value,
    /// The pieces of a tool call's arguments.
    input: String,
    closed: bool,
}

/// A tool call of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The upstream's name for it.
    pub id: String,
    /// The tool's name as the model wrote it.
    pub name: String,
    /// Its arguments; `None` when they were cut off or are no JSON.
    pub input: Option<Value>,
}

impl Reply {
    /// Takes the next event.
    pub fn take(&mut self, event: &SseEvent) -> Step {
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else {
            return Step::Quiet;
        };
        match data
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or(&event.name)
        {
            "message_start" => {
                if let Some(usage) = data.pointer("/message/usage") {
                    self.usage.update(usage);
                }
            }
            "content_block_start" => {
                if let Some(value) = data.get("content_block") {
                    self.blocks.push(Block {
                        value: value.clone(),
                        input: String::new(),
                        closed: false,
                    });
                }
            }
            "content_block_delta" => return self.delta(data.get("delta").unwrap_or(&Value::Null)),
            "content_block_stop" => self.close(),
            "message_delta" => {
                if let Some(reason) = data.pointer("/delta/stop_reason").and_then(Value::as_str) {
                    self.stop_reason = Some(reason.to_owned());
                }
                if let Some(usage) = data.get("usage") {
                    self.usage.update(usage);
                }
            }
            "message_stop" => return Step::End,
            "error" => {
                let message = data
                    .pointer("/error/message")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason given");
                return Step::Error(message.chars().take(500).collect());
            }
            // Pings, and what may come in future.
            _ => {}
        }
        Step::Quiet
    }

    fn delta(&mut self, delta: &Value) -> Step {
        let Some(block) = self.blocks.last_mut() else {
            return Step::Quiet;
        };
        let text = |key: &str| delta.get(key).and_then(Value::as_str).unwrap_or_default();
        match delta
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
        {
            "text_delta" => {
                append(&mut block.value, "text", text("text"));
                return Step::Text(text("text").to_owned());
            }
            "input_json_delta" => block.input.push_str(text("partial_json")),
            "thinking_delta" => append(&mut block.value, "thinking", text("thinking")),
            "signature_delta" => append(&mut block.value, "signature", text("signature")),
            _ => {}
        }
        Step::Quiet
    }

    fn close(&mut self) {
        let Some(block) = self.blocks.last_mut() else {
            return;
        };
        block.closed = true;
        if is_call(&block.value)
            && !block.input.is_empty()
            && let Ok(input) = serde_json::from_str::<Value>(&block.input)
            && let Some(value) = block.value.as_object_mut()
        {
            value.insert("input".to_owned(), input);
            block.input.clear();
        }
    }

    /// The content as the next request must repeat it. When the answer broke off, only what can stand alone.
    pub fn content(&self, broke_off: bool) -> Vec<Value> {
        self.blocks
            .iter()
            .filter(
                |block| match block.value.get("type").and_then(Value::as_str) {
                    // The API refuses empty text when it is sent back.
                    Some("text") => block
                        .value
                        .get("text")
                        .and_then(Value::as_str)
                        .is_some_and(|text| !text.trim().is_empty()),
                    _ => !broke_off,
                },
            )
            .map(|block| {
                let mut value = block.value.clone();
                // Arguments that are no JSON cannot be repeated; the call's result says what happened.
                if is_call(&value)
                    && !value.get("input").is_some_and(Value::is_object)
                    && let Some(call) = value.as_object_mut()
                {
                    call.insert("input".to_owned(), json!({}));
                }
                value
            })
            .collect()
    }

    /// The tool calls, in their order.
    pub fn calls(&self) -> Vec<Call> {
        self.blocks
            .iter()
            .filter(|block| is_call(&block.value))
            .map(|block| {
                let text = |key: &str| {
                    block
                        .value
                        .get(key)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let whole = block.closed && block.input.is_empty();
                let input = block
                    .value
                    .get("input")
                    .filter(|input| whole && input.is_object())
                    .cloned();
                Call {
                    id: text("id"),
                    name: text("name"),
                    input,
                }
            })
            .collect()
    }
}

fn is_call(value: &Value) -> bool {
    value.get("type").and_then(Value::as_str) == Some("tool_use")
}

fn append(value: &mut Value, key: &str, more: &str) {
    if let Some(object) = value.as_object_mut() {
        let text = object.entry(key).or_insert_with(|| json!(""));
        if let Value::String(text) = text {
            text.push_str(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(reply: &mut Reply, events: &[Value]) -> Vec<Step> {
        events
            .iter()
            .map(|data| {
                reply.take(&SseEvent {
                    name: data["type"].as_str().unwrap().to_owned(),
                    data: data.to_string(),
                })
            })
            .collect()
    }

    #[test]
    fn text_and_calls_are_put_together() {
        let mut reply = Reply::default();
        let steps = feed(
            &mut reply,
            &[
                json!({ "type": "message_start", "message": { "usage": { "input_tokens": 9 } } }),
                json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
                json!({ "type": "ping" }),
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hel" } }),
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "lo" } }),
                json!({ "type": "content_block_stop", "index": 0 }),
                json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "t1", "name": "read", "input": {} } }),
                json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "{\"pa" } }),
                json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "th\":\"a\"}" } }),
                json!({ "type": "content_block_stop", "index": 1 }),
                json!({ "type": "content_block_start", "index": 2, "content_block": { "type": "tool_use", "id": "t2", "name": "list", "input": {} } }),
                json!({ "type": "content_block_stop", "index": 2 }),
                json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 7 } }),
                json!({ "type": "message_stop" }),
            ],
        );
        assert_eq!(steps[3], Step::Text("Hel".into()));
        assert_eq!(steps.last(), Some(&Step::End));
        assert_eq!(reply.stop_reason.as_deref(), Some("tool_use"));
        assert_eq!(
            (reply.usage.input_tokens, reply.usage.output_tokens),
            (9, 7)
        );
        assert_eq!(
            reply.content(false),
            [
                json!({ "type": "text", "text": "Hello" }),
                json!({ "type": "tool_use", "id": "t1", "name": "read", "input": { "path": "a" } }),
                json!({ "type": "tool_use", "id": "t2", "name": "list", "input": {} }),
            ]
        );
        assert_eq!(reply.calls()[0].input, Some(json!({ "path": "a" })));
        assert_eq!(reply.calls()[1].input, Some(json!({})));
    }

    #[test]
    fn what_broke_off_keeps_its_text_and_no_half_call() {
        let mut reply = Reply::default();
        feed(
            &mut reply,
            &[
                json!({ "type": "content_block_start", "content_block": { "type": "text", "text": "" } }),
                json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "Let me" } }),
                json!({ "type": "content_block_stop" }),
                json!({ "type": "content_block_start", "content_block": { "type": "tool_use", "id": "t", "name": "write", "input": {} } }),
                json!({ "type": "content_block_delta", "delta": { "type": "input_json_delta", "partial_json": "{\"path\":" } }),
            ],
        );
        assert_eq!(
            reply.content(true),
            [json!({ "type": "text", "text": "Let me" })]
        );
        assert_eq!(
            reply.calls()[0].input,
            None,
            "half of the arguments are none"
        );
        // The same when the upstream says that the limit was reached.
        feed(&mut reply, &[json!({ "type": "content_block_stop" })]);
        assert_eq!(reply.calls()[0].input, None);
        assert_eq!(reply.content(false)[1]["input"], json!({}));
    }

    #[test]
    fn errors_of_the_stream_are_told() {
        let mut reply = Reply::default();
        let steps = feed(
            &mut reply,
            &[
                json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }),
            ],
        );
        assert_eq!(steps, [Step::Error("Overloaded".into())]);
    }
}
