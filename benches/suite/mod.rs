//! The benches of the embedded default, one module for each thing that is measured.

mod broker;
mod containers;
mod measure;
#[allow(dead_code, reason = "a bench uses a part of it")]
mod report;
mod requests;
mod rotation;
mod secrets;
mod start;
mod vault;
mod wire;

use report::Measurement;

use crate::support::api::Api;
use crate::support::postgres::Postgres;
use crate::support::server::Server;

/// Who the benches work as.
const EMAIL: &str = "bench@example.com";

/// Which benches to run: those whose name contains one of the parts, or all.
struct Chosen<'a>(&'a [String]);

impl Chosen<'_> {
    fn any(&self, names: &[&str]) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|part| names.iter().any(|name| name.contains(part.as_str())))
    }
}

/// A server with an owner, and what requests need to know of it.
struct World {
    server: Server,
    api: Api,
    /// `/workspaces/{w}`
    workspace: String,
    store: Store,
}

/// Where a server keeps its rows.
#[derive(Clone, Copy, PartialEq)]
enum Store {
    Sqlite,
    Postgres,
}

impl World {
    async fn start(store: Store) -> Self {
        let mut builder = Server::builder().set("log.level", "warn").embedded();
        // They are counted all the same; what is measured is not where they end.
        for limit in ["address", "account", "token"] {
            builder = builder.set(&format!("limits.{limit}_per_minute"), "100000000");
        }
        // On loopback, as its operators would have it in one network; the database goes with the bench.
        let builder = match store {
            Store::Sqlite => builder,
            Store::Postgres => Postgres::shared()
                .new_database()
                .settings()
                .into_iter()
                .fold(builder, |builder, (key, value)| builder.set(&key, value)),
        };
        let server = builder.start().await;
        server.create_owner(EMAIL).await;
        let api = server.api(EMAIL, "all").await;
        let workspace = format!("/workspaces/{}", api.workspace().await);
        Self {
            server,
            api,
            workspace,
            store,
        }
    }
}

/// Runs what is chosen; prints the table, and writes the file when everything ran. Answers whether every bar was met;
/// without optimisation none is asked for.
pub async fn run(parts: &[String]) -> bool {
    let chosen = Chosen(parts);
    let begun = std::time::Instant::now();
    let mut all: Vec<Measurement> = Vec::new();
    if chosen.any(&["ready_time", "ready_time_first", "idle_rss"]) {
        all.extend(start::measure().await);
    }
    if chosen.any(vault::NAMES) {
        all.extend(vault::measure().await);
    }
    if chosen.any(&["vault_rotate_master"]) {
        all.extend(rotation::measure().await);
    }
    let requests = chosen.any(&[
        "api_get_sqlite",
        "api_get_sqlite_wall",
        "api_get_sqlite_p99",
        "session_check_cached",
        "session_check_db",
    ]);
    let sets = chosen.any(&secrets::names(Store::Sqlite));
    let starts = chosen.any(&["container_start_local"]);
    let transfer = chosen.any(&["broker_throughput"]);
    let after = chosen.any(&["idle_rss_after_work"]);
    if sets {
        all.extend(secrets::measure(&World::start(Store::Sqlite).await).await);
    }
    if requests || starts || transfer || after {
        let world = World::start(Store::Sqlite).await;
        if requests || after {
            all.extend(requests::measure(&world).await);
        }
        if starts || transfer || after {
            let container = containers::Container::create(&world).await;
            if transfer || after {
                all.push(broker::measure(&world, &container).await);
            }
            if starts || after {
                all.push(containers::measure(&container).await);
            }
            container.stop().await;
        }
        if after {
            all.push(start::idle_after_work(&world).await);
        }
    }
    if chosen.any(&[
        "api_get_postgres",
        "api_get_postgres_wall",
        "api_get_postgres_p99",
    ]) {
        let world = World::start(Store::Postgres).await;
        all.extend(requests::reads(&world).await);
    }
    if chosen.any(&secrets::names(Store::Postgres)) {
        all.extend(secrets::measure(&World::start(Store::Postgres).await).await);
    }
    report::print(&all);
    if parts.is_empty() {
        let file = report::write(&all, "main");
        println!(
            "\n{} in {} s; written to {}",
            all.len(),
            begun.elapsed().as_secs(),
            file.display()
        );
    }
    let missed = report::missed(&all);
    if missed.is_empty() || cfg!(debug_assertions) {
        return true;
    }
    eprintln!("\nerror: missed their bars: {}", missed.join(", "));
    false
}
