//! A change in a transaction for reading.
use optidev::authz::membership;
use optidev::store::ScopedRead;

async fn change(tx: &ScopedRead) {
    let _ = tx.delete_many::<membership::Entity>().exec().await; //~ E0599: no method named `delete_many` found for reference `&Reading<optidev::kernel::Id<optidev::kernel::ids::Workspace>>` in the current scope
}

fn main() {
    let _ = change;
}
