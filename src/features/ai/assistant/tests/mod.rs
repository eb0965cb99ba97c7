//! Whole turns against a scripted upstream, a workbench in memory and a real database.

#![expect(
    clippy::disallowed_methods,
    reason = "tasks of a test end with its runtime"
)]

mod begin;
mod memory;
mod world;

use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::ColumnTrait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::testing::{Script, Scripted, error, reply, stream};
use super::model::{CallState, EventBody, State, Verdict};
use super::ops::undoable;
use super::store;
use super::undo::UndoError;
use crate::authz::{Role, membership};
use crate::kernel::{Clock, Rng, TurnId, UserId};
use crate::store::{SystemPurpose, Unaudited};
use world::world;

fn results(request: &Value) -> Vec<(String, bool, String)> {
    let last = request["messages"].as_array().unwrap().last().unwrap();
    last["content"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|block| block["type"] == "tool_result")
        .map(|block| {
            let text = |key: &str| block[key].as_str().unwrap().to_owned();
            (
                text("tool_use_id"),
                block["is_error"].as_bool().unwrap(),
                text("content"),
            )
        })
        .collect()
}

fn done(events: &[EventBody]) -> (String, Vec<String>) {
    match events.last() {
        Some(EventBody::Done {
            stop_reason, files, ..
        }) => (stop_reason.clone(), files.clone()),
        other => panic!("the last event is {other:?}"),
    }
}

