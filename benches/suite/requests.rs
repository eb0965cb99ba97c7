//! Requests that end in the server and its database.

use std::time::{Duration, Instant};

use serde_json::json;

use super::measure::{family, processor_s, quantile};
use super::report::{Better, Measurement};
use super::wire::Wire;
use super::{EMAIL, Store, World};

const ROUNDS: usize = 7;
const CONNECTIONS: usize = 8;
const LOAD: Duration = Duration::from_secs(2);
/// Requests of a round of `session_check_cached`; its p99 is the round's value.
const CHECKS: usize = 2_000;
/// Each is used once in a round of `session_check_db`, because the server believes what it read for a second.
const TOKENS: usize = 200;
const BELIEVED: Duration = Duration::from_millis(1_050);

/// [`reads`], `session_check_cached` and `session_check_db`.
pub async fn measure(world: &World) -> Vec<Measurement> {
    let mut all = reads(world).await;
    all.extend(session_checks(world).await);
    all
}

/// `api_get_*` of the world's store: GET of a project over kept connections. The load and the server share the machine's cores, so the rate "per core"
/// is per second of processor time that the server's processes used; `_wall` is per second of the clock, and
/// `_p99` of what a request took under that load.
pub async fn reads(world: &World) -> Vec<Measurement> {
    let projects = format!("{}/projects", world.workspace);
    let new = json!({"name": "Bench", "source": {"kind": "empty"}});
    let project = world.api.post(&projects, &new).await.ok();
    let path = format!("/api/v1{projects}/{}", project["id"].as_str().unwrap());
    let token = world.api.token().unwrap();
    let (mut per_core, mut wall, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let processes = family(world.server.pid());
        let (used, begun) = (processor_s(&processes), Instant::now());
        let callers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (path, token, port) = (path.clone(), token.to_owned(), world.server.port());
                tokio::spawn(async move {
                    let mut wire = Wire::tcp(port).await;
                    let mut times = Vec::new();
                    while begun.elapsed() < LOAD {
                        let asked = Instant::now();
                        wire.get(&path, Some(&token)).await;
                        times.push(asked.elapsed().as_secs_f64() * 1e6);
                    }
                    times
                })
            })
            .collect();
        let mut times = Vec::new();
        for caller in callers {
            times.extend(caller.await.unwrap());
        }
        let seconds = begun.elapsed().as_secs_f64();
        let used = processor_s(&processes) - used;
        // The first round warms up and does not count.
        if round > 0 {
            per_core.push(times.len() as f64 / used);
            wall.push(times.len() as f64 / seconds);
            p99.push(quantile(&times, 0.99));
        }
    }
    let [name, name_wall, name_p99] = match world.store {
        Store::Sqlite => [
            "api_get_sqlite",
            "api_get_sqlite_wall",
            "api_get_sqlite_p99",
        ],
        Store::Postgres => [
            "api_get_postgres",
            "api_get_postgres_wall",
            "api_get_postgres_p99",
        ],
    };
    vec![
        Measurement::new(name, "1/s per core", Better::Higher, per_core),
        Measurement::new(name_wall, "1/s", Better::Higher, wall),
        Measurement::new(name_p99, "us", Better::Lower, p99),
    ]
}

/// p99 of a whole `GET /api/v1/me`, one request at a time: with a token that was checked within the last second, and
/// with one for which the vault and the database are asked.
async fn session_checks(world: &World) -> Vec<Measurement> {
    let mut wire = Wire::tcp(world.server.port()).await;
    let mut tokens = Vec::new();
    for _ in 0..TOKENS {
        let api = world.server.api(EMAIL, "projects").await;
        tokens.push(api.token().unwrap().to_owned());
    }
    let (mut cached, mut database) = (Vec::new(), Vec::new());
    // The first round writes each token's time of first use, which is not what a check usually does.
    for round in 0..=ROUNDS {
        tokio::time::sleep(BELIEVED).await;
        let mut times = Vec::with_capacity(TOKENS);
        for token in &tokens {
            times.push(timed(&mut wire, token).await);
        }
        let one: Vec<&String> = tokens.iter().take(1).collect();
        timed(&mut wire, one[0]).await;
        let mut times_cached = Vec::with_capacity(CHECKS);
        let mut asked = Instant::now();
        while times_cached.len() < CHECKS {
            if asked.elapsed() > Duration::from_millis(900) {
                // Checked anew outside of the figure, so that every counted check is within its second.
                tokio::time::sleep(BELIEVED.saturating_sub(asked.elapsed())).await;
                timed(&mut wire, one[0]).await;
                asked = Instant::now();
            }
            times_cached.push(timed(&mut wire, one[0]).await);
        }
        if round > 0 {
            database.push(quantile(&times, 0.99));
            cached.push(quantile(&times_cached, 0.99));
        }
    }
    vec![
        Measurement::new("session_check_cached", "us", Better::Lower, cached),
        Measurement::new("session_check_db", "us", Better::Lower, database),
    ]
}

/// Microseconds from the request to the whole answer.
async fn timed(wire: &mut Wire, token: &str) -> f64 {
    let begun = Instant::now();
    wire.get("/api/v1/me", Some(token)).await;
    begun.elapsed().as_secs_f64() * 1e6
}
