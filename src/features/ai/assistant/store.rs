//! Queries about conversations.

use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::{ColumnTrait, Order};
use serde_json::Value;

use super::model::{Event, Logged};
use super::rows::{checkpoint, event, message, session};
use crate::kernel::{AssistantSessionId, ProjectId, TurnId, UserId};
use crate::store::{ScopedRead, ScopedTx, StoreError};

/// Sessions that are listed.
const LISTED: u64 = 200;
/// Events that are read at a time.
pub const EVENTS_AT_A_TIME: u64 = 1_000;

/// A message of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `user` or `assistant`.
    pub role: &'static str,
    /// Content blocks, never empty.
    pub content: Vec<Value>,
}

pub async fn insert_session(
    tx: &ScopedTx,
    row: session::Model,
) -> Result<session::Model, StoreError> {
    tx.insert(session::ActiveModel {
        workspace_id: Set(tx.workspace()),
        id: Set(row.id),
        owner_id: Set(row.owner_id),
        project_id: Set(row.project_id),
        container_id: Set(row.container_id),
        title: Set(row.title),
        allowed_tools: Set(row.allowed_tools),
        created_at_ms: Set(row.created_at_ms),
    })
    .await
}

/// A session of this owner; another's looks absent.
pub async fn find_session(
    tx: &ScopedRead,
    id: AssistantSessionId,
    owner: UserId,
) -> Result<Option<session::Model>, StoreError> {
    tx.find::<session::Entity>()
        .filter(session::Column::Id.eq(id))
        .filter(session::Column::OwnerId.eq(owner))
        .one()
        .await
}

/// The owner's sessions, newest first.
pub async fn list_sessions(
    tx: &ScopedRead,
    owner: UserId,
    project: Option<ProjectId>,
) -> Result<Vec<session::Model>, StoreError> {
    let mut query = tx
        .find::<session::Entity>()
        .filter(session::Column::OwnerId.eq(owner));
    if let Some(project) = project {
        query = query.filter(session::Column::ProjectId.eq(project));
    }
    query
        .order_by(session::Column::Id, Order::Desc)
        .limit(LISTED)
        .all()
        .await
}

pub async fn set_title(
    tx: &ScopedTx,
    id: AssistantSessionId,
    title: String,
) -> Result<(), StoreError> {
    tx.update_many::<session::Entity>()
        .filter(session::Column::Id.eq(id))
        .set(session::Column::Title, title)
        .exec()
        .await
        .map(|_| ())
}

pub async fn set_allowed(
    tx: &ScopedTx,
    id: AssistantSessionId,
    allowed: String,
) -> Result<(), StoreError> {
    tx.update_many::<session::Entity>()
        .filter(session::Column::Id.eq(id))
        .set(session::Column::AllowedTools, allowed)
        .exec()
        .await
        .map(|_| ())
}

/// All messages in their order.
pub async fn messages(
    tx: &ScopedRead,
    session: AssistantSessionId,
) -> Result<Vec<Message>, StoreError> {
    let rows = tx
        .find::<message::Entity>()
        .filter(message::Column::SessionId.eq(session))
        .order_by(message::Column::Position, Order::Asc)
        .all()
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            let role = if row.role == "assistant" {
                "assistant"
            } else {
                "user"
            };
            // Written by append_message; a row that does not parse is left out rather than keeping the session shut.
            Some(Message {
                role,
                content: serde_json::from_str(&row.content).ok()?,
            })
        })
        .collect())
}

/// Adds a message at the end.
pub async fn append_message(
    tx: &ScopedTx,
    session: AssistantSessionId,
    turn: TurnId,
    new: &Message,
) -> Result<(), StoreError> {
    let last = tx
        .find::<message::Entity>()
        .filter(message::Column::SessionId.eq(session))
        .order_by(message::Column::Position, Order::Desc)
        .limit(1)
        .one()
        .await?;
    tx.insert(message::ActiveModel {
        workspace_id: Set(tx.workspace()),
        session_id: Set(session),
        position: Set(last.map_or(0, |row| row.position) + 1),
        turn_id: Set(turn),
        role: Set(new.role.to_owned()),
        content: Set(Value::Array(new.content.clone()).to_string()),
    })
    .await
    .map(|_| ())
}

/// Events after a place, in their order, as many as are read at a time.
pub async fn events_after(
    tx: &ScopedRead,
    session: AssistantSessionId,
    after: i64,
) -> Result<Vec<Logged>, StoreError> {
    let rows = tx
        .find::<event::Entity>()
        .filter(event::Column::SessionId.eq(session))
        .filter(event::Column::Sequence.gt(after))
        .order_by(event::Column::Sequence, Order::Asc)
        .limit(EVENTS_AT_A_TIME)
        .all()
        .await?;
    Ok(rows.into_iter().filter_map(logged).collect())
}

