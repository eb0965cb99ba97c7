//! Sealing and revealing through the vault's client, as the server does it: one connection, several callers.

use std::time::Instant;

use optidev::vault::{Sealed, Tier, VaultClient, WrappedKey};

use super::report::{Better, Measurement};
use crate::vault_process::{Vault, WORKSPACE, binding, value};

const ROUNDS: usize = 7;
/// Callers who wait for their answer before they ask again.
const CALLERS: usize = 16;
const CALLS: usize = 40_000;

#[derive(Clone, Copy)]
enum Call {
    Seal,
    Reveal,
}

/// What a caller needs.
#[derive(Clone)]
struct Caller {
    client: VaultClient,
    key: WrappedKey,
    sealed: Sealed,
}

/// `vault_seal` and `vault_reveal`: values of 64 bytes; reveals are written to the vault's record.
pub async fn measure() -> Vec<Measurement> {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    let sealed = client
        .seal(&key, &binding(Tier::Masked), value(&"x".repeat(64)))
        .await
        .unwrap();
    let caller = Caller {
        client,
        key,
        sealed,
    };
    let (mut seals, mut reveals) = (Vec::new(), Vec::new());
    // The first round warms up and does not count.
    for round in 0..=ROUNDS {
        let sealing = rate(&caller, Call::Seal).await;
        let revealing = rate(&caller, Call::Reveal).await;
        if round > 0 {
            seals.push(sealing);
            reveals.push(revealing);
        }
    }
    let recorded = vault.recorded().len();
    assert!(
        recorded >= (ROUNDS + 1) * CALLS,
        "only {recorded} reveals were recorded"
    );
    vec![
        Measurement::new("vault_seal", "1/s", Better::Higher, seals),
        Measurement::new("vault_reveal", "1/s", Better::Higher, reveals),
    ]
}

/// Calls a second, over [`CALLS`] calls.
async fn rate(caller: &Caller, call: Call) -> f64 {
    let begun = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move {
                for _ in 0..CALLS / CALLERS {
                    caller.once(call).await;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    CALLS as f64 / begun.elapsed().as_secs_f64()
}

impl Caller {
    async fn once(&self, call: Call) {
        let bound = binding(Tier::Masked);
        match call {
            Call::Seal => {
                let text = value(&"x".repeat(64));
                self.client.seal(&self.key, &bound, text).await.unwrap();
            }
            Call::Reveal => {
                let opened = self.client.reveal(&self.key, &bound, &self.sealed).await;
                assert_eq!(opened.unwrap().expose().len(), 64);
            }
        }
    }
}
