//! A grant that a client sends.
use optidev::authz::permission::SecretsReveal;
use optidev::store::Grant;

fn main() {
    let _: Grant<SecretsReveal> = serde_json::from_str("{}").unwrap(); //~ E0277: the trait bound `Grant<optidev::authz::permission::SecretsReveal>: serde::Deserialize<'de>` is not satisfied
}
