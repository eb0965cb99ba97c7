//! What a running turn writes: events to listeners and database, messages to the conversation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::hub::Live;
use super::model::EventBody;
use super::store::{self, Message};
use crate::authz;
use crate::authz::permission::AssistantUse;
use crate::context::Services;
use crate::kernel::{AssistantSessionId, Problem, TurnId, UserId, WorkspaceId};
use crate::store::{Entry, Grant, ScopedTx, StoreError, Unaudited};

/// Pieces of text are written together, at most this long after the first: a row each would wait for the disk.
const GATHER: Duration = Duration::from_millis(300);

/// The writing end of one turn. Works after its request has ended, so the membership is checked at each transaction:
/// who is removed from the workspace has no turn that goes on.
pub struct Pen {
    services: Services,
    workspace: WorkspaceId,
    owner: UserId,
    session: AssistantSessionId,
    turn: TurnId,
    live: Arc<Live>,
    written_at: Instant,
}

impl Pen {
    /// A pen for `turn` of `session`.
    pub fn new(
        services: Services,
        workspace: WorkspaceId,
        owner: UserId,
        session: AssistantSessionId,
        turn: TurnId,
        live: Arc<Live>,
    ) -> Self {
        Self {
            services,
            workspace,
            owner,
            session,
            turn,
            live,
            written_at: Instant::now(),
        }
    }

    pub fn services(&self) -> &Services {
        &self.services
    }

    pub fn session(&self) -> AssistantSessionId {
        self.session
    }

    pub fn turn(&self) -> TurnId {
        self.turn
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    pub fn owner(&self) -> UserId {
        self.owner
    }

    /// A transaction of the owner's workspace.
    pub async fn tx(&self) -> Result<ScopedTx, Problem> {
        Ok(self.services.store.scoped(&self.grant().await?).await?)
    }

    /// Proof that the owner may use the assistant, of now.
    pub async fn grant(&self) -> Result<Grant<AssistantUse>, Problem> {
        let store = &self.services.store;
        let granted =
            authz::authorize_user_now::<AssistantUse>(store, self.owner, self.workspace).await;
        Ok(granted?)
    }

    /// Tells the listeners at once, and the database with the next flush.
    pub fn emit(&self, body: EventBody) {
        self.live.emit(&self.services.clock, self.turn, body);
    }

    /// As [`Pen::emit`], for the last event of the turn.
    pub fn end(&self, body: EventBody) {
        self.live.end(&self.services.clock, self.turn, body);
    }

    /// Tells the listeners, and makes it durable.
    pub async fn tell(&mut self, body: EventBody) -> Result<(), Problem> {
        self.emit(body);
        self.flush().await
    }

    /// More text of the assistant.
    pub async fn text(&mut self, delta: String) -> Result<(), Problem> {
        self.emit(EventBody::Text { delta });
        if self.written_at.elapsed() >= GATHER {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Makes every event durable.
    pub async fn flush(&mut self) -> Result<(), Problem> {
        let live = Arc::clone(&self.live);
        let _writing = live.writing.lock().await;
        let unwritten = self.live.unwritten();
        let Some(last) = unwritten.last().map(|one| one.sequence) else {
            return Ok(());
        };
        let tx = self.tx().await?;
        store::append_events(&tx, self.session, &unwritten).await?;
        tx.commit_unaudited(Unaudited::Transcript).await?;
        self.live.written(last);
        self.written_at = Instant::now();
        Ok(())
    }

    /// Makes the user's message durable with its event and the session's first title, then tells the listeners: of a
    /// message that cannot be written nobody hears. Gives the conversation with it.
    pub async fn accept(
        &mut self,
        text: String,
        title: Option<String>,
        entry: Entry,
    ) -> Result<Vec<Message>, Problem> {
        let live = Arc::clone(&self.live);
        let _writing = live.writing.lock().await;
        let message = Message {
            role: "user",
            content: vec![json!({ "type": "text", "text": text })],
        };
        // What an earlier turn could not write comes before it.
        let mut events = live.unwritten();
        let before = events.last().map(|last| last.sequence);
        let event = live.draft(&self.services.clock, self.turn, EventBody::User { text });
        events.push(event.clone());
        let tx = self.tx().await?;
        store::append_events(&tx, self.session, &events).await?;
        store::append_message(&tx, self.session, self.turn, &message).await?;
        if let Some(title) = title {
            store::set_title(&tx, self.session, title).await?;
        }
        let history = store::messages(&tx, self.session).await?;
        tx.commit(entry).await?;
        if let Some(before) = before {
            live.written(before);
        }
        live.publish(event);
        self.written_at = Instant::now();
        Ok(history)
    }

    /// Adds a message to the conversation, and makes the events before it durable with it.
    pub async fn message(&mut self, message: &Message) -> Result<(), Problem> {
        let live = Arc::clone(&self.live);
        let _writing = live.writing.lock().await;
        let unwritten = self.live.unwritten();
        let tx = self.tx().await?;
        let written: Result<(), StoreError> = async {
            store::append_events(&tx, self.session, &unwritten).await?;
            store::append_message(&tx, self.session, self.turn, message).await
        }
        .await;
        written?;
        tx.commit_unaudited(Unaudited::Transcript).await?;
        if let Some(last) = unwritten.last() {
            self.live.written(last.sequence);
            self.written_at = Instant::now();
        }
        Ok(())
    }
}
