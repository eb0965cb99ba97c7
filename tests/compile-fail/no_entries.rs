//! Entries of which there are none.
use optidev::store::{Entries, ScopedTx};

async fn silently(tx: ScopedTx) {
    let none: Vec<optidev::store::Entry> = Vec::new();
    let _ = tx.commit(Entries::from(none)).await;
}

fn main() {
    let _ = silently;
}
