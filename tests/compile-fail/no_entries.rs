//! Entries of which there are none.
use optidev::store::{Entries, ScopedTx};

async fn silently(tx: ScopedTx) {
    let none: Vec<optidev::store::Entry> = Vec::new();
    let _ = tx.commit(Entries::from(none)).await; //~ E0277: the trait bound `Entries: From<Vec<optidev::store::Entry>>` is not satisfied
}

fn main() {
    let _ = silently;
}
