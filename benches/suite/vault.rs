//! Sealing, revealing and delivering through the vault's client, as the server does it: one connection, several callers.

use std::time::Instant;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use optidev::vault::{Binding, DeliverItem, Sealed, Tier, VaultClient, WrappedKey};

use super::measure::quantile;
use super::report::{Better, Measurement};
use crate::vault_process::{Vault, WORKSPACE, binding, value};

const ROUNDS: usize = 7;
/// A multiple of each number of callers.
const CALLS: usize = 9_600;

/// Secrets of one delivery.
const SECRETS: usize = 200;
const DELIVERIES: usize = 20;

/// Names of what is measured for each number of callers, who wait for their answer before they ask again.
const CALLERS: [(usize, [&str; 4]); 3] = [
    (
        1,
        [
            "vault_seal_c1",
            "vault_seal_c1_p99",
            "vault_reveal_c1",
            "vault_reveal_c1_p99",
        ],
    ),
    (
        16,
        [
            "vault_seal",
            "vault_seal_p99",
            "vault_reveal",
            "vault_reveal_p99",
        ],
    ),
    (
        64,
        [
            "vault_seal_c64",
            "vault_seal_c64_p99",
            "vault_reveal_c64",
            "vault_reveal_c64_p99",
        ],
    ),
];

/// The names of all of it.
pub const NAMES: &[&str] = &[
    "vault_seal",
    "vault_reveal",
    "vault_deliver_200",
    "vault_overhead",
];

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

/// Values of 64 bytes; reveals and deliveries are written to the vault's record.
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
    let mut all = Vec::new();
    for (callers, names) in CALLERS {
        let mut found: [Vec<f64>; 4] = Default::default();
        // The first round warms up and does not count.
        for round in 0..=ROUNDS {
            let (seals, seal_ms) = rate(&caller, Call::Seal, callers).await;
            let (reveals, reveal_ms) = rate(&caller, Call::Reveal, callers).await;
            if round > 0 {
                for (list, figure) in found.iter_mut().zip([seals, seal_ms, reveals, reveal_ms]) {
                    list.push(figure);
                }
            }
        }
        for (name, figures) in names.into_iter().zip(found) {
            let measured = if name.ends_with("_p99") {
                Measurement::new(name, "ms", Better::Lower, figures).below(5.0)
            } else {
                Measurement::new(name, "1/s", Better::Higher, figures)
            };
            all.push(measured);
        }
    }
    let recorded = vault.recorded().len();
    assert!(
        recorded >= CALLERS.len() * (ROUNDS + 1) * CALLS,
        "only {recorded} reveals were recorded"
    );
    all.push(deliveries(&caller).await);
    all.push(overhead(&caller).await);
    all
}

/// Calls a second, and the 99th percentile of how long one took, in ms.
async fn rate(caller: &Caller, call: Call, callers: usize) -> (f64, f64) {
    let begun = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(CALLS / callers);
                for _ in 0..CALLS / callers {
                    let begun = Instant::now();
                    caller.once(call).await;
                    took.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                took
            })
        })
        .collect();
    let mut took = Vec::with_capacity(CALLS);
    for caller in callers {
        took.extend(caller.await.unwrap());
    }
    (
        took.len() as f64 / begun.elapsed().as_secs_f64(),
        quantile(&took, 0.99),
    )
}

/// How long the delivery of a container's environment with [`SECRETS`] secrets takes, in ms.
async fn deliveries(caller: &Caller) -> Measurement {
    let mut items = Vec::new();
    for number in 0..SECRETS {
        let name = format!("SECRET_{number}");
        let binding = Binding {
            name: name.clone(),
            ..binding(Tier::Sensitive)
        };
        let text = value(&"x".repeat(64));
        let sealed = caller.client.seal(&caller.key, &binding, text).await;
        items.push(DeliverItem {
            env: name,
            binding,
            sealed: sealed.unwrap(),
            expand: true,
        });
    }
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        for _ in 0..DELIVERIES {
            let (client, items) = (&caller.client, items.clone());
            let delivery = client.deliver(&caller.key, items, [9; 32], "ctr", vec![]);
            assert!(!delivery.await.unwrap().ciphertext.is_empty());
        }
        if round > 0 {
            rounds.push(begun.elapsed().as_secs_f64() * 1e3 / DELIVERIES as f64);
        }
    }
    Measurement::new("vault_deliver_200", "ms", Better::Lower, rounds).below(50.0)
}

/// What an operation costs above bare AES-256-GCM of the same value, in us: 64 callers, so that what is counted is work and
/// not waiting for the other end to wake up.
async fn overhead(caller: &Caller) -> Measurement {
    let cipher = Aes256Gcm::new_from_slice(&[7; 32]).unwrap();
    let text = [b'x'; 64];
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        for number in 0..CALLS as u64 {
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&number.to_le_bytes());
            let payload = Payload {
                msg: &text,
                aad: b"bound",
            };
            let sealed = cipher.encrypt(&nonce.into(), payload).unwrap();
            assert_eq!(std::hint::black_box(sealed).len(), 80);
        }
        let bare_us = begun.elapsed().as_secs_f64() * 1e6 / CALLS as f64;
        let (seals, _) = rate(caller, Call::Seal, 64).await;
        if round > 0 {
            rounds.push(1e6 / seals - bare_us);
        }
    }
    Measurement::new("vault_overhead", "us", Better::Lower, rounds).below(20.0)
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
