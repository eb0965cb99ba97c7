//! A workspace, a user, a session and a database to hold them.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::ActiveValue::Set;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
use crate::authz::{Credentials, Role, SessionLimits, membership};
use crate::config::{Config, Paths};
use crate::context::Services;
use crate::features::members::{organization, workspace};
use crate::kernel::{
    AssistantSessionId, Clock, ContainerId, OrganizationId, ProjectId, Rng, TurnId, UserId,
    WorkspaceId,
};
use crate::store::{Store, SystemPurpose};
use crate::vault::VaultClient;

pub struct World {
    _folder: tempfile::TempDir,
    pub services: Services,
    pub workspace: WorkspaceId,
    pub user: UserId,
    pub session: AssistantSessionId,
    pub live: Arc<Live>,
    pub memory: Arc<Memory>,
}

pub async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let (clock, rng, config) = (Clock::system(), Rng, Config::default());
    let store = Store::open(&config.database, &folder.path().join("db"))
        .await
        .unwrap();
    store.migrate_embedded().await.unwrap();
    let vault = VaultClient::new(folder.path().join("no-vault"));
    let limits = SessionLimits {
        idle_ms: 1,
        absolute_ms: 1,
    };
    let services = Services {
        credentials: Credentials::new(store.clone(), vault.clone(), clock.clone(), limits),
        paths: Arc::new(Paths::new(folder.path().to_path_buf())),
        config: Arc::new(config),
        public_url: "http://localhost".into(),
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
        clock,
        rng,
        store,
        vault,
    };
    let (clock, rng) = (&services.clock, &services.rng);
    let (workspace, user) = (WorkspaceId::new(clock, rng), UserId::new(clock, rng));
    let organization = OrganizationId::new(clock, rng);
    let tx = services.store.system(SystemPurpose::Setup).await.unwrap();
    tx.insert(organization::ActiveModel {
        id: Set(organization),
        name: Set("o".into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(workspace::ActiveModel {
        id: Set(workspace),
        organization_id: Set(organization),
        name: Set("w".into()),
        wrapped_key: Set(vec![1]),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(crate::authz::accounts::account::ActiveModel {
        id: Set(user),
        email: Set("a@b.c".into()),
        name: Set("a".into()),
        password_hash: Set(String::new()),
        totp_sealed: Set(None),
        totp_last_step: Set(None),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(membership::ActiveModel {
        workspace_id: Set(workspace),
        account_id: Set(user),
        role: Set(Role::User.as_str().into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let (project, container) = (ProjectId::new(clock, rng), ContainerId::new(clock, rng));
    let session = AssistantSessionId::new(clock, rng);
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
    tx.commit().await.unwrap();
    let live = Hub::default().open(session, 0);
    World {
        _folder: folder,
        services,
        workspace,
        user,
        session,
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
        let history = pen.accept(text.to_owned(), None).await.unwrap();
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
        };
        (
            turn,
            cancel,
            tokio::spawn(begun.run(Arc::clone(upstream), running)),
        )
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
