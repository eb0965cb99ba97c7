//! What the real API refuses, refused with its words.

use serde_json::Value;

use super::Call;
use super::script::Failure;

/// The key, as `x-api-key` or bearer token, and the version header.
pub fn credentials(call: &Call, key: &str) -> Result<(), Failure> {
    let bearer = call
        .header("authorization")
        .strip_prefix("Bearer ")
        .unwrap_or_default();
    let given = if call.headers.contains_key("x-api-key") {
        call.header("x-api-key")
    } else {
        bearer
    };
    if given.is_empty() {
        return Err(Failure::new(
            401,
            "authentication_error",
            "x-api-key header is required",
        ));
    }
    if given != key {
        return Err(Failure::new(
            401,
            "authentication_error",
            "invalid x-api-key",
        ));
    }
    if call.header("anthropic-version") != "2023-06-01" {
        return Err(invalid("anthropic-version: header is required"));
    }
    Ok(())
}

/// Required fields, roles, and that every tool call has its result in the next message.
pub fn message(body: &Value) -> Result<(), Failure> {
    if !body.is_object() {
        return Err(invalid("The request body is not valid JSON"));
    }
    if !body["model"].is_string() {
        return Err(invalid("model: Field required"));
    }
    if body["max_tokens"].as_u64().is_none_or(|tokens| tokens == 0) {
        return Err(invalid("max_tokens: Field required"));
    }
    let messages = body["messages"]
        .as_array()
        .ok_or_else(|| invalid("messages: Field required"))?;
    let first = messages
        .first()
        .ok_or_else(|| invalid("messages: at least one message is required"))?;
    if first["role"] != "user" {
        return Err(invalid(
            "messages: first message must use the \"user\" role",
        ));
    }
    let tools: Vec<&str> = body["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tool| tool["name"].as_str())
        .collect();
    for (at, message) in messages.iter().enumerate() {
        if message["role"] != "user" && message["role"] != "assistant" {
            return Err(invalid(&format!(
                "messages.{at}.role: Input should be 'user' or 'assistant'"
            )));
        }
        let empty = message["content"].as_str().is_some_and(str::is_empty)
            || message["content"].as_array().is_some_and(Vec::is_empty);
        if empty || message["content"].is_null() {
            return Err(invalid(&format!(
                "messages.{at}: all messages must have non-empty content"
            )));
        }
        if ids(message, "text", "text").any(str::is_empty) {
            return Err(invalid("messages: text content blocks must be non-empty"));
        }
        results_follow(messages, at, message)?;
        if let Some(unknown) = ids(message, "tool_use", "name").find(|name| !tools.contains(name)) {
            return Err(invalid(&format!(
                "messages.{at}: tool_use of {unknown:?}, which `tools` does not define"
            )));
        }
    }
    Ok(())
}

/// Both ways: a call without a result is refused, and a result without a call.
fn results_follow(messages: &[Value], at: usize, message: &Value) -> Result<(), Failure> {
    let next = messages.get(at + 1).unwrap_or(&Value::Null);
    for call in ids(message, "tool_use", "id") {
        if !ids(next, "tool_result", "tool_use_id").any(|id| id == call) {
            return Err(invalid(&format!(
                "messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {call}. \
                 Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )));
        }
    }
    let before = at
        .checked_sub(1)
        .and_then(|before| messages.get(before))
        .unwrap_or(&Value::Null);
    for result in ids(message, "tool_result", "tool_use_id") {
        if !ids(before, "tool_use", "id").any(|id| id == result) {
            return Err(invalid(&format!(
                "messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks: {result}"
            )));
        }
    }
    Ok(())
}

/// The field `name` of each block of type `kind`.
fn ids<'a>(message: &'a Value, kind: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let blocks = message["content"].as_array().into_iter().flatten();
    blocks
        .filter(move |block| block["type"] == kind)
        .filter_map(move |block| block[name].as_str())
}

fn invalid(message: &str) -> Failure {
    Failure::new(400, "invalid_request_error", message)
}
