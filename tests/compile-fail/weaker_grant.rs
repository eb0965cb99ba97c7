//! What a viewer may do, in place of what only others may: one permission's grant is not another's.
use optidev::authz::permission::{SecretsRead, SecretsReveal};
use optidev::store::Grant;

fn reveal(_: &Grant<SecretsReveal>) {}

fn look(grant: &Grant<SecretsRead>) {
    reveal(grant); //~ E0308: mismatched types: expected `&Grant<SecretsReveal>`, found `&Grant<SecretsRead>`
}

fn main() {
    let _ = look;
}
