//! The tables of conversations.

/// Sessions.
pub mod session {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{AssistantSessionId, ContainerId, ProjectId, UserId, WorkspaceId};

    /// A row of `assistant_session`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "assistant_session")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The session.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: AssistantSessionId,
        /// Who talks.
        pub owner_id: UserId,
        /// About what.
        pub project_id: ProjectId,
        /// Where the tools act.
        pub container_id: ContainerId,
        /// The beginning of the first message.
        pub title: String,
        /// What need not be asked: words of `Tool::permission`, separated by spaces.
        pub allowed_tools: String,
        /// Since when.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What was said, as the Messages API has it.
pub mod message {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{AssistantSessionId, TurnId, WorkspaceId};

    /// A row of `assistant_message`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "assistant_message")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The session.
        #[sea_orm(primary_key, auto_increment = false)]
        pub session_id: AssistantSessionId,
        /// Ascending.
        #[sea_orm(primary_key, auto_increment = false)]
        pub position: i64,
        /// The turn.
        pub turn_id: TurnId,
        /// `user` or `assistant`.
        pub role: String,
        /// The content blocks, as JSON.
        pub content: String,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What happened, for replay.
pub mod event {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{AssistantSessionId, WorkspaceId};

    /// A row of `assistant_event`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "assistant_event")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The session.
        #[sea_orm(primary_key, auto_increment = false)]
        pub session_id: AssistantSessionId,
        /// Ascending; there may be gaps.
        #[sea_orm(primary_key, auto_increment = false)]
        pub sequence: i64,
        /// When.
        pub at_ms: i64,
        /// The event, as JSON.
        pub body: String,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Files as they were before a turn changed them.
pub mod checkpoint {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{AssistantSessionId, CheckpointId, TurnId, WorkspaceId};

    /// A row of `assistant_checkpoint`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "assistant_checkpoint")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// Names the row.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: CheckpointId,
        /// The session.
        pub session_id: AssistantSessionId,
        /// The turn.
        pub turn_id: TurnId,
        /// Relative to the project's folder.
        pub path: String,
        /// Whether there was such a file.
        pub existed: bool,
        /// What was in it.
        pub content: Option<Vec<u8>>,
        /// The entity tag that the turn's last change left; empty while the first change is under way.
        pub etag_after: String,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(session);
crate::tenant_entity!(message);
crate::tenant_entity!(event);
crate::tenant_entity!(checkpoint);
