//! A query that is built without the scope and run on a scoped transaction.
use optidev::authz::membership;
use optidev::store::ScopedRead;
use sea_orm::EntityTrait;

async fn all(tx: &ScopedRead) {
    let _ = membership::Entity::find().all(tx).await; //~ E0277: the trait bound `Reading<optidev::kernel::Id<optidev::kernel::ids::Workspace>>: ConnectionTrait` is not satisfied
}

fn main() {
    let _ = all;
}
