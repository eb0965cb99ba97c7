//! A permission that lets everything pass: the table of permissions is closed.
use optidev::authz::PermissionId;
use optidev::store::Permission;

struct Everything;

impl Permission for Everything {
    const ID: PermissionId = PermissionId::Everything; //~ E0599: no variant or associated item named `Everything` found for enum `PermissionId` in the current scope
}

fn main() {}
