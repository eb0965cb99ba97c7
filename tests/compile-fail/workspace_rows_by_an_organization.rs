//! Rows of a workspace through its organization's transaction.
use optidev::authz::membership;
use optidev::store::OrganizationTx;

async fn members(tx: &OrganizationTx) {
    let _ = tx.delete_many::<membership::Entity>().exec().await; //~ E0277: the trait bound `optidev::authz::membership::Entity: Tenant<optidev::kernel::Id<optidev::kernel::ids::Organization>>` is not satisfied
}

fn main() {
    let _ = members;
}
