//! Starting the server, and what it weighs when nothing happens.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::World;
use super::measure::{family, resident_mib};
use super::report::{Better, Measurement};
use crate::support::{free_port, processes};

const FIRST_STARTS: usize = 5;
const STARTS: usize = 10;
/// Starts after which the memory is looked at, which takes [`IDLE`] each.
const IDLE_ROUNDS: usize = 3;
const IDLE: Duration = Duration::from_secs(5);
const MEMORY_BAR_MIB: f64 = 80.0;

/// A server started for its clock alone; dropping it ends it in good order.
struct Launched {
    child: Child,
    ready_ms: f64,
}

impl Launched {
    /// From the spawn to the first 200 of `/readyz`.
    fn start(data_dir: &Path) -> Self {
        let port = free_port();
        let log = data_dir.with_extension("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_optidev"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OPTIDEV_") {
                command.env_remove(name);
            }
        }
        command
            .env("OPTIDEV_SERVER__LISTEN", format!("127.0.0.1:{port}"))
            .env("OPTIDEV_LOG__LEVEL", "warn")
            .arg("serve")
            .arg("--data-dir")
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap());
        let begun = Instant::now();
        let child = command.spawn().unwrap();
        let mut launched = Self {
            child,
            ready_ms: 0.0,
        };
        while !is_ready(port) {
            let ended = launched.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(30),
                "the server is not ready after {:?}, its end is {ended:?}, and it said:\n{}",
                begun.elapsed(),
                std::fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        launched.ready_ms = begun.elapsed().as_secs_f64() * 1000.0;
        launched
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        processes::signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Written by hand, because a client's own start would be part of the figure.
fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let asked = stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .is_ok();
    let mut answer = String::new();
    asked && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// `ready_time`, `ready_time_first` and `idle_rss`.
pub async fn measure() -> Vec<Measurement> {
    tokio::task::spawn_blocking(measure_blocking).await.unwrap()
}

fn measure_blocking() -> Vec<Measurement> {
    let folder = tempfile::Builder::new()
        .prefix("optidev-bench-")
        .tempdir()
        .unwrap();
    let data = |number: usize| folder.path().join(number.to_string());
    let first: Vec<f64> = (0..FIRST_STARTS)
        .map(|number| Launched::start(&data(number)).ready_ms)
        .collect();
    let (mut again, mut idle) = (Vec::new(), Vec::new());
    for round in 0..STARTS {
        let server = Launched::start(&data(0));
        again.push(server.ready_ms);
        if round < IDLE_ROUNDS {
            std::thread::sleep(IDLE);
            let processes = family(server.child.id());
            assert_eq!(
                processes.len(),
                3,
                "an idle server is itself, its launcher and its vault: {processes:?}"
            );
            idle.push(resident_mib(&processes));
        }
    }
    vec![
        Measurement::new("ready_time", "ms", Better::Lower, again).below(1000.0),
        Measurement::new("ready_time_first", "ms", Better::Lower, first).below(1000.0),
        Measurement::new("idle_rss", "MiB", Better::Lower, idle).below(MEMORY_BAR_MIB),
    ]
}

/// The memory of the server that served all the other benches, idle again and with its containers stopped.
pub async fn idle_after_work(world: &World) -> Measurement {
    tokio::time::sleep(IDLE).await;
    let resident = resident_mib(&family(world.server.pid()));
    Measurement::new("idle_rss_after_work", "MiB", Better::Lower, vec![resident])
        .below(MEMORY_BAR_MIB)
}
