//! A grant that outlives its request as a copy.
use optidev::authz::permission::ProjectsRead;
use optidev::store::Grant;

fn keep(grant: &Grant<ProjectsRead>) -> Grant<ProjectsRead> {
    Grant::clone(grant)
}

fn main() {
    let _ = keep;
}
