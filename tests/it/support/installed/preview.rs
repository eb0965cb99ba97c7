//! Ports of containers as a browser sees them, and the network between it and the cluster.

use std::net::SocketAddr;
use std::process::Command;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Container, Installed};

/// A port that was opened, and what a browser shows for it.
#[derive(Debug, Clone)]
pub struct Preview {
    /// `5000--….apps.optidev.test:30443`
    pub host: String,
    pub cookie: String,
}

impl Installed {
    /// Opens a port of the container and redeems the ticket.
    pub async fn preview(&self, container: &Container, port: u16) -> Preview {
        let open = format!("{}/ports/{port}/open", container.path);
        let opened = container.api.post(&open, &json!({})).await.ok();
        let url = url::Url::parse(opened["url"].as_str().unwrap()).unwrap();
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let stream = TokioIo::new(self.tls_stream(&host).await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get(format!("{}?{}", url.path(), url.query().unwrap()))
            .header("host", &host)
            .body(String::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let cookie = answer
            .headers()
            .get("set-cookie")
            .unwrap_or_else(|| panic!("{open}: the ticket is answered {}", answer.status()));
        let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
        Preview {
            host,
            cookie: cookie.to_owned(),
        }
    }

    /// A connection to the servers for `host` (`name:port`).
    pub async fn tls_stream(&self, host: &str) -> TlsStream<TcpStream> {
        let (name, port) = host.rsplit_once(':').unwrap();
        let address = SocketAddr::new(self.node_ip.parse().unwrap(), port.parse().unwrap());
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(self.tls());
        connector.connect(name, stream).await.unwrap()
    }

    /// A WebSocket of the program behind the preview.
    pub async fn websocket(
        &self,
        preview: &Preview,
        path: &str,
    ) -> WebSocketStream<TlsStream<TcpStream>> {
        let url = format!("wss://{}{path}", preview.host);
        let mut request = url.into_client_request().unwrap();
        let origin = format!("https://{}", preview.host);
        for (name, value) in [("cookie", &preview.cookie), ("origin", &origin)] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let stream = self.tls_stream(&preview.host).await;
        client_async(request, stream).await.unwrap().0
    }

    /// Holds what goes between this machine and the cluster's node to `rate` (tc-tbf(8)), until it is dropped.
    pub fn hold_link(&self, rate: &str) -> HeldLink {
        let status = self.run(&self.kit, &["status"]);
        let (_, pid) = status.split_once("pid ").unwrap();
        let pid = pid.split(',').next().unwrap().to_owned();
        let route = self.run("ip", &["-o", "route", "get", &self.node_ip]);
        let (_, device) = route.split_once(" dev ").unwrap();
        let here = device.split_whitespace().next().unwrap().to_owned();
        let held = HeldLink { pid, here };
        for end in held.ends("add") {
            let how = ["tbf", "rate", rate, "burst", "256k", "latency", "50ms"];
            let all: Vec<&str> = end.iter().map(String::as_str).chain(how).collect();
            self.run(all[0], &all[1..]);
        }
        held
    }
}

/// Lets go when it is dropped.
pub struct HeldLink {
    /// The node's process, in whose network namespace the other end is.
    pid: String,
    here: String,
}

impl HeldLink {
    fn ends(&self, what: &str) -> [Vec<String>; 2] {
        let qdisc = |before: &[&str], device: &str| {
            let command = ["tc", "qdisc", what, "dev", device, "root"];
            let all = before.iter().chain(&command);
            all.map(|&part| part.to_owned()).collect()
        };
        [
            qdisc(&[], &self.here),
            qdisc(&["nsenter", "-t", &self.pid, "-n", "--"], "eth0"),
        ]
    }
}

impl Drop for HeldLink {
    fn drop(&mut self) {
        for end in self.ends("del") {
            let _ = Command::new(&end[0]).args(&end[1..]).status();
        }
    }
}
