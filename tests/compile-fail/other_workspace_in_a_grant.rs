//! Another workspace written into a grant that was given.
use optidev::authz::permission::ProjectsRead;
use optidev::kernel::WorkspaceId;
use optidev::store::Grant;

fn move_over(grant: &mut Grant<ProjectsRead>, other: WorkspaceId) {
    grant.workspace = other; //~ E0616: field `workspace` of struct `Grant` is private
}

fn main() {
    let _ = move_over;
}
