//! Keeps a conversation continuable: each tool call has its result, also when the turn ended in the middle. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::store::Message;

/// The result of a call that the user stopped.
pub const STOPPED: &str = "The user stopped the assistant before this was done.";
/// The result of a call that was under way when the server ended.
pub const INTERRUPTED: &str = "The server was restarted before this was answered; it may or may not have been done. Look before going on.";

/// The message that answers the calls which nobody answered; `None` when there are none.
pub fn repair(history: &[Message]) -> Option<Message> {
    let last = history
        .iter()
        .rposition(|message| message.role == "assistant")?;
    let (before, after) = history.split_at_checked(last + 1)?;
    let answered: BTreeSet<&str> = after
        .iter()
        .flat_map(|message| ids(message, "tool_result", "tool_use_id"))
        .collect();
    let results: Vec<Value> = before
        .last()
        .into_iter()
        .flat_map(|message| ids(message, "tool_use", "id"))
        .filter(|id| !answered.contains(id))
        .map(|id| json!({ "type": "tool_result", "tool_use_id": id, "content": INTERRUPTED, "is_error": true }))
        .collect();
    (!results.is_empty()).then_some(Message {
        role: "user",
        content: results,
    })
}

fn ids<'a>(
    message: &'a Message,
    kind: &'static str,
    key: &'static str,
) -> impl Iterator<Item = &'a str> {
    message
        .content
        .iter()
        .filter(move |block| block.get("type").and_then(Value::as_str) == Some(kind))
        .filter_map(move |block| block.get(key).and_then(Value::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(ids: &[&str]) -> Message {
        let content = ids
            .iter()
            .map(|id| json!({ "type": "tool_use", "id": id, "name": "list", "input": {} }))
            .collect();
        Message {
            role: "assistant",
            content,
        }
    }

    #[test]
    fn unanswered_calls_are_answered_once() {
        let user = Message {
            role: "user",
            content: vec![json!({ "type": "text", "text": "hi" })],
        };
        assert_eq!(repair(&[]), None);
        assert_eq!(repair(std::slice::from_ref(&user)), None);
        let mut history = vec![user.clone(), calls(&["a", "b"])];
        let repaired = repair(&history).unwrap();
        assert_eq!(repaired.content.len(), 2);
        assert_eq!(repaired.content[1]["tool_use_id"], "b");
        history.push(repaired);
        assert_eq!(repair(&history), None);
        history.push(user);
        assert_eq!(repair(&history), None, "what follows does not matter");
        history.push(calls(&["c"]));
        assert_eq!(repair(&history).unwrap().content.len(), 1);
    }
}
