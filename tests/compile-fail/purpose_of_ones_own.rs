//! Work without a workspace for a purpose that is not on the list.
use optidev::store::{Store, SystemPurpose};

async fn look_around(store: &Store) {
    let _ = store.system(SystemPurpose::Curiosity).await;
}

fn main() {
    let _ = look_around;
}
