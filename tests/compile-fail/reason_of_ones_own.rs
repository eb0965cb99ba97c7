//! A reason for silence that is not on the list.
use optidev::store::{ScopedTx, Unaudited};

async fn silently(tx: ScopedTx) {
    let _ = tx.commit_unaudited(Unaudited::Because).await;
}

fn main() {
    let _ = silently;
}
