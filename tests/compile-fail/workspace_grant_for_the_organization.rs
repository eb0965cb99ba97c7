//! A member of a workspace in what is the whole organization's.
use optidev::authz::permission::AuditRead;
use optidev::store::{Grant, Store};

async fn rise(store: &Store, grant: &Grant<AuditRead>) {
    let _ = store.organization(grant).await; //~ E0308: mismatched types: expected `&OrganizationGrant`, found `&Grant<AuditRead>`
}

fn main() {
    let _ = rise;
}
