//! Bytes from a container through the server, compared with the agent's own socket.

use std::time::Instant;

use serde_json::json;

use super::World;
use super::containers::Container;
use super::report::{Better, Measurement};
use super::wire::Wire;

const ROUNDS: usize = 15;
const MEBIBYTES: u64 = 64;

/// `broker_throughput`: a download of 64 MiB.
pub async fn measure(world: &World, container: &Container) -> Measurement {
    let script = format!("head -c {} /dev/urandom > bench.bin", MEBIBYTES << 20);
    let exec = format!("{}/exec", container.path);
    let made = container
        .api
        .post(&exec, &json!({"command": ["sh", "-c", script]}))
        .await
        .ok();
    assert_eq!(made["exit_code"], 0, "{made}");
    let mut through = Wire::tcp(world.server.port()).await;
    let mut direct = Wire::agent(&container.folder.join("run")).await;
    let path = format!("/api/v1{}/files/bench.bin", container.path);
    let token = world.api.token();
    let (mut rates, mut baseline) = (Vec::new(), Vec::new());
    // The first round warms up and does not count.
    for round in 0..=ROUNDS {
        let plain = rate(&mut direct, "/v1/files/bench.bin", None).await;
        let brokered = rate(&mut through, &path, token).await;
        if round > 0 {
            baseline.push(plain);
            rates.push(brokered);
        }
    }
    Measurement::new("broker_throughput", "MiB/s", Better::Higher, rates)
        .against("agent socket", baseline)
}

async fn rate(wire: &mut Wire, path: &str, token: Option<&str>) -> f64 {
    let begun = Instant::now();
    let length = wire.get(path, token).await;
    assert_eq!(length, MEBIBYTES << 20, "the file is not whole");
    MEBIBYTES as f64 / begun.elapsed().as_secs_f64()
}
