//! A transaction that goes on after its commit, without entries.
use optidev::authz::membership;
use optidev::store::{Entries, ScopedTx};

async fn go_on(tx: ScopedTx, entries: Entries) {
    let _ = tx.commit(entries).await;
    let _ = tx.delete_many::<membership::Entity>().exec().await; //~ E0382: borrow of moved value: `tx`
}

fn main() {
    let _ = go_on;
}
