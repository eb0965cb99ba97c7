//! The upstream itself, asked as a client asks it.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::api::http_client;
use super::super::events::{Event, EventStream};
use super::{Failure, Reply, Turn, Upstream};

const LIMIT: Duration = Duration::from_secs(10);

fn question(stream: bool) -> Value {
    let tool = json!({"name": "read", "input_schema": {"type": "object"}});
    json!({"model": "claude-test", "max_tokens": 64, "stream": stream, "tools": [tool], "messages": [{"role": "user", "content": "Hi"}]})
}

async fn ask(upstream: &Upstream, body: &Value) -> reqwest::Response {
    let request = http_client().post(format!("{}/v1/messages?beta=true", upstream.url()));
    request
        .header("x-api-key", upstream.key())
        .header("anthropic-version", "2023-06-01")
        .json(body)
        .send()
        .await
        .unwrap()
}

async fn events(response: reqwest::Response) -> Vec<Event> {
    let mut stream = EventStream::new("/v1/messages", response);
    let mut events = Vec::new();
    while let Some(event) = stream.next(LIMIT).await {
        events.push(event);
    }
    events
}

/// What a client puts together from the deltas.
fn collect(events: &[Event]) -> (String, String) {
    let deltas = events
        .iter()
        .filter(|event| event.name == "content_block_delta")
        .map(Event::json);
    deltas.fold(Default::default(), |(text, input), delta| {
        let part = |name: &str| delta["delta"][name].as_str().unwrap_or_default().to_owned();
        (text + &part("text"), input + &part("partial_json"))
    })
}

#[tokio::test]
async fn a_stream_has_the_events_of_the_real_one() {
    let text = "Grüße, I look at it first.";
    let turn = Turn::text(text).and_tool("read", json!({"path": "src/App.tsx"}));
    let upstream = Upstream::with_turns(vec![turn.clone(), turn.chopped(3)]).await;
    for _ in 0..2 {
        let response = ask(&upstream, &question(true)).await;
        assert_eq!(
            response.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        let events = events(response).await;
        let mut names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        assert!(
            events
                .iter()
                .all(|event| event.json()["type"] == event.name)
        );
        names.dedup();
        let block = [
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
        ];
        assert_eq!(
            names,
            [
                &["message_start", "content_block_start", "ping"],
                &block[1..],
                &block,
                &["message_delta", "message_stop"]
            ]
            .concat()
        );
        let (said, input) = collect(&events);
        assert_eq!(
            (said.as_str(), input.as_str()),
            (text, r#"{"path":"src/App.tsx"}"#)
        );
        let delta = events[events.len() - 2].json();
        assert_eq!(delta["delta"]["stop_reason"], "tool_use");
        assert!(delta["usage"]["output_tokens"].as_u64().unwrap() > 0);
    }
}

#[tokio::test]
async fn a_whole_answer_says_the_same() {
    let upstream = Upstream::with_turns(vec![Turn::text("Done.")]).await;
    let answer: Value = ask(&upstream, &question(false)).await.json().await.unwrap();
    assert_eq!(
        answer["content"],
        json!([{"type": "text", "text": "Done."}])
    );
    assert_eq!(
        (&answer["stop_reason"], &answer["model"]),
        (&json!("end_turn"), &json!("claude-test"))
    );
    let ended = ask(&upstream, &question(false)).await;
    assert_eq!(ended.status(), 500);
    assert_eq!(upstream.message_calls().len(), 2);
    assert_eq!(upstream.calls()[0].uri.query(), Some("beta=true"));
    assert_eq!(upstream.calls()[0].last_content(), "Hi");
}

#[tokio::test]
async fn a_script_can_follow_the_request() {
    let upstream = Upstream::start(|call, count| match call.tool_results().first() {
        Some((_, text, _)) => Turn::text(&format!("It says {text}.")).into(),
        None if count == 0 => Turn::tool("read", json!({})).into(),
        None => Reply::Error(Failure::overloaded()),
    })
    .await;
    let first: Value = ask(&upstream, &question(false)).await.json().await.unwrap();
    let call = first["content"][0]["id"].clone();
    let mut second = question(false);
    let messages = second["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": first["content"]}));
    messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": "42"}]}));
    let answer: Value = ask(&upstream, &second).await.json().await.unwrap();
    assert_eq!(answer["content"][0]["text"], "It says 42.");
    assert_eq!(ask(&upstream, &question(false)).await.status(), 529);
}

#[tokio::test]
async fn what_the_real_api_refuses_is_refused() {
    let upstream = Upstream::with_turns(vec![]).await;
    let url = format!("{}/v1/messages", upstream.url());
    let send = |headers: Vec<(&'static str, String)>| {
        let request = headers
            .into_iter()
            .fold(http_client().post(&url), |request, (name, value)| {
                request.header(name, value)
            });
        async move {
            request
                .json(&question(false))
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        }
    };
    let version = ("anthropic-version", "2023-06-01".to_owned());
    assert_eq!(send(vec![version.clone()]).await, 401);
    assert_eq!(
        send(vec![version.clone(), ("x-api-key", "wrong".to_owned())]).await,
        401
    );
    assert_eq!(
        send(vec![("x-api-key", upstream.key().to_owned())]).await,
        400
    );

    let lone_call = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}]}]);
    let lone_result = json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]}]);
    let empty = json!([{"role": "user", "content": ""}]);
    let changes = [
        ("messages", lone_call),
        ("messages", lone_result),
        ("messages", empty),
        ("messages", json!([])),
        ("model", Value::Null),
        ("max_tokens", Value::Null),
    ];
    for (field, value) in changes {
        let mut body = question(false);
        body[field] = value;
        let response = ask(&upstream, &body).await;
        let (status, answer): (_, Value) = (response.status(), response.json().await.unwrap());
        assert_eq!(
            (status.as_u16(), &answer["error"]["type"]),
            (400, &json!("invalid_request_error")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_stream_can_break_be_cut_and_be_slow() {
    let turns = vec![
        Turn::text("Hello").breaking_after(3, Failure::overloaded()),
        Turn::text("Hello").cut_after(3),
        Turn::text("Hello").slowly(Duration::from_millis(20)),
    ];
    let upstream = Upstream::with_turns(turns).await;
    let broken = events(ask(&upstream, &question(true)).await).await;
    assert_eq!((broken.len(), broken[3].name.as_str()), (4, "error"));
    assert_eq!(broken[3].json()["error"]["type"], "overloaded_error");

    let mut cut = ask(&upstream, &question(true)).await;
    let end = loop {
        match cut.chunk().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(end.is_err(), "a cut stream must not end in good order");

    let start = std::time::Instant::now();
    let slow = events(ask(&upstream, &question(true)).await).await;
    assert!(start.elapsed() >= Duration::from_millis(20) * u32::try_from(slow.len()).unwrap());
}
