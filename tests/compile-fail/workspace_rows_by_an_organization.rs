//! Rows of a workspace through its organization's transaction.
use optidev::authz::membership;
use optidev::store::OrganizationTx;

async fn members(tx: &OrganizationTx) {
    let _ = tx.delete_many::<membership::Entity>().exec().await; //~ E0277: the trait bound `Entity: Tenant<Id<Organization>>` is not satisfied: the trait `Tenant<optidev::kernel::Id<optidev::kernel::ids::Organization>>` is not implemented for `optidev::authz::membership::Entity`
}

fn main() {
    let _ = members;
}
