//! What the corpus runs on: a place that notes each connection made to this machine, the log, and what was looked up.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::super::super::Egress;
use super::super::super::decision::{Decision, Decisions};
use super::super::super::dial::Resolver;
use super::super::super::known::Lists;
use super::super::who;
use crate::config::EgressConfig;
use crate::features::containers::Identity;
use crate::kernel::Clock;
use crate::shared::Recent;

const SOON: Duration = Duration::from_secs(5);
/// Is sent by the test itself, to know that all connections before were noted.
const MARK: &[u8] = b"the test itself";

/// Answers to the look-ups of a name, one after the other; the last one stays.
pub type Turns = HashMap<String, Vec<Vec<SocketAddr>>>;

/// A connection: the address at which it came in, and every byte that arrived.
pub type Arrival = (IpAddr, Vec<u8>);

/// What became of one thing that a container sent.
pub struct Outcome {
    pub who: Identity,
    /// All that the container got back.
    pub answer: Vec<u8>,
    pub arrivals: Vec<Arrival>,
    pub decisions: Vec<Decision>,
    /// The log's lines about decisions, whosever.
    pub lines: Vec<Value>,
    pub lookups: Vec<String>,
}

pub struct Bench {
    /// Where everything listens, at all addresses of this machine.
    pub port: u16,
    /// Whether that includes IPv6.
    pub v6: bool,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
    log: Log,
    lookups: Arc<Mutex<Vec<String>>>,
    /// A request came that gets no answer.
    silent: Arc<Notify>,
    /// A name was looked up.
    looked_up: Arc<Notify>,
    tasks: JoinSet<()>,
    _logging: tracing::subscriber::DefaultGuard,
}

impl Bench {
    pub async fn new() -> Self {
        let (listener, v6) = match TcpListener::bind("[::]:0").await {
            Ok(listener) => (listener, true),
            Err(_) => (TcpListener::bind("0.0.0.0:0").await.unwrap(), false),
        };
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        let mut bench = Self {
            port: listener.local_addr().unwrap().port(),
            v6,
            arrivals: Arc::default(),
            log,
            lookups: Arc::default(),
            silent: Arc::default(),
            looked_up: Arc::default(),
            tasks: JoinSet::new(),
            // The runtime of a test has one thread, so that this holds for its tasks too.
            _logging: tracing::subscriber::set_default(subscriber),
        };
        // Whether a line is wanted is remembered from its first use, which may have been another thread's.
        let nothing = Decision::new(0, String::new(), 0, Ok(()));
        Decisions::new(Recent::alone()).record(who(), nothing);
        tracing::callsite::rebuild_interest_cache();
        bench.log.take();

        let (arrivals, silent) = (Arc::clone(&bench.arrivals), Arc::clone(&bench.silent));
        bench.tasks.spawn(async move {
            // One after the other, so that the answer to the mark says that nothing is left.
            while let Ok((stream, _)) = listener.accept().await {
                let to = stream.local_addr().unwrap().ip().to_canonical();
                let bytes = receive(stream, &silent).await.unwrap();
                if bytes != MARK {
                    arrivals.lock().unwrap().push((to, bytes));
                }
            }
        });
        bench
    }

    /// A proxy whose names lead to 127.0.0.1, which is open, but for those in `turns`.
    pub fn egress(&self, allow: &[String], also_allow: &[&str], turns: Turns) -> Egress {
        let config = EgressConfig {
            allow: allow.to_vec(),
            also_allow: also_allow
                .iter()
                .map(|range| range.parse().unwrap())
                .collect(),
            connect_timeout_ms: 2_000,
            ..EgressConfig::default()
        };
        let open = vec![SocketAddr::from(([127, 0, 0, 1], self.port))];
        let (lookups, turns) = (Arc::clone(&self.lookups), Mutex::new(turns));
        let looked_up = Arc::clone(&self.looked_up);
        let resolver = Resolver::Test(Box::new(move |name, _| {
            lookups.lock().unwrap().push(name.to_owned());
            looked_up.notify_waiters();
            match turns.lock().unwrap().get_mut(name) {
                Some(turns) if turns.len() > 1 => turns.remove(0),
                Some(turns) => turns[0].clone(),
                None => open.clone(),
            }
        }));
        let parts = (resolver, Lists::Test(Arc::default()));
        Egress::with(
            &config,
            Clock::fixed(7),
            TaskTracker::new(),
            Recent::alone(),
            parts,
        )
        .unwrap()
    }

