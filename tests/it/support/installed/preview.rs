//! Ports of containers as a browser sees them.

use std::net::SocketAddr;

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
}
