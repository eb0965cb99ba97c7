//! Setting secrets over HTTP: each answer comes when the sealed value and its entry of the audit log are on the disk.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use super::measure::quantile;
use super::report::{Better, Measurement};
use super::wire::Wire;
use super::{Store, World};

const ROUNDS: usize = 7;
const CONNECTIONS: usize = 16;
const LOAD: Duration = Duration::from_secs(2);
/// Secrets that each connection sets in turn.
const NAMES_EACH: usize = 16;
/// Twice what OpenBao 2.6 writes, audited, on a machine of two cores.
const BAR: f64 = 1_500.0;

/// The names of what is measured on a store: writes a second, and the 99th percentile of how long one took.
pub const fn names(store: Store) -> [&'static str; 2] {
    match store {
        Store::Sqlite => ["secret_set_sqlite", "secret_set_sqlite_p99"],
        Store::Postgres => ["secret_set_postgres", "secret_set_postgres_p99"],
    }
}

/// Values of 64 bytes, each a new version of a masked secret, over kept connections that wait for their answer.
pub async fn measure(world: &World) -> Vec<Measurement> {
    let secrets = format!("/api/v1{}/secrets", world.workspace);
    let token = world.api.token().unwrap();
    let body = json!({"tier": "masked", "value": "x".repeat(64)}).to_string();
    let body = Bytes::from(body);
    let (mut rates, mut p99) = (Vec::new(), Vec::new());
    // The first round warms up and does not count.
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let callers: Vec<_> = (0..CONNECTIONS)
            .map(|caller| {
                let (secrets, token) = (secrets.clone(), token.to_owned());
                let (body, port) = (body.clone(), world.server.port());
                tokio::spawn(async move {
                    let mut wire = Wire::tcp(port).await;
                    let mut times = Vec::new();
                    for name in (0..NAMES_EACH).cycle() {
                        if begun.elapsed() >= LOAD {
                            break;
                        }
                        let path = format!("{secrets}/BENCH_{caller}_{name}");
                        let asked = Instant::now();
                        wire.put(&path, &token, body.clone()).await;
                        times.push(asked.elapsed().as_secs_f64() * 1e3);
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.await.unwrap());
        }
        if round > 0 {
            rates.push(times.len() as f64 / begun.elapsed().as_secs_f64());
            p99.push(quantile(&times, 0.99));
        }
    }
    let [name, name_p99] = names(world.store);
    vec![
        Measurement::new(name, "1/s", Better::Higher, rates).above(BAR),
        Measurement::new(name_p99, "ms", Better::Lower, p99),
    ]
}
