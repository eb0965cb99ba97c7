//! A terminal as the page uses it: over the WebSocket, by sequence numbers, missing no byte without noticing.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::api::{Api, Way};

/// What a WebSocket goes through: TCP, or TLS over it.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Wire for T {}

/// Why there is no connection.
#[derive(Debug)]
enum Failed {
    /// The server said so, with this status in place of the upgrade.
    Refused(u16),
    /// There was no server, or it went away.
    Broken(String),
}

/// An open connection to a terminal.
#[derive(Debug)]
pub struct Terminal {
    socket: WebSocketStream<Box<dyn Wire>>,
    /// The server's first message.
    pub hello: Value,
    /// Output received on this connection.
    pub output: Vec<u8>,
    /// Sequence number of the first byte of [`Self::output`].
    pub first: u64,
    /// Sequence number that comes next; give it as `after` to continue without loss.
    pub next: u64,
    /// Gaps that the server told of, as (from, to).
    pub gaps: Vec<(u64, u64)>,
    /// The status of the shell, once it ended.
    pub exit: Option<i64>,
}

impl Terminal {
    /// Makes a terminal of 80 x 24 in container `path` (`/workspaces/{w}/containers/{c}`) and connects.
    /// Answers its id too.
    pub async fn create(api: &Api, path: &str) -> (String, Self) {
        let made = api
            .post(
                &format!("{path}/terminals"),
                &json!({"cols": 80, "rows": 24}),
            )
            .await
            .expect(201)
            .json();
        let id = made["id"].as_str().unwrap().to_owned();
        let terminal = Self::connect(api, &format!("{path}/terminals/{id}"), None).await;
        (id, terminal)
    }

    /// Connects to the terminal at `path`, from the sequence number `after` or from the oldest byte kept.
    pub async fn connect(api: &Api, path: &str, after: Option<u64>) -> Self {
        Self::try_connect(api, path, after)
            .await
            .unwrap_or_else(|status| panic!("{path}: refused with status {status}"))
    }

    /// As [`Self::connect`], or the status with which the server refused.
    ///
    /// # Errors
    /// The HTTP status that stood in place of the upgrade.
    pub async fn try_connect(api: &Api, path: &str, after: Option<u64>) -> Result<Self, u16> {
        match Self::attempt(api, path, after).await {
            Ok(terminal) => Ok(terminal),
            Err(Failed::Refused(status)) => Err(status),
            Err(Failed::Broken(error)) => panic!("{path}: {error}"),
        }
    }

