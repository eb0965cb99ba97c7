//! What a container is, as people and the API see it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::kernel::{ContainerId, UserId, WorkspaceId};

/// Whose container it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The container.
    pub container: ContainerId,
    /// Its one owner.
    pub owner: UserId,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The word in the database and the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("{other:?} is no {}", stringify!($name))),
                }
            }
        }
    };
}

words! {
    /// What the owner asked for.
    Wanted {
        /// It shall run.
        Running = "running",
        /// It shall not run; its volume stays.
        Stopped = "stopped",
        /// It shall be gone, with its volume.
        Deleted = "deleted",
    }
}

words! {
    /// What was observed.
    State {
        /// Nothing of it runs.
        Stopped = "stopped",
        /// On its way.
        Starting = "starting",
        /// Its agent answers, and its isolation was proven.
        Running = "running",
        /// Ending.
        Stopping = "stopping",
        /// It does not run although it should; `reason` says why.
        Failed = "failed",
    }
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Stopped,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Failed,
    ];

    /// Whether it runs or is about to, so that nothing needs to be asked for.
    pub fn is_on_its_way(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

words! {
    /// A step of starting.
    StepName {
        /// Folders.
        Volume = "volume",
        /// Of pods: a node with room.
        Node = "node",
        /// Of pods: the image on that node, and the agent's certificate.
        Image = "image",
        /// Namespaces and limits, and the proof that they hold.
        Isolation = "isolation",
        /// The agent's first answer.
        Agent = "agent",
        /// The way out.
        Egress = "egress",
        /// The environment.
        Secrets = "secrets",
        /// All of it.
        Ready = "ready",
    }
}

words! {
    /// How far a step is.
    StepState {
        /// Not begun.
        Pending = "pending",
        /// Now.
        Running = "running",
        /// Done.
        Done = "done",
        /// Failed; `message` says why.
        Failed = "failed",
    }
}

/// A step of the progress display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// For people.
    pub label: String,
    /// How far.
    pub state: StepState,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// What was found, or what went wrong.
    pub message: Option<String>,
}

impl StepName {
    /// The steps of a container on this machine, in the order of the display.
    pub const ALL: [Self; 6] = [
        Self::Volume,
        Self::Isolation,
        Self::Agent,
        Self::Egress,
        Self::Secrets,
        Self::Ready,
    ];

    /// The steps of a pod, in the order of the display.
    pub const OF_PODS: [Self; 8] = [
        Self::Volume,
        Self::Node,
        Self::Image,
        Self::Isolation,
        Self::Agent,
        Self::Egress,
        Self::Secrets,
        Self::Ready,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Volume => "Prepare the home folder",
            Self::Node => "Find a node",
            Self::Image => "Pull the image and start",
            Self::Isolation => "Isolate and prove it",
            Self::Agent => "Start the agent",
            Self::Egress => "Open the way to allowed hosts",
            Self::Secrets => "Deliver secrets",
            Self::Ready => "Ready",
        }
    }
}

/// Steps that have not begun.
pub fn pending_steps(names: &[StepName]) -> Vec<Step> {
    names
        .iter()
        .map(|&name| Step {
            name,
            label: name.label().to_owned(),
            state: StepState::Pending,
            duration_ms: None,
            message: None,
        })
        .collect()
}

/// What the controller knows of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What was asked for, as last read.
    pub wanted: Wanted,
    /// What is.
    pub state: State,
    /// Why, when it is not what was wanted, or when something happened that the owner should know.
    pub reason: Option<String>,
    /// The last start.
    pub steps: Vec<Step>,
    /// When it became running, milliseconds since the epoch.
    pub started_at_ms: Option<i64>,
    /// How long the last start took.
    pub start_duration_ms: Option<i64>,
}

/// A container as the API shows it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Container {
    /// `ctr_...`
    pub id: ContainerId,
    /// Whom it belongs to.
    pub owner: Owner,
    /// Whether that is the caller.
    pub mine: bool,
    /// What was asked for.
    pub wanted: Wanted,
    /// What is.
    pub state: State,
    /// Why, for people.
    pub reason: Option<String>,
    /// The last start.
    pub steps: Vec<Step>,
    /// When it became running, milliseconds since the epoch.
    pub started_at_ms: Option<i64>,
    /// How long the last start took, in milliseconds.
    pub start_duration_ms: Option<i64>,
    /// Of pods: the class that was chosen.
    pub class: Option<String>,
    /// Of pods: the image that was chosen.
    pub image: Option<String>,
}

/// A container's owner.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Owner {
    /// The person.
    pub id: UserId,
    /// Display name.
    pub name: String,
}

impl Container {
    /// The view of `observed` for `viewer`, of a container of this class and image.
    pub fn view(
        id: ContainerId,
        owner: Owner,
        viewer: UserId,
        observed: Observed,
        (class, image): (Option<String>, Option<String>),
    ) -> Self {
        let Observed {
            wanted,
            state,
            reason,
            mut steps,
            started_at_ms,
            start_duration_ms,
        } = observed;
        let mine = owner.id == viewer;
        // It may name what the owner has of their own.
        let private =
            |step: &&mut Step| step.name == StepName::Secrets && step.state == StepState::Failed;
        if !mine {
            for step in steps.iter_mut().filter(private) {
                step.message = Some("The container's owner is told why.".to_owned());
            }
        }
        Self {
            id,
            owner,
            mine,
            wanted,
            state,
            reason,
            steps,
            started_at_ms,
            start_duration_ms,
            class,
            image,
        }
    }
}

/// Whether a project's files are in a container.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Checkout {
    /// The project.
    pub project_id: crate::kernel::ProjectId,
    /// Its folder below the container's home.
    pub folder: String,
    /// How far.
    pub state: CheckoutState,
    /// What happens, or what went wrong.
    pub message: Option<String>,
}

words! {
    /// How far a checkout is.
    CheckoutState {
        /// The folder is not there.
        Absent = "absent",
        /// Being made.
        Importing = "importing",
        /// There.
        Ready = "ready",
        /// It did not work; `message` says why.
        Failed = "failed",
    }
}
