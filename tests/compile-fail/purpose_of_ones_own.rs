//! Work without a workspace for a purpose that is not on the list.
use optidev::store::{Store, SystemPurpose};

async fn look_around(store: &Store) {
    let _ = store.system(SystemPurpose::Curiosity).await; //~ E0599: no variant or associated item named `Curiosity` found for enum `optidev::store::SystemPurpose` in the current scope
}

fn main() {
    let _ = look_around;
}
