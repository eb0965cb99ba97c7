//! Rows of a workspace without a grant.
use optidev::kernel::WorkspaceId;
use optidev::store::Store;

async fn peek(store: &Store, workspace: WorkspaceId) {
    let _ = store.scoped_read(workspace).await; //~ E0308: mismatched types: expected `&Grant<_>`, found `Id<Workspace>`
}

fn main() {
    let _ = peek;
}
