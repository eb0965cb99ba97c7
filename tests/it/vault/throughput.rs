//! How fast it is. Run with `cargo test --release --test it vault::throughput -- --ignored --nocapture`.

use std::time::Instant;

use optidev::vault::{DeliverItem, Tier, VaultClient, WrappedKey};

use super::harness::{Vault, WORKSPACE, binding, value};

const ROUNDS: usize = 20_000;

async fn pairs(client: VaultClient, key: WrappedKey, count: usize) {
    for _ in 0..count {
        let sealed = client
            .seal(&key, &binding(Tier::Masked), value(&"x".repeat(64)))
            .await
            .unwrap();
        client
            .reveal(&key, &binding(Tier::Masked), &sealed)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measures_seal_and_reveal() {
    let vault = Vault::start().await;
    let client = vault.client();
    let key = client.new_workspace_key(WORKSPACE).await.unwrap();
    for callers in [1, 16, 64] {
        let start = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| tokio::spawn(pairs(client.clone(), key.clone(), ROUNDS / callers)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = (ROUNDS as f64) / start.elapsed().as_secs_f64();
        println!("{callers} callers on one connection: {rate:.0} seal+reveal pairs a second");
    }
    let sealed = client
        .seal(&key, &binding(Tier::Masked), value("x"))
        .await
        .unwrap();
    let items: Vec<_> = (0..200)
        .map(|number| DeliverItem {
            env: format!("V{number}"),
            binding: binding(Tier::Masked),
            sealed: sealed.clone(),
            expand: false,
        })
        .collect();
    let start = Instant::now();
    for _ in 0..100 {
        client
            .deliver(&key, items.clone(), [9; 32], "c", vec![])
            .await
            .unwrap();
    }
    println!("a delivery of 200 secrets: {:?}", start.elapsed() / 100);
}
