//! An organization's owner in a workspace: owning the one gives nothing in the other.
use optidev::store::{OrganizationGrant, Store};

async fn enter(store: &Store, grant: &OrganizationGrant) {
    let _ = store.scoped(grant).await; //~ E0308: mismatched types: expected `&Grant<_>`, found `&OrganizationGrant`
}

fn main() {
    let _ = enter;
}