#[tokio::test]
async fn a_turn_reads_changes_shows_and_is_undone() {
    let world = world().await;
    world.memory.put("projects/p/src/app.ts", "hello\nworld\n");
    let (upstream_side, upstream) = Scripted::start(vec![
        reply(
            &["Let me look. "],
            &[
                ("c1", "read", json!({ "path": "src/app.ts" })),
                ("c2", "read", json!({ "path": "../other/secret" })),
                ("c3", "nonsense", json!({})),
            ],
        ),
        reply(
            &[],
            &[
                (
                    "c4",
                    "edit",
                    json!({ "path": "src/app.ts", "old_text": "world", "new_text": "there" }),
                ),
                (
                    "c5",
                    "write",
                    json!({ "path": "new.txt", "content": "new\n" }),
                ),
                (
                    "c6",
                    "edit",
                    json!({ "path": "src/app.ts", "old_text": "hello", "new_text": "hi" }),
                ),
            ],
        ),
        reply(&["Done, it says there."], &[]),
    ])
    .await;
    let (turn, _, task) = world.begin(&upstream, "change it").await;
    task.await.unwrap();
    // All calls of a message are answered, in their order, the impossible ones with errors.
    let first = results(&upstream_side.json(1));
    assert_eq!(first[0], ("c1".into(), false, "hello\nworld\n".into()));
    assert!(
        first[1].1 && first[1].2.contains("out of the project"),
        "{first:?}"
    );
    assert!(first[2].1 && first[2].2.contains("no tool"), "{first:?}");
    assert_eq!(
        world.memory.text("projects/p/src/app.ts").as_deref(),
        Some("hi\nthere\n")
    );
    let events = world.events().await;
    let text: String = events
        .iter()
        .filter_map(|event| {
            if let EventBody::Text { delta } = event {
                Some(delta.as_str())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(text, "Let me look. Done, it says there.");
    let diffs: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            EventBody::Diff {
                path,
                diff,
                created,
                ..
            } => Some((path.as_str(), diff.contains("+there"), *created)),
            _ => None,
        })
        .collect();
    assert_eq!(
        diffs,
        [
            ("src/app.ts", true, false),
            ("new.txt", false, true),
            ("src/app.ts", false, false)
        ]
    );
    assert_eq!(
        done(&events),
        (
            "end_turn".into(),
            vec!["new.txt".into(), "src/app.ts".into()]
        )
    );
    assert_eq!(world.live.state(), State::Idle);
    let request = upstream_side.json(0);
    assert_eq!(
        (
            request["stream"].as_bool(),
            request["messages"].as_array().unwrap().len()
        ),
        (Some(true), 1)
    );

    // A change after the turn is in the way of undoing all of it.
    world.memory.put("projects/p/new.txt", "mine\n");
    assert_eq!(
        world.undo(turn).await,
        Err(UndoError::Changed("new.txt".into()))
    );
    assert_eq!(
        world.memory.text("projects/p/src/app.ts").as_deref(),
        Some("hi\nthere\n"),
        "nothing was undone"
    );
    let tag = {
        let tx = world.pen(turn).tx().await.unwrap();
        store::checkpoints(&tx, world.session, turn).await.unwrap()[0]
            .etag_after
            .parse()
            .unwrap()
    };
    world
        .memory
        .files
        .lock()
        .unwrap()
        .insert("projects/p/new.txt".into(), (b"new\n".to_vec(), tag));
    assert_eq!(
        world.undo(turn).await,
        Ok(vec!["new.txt".into(), "src/app.ts".into()])
    );
    assert_eq!(
        world.memory.text("projects/p/src/app.ts").as_deref(),
        Some("hello\nworld\n")
    );
    assert_eq!(
        world.memory.text("projects/p/new.txt"),
        None,
        "what the turn made is gone"
    );
}

#[tokio::test]
async fn commands_ask_first_and_a_denial_is_told() {
    let world = world().await;
    let run =
        |id: &'static str, command: &str| reply(&[], &[(id, "run", json!({ "command": command }))]);
    let (upstream_side, upstream) = Scripted::start(vec![
        run("r1", "rm -rf /"),
        run("r2", "npm test"),
        run("r3", "npm run lint"),
        reply(&["ok"], &[]),
    ])
    .await;
    let (_, _, task) = world.begin(&upstream, "run").await;
    world.until(State::Waiting).await;
    assert!(
        world.memory.commands.lock().unwrap().is_empty(),
        "nothing runs before the decision"
    );
    assert!(!world.live.decide("other", Verdict::Allow));
    assert!(world.live.decide("r1", Verdict::Deny));
    assert!(
        !world.live.decide("r1", Verdict::Allow),
        "a decision is made once"
    );
    for _ in 0..200 {
        if world.live.decide("r2", Verdict::AllowAlways) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The third runs without a question.
    task.await.unwrap();
    assert_eq!(
        *world.memory.commands.lock().unwrap(),
        ["sh -c npm test", "sh -c npm run lint"]
    );
    let denied = results(&upstream_side.json(1));
    assert!(
        denied[0].1 && denied[0].2.contains("did not allow"),
        "{denied:?}"
    );
    let states: Vec<_> = world
        .events()
        .await
        .into_iter()
        .filter_map(|event| match event {
            EventBody::Call { call_id, state, .. } => Some((call_id, state)),
            _ => None,
        })
        .collect();
    use CallState as S;
    let wanted = [
        ("r1", S::Waiting),
        ("r1", S::Denied),
        ("r2", S::Waiting),
        ("r2", S::Running),
        ("r2", S::Done),
        ("r3", S::Running),
        ("r3", S::Done),
    ];
    assert_eq!(states, wanted.map(|(id, state)| (id.to_owned(), state)));
    let tx = world
        .pen(TurnId::new(&world.services.clock, &Rng))
        .tx()
        .await
        .unwrap();
    let row = store::find_session(&tx, world.session, world.user)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.allowed_tools, "run write");
    let stranger = UserId::new(&world.services.clock, &Rng);
    assert_eq!(
        store::find_session(&tx, world.session, stranger)
            .await
            .unwrap(),
        None,
        "another user's session is absent"
    );
}

#[tokio::test]
async fn links_are_not_followed() {
    let world = world().await;
    world.memory.put("projects/p/a.txt", "a");
    world.memory.put("projects/p/docs/id_rsa", "secret key");
    world
        .memory
        .links
        .lock()
        .unwrap()
        .insert("projects/p/docs".into());
    let (upstream_side, upstream) = Scripted::start(vec![
        reply(
            &[],
            &[
                ("l1", "read", json!({ "path": "docs/id_rsa" })),
                ("l2", "list", json!({ "path": "docs" })),
                ("l3", "write", json!({ "path": "docs/new", "content": "x" })),
                ("l4", "search", json!({ "path": "docs", "query": "x" })),
            ],
        ),
        reply(&["no"], &[]),
    ])
    .await;
    world.begin(&upstream, "read it").await.2.await.unwrap();
    for (id, is_error, text) in results(&upstream_side.json(1)) {
        assert!(is_error && text.contains("is a link"), "{id}: {text}");
    }
    assert_eq!(world.memory.text("projects/p/docs/new"), None);
}

#[tokio::test]
async fn stopping_keeps_the_conversation_continuable() {
    let world = world().await;
    let mut hanging = stream(&[
        json!({ "type": "message_start", "message": { "usage": { "input_tokens": 4 } } }),
        json!({ "type": "content_block_start", "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "I begin" } }),
    ]);
    hanging.hangs = true;
    let (upstream_side, upstream) = Scripted::start(vec![
        hanging,
        reply(
            &[],
            &[
                ("s1", "run", json!({ "command": "sleep 100" })),
                ("s2", "list", json!({})),
            ],
        ),
        reply(&["All right."], &[]),
    ])
    .await;
    let mut receiver = world.live.listen();
    let (_, cancel, task) = world.begin(&upstream, "one").await;
    while !matches!(
        receiver.recv().await.unwrap().event.body,
        EventBody::Text { .. }
    ) {}
    assert!(
        world
            .live
            .begin(
                TurnId::new(&world.services.clock, &Rng),
                CancellationToken::new()
            )
            .is_none(),
        "one turn at a time"
    );
    cancel.cancel();
    tokio::time::timeout(Duration::from_secs(2), task)
        .await
        .expect("stopping is quick")
        .unwrap();
    assert_eq!(done(&world.events().await).0, "stopped");

    let (_, _, task) = world.begin(&upstream, "two").await;
    world.until(State::Waiting).await;
    assert!(world.live.decide("s1", Verdict::Allow));
    for _ in 0..200 {
        if !world.memory.commands.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        world.live.stop(),
        "as the API stops it, in the middle of a command"
    );
    tokio::time::timeout(Duration::from_secs(2), task)
        .await
        .expect("stopping is quick")
        .unwrap();
    assert_eq!(done(&world.events().await).0, "stopped");

    world.begin(&upstream, "three").await.2.await.unwrap();
    let last = upstream_side.json(2);
    let messages = last["messages"].as_array().unwrap();
    let roles: Vec<_> = messages
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
    assert_eq!(messages[1]["content"][0]["text"], "I begin");
    let answered: Vec<_> = results(&last)
        .into_iter()
        .map(|(id, is_error, _)| (id, is_error))
        .collect();
    assert_eq!(
        answered,
        [("s1".to_owned(), true), ("s2".to_owned(), true)],
        "every call has its result"
    );
}

#[tokio::test]
async fn errors_of_the_upstream_are_told_in_words() {
    let world = world().await;
    let broken = Script {
        hangs: false,
        ..stream(&[
            json!({ "type": "content_block_start", "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "half" } }),
        ])
    };
    let (upstream_side, upstream) = Scripted::start(vec![
        error(401, "invalid x-api-key", None),
        error(529, "overloaded", Some(0)),
        error(429, "later", Some(0)),
        reply(&["third time"], &[]),
        error(429, "much later", Some(600)),
        broken,
        stream(&[json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } })]),
    ])
    .await;
    let mut told = Vec::new();
    for text in ["a", "b", "c", "d", "e"] {
        world.begin(&upstream, text).await.2.await.unwrap();
        let events = world.events().await;
        told.push(match events.iter().rev().nth(1) {
            Some(EventBody::Error { message }) => message.clone(),
            _ => done(&events).0,
        });
    }
    assert!(
        told[0].contains("[ai] anthropic_api_key_file"),
        "{}",
        told[0]
    );
    assert_eq!(told[1], "end_turn", "tried again until it worked");
    assert!(told[2].contains("600 seconds"), "{}", told[2]);
    assert!(told[3].contains("broke off"), "{}", told[3]);
    assert!(told[4].contains("Overloaded"), "{}", told[4]);
    assert_eq!(upstream_side.asked.lock().unwrap().len(), 7);
}

#[tokio::test]
async fn who_left_the_workspace_has_no_turn_that_goes_on() {
    let world = world().await;
    world.memory.put("projects/p/a.txt", "a");
    let (_, upstream) = Scripted::start(vec![
        reply(&[], &[("w1", "run", json!({ "command": "true" }))]),
        reply(
            &[],
            &[("w2", "write", json!({ "path": "a.txt", "content": "b" }))],
        ),
    ])
    .await;
    let (_, _, task) = world.begin(&upstream, "go").await;
    world.until(State::Waiting).await;
    let tx = world
        .services
        .store
        .system(SystemPurpose::Setup)
        .await
        .unwrap();
    let left = tx.update_where::<membership::Entity>(
        membership::Column::AccountId.eq(world.user),
        membership::ActiveModel {
            role: Set(Role::Viewer.as_str().into()),
            ..Default::default()
        },
    );
    assert_eq!(left.await.unwrap(), 1);
    tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
    world.live.decide("w1", Verdict::Allow);
    task.await.unwrap();
    assert!(world.memory.commands.lock().unwrap().is_empty());
    assert_eq!(world.memory.text("projects/p/a.txt").as_deref(), Some("a"));
    assert_eq!(world.live.state(), State::Idle);
}

#[test]
fn turns_are_undone_from_the_latest() {
    let clock = Clock::fixed(1);
    let first = TurnId::new(&clock, &Rng);
    clock.advance_ms(1);
    let second = TurnId::new(&clock, &Rng);
    assert!(undoable(Some(second), second).is_ok());
    assert!(
        undoable(Some(second), first)
            .unwrap_err()
            .detail
            .contains(&second.to_string())
    );
    assert!(
        undoable(Some(first), second)
            .unwrap_err()
            .detail
            .contains("nothing to undo"),
        "already undone"
    );
    assert!(undoable(None, first).is_err());
}
