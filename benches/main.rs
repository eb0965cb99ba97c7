//! `make bench`: measures the executable from outside, as its users meet it, and writes `target/bench/main.json`.
//!
//! What always holds: the real executable runs on loopback with a data folder of its own; baselines are measured in
//! turns with what they are compared with; nothing is measured with the server's own clocks. Arguments choose benches
//! by a part of their name, and then the file is left as it was: `cargo bench --bench main -- broker`.
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

mod suite;
#[path = "../tests/it/support/mod.rs"]
#[allow(
    unused_imports,
    reason = "the support's own tests are left out of a bench, and what they import is not"
)]
mod support;
#[path = "../tests/it/vault/harness.rs"]
#[allow(dead_code, reason = "a bench uses a part of it")]
mod vault_process;

fn main() -> std::process::ExitCode {
    let mut chosen: Vec<String> = std::env::args().skip(1).collect();
    // Cargo adds --bench.
    chosen.retain(|argument| !argument.starts_with('-'));
    let met = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(suite::run(&chosen));
    // The file and the table are there either way: a bar that is missed ends the command with a failure.
    if met {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}
