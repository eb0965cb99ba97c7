//! The connection below a transaction.
use optidev::store::ScopedTx;

fn below(tx: &ScopedTx) {
    let _ = &tx.tx; //~ E0616: field `tx` of struct `Reading` is private
}

fn main() {
    let _ = below;
}
