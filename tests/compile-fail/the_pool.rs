//! The connection pool.
use optidev::store::Store;

fn pool(store: &Store) {
    let _ = &store.pool; //~ E0616: field `pool` of struct `optidev::store::Store` is private
}

fn main() {
    let _ = pool;
}
