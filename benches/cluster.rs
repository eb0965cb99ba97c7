//! `make bench-cluster`: measures an installation in a cluster (scripts/bench-cluster) as its users meet it, in turns with the
//! cluster itself, and writes `target/bench/cluster.json`.
//!
//! The node is this machine, and so is who asks: servers, containers and what measures them share its cores.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench that cannot measure fails loudly, and prints what it measured"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the bans are for the server; benches are outside it, with clocks, tasks and clients of their own"
)]

mod cluster {
    pub mod broker;
    pub mod start;
}
#[path = "suite/measure.rs"]
#[allow(dead_code, reason = "a bench uses a part of it")]
mod measure;
#[path = "suite/report.rs"]
#[allow(dead_code, reason = "a bench uses a part of it")]
mod report;
#[path = "../tests/it/support/mod.rs"]
#[allow(
    unused_imports,
    reason = "the support's own tests are left out of a bench, and what they import is not"
)]
mod support;
#[path = "suite/wire.rs"]
#[allow(dead_code, reason = "a bench uses a part of it")]
mod wire;

use support::installed::unguarded::Unguarded;
use support::installed::{Container, Installed};

fn main() -> std::process::ExitCode {
    let all = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(run());
    report::print(&all);
    println!("\nwritten to {}", report::write(&all, "cluster").display());
    let missed = report::missed(&all);
    if missed.is_empty() {
        return std::process::ExitCode::SUCCESS;
    }
    eprintln!("\nerror: missed their bars: {}", missed.join(", "));
    std::process::ExitCode::FAILURE
}

async fn run() -> Vec<report::Measurement> {
    let installed = Installed::given();
    let container = installed.container("owner").await;
    let mut all = start::measure(&installed, &container).await;
    all.extend(broker::measure(&installed, &container).await);
    all
}

use cluster::{broker, start};

/// `kubectl run` of the dev image in a namespace without policies, until it is ready.
fn run_bare(bare: &Unguarded<'_>, name: &str, command: &[&str]) {
    let image = format!("--image={}", bare.installed.dev_image);
    let run = ["run", name, &image, "--image-pull-policy=Never"];
    let how = ["--restart=Never", "--command", "--"];
    bare.kubectl(&[&run[..], &how, command].concat(), "");
    bare.ready(name);
}
