//! The connection below a transaction.
use optidev::store::ScopedTx;

fn below(tx: &ScopedTx) {
    let _ = &tx.tx;
}

fn main() {
    let _ = below;
}
