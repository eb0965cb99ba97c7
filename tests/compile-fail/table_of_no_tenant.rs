//! Accounts through a workspace's transaction: the table is nobody's in particular.
use optidev::authz::accounts::account;
use optidev::store::ScopedRead;

async fn accounts(tx: &ScopedRead) {
    let _ = tx.find::<account::Entity>().all().await; //~ E0277: the trait bound `Entity: TenantRead<Id<Workspace>>` is not satisfied
}

fn main() {
    let _ = accounts;
}
