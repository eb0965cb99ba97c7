//! The connection pool.
use optidev::store::Store;

fn pool(store: &Store) {
    let _ = &store.pool;
}

fn main() {
    let _ = pool;
}