pub async fn last_event(
    tx: &ScopedRead,
    session: AssistantSessionId,
) -> Result<Option<Logged>, StoreError> {
    let row = tx
        .find::<event::Entity>()
        .filter(event::Column::SessionId.eq(session))
        .order_by(event::Column::Sequence, Order::Desc)
        .limit(1)
        .one()
        .await?;
    Ok(row.and_then(logged))
}

fn logged(row: event::Model) -> Option<Logged> {
    let event: Event = serde_json::from_str(&row.body).ok()?;
    Some(Logged {
        sequence: row.sequence,
        at_ms: row.at_ms,
        event,
    })
}

pub async fn append_events(
    tx: &ScopedTx,
    session: AssistantSessionId,
    events: &[Logged],
) -> Result<(), StoreError> {
    for one in events {
        let body = serde_json::to_string(&one.event).unwrap_or_default();
        tx.insert(event::ActiveModel {
            workspace_id: Set(tx.workspace()),
            session_id: Set(session),
            sequence: Set(one.sequence),
            at_ms: Set(one.at_ms),
            body: Set(body),
        })
        .await?;
    }
    Ok(())
}

pub async fn insert_checkpoint(tx: &ScopedTx, row: checkpoint::Model) -> Result<(), StoreError> {
    tx.insert(checkpoint::ActiveModel {
        workspace_id: Set(tx.workspace()),
        id: Set(row.id),
        session_id: Set(row.session_id),
        turn_id: Set(row.turn_id),
        path: Set(row.path),
        existed: Set(row.existed),
        content: Set(row.content),
        etag_after: Set(row.etag_after),
    })
    .await
    .map(|_| ())
}

pub async fn find_checkpoint(
    tx: &ScopedRead,
    session: AssistantSessionId,
    turn: TurnId,
    path: &str,
) -> Result<Option<checkpoint::Model>, StoreError> {
    tx.find::<checkpoint::Entity>()
        .filter(checkpoint::Column::SessionId.eq(session))
        .filter(checkpoint::Column::TurnId.eq(turn))
        .filter(checkpoint::Column::Path.eq(path))
        .one()
        .await
}

pub async fn set_etag_after(
    tx: &ScopedTx,
    row: &checkpoint::Model,
    etag: String,
) -> Result<(), StoreError> {
    tx.update(checkpoint::ActiveModel {
        workspace_id: Unchanged(tx.workspace()),
        id: Unchanged(row.id),
        etag_after: Set(etag),
        ..Default::default()
    })
    .await
    .map(|_| ())
}

/// What a turn changed, by path.
pub async fn checkpoints(
    tx: &ScopedRead,
    session: AssistantSessionId,
    turn: TurnId,
) -> Result<Vec<checkpoint::Model>, StoreError> {
    tx.find::<checkpoint::Entity>()
        .filter(checkpoint::Column::SessionId.eq(session))
        .filter(checkpoint::Column::TurnId.eq(turn))
        .order_by(checkpoint::Column::Path, Order::Asc)
        .all()
        .await
}

/// The latest turn whose changes stand. Ids of turns sort by time.
pub async fn latest_changed_turn(
    tx: &ScopedRead,
    session: AssistantSessionId,
) -> Result<Option<TurnId>, StoreError> {
    let row = tx
        .find::<checkpoint::Entity>()
        .filter(checkpoint::Column::SessionId.eq(session))
        .order_by(checkpoint::Column::TurnId, Order::Desc)
        .limit(1)
        .one()
        .await?;
    Ok(row.map(|row| row.turn_id))
}

pub async fn delete_checkpoint(tx: &ScopedTx, row: &checkpoint::Model) -> Result<(), StoreError> {
    tx.delete_many::<checkpoint::Entity>()
        .filter(checkpoint::Column::Id.eq(row.id))
        .exec()
        .await
        .map(|_| ())
}

pub async fn delete_checkpoints(
    tx: &ScopedTx,
    session: AssistantSessionId,
    turn: TurnId,
) -> Result<(), StoreError> {
    tx.delete_many::<checkpoint::Entity>()
        .filter(checkpoint::Column::SessionId.eq(session))
        .filter(checkpoint::Column::TurnId.eq(turn))
        .exec()
        .await
        .map(|_| ())
}
