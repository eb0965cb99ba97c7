//! A change that the audit log does not tell.
use optidev::store::ScopedTx;

async fn silently(tx: ScopedTx) {
    let _ = tx.commit().await;
}

fn main() {
    let _ = silently;
}
