//! A workspace, a user, a session and a database to hold them.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::ColumnTrait;
use tokio_util::sync::CancellationToken;

use super::super::super::testing;
use super::super::super::upstream::Upstream;
use super::super::hub::{Hub, Live};
use super::super::model::{EventBody, State};
use super::super::pen::Pen;
use super::super::prompt::Project;
use super::super::rows::session;
use super::super::store;
use super::super::turn::Turn;
use super::super::undo::{UndoError, undo};
use super::super::workbench::Workbench;
use super::memory::Memory;
use crate::authz::accounts::api_token;
use crate::authz::permission::AssistantUse;
use crate::authz::{Credential, Role};
use crate::context::{self, Services};
use crate::features::audit::{self, Action};
use crate::features::containers::{Identity, Standing};
use crate::features::members;
use crate::kernel::{
    AssistantSessionId, ContainerId, ProjectId, TokenId, TurnId, UserId, WorkspaceId,
};
use crate::store::{Entry, SystemPurpose, Unaudited};

pub struct World {
    _folder: tempfile::TempDir,
    pub services: Services,
    pub workspace: WorkspaceId,
    pub user: UserId,
    pub session: AssistantSessionId,
    container: ContainerId,
    /// The token that asks.
    pub token: TokenId,
    pub live: Arc<Live>,
    pub memory: Arc<Memory>,
}

pub async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let services = context::testing::services(folder.path()).await;
    let (clock, rng) = (&services.clock, &services.rng);
    let members::testing::Place {
        workspace, user, ..
    } = members::testing::place(&services.store, Role::User).await;
    let (project, container) = (ProjectId::new(clock, rng), ContainerId::new(clock, rng));
    let session = AssistantSessionId::new(clock, rng);
    let token = TokenId::new(clock, rng);
    let tx = services.store.system(SystemPurpose::Setup).await.unwrap();
    testing::place(&tx, workspace, user, project, container).await;
    tx.insert(session::ActiveModel {
        workspace_id: Set(workspace),
        id: Set(session),
        owner_id: Set(user),
        project_id: Set(project),
        container_id: Set(container),
        title: Set(String::new()),
        allowed_tools: Set("write".into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(api_token::ActiveModel {
        id: Set(token),
        account_id: Set(user),
        name: Set("t".into()),
        token_hash: Set(vec![1; 32]),
        scopes: Set("all".into()),
        created_at_ms: Set(1),
        expires_at_ms: Set(None),
        last_used_ms: Set(None),
    })
    .await
    .unwrap();
    tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
    let live = Hub::default().open(session, 0);
    World {
        _folder: folder,
        services,
        workspace,
        user,
        session,
        container,
        token,
        live,
        memory: Arc::default(),
    }
}

impl World {
    pub fn pen(&self, turn: TurnId) -> Pen {
        Pen::new(
            self.services.clone(),
            self.workspace,
            self.user,
            self.session,
            turn,
            Arc::clone(&self.live),
        )
    }

    /// What its turns rest on.
    pub fn standing(&self) -> Standing<AssistantUse> {
        let who = Identity {
            workspace: self.workspace,
            container: self.container,
            owner: self.user,
        };
        Standing::inside(
            &self.services,
            &Credential::Token(self.token, Vec::new()),
            who,
        )
    }

    /// Revokes the token, and tells nobody.
    pub async fn revoke(&self) {
        let tx = self.services.store.system(SystemPurpose::Setup).await;
        let tx = tx.unwrap();
        tx.delete_where::<api_token::Entity>(api_token::Column::Id.eq(self.token))
            .await
            .unwrap();
        tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
    }

    /// Begins a turn; gives its id, what stops it, and its end.
    pub async fn begin(
        &self,
        upstream: &Arc<Upstream>,
        text: &str,
    ) -> (TurnId, CancellationToken, tokio::task::JoinHandle<()>) {
        let turn = TurnId::new(&self.services.clock, &self.services.rng);
        let cancel = CancellationToken::new();
        let running = self
            .live
            .begin(turn, cancel.clone())
            .expect("no other turn runs");
        let mut pen = self.pen(turn);
        let history = pen
            .accept(text.to_owned(), None, self.entry())
            .await
            .unwrap();
        let tx = pen.tx().await.unwrap();
        let row = store::find_session(&tx, self.session, self.user)
            .await
            .unwrap()
            .unwrap();
        drop(tx);
        let bench: Arc<dyn Workbench> = Arc::clone(&self.memory) as Arc<dyn Workbench>;
        let project = Project {
            name: "p".into(),
            framework: None,
            folder: "projects/p".into(),
        };
        let allowed = row
            .allowed_tools
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let begun = Turn {
            pen,
            bench,
            project,
            history,
            allowed,
            cancel: cancel.clone(),
            standing: self.standing(),
            lost: CancellationToken::new(),
        };
        (
            turn,
            cancel,
            tokio::spawn(begun.run(Arc::clone(upstream), running)),
        )
    }

    pub fn entry(&self) -> Entry {
        audit::by_server(&self.services, Action::AssistantTurn, self.session, "")
    }

    pub async fn events(&self) -> Vec<EventBody> {
        assert!(
            self.live.unwritten().is_empty(),
            "all events are durable at the end of a turn"
        );
        let tx = self
            .pen(TurnId::new(&self.services.clock, &self.services.rng))
            .tx()
            .await
            .unwrap();
        store::events_after(&tx, self.session, 0)
            .await
            .unwrap()
            .into_iter()
            .map(|one| one.event.body)
            .collect()
    }

    pub async fn until(&self, state: State) {
        for _ in 0..200 {
            if self.live.state() == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the session is {:?} and not {state:?}", self.live.state());
    }

    pub async fn undo(&self, turn: TurnId) -> Result<Vec<String>, UndoError> {
        let tx = self.pen(turn).tx().await.unwrap();
        let rows = store::checkpoints(&tx, self.session, turn).await.unwrap();
        drop(tx);
        undo(self.memory.as_ref(), "projects/p", &rows).await
    }
}
