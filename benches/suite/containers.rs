//! From the request to start a container to the first byte of a terminal in it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::World;
use super::report::{Better, Measurement};
use crate::support::api::Api;
use crate::support::terminal::Terminal;

const STARTS: usize = 20;
const LIMIT: Duration = Duration::from_secs(30);

/// The container of the benches' user.
pub struct Container {
    pub api: Api,
    /// `/workspaces/{w}/containers/{c}`
    pub path: String,
    /// Where the host has its folders.
    pub folder: PathBuf,
}

impl Container {
    /// Makes it and waits until it runs.
    pub async fn create(world: &World) -> Self {
        let containers = format!("{}/containers", world.workspace);
        let made = world.api.post(&containers, &json!({})).await.ok();
        let id = made["id"].as_str().unwrap();
        let container = Self {
            api: world.api.clone(),
            path: format!("{containers}/{id}"),
            folder: world.server.data_dir().join("containers").join(id),
        };
        container.is("running").await;
        container
    }

    /// Stops it and waits until it has.
    pub async fn stop(&self) {
        self.act("stop").await;
        self.is("stopped").await;
    }

    async fn act(&self, verb: &str) {
        let path = format!("{}/{verb}", self.path);
        self.api.post(&path, &json!({})).await.expect(202);
    }

    /// Waits for a state.
    async fn is(&self, state: &str) {
        let mut events = self.api.events(&format!("{}/events", self.path)).await;
        events
            .until(LIMIT, |event| {
                let now = event.json();
                assert!(
                    now["state"] != "failed",
                    "the container failed: {}",
                    now["reason"]
                );
                now["state"] == state
            })
            .await;
    }

    /// Milliseconds from the request to start it to the first byte of a new terminal, as a program would do it: ask,
    /// follow the events until it runs, make a terminal, connect to it.
    async fn start(&self) -> f64 {
        let begun = Instant::now();
        self.act("start").await;
        self.is("running").await;
        let (id, mut terminal) = Terminal::create(&self.api, &self.path).await;
        while terminal.output.is_empty() {
            assert!(
                terminal.receive().await && begun.elapsed() < LIMIT,
                "the terminal stayed empty"
            );
        }
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let path = format!("{}/terminals/{id}", self.path);
        self.api.delete(&path).await.ok();
        took
    }
}

/// `container_start_local`, in turns with bubblewrap alone.
pub async fn measure(container: &Container) -> Measurement {
    let (mut starts, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        container.stop().await;
        plain.push(bubblewrap().await);
        starts.push(container.start().await);
    }
    Measurement::new("container_start_local", "ms", Better::Lower, starts)
        .against("bwrap", plain)
        .below(500.0)
}

/// Milliseconds from spawning bubblewrap, with as much unshared as a container has, to the first byte of a shell in it.
async fn bubblewrap() -> f64 {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--unshare-user", "--disable-userns"]);
    command.args(["--new-session", "--die-with-parent", "--cap-drop", "ALL"]);
    command.args(["--uid", "1000", "--gid", "1000", "--hostname", "bench"]);
    command.args(["--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]);
    command.args(["--ro-bind", "/usr", "/usr"]);
    for name in ["/bin", "/sbin", "/lib", "/lib64"] {
        if let Ok(target) = std::fs::read_link(name) {
            command.arg("--symlink").arg(target).arg(name);
        }
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    command.args(["--", "bash", "-c", "printf x"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let begun = Instant::now();
    let mut child = command
        .spawn()
        .expect("bwrap does not start: run `scripts/need runtime`");
    let mut byte = [0];
    let output = child.stdout.as_mut().unwrap();
    output
        .read_exact(&mut byte)
        .await
        .expect("bubblewrap made no container");
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    child.wait().await.unwrap();
    took
}
