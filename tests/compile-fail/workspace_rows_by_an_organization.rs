//! Rows of a workspace through its organization's transaction.
use optidev::authz::membership;
use optidev::store::OrganizationTx;

async fn members(tx: &OrganizationTx) {
    let _ = tx.delete_many::<membership::Entity>().exec().await;
}

fn main() {
    let _ = members;
}
