//! Organizations, workspaces, and who belongs to them.

mod model;
mod ops;
#[cfg(test)]
pub mod testing;

pub use model::{Membership, organization, workspace};
pub use ops::{
    NewWorkspace, add_member, any_workspace, create_organization, find_workspace, memberships,
    names, workspace_chip, workspace_key,
};