    /// Sends these bytes from a container of its own, and waits until all about them is over.
    pub async fn send(&self, egress: &Egress, bytes: &[u8]) -> Outcome {
        let who = who();
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let container = async {
            near.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            // A tunnel that should not be open has no end, and is judged as far as it came.
            let _ = timeout(SOON, near.read_to_end(&mut answer)).await;
            drop(near);
            answer
        };
        let (answer, ()) = timeout(SOON * 2, async {
            tokio::join!(container, egress.serve(who, far))
        })
        .await
        .expect("an end of the connection");
        self.outcome(egress, who, answer).await
    }

    /// As [`Self::send`], from a container that leaves as soon as its request has arrived at `/silent`.
    pub async fn send_and_leave(&self, egress: &Egress, bytes: &[u8]) -> Outcome {
        let who = who();
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let container = async {
            near.write_all(bytes).await.unwrap();
            self.silent.notified().await;
            drop(near);
        };
        timeout(SOON, async {
            tokio::join!(container, egress.serve(who, far))
        })
        .await
        .expect("an end of the connection");
        self.outcome(egress, who, Vec::new()).await
    }

    /// As [`Self::send`], and everything ends as soon as the name was looked up.
    pub async fn send_and_stop(&self, egress: &Egress, bytes: &[u8]) -> Outcome {
        let who = who();
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        near.write_all(bytes).await.unwrap();
        tokio::select! {
            biased;
            () = self.looked_up.notified() => {}
            () = egress.serve(who, far) => panic!("no name was looked up"),
        }
        self.outcome(egress, who, Vec::new()).await
    }

    /// What is known after everything about `who` is over.
    async fn outcome(&self, egress: &Egress, who: Identity, answer: Vec<u8>) -> Outcome {
        let mut mark = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        mark.write_all(MARK).await.unwrap();
        mark.shutdown().await.unwrap();
        timeout(SOON, mark.read_to_end(&mut Vec::new()))
            .await
            .expect("an answer to the mark")
            .unwrap();
        Outcome {
            who,
            answer,
            arrivals: std::mem::take(&mut *self.arrivals.lock().unwrap()),
            decisions: egress.decided_here(who.container),
            lines: self.log.take(),
            lookups: std::mem::take(&mut *self.lookups.lock().unwrap()),
        }
    }
}

/// Takes what comes: HTTP is answered with 200, with 302 to what follows `/moved?`, or at `/silent` not at all; anything
/// else comes back.
async fn receive(mut stream: TcpStream, silent: &Notify) -> io::Result<Vec<u8>> {
    // Room for all that is sent, so that one read takes it.
    let mut bytes = Vec::with_capacity(64 * 1024);
    let http = |bytes: &[u8]| bytes.starts_with(b"GET ") || bytes.starts_with(b"POST ");
    loop {
        let read = stream.read_buf(&mut bytes).await?;
        if read == 0 || !http(&bytes) || bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("/silent ") {
        silent.notify_one();
        stream.read_to_end(&mut bytes).await?;
        return Ok(bytes);
    }
    let moved = text
        .split_once("/moved?")
        .and_then(|(_, rest)| rest.split_once(' '));
    let answer = match moved {
        Some((to, _)) => format!(
            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        .into_bytes(),
        None if http(&bytes) => {
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".to_vec()
        }
        None => bytes.clone(),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    stream.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["target"] == "egress")
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
