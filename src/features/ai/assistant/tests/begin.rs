//! From a message to a turn: whoever goes away, and whatever cannot be written.

use sea_orm::ColumnTrait;

use super::super::super::testing::{Scripted, reply};
use super::super::begin::Begin;
use super::super::model::{EventBody, State};
use super::super::prompt::Project;
use super::super::store;
use super::world::{World, world};
use super::*;

fn begin(world: &World, turn: TurnId, cancel: CancellationToken) -> Begin {
    Begin {
        text: "Hello?".into(),
        entry: world.entry(),
        title: Some("Hello?".into()),
        pen: world.pen(turn),
        bench: world.memory.clone(),
        project: Project {
            name: "p".into(),
            framework: None,
            folder: "projects/p".into(),
        },
        allowed: Default::default(),
        cancel,
        standing: world.standing(),
    }
}

#[tokio::test]
async fn a_message_becomes_a_turn_though_its_sender_went_away() {
    let world = world().await;
    let (_, upstream) = Scripted::start(vec![reply(&["Hello."], &[])]).await;
    let turn = TurnId::new(&world.services.clock, &world.services.rng);
    let cancel = CancellationToken::new();
    let running = world.live.begin(turn, cancel.clone()).unwrap();
    drop(begin(&world, turn, cancel).start(upstream, running));
    world.services.tasks.close();
    world.services.tasks.wait().await;
    let events = world.events().await;
    assert!(matches!(&events[0], EventBody::User { text } if text == "Hello?"));
    assert_eq!(done(&events).0, "end_turn");
    let tx = world.pen(turn).tx().await.unwrap();
    let row = store::find_session(&tx, world.session, world.user).await;
    assert_eq!(row.unwrap().unwrap().title, "Hello?");
}

#[tokio::test]
async fn nobody_hears_of_a_message_that_could_not_be_written() {
    let world = world().await;
    let (upstream_side, upstream) = Scripted::start(vec![]).await;
    let turn = TurnId::new(&world.services.clock, &world.services.rng);
    let cancel = CancellationToken::new();
    let running = world.live.begin(turn, cancel.clone()).unwrap();
    let mut heard = world.live.listen();
    let tx = world.services.store.system(SystemPurpose::Setup).await;
    let tx = tx.unwrap();
    tx.delete_where::<membership::Entity>(membership::Column::AccountId.eq(world.user))
        .await
        .unwrap();
    tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
    let told = begin(&world, turn, cancel).start(upstream, running).await;
    assert!(told.unwrap().is_err());
    assert_eq!(world.live.state(), State::Idle);
    assert!(world.live.unwritten().is_empty());
    assert!(heard.try_recv().is_err());
    assert!(upstream_side.asked.lock().unwrap().is_empty());
}

/// The text of the last event but one.
fn said(events: &[EventBody]) -> &str {
    match &events[events.len() - 2] {
        EventBody::Error { message } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_turn_ends_with_what_it_was_begun_with() {
    let world = world().await;
    let hangs = Script {
        hangs: true,
        ..reply(&["Let me think."], &[])
    };
    let (upstream_side, upstream) = Scripted::start(vec![Script {
        chunks: hangs.chunks[..hangs.chunks.len() / 2].to_vec(),
        ..hangs
    }])
    .await;
    let (_, _, end) = world.begin(&upstream, "Think long.").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let since = std::time::Instant::now();
    world.revoke().await;
    end.await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(2));
    let events = world.events().await;
    assert_eq!(done(&events).0, "stopped");
    assert!(said(&events).contains("has ended"), "{events:?}");
    assert_eq!(upstream_side.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn no_tool_is_used_for_somebody_who_has_just_lost_the_right() {
    let world = world().await;
    // Before the watch has looked for the first time.
    world.revoke().await;
    let write = json!({ "path": "a.txt", "content": "x" });
    let (_, upstream) = Scripted::start(vec![reply(&[], &[("c1", "write", write)])]).await;
    let (turn, _, end) = world.begin(&upstream, "Write.").await;
    end.await.unwrap();
    assert_eq!(world.memory.text("projects/p/a.txt"), None);
    let tx = world.pen(turn).tx().await.unwrap();
    let made = store::checkpoints(&tx, world.session, turn).await.unwrap();
    assert!(made.is_empty());
    drop(tx);
    assert_eq!(done(&world.events().await).0, "stopped");
}
