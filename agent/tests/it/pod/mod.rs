//! The agent as it runs in a pod: real TLS, an authority made here, and a server that enrols it.

mod authority;
mod egress;
mod enrolment;
mod gate;
mod read_only;
mod renewal;
mod server;
mod serving;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use optidev_agent::identity::{BROKER_NAME, container_name};
use optidev_agent::wire::Hello;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, UdpSocket};

use crate::support::{Answer, exchange};
use authority::{Authority, Identity, TlsClient};
use server::Server;

pub const CONTAINER: &str = "ctr_01j8z3k4m5n6p7q8r9s0t1v2w3";
pub const TOKEN: &str = "token-of-this-pod";

/// An agent, its authority, and what it probes.
pub struct Pod {
    pub authority: Arc<Authority>,
    pub dir: TempDir,
    pub listen: SocketAddr,
    pub proxy: SocketAddr,
    child: Option<Child>,
    /// The control of the probes.
    pub control: Option<TcpListener>,
    /// A wall, as long as nobody answers on it.
    pub wall: UdpSocket,
    /// Probed in place of the wall's address.
    pub probed: Option<SocketAddr>,
    /// The file of probes, if it is another one.
    pub written: Option<String>,
}

/// An address of the loopback that no other test has.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let pid = std::process::id();
    Ipv4Addr::new(
        127,
        u8::try_from(pid / 200 % 200 + 20).unwrap(),
        u8::try_from(pid % 200 + 20).unwrap(),
        NEXT.fetch_add(1, Ordering::Relaxed),
    )
}

impl Pod {
    /// Everything but the agent's process.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::new());
        for folder in ["home", "secrets"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let address = own_address();
        Self {
            authority,
            dir,
            listen: (address, 7443).into(),
            proxy: (address, 3128).into(),
            child: None,
            control: Some(TcpListener::bind("127.0.0.1:0").await.unwrap()),
            wall: UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            probed: None,
            written: None,
        }
    }

    pub fn server_address(&self) -> SocketAddr {
        (self.listen.ip(), 8443).into()
    }

    pub fn probes(&self) -> Value {
        let control = self.control.as_ref().unwrap().local_addr().unwrap();
        let wall = self.probed.unwrap_or(self.wall.local_addr().unwrap());
        json!({"enforcer_wait_ms": 0, "probes": [
            {"name": "server", "kind": "tcp", "address": control, "expect": "reachable"},
            {"name": "metadata", "kind": "udp", "address": wall, "expect": "blocked", "timeout_ms": 150},
        ]})
    }

    pub fn start(&mut self) {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_optidev-agent")));
    }

    /// By a command that takes the agent's arguments.
    pub fn start_by(&mut self, mut command: Command) {
        let dir = self.dir.path();
        let probes = self.probes().to_string();
        let probes = self.written.as_ref().unwrap_or(&probes);
        std::fs::write(dir.join("probes.json"), probes).unwrap();
        let child = command
            .args(["--listen", &self.listen.to_string()])
            .args(["--server", &self.server_address().to_string()])
            .args(["--proxy", &self.proxy.to_string()])
            .args(["--container", CONTAINER, "--shell", "/bin/sh"])
            .arg("--authority")
            .arg(dir.join("ca.pem"))
            .arg("--token-file")
            .arg(dir.join("token"))
            .arg("--probes")
            .arg(dir.join("probes.json"))
            .arg("--home")
            .arg(dir.join("home"))
            .arg("--state")
            .arg(dir.join("state"))
            .arg("--secrets")
            .arg(dir.join("secrets"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(dir.join("stderr")).unwrap())
            .spawn();
        self.child = Some(child.unwrap());
    }

    /// Enrolled by a server that does all as it should, and proven.
    pub async fn running() -> (Self, Server) {
        let mut pod = Self::new().await;
        let server = Server::start(&pod).await;
        pod.start();
        pod.proven().await;
        (pod, server)
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr")).unwrap()
    }

    pub fn still_runs(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "it runs on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn broker(&self) -> Identity {
        self.authority.issue(BROKER_NAME, authority::DAY)
    }

    /// A connection as the broker makes it.
    pub async fn connect(&self) -> std::io::Result<TlsClient> {
        self.connect_as(Some(self.broker())).await
    }

    pub async fn connect_as(&self, who: Option<Identity>) -> std::io::Result<TlsClient> {
        let config = self.authority.client(who, &[&rustls::version::TLS13]);
        authority::connect(self.listen, &container_name(CONTAINER), config).await
    }

    pub async fn try_ask(
        &self,
        method: &str,
        path: &str,
        body: impl ToString,
    ) -> Result<Answer, Box<dyn std::error::Error>> {
        let stream = self.connect().await?;
        exchange(stream, method, path, &[], body.to_string().into()).await
    }

    pub async fn ask(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        let asked = self.try_ask(method, path, body).await;
        asked.unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.stderr()))
    }

    /// Waits until it answers hello.
    pub async fn hello(&self) -> Hello {
        let begun = Instant::now();
        loop {
            match self.try_ask("GET", "/v1/hello", "").await {
                Ok(answer) => return answer.is(200).json(),
                Err(error) => assert!(
                    begun.elapsed() < Duration::from_secs(20),
                    "no hello: {error}\n{}",
                    self.stderr()
                ),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the result of the first run of the probes.
    pub async fn checked(&self) -> bool {
        loop {
            let isolation = self.hello().await.isolation.unwrap();
            if isolation.checked_at_ms != 0 {
                return isolation.proven;
            }
            assert!(!isolation.proven);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn proven(&self) {
        assert!(self.checked().await, "{}", self.stderr());
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
