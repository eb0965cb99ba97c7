//! The same program asked in a container through the broker, and in a bare pod directly: what the broker costs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use tokio::net::TcpStream;

use super::super::measure::quantile;
use super::super::report::{Better, Measurement};
use super::super::support::installed::preview::Preview;
use super::super::support::processes;
use super::super::wire::Wire;
use super::super::{Container, Installed, Unguarded, run_bare};

const PORT: u16 = 5000;
const ROUNDS: usize = 9;
const MEBIBYTES: u64 = 64;
/// Of each round of small requests.
const REQUESTS: usize = 1000;
const SOCKETS: usize = 400;
/// What a node's network card usually has to share, and what the link to this cluster is held to for one of the figures.
const LINK: &str = "1gbit";

/// Answers `/small` and `/big` over connections that stay open, and takes WebSockets without a word.
const SERVE: &str = r#"
import base64, hashlib, socket, threading
big = bytes(1 << 20)
def serve(c):
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    kept = b''
    while True:
        while b'\r\n\r\n' not in kept:
            more = c.recv(65536)
            if not more: return
            kept += more
        head, kept = kept.split(b'\r\n\r\n', 1)
        if b'/big' in head.split(b'\r\n')[0]:
            c.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n' % (MIB << 20))
            for _ in range(MIB): c.sendall(big)
        elif b'upgrade: websocket' in head.lower():
            key = next(l for l in head.split(b'\r\n') if l.lower().startswith(b'sec-websocket-key')).split(b':')[1].strip()
            accept = base64.b64encode(hashlib.sha1(key + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
            c.sendall(b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + b'\r\n\r\n')
        else: c.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nsmall')
threading.stack_size(128 << 10)
s = socket.create_server(('0.0.0.0', 5000), backlog=512)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"#;

/// `broker_throughput` (MiB/s, without a limit to the network and with one), `broker_added_p99` (us), `broker_idle_websocket` (KiB).
pub async fn measure(installed: &Installed, container: &Container) -> Vec<Measurement> {
    let script = SERVE.replace("MIB", &MEBIBYTES.to_string());
    let bare = Unguarded::new(installed);
    run_bare(&bare, "server", &["python3", "-c", &script]);
    let address = bare.address("server");
    let background = format!(
        "setsid python3 -c \"$(cat <<'END'\n{script}\nEND\n)\" >/dev/null 2>&1 </dev/null & sleep 1"
    );
    container.sh(&background).await;
    let preview = installed.preview(container, PORT).await;
    let mut ways = Ways {
        through: Wire::over(installed.tls_stream(&preview.host).await).await,
        direct: Wire::over(TcpStream::connect((address.as_str(), PORT)).await.unwrap()).await,
        preview,
    };
    let mut all = vec![
        ways.throughput("broker_throughput").await,
        ways.latency().await,
    ];
    {
        let _held = installed.hold_link(LINK);
        all.push(
            ways.throughput("broker_throughput_1gbit")
                .await
                .above_ratio(0.9),
        );
    }
    all.push(sockets(installed, &ways.preview).await);
    all
}

struct Ways {
    through: Wire,
    direct: Wire,
    preview: Preview,
}

impl Ways {
    /// Seconds that an answer takes, whole.
    async fn ask(&mut self, path: &str, brokered: bool, length: u64) -> f64 {
        let request = hyper::Request::get(path)
            .header("host", &self.preview.host)
            .header("cookie", &self.preview.cookie)
            .body(Full::<Bytes>::default())
            .unwrap();
        let wire = if brokered {
            &mut self.through
        } else {
            &mut self.direct
        };
        let begun = Instant::now();
        assert_eq!(wire.ask(request).await, length, "{path} is not whole");
        begun.elapsed().as_secs_f64()
    }

    async fn throughput(&mut self, name: &'static str) -> Measurement {
        let (mut rates, mut baseline) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let direct = self.ask("/big", false, MEBIBYTES << 20).await;
            let through = self.ask("/big", true, MEBIBYTES << 20).await;
            if round > 0 {
                baseline.push(MEBIBYTES as f64 / direct);
                rates.push(MEBIBYTES as f64 / through);
            }
        }
        Measurement::new(name, "MiB/s", Better::Higher, rates).against("direct", baseline)
    }

    /// By how much the slowest of a hundred requests is slower.
    async fn latency(&mut self) -> Measurement {
        let (mut added, mut baseline) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let (mut direct, mut through) = (Vec::new(), Vec::new());
            for _ in 0..REQUESTS {
                direct.push(self.ask("/small", false, 5).await * 1e6);
                through.push(self.ask("/small", true, 5).await * 1e6);
            }
            if round > 0 {
                let p99 = quantile(&direct, 0.99);
                added.push(quantile(&through, 0.99) - p99);
                baseline.push(p99);
            }
        }
        Measurement::new("broker_added_p99", "us", Better::Lower, added)
            .against("direct p99", baseline)
            .below(1000.0)
    }
}

/// What a server grows by for each WebSocket in which nothing is said.
async fn sockets(installed: &Installed, preview: &Preview) -> Measurement {
    let server = installed.replicas()[0].process("optidev serve");
    let before = processes::resident_kib(server);
    let mut open = Vec::new();
    for _ in 0..SOCKETS {
        open.push(installed.websocket(preview, "/").await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = processes::resident_kib(server).saturating_sub(before);
    // Measured once: later rounds reuse what the first made the server keep.
    let each = vec![grown as f64 / SOCKETS as f64];
    Measurement::new("broker_idle_websocket", "KiB", Better::Lower, each).below(64.0)
}
