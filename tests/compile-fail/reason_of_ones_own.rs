//! A reason for silence that is not on the list.
use optidev::store::{ScopedTx, Unaudited};

async fn silently(tx: ScopedTx) {
    let _ = tx.commit_unaudited(Unaudited::Because).await; //~ E0599: no variant or associated item named `Because` found for enum `Unaudited` in the current scope
}

fn main() {
    let _ = silently;
}
