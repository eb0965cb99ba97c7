//! A grant that a client sends.
use optidev::authz::permission::SecretsReveal;
use optidev::store::Grant;

fn main() {
    let _: Grant<SecretsReveal> = serde_json::from_str("{}").unwrap();
}
