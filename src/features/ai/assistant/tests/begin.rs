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
