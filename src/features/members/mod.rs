//! Organizations, workspaces, and who belongs to them.

mod model;
mod ops;

pub use model::{Membership, organization, workspace};
pub use ops::{
    NewWorkspace, add_member, any_workspace, create_organization, memberships, names,
    workspace_chip, workspace_exists, workspace_key,
};
