//! Turns that end early: by the person, and by the end of the server.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Desk, SOON, to_call, to_the_end};
use crate::containers::wait_for;
use crate::support::events::Event;
use crate::support::eventually;
use crate::support::upstream::Turn;

/// A command that outlives every test unless somebody ends it.
const LONG: &str = "sleep 4242";

async fn long_commands(desk: &Desk) -> String {
    // The bracket keeps the search from finding itself.
    desk.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c '[s]leep 4242' || true")
        .await
}

#[tokio::test]
async fn stopping_ends_text_and_commands_at_once_and_the_session_goes_on() {
    let words = "A sentence of many words that takes its time. ".repeat(40);
    let desk = Desk::with_turns(vec![
        Turn::text(&words).slowly(Duration::from_millis(100)),
        Turn::text("Here I am."),
        Turn::tool("run", json!({"command": LONG})),
        Turn::text("Still here."),
    ])
    .await;
    let mut stream = desk.events("0").await;
    desk.say("Please, tell.").await;
    stream
        .until(SOON, |event| event.json()["type"] == "text")
        .await;
    assert_eq!(desk.state().await, "working");
    let busy = desk
        .api
        .post(
            &format!("{}/messages", desk.session),
            &json!({"text": "And?"}),
        )
        .await;
    busy.problem(409, "conflict");
    let since = Instant::now();
    desk.stop().await;
    let events = to_the_end(&mut stream).await;
    assert_eq!(events.last().unwrap()["stop_reason"], "stopped");
    assert!(since.elapsed() < Duration::from_secs(5), "{events:?}");
    assert_eq!(desk.state().await, "idle");
    // Stopping what does not run is no error.
    desk.stop().await;

    desk.say("Please, again.").await;
    assert_eq!(
        to_the_end(&mut stream).await.last().unwrap()["stop_reason"],
        "end_turn"
    );
    let messages = desk.asked(0).body["messages"].clone();
    assert!(
        messages[1]["content"][0]["text"]
            .as_str()
            .is_some_and(|said| !said.is_empty() && words.starts_with(said)),
        "what was said before the stop is not in {messages}"
    );

    desk.say("Please, sleep.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    desk.decide(&call, "allow").await.expect(202);
    to_call(&mut stream, "running").await;
    eventually("the command", SOON, || async {
        (long_commands(&desk).await != "0\n").then_some(())
    })
    .await;
    desk.stop().await;
    let events = to_the_end(&mut stream).await;
    assert_eq!(events.last().unwrap()["stop_reason"], "stopped");
    assert_eq!(events[0]["state"], "failed", "{events:?}");
    eventually("the end of the command", SOON, || async {
        (long_commands(&desk).await == "0\n").then_some(())
    })
    .await;
    desk.say("Please, go on.").await;
    assert_eq!(
        to_the_end(&mut stream).await.last().unwrap()["stop_reason"],
        "end_turn"
    );
    desk.nothing_leaked().await;
}

#[tokio::test]
async fn a_killed_server_interrupts_a_turn_which_can_be_continued_and_undone() {
    let mut desk = Desk::with_turns(vec![
        Turn::text("I begin.").and_tool(
            "edit",
            json!({"path": "a.txt", "old_text": "one", "new_text": "two"}),
        ),
        Turn::tool("run", json!({"command": LONG})),
        Turn::text("Where was I?"),
    ])
    .await;
    desk.write("a.txt", "one\n").await;
    let mut stream = desk.events("0").await;
    let turn = desk.say("Please, begin.").await;
    let (call, mut seen) = to_call(&mut stream, "waiting").await;
    desk.decide(&call, "allow").await.expect(202);
    seen.extend(to_call(&mut stream, "running").await.1);
    // Begun, so that what was told before is durable.
    eventually("the command", SOON, || async {
        (long_commands(&desk).await != "0\n").then_some(())
    })
    .await;

    desk.server.kill().await;
    desk.server.start_again().await;
    wait_for(&desk.api, &desk.container, "running").await;

    let whole = desk
        .events("0")
        .await
        .until(SOON, |event| event.json()["type"] == "done")
        .await;
    assert_eq!(
        whole[..seen.len()],
        seen,
        "events that were seen are other ones now"
    );
    let ids: Vec<u64> = whole
        .iter()
        .map(|event| event.id.as_ref().unwrap().parse().unwrap())
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    let ending: Vec<_> = whole[seen.len()..].iter().map(Event::json).collect();
    let words = ending[0]["message"].as_str().unwrap();
    assert!(words.contains("restarted"), "{ending:?}");
    assert_eq!(
        (&ending[1]["stop_reason"], &ending[1]["files"]),
        (&json!("interrupted"), &json!(["a.txt"]))
    );
    assert_eq!(desk.state().await, "idle");
    desk.decide(&call, "allow").await.problem(409, "conflict");
    eventually("the end of the command", SOON, || async {
        (long_commands(&desk).await == "0\n").then_some(())
    })
    .await;

    // The upstream checks that every call has its result.
    let after = whole.last().unwrap().id.clone().unwrap();
    let mut stream = desk.events(&after).await;
    desk.say("Please, go on.").await;
    let events = to_the_end(&mut stream).await;
    assert_eq!(
        events.last().unwrap()["stop_reason"],
        "end_turn",
        "{events:?}"
    );
    let told = desk.asked(0).tool_results();
    assert!(told[0].2 && told[0].1.contains("restarted"), "{told:?}");
    assert_eq!(
        desk.undo(&turn).await.ok()["restored"],
        json!(["a.txt"]),
        "what an interrupted turn did can be undone"
    );
    assert_eq!(desk.read("a.txt").await.as_deref(), Some("one\n"));
    desk.nothing_leaked().await;
}

#[tokio::test]
async fn a_server_that_is_killed_in_mid_stream_keeps_what_was_asked() {
    let words = "Slowly, one word after the other. ".repeat(80);
    let mut desk = Desk::with_turns(vec![
        Turn::text(&words).slowly(Duration::from_millis(50)),
        Turn::text("Whole."),
    ])
    .await;
    let mut stream = desk.events("0").await;
    desk.say("Please, tell.").await;
    stream
        .until(SOON, |event| event.json()["type"] == "text")
        .await;
    desk.server.kill().await;
    desk.server.start_again().await;
    wait_for(&desk.api, &desk.container, "running").await;
    let mut stream = desk.events("0").await;
    let events = to_the_end(&mut stream).await;
    assert_eq!(events[0]["text"], "Please, tell.");
    assert_eq!(events.last().unwrap()["stop_reason"], "interrupted");
    desk.say("Please, in short.").await;
    let events = to_the_end(&mut stream).await;
    assert_eq!(
        events.last().unwrap()["stop_reason"],
        "end_turn",
        "{events:?}"
    );
    desk.nothing_leaked().await;
}

#[tokio::test]
async fn a_container_that_is_stopped_in_mid_turn_is_told_and_comes_back() {
    let desk = Desk::with_turns(vec![
        Turn::tool(
            "write",
            json!({"path": "a.txt", "content": "by the turn\n"}),
        ),
        Turn::tool("run", json!({"command": "touch ran"})),
        Turn::tool("write", json!({"path": "b.txt", "content": "late\n"})),
        Turn::text("I cannot go on."),
        Turn::text("Now I can."),
    ])
    .await;
    let mut stream = desk.events("0").await;
    let turn = desk.say("Please, write.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    let stop = format!("{}/stop", desk.container);
    desk.api.post(&stop, &json!({})).await.expect(202);
    wait_for(&desk.api, &desk.container, "stopped").await;
    desk.decide(&call, "allow").await.expect(202);
    let events = to_the_end(&mut stream).await;
    assert_eq!(
        events.last().unwrap()["stop_reason"],
        "end_turn",
        "{events:?}"
    );
    for index in [0, 1] {
        let told = desk.asked(index).tool_results();
        assert!(told[0].2 && told[0].1.contains("container"), "{told:?}");
    }
    let messages = format!("{}/messages", desk.session);
    let refused = desk.api.post(&messages, &json!({"text": "And?"})).await;
    refused.problem(409, "conflict");
    desk.undo(&turn).await.problem(409, "conflict");

    let start = format!("{}/start", desk.container);
    desk.api.post(&start, &json!({})).await.expect(202);
    wait_for(&desk.api, &desk.container, "running").await;
    assert_eq!(desk.read("ran").await, None);
    assert_eq!(desk.read("b.txt").await, None);
    assert_eq!(desk.read("a.txt").await.as_deref(), Some("by the turn\n"));
    desk.undo(&turn).await.expect(200);
    assert_eq!(desk.read("a.txt").await, None);
    desk.say("Please, go on.").await;
    to_the_end(&mut stream).await;
    desk.nothing_leaked().await;
}
