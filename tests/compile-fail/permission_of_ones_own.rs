//! A permission that lets everything pass: the table of permissions is closed.
use optidev::authz::PermissionId;
use optidev::store::Permission;

struct Everything;

impl Permission for Everything {
    const ID: PermissionId = PermissionId::Everything;
}

fn main() {}
