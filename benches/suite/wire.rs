//! One kept connection that asks one thing after the other: as little client as possible, so that the server is measured.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Method;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use optidev::clients::agent::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// The connection.
pub struct Wire(SendRequest<Full<Bytes>>);

impl Wire {
    /// To 127.0.0.1.
    pub async fn tcp(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    /// To the agent whose socket is in `folder`.
    pub async fn agent(folder: &Path) -> Self {
        let endpoint = Endpoint::Unix {
            folder: folder.to_path_buf(),
            name: "agent.sock".to_owned(),
        };
        Self::over(endpoint.connect().await.unwrap()).await
    }

    /// Over a connection that is there.
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// GETs `path` and answers the length of the body, which is read to its end.
    ///
    /// # Panics
    /// When the answer is not a 200.
    pub async fn get(&mut self, path: &str, token: Option<&str>) -> u64 {
        self.send(Method::GET, path, token, Bytes::new()).await
    }

    /// PUTs JSON to `path`, as [`Wire::get`].
    ///
    /// # Panics
    /// When the answer is not a 200.
    pub async fn put(&mut self, path: &str, token: &str, json: Bytes) -> u64 {
        self.send(Method::PUT, path, Some(token), json).await
    }

    async fn send(&mut self, method: Method, path: &str, token: Option<&str>, body: Bytes) -> u64 {
        let mut request = hyper::Request::builder()
            .method(&method)
            .uri(path)
            .header("host", "127.0.0.1");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        self.ask(request.body(Full::new(body)).unwrap()).await
    }

    /// Sends a request that is complete; answers as [`Wire::get`].
    ///
    /// # Panics
    /// When the answer is not a 200.
    pub async fn ask(&mut self, request: hyper::Request<Full<Bytes>>) -> u64 {
        let asked = format!("{} {}", request.method(), request.uri());
        self.0.ready().await.unwrap();
        let answer = self.0.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{asked}");
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame
                .unwrap()
                .data_ref()
                .map_or(0, |data| data.len() as u64);
        }
        length
    }
}
