//! A change in a transaction for reading.
use optidev::authz::membership;
use optidev::store::ScopedRead;

async fn change(tx: &ScopedRead) {
    let _ = tx.delete_many::<membership::Entity>().exec().await;
}

fn main() {
    let _ = change;
}
