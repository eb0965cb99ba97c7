//! A change that the audit log does not tell.
use optidev::store::ScopedTx;

async fn silently(tx: ScopedTx) {
    let _ = tx.commit().await; //~ E0061: this method takes 1 argument but 0 arguments were supplied
}

fn main() {
    let _ = silently;
}
