//! A grant that outlives its request as a copy.
use optidev::authz::permission::ProjectsRead;
use optidev::store::Grant;

fn keep(grant: &Grant<ProjectsRead>) -> Grant<ProjectsRead> {
    Grant::clone(grant) //~ E0277: the trait bound `Grant<_>: Clone` is not satisfied
}

fn main() {
    let _ = keep;
}