    /// Connects again and again as a page does whose server went away, from `after` on, until it is back.
    ///
    /// # Panics
    /// When `limit` passes first.
    pub async fn resume(api: &Api, path: &str, after: u64, limit: Duration) -> Self {
        let start = Instant::now();
        loop {
            match Self::attempt(api, path, Some(after)).await {
                Ok(terminal) => return terminal,
                Err(failed) => assert!(
                    start.elapsed() < limit,
                    "{path}: not resumed within {limit:?}: {failed:?}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn attempt(api: &Api, path: &str, after: Option<u64>) -> Result<Self, Failed> {
        let query = after
            .map(|after| format!("?after={after}"))
            .unwrap_or_default();
        let url = format!(
            "{}/api/v1{path}{query}",
            api.base().replacen("http", "ws", 1)
        );
        let bearer = api.token().map(|token| format!("Bearer {token}"));
        let headers = bearer.map(|bearer| ("authorization", bearer));
        Self::open(&url, headers.as_slice(), after, api.way()).await
    }

    /// Connects to `path` of the server at `base` as a page does that shows `cookie`.
    pub async fn connect_as_page(base: &str, path: &str, cookie: &str) -> Self {
        let url = format!("{}/api/v1{path}", base.replacen("http", "ws", 1));
        let headers = [("cookie", cookie.to_owned()), ("origin", base.to_owned())];
        Self::open(&url, &headers, None, None)
            .await
            .unwrap_or_else(|failed| panic!("{path}: {failed:?}"))
    }

    async fn open(
        url: &str,
        headers: &[(&'static str, String)],
        after: Option<u64>,
        way: Option<&Way>,
    ) -> Result<Self, Failed> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let wire = connected(request.uri(), way)
            .await
            .map_err(|error| Failed::Broken(error.to_string()))?;
        let mut socket = match client_async(request, wire).await {
            Ok((socket, _)) => socket,
            Err(tungstenite::Error::Http(response)) => {
                return Err(Failed::Refused(response.status().as_u16()));
            }
            Err(error) => return Err(Failed::Broken(error.to_string())),
        };
        let first = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
        let Ok(Some(Ok(Message::Text(text)))) = first else {
            return Err(Failed::Broken(format!("no hello but {first:?}")));
        };
        let hello: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(hello["type"], "hello", "{hello}");
        let oldest = hello["first"].as_u64().unwrap();
        let start = after.unwrap_or(oldest);
        Ok(Self {
            socket,
            hello,
            output: Vec::new(),
            first: start,
            next: start,
            gaps: Vec::new(),
            exit: None,
        })
    }

    /// Types `text`, as bytes.
    pub async fn send(&mut self, text: &str) {
        self.socket
            .send(Message::binary(text.as_bytes().to_vec()))
            .await
            .unwrap();
    }

    pub async fn resize(&mut self, cols: u16, rows: u16) {
        let message = json!({"type": "resize", "cols": cols, "rows": rows});
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// What was received so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// Receives until the output contains `part`.
    ///
    /// # Panics
    /// When `limit` passes or the connection ends before.
    pub async fn wait_for(&mut self, part: &str, limit: Duration) {
        let start = Instant::now();
        while !self.text().contains(part) {
            let left = limit.saturating_sub(start.elapsed());
            let more = tokio::time::timeout(left, self.receive()).await;
            assert!(
                more == Ok(true),
                "no {part:?} within {limit:?}; the terminal shows:\n{}",
                self.text()
            );
        }
    }

    /// Types `command` with a return, waits for its end; answers what it printed, without colours and with plain
    /// line ends.
    pub async fn run(&mut self, command: &str, limit: Duration) -> String {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        // The marker is spelt so that the echo of the typed line does not contain it.
        let mark = format!(
            "m{}x{}",
            std::process::id(),
            RUNS.fetch_add(1, Ordering::Relaxed)
        );
        let before = self.output.len();
        let line = format!(
            "printf 'begin-%s\\n' {mark}; {command}; printf '\\nend-%s-%s\\n' \"$?\" {mark}\r"
        );
        self.send(&line).await;
        let begin = format!("begin-{mark}\n");
        let end = format!("-{mark}");
        let start = Instant::now();
        loop {
            let text = plain(&String::from_utf8_lossy(&self.output[before..]));
            if let Some((_, after)) = text.split_once(&begin)
                && let Some((printed, _)) = after.split_once(&end)
                && let Some((printed, _status)) = printed.rsplit_once("\nend-")
            {
                return printed.trim_end_matches('\n').to_owned();
            }
            let left = limit.saturating_sub(start.elapsed());
            let more = tokio::time::timeout(left, self.receive()).await;
            assert!(
                more == Ok(true),
                "{command:?} did not end within {limit:?}; the terminal shows:\n{}",
                self.text()
            );
        }
    }

    /// Takes one message in; false when the connection ended. Checks that no byte was left out or sent twice.
    pub async fn receive(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Binary(frame))) => {
                let (sequence, bytes) = frame
                    .split_at_checked(8)
                    .expect("a frame starts with its sequence number");
                let sequence = u64::from_be_bytes(sequence.try_into().unwrap());
                assert_eq!(
                    sequence, self.next,
                    "the terminal's output is not contiguous"
                );
                self.next += bytes.len() as u64;
                self.output.extend_from_slice(bytes);
            }
            Some(Ok(Message::Text(text))) => {
                self.take_message(&serde_json::from_str(&text).unwrap())
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
        }
        true
    }

    fn take_message(&mut self, message: &Value) {
        match message["type"].as_str() {
            Some("gap") => {
                let (from, to) = (
                    message["from"].as_u64().unwrap(),
                    message["to"].as_u64().unwrap(),
                );
                assert_eq!(
                    from, self.next,
                    "a gap starts where the output stopped: {message}"
                );
                self.gaps.push((from, to));
                self.next = to;
            }
            Some("exit") => self.exit = message["status"].as_i64(),
            _ => panic!("unknown message {message}"),
        }
    }
}

/// A connection to where `uri` is, or to where `way` says that it is.
async fn connected(
    uri: &tungstenite::http::Uri,
    way: Option<&Way>,
) -> std::io::Result<Box<dyn Wire>> {
    let host = uri.host().unwrap().to_owned();
    let Some(way) = way else {
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
        return Ok(Box::new(stream));
    };
    let stream = TcpStream::connect(way.address).await?;
    let name = rustls::pki_types::ServerName::try_from(host).unwrap();
    let tls = tokio_rustls::TlsConnector::from(way.tls.clone());
    Ok(Box::new(tls.connect(name, stream).await?))
}

/// Text as it reads: without escape sequences (CSI and OSC of ECMA-48) and carriage returns.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut signs = text.chars().filter(|sign| *sign != '\r').peekable();
    while let Some(sign) = signs.next() {
        match (sign, signs.peek()) {
            ('\u{1b}', Some('[')) => {
                signs.next();
                while signs
                    .next()
                    .is_some_and(|sign| !('@'..='~').contains(&sign))
                {}
            }
            ('\u{1b}', Some(']')) => while signs.next().is_some_and(|sign| sign != '\u{7}') {},
            _ => plain.push(sign),
        }
    }
    plain
}

#[cfg(test)]
mod selftest {
    use std::process::Stdio;

    use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A real shell on a real terminal, which `script` makes, served with sequence numbers from `start` on.
    async fn serve_shell(mut socket: WebSocket, start: u64) {
        let hello = json!({"type": "hello", "first": start, "next": start, "cols": 80, "rows": 24, "alive": true});
        socket.send(Message::text(hello.to_string())).await.unwrap();
        let mut shell = tokio::process::Command::new("script")
            .args(["-qfc", "bash --norc -i", "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (mut input, mut output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        let (mut next, mut buffer) = (start, [0; 7]);
        loop {
            tokio::select! {
                read = output.read(&mut buffer) => {
                    let Ok(length @ 1..) = read else { return };
                    let frame = [&next.to_be_bytes(), &buffer[..length]].concat();
                    next += length as u64;
                    if socket.send(Message::binary(frame)).await.is_err() { return }
                }
                message = socket.recv() => match message {
                    Some(Ok(Message::Binary(bytes))) => input.write_all(&bytes).await.unwrap(),
                    Some(Ok(_)) => {}
                    _ => return,
                }
            }
        }
    }

    #[tokio::test]
    async fn a_command_answers_what_it_printed() {
        let shell = get(|upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|socket| serve_shell(socket, 1000))
        });
        let router = axum::Router::new().route("/api/v1/t", shell);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::anonymous(&format!("http://{}", listener.local_addr().unwrap()))
            .with_token("odv_x");
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let limit = Duration::from_secs(20);

        let mut terminal = Terminal::connect(&api, "/t", None).await;
        assert_eq!(
            terminal.run("echo one; echo zwölf", limit).await,
            "one\nzwölf"
        );
        assert_eq!(
            terminal.run("printf 'no newline'", limit).await,
            "no newline"
        );
        assert_eq!(terminal.run("true", limit).await, "");
        terminal.send("echo a-$((6*7))-b\r").await;
        terminal.wait_for("a-42-b", limit).await;
        assert_eq!(terminal.next, terminal.first + terminal.output.len() as u64);
        assert_eq!(terminal.first, 1000);
        assert_eq!(
            Terminal::try_connect(&api, "/absent", None)
                .await
                .unwrap_err(),
            404
        );
        server.abort();
    }
}
