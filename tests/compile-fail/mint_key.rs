//! A grant out of thin air: the key of the mint is authz's alone.
use optidev::authz::MintKey;

fn main() {
    let _key = MintKey(()); //~ E0423: cannot initialize a tuple struct which contains private fields
}
