//! SQL of one's own in a scoped transaction: it is no executor.
use optidev::store::ScopedTx;
use sea_orm::ConnectionTrait;

async fn raw(tx: &ScopedTx) {
    let _ = tx.execute_unprepared("SELECT * FROM secret").await; //~ E0599: no method named `execute_unprepared` found for reference `&Writing<optidev::kernel::Id<optidev::kernel::ids::Workspace>>` in the current scope
}

fn main() {
    let _ = raw;
}
