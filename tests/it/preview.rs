//! Previews: the owner's browser at a port of the container, and nobody else's.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::containers::{member, owner, running, sh};
use crate::support::api::{Api, http_client};
use crate::support::eventually;
use crate::support::server::Server;

const SOON: Duration = Duration::from_secs(30);

/// A dev server: it tells what it was sent, and echoes on a WebSocket, with nothing but Node.js.
const APPLICATION: &str = r#"
const http = require('http'), crypto = require('crypto');
const server = http.createServer((request, response) => {
  if (request.url === '/slow') {
    response.write('first'); setTimeout(() => response.end('second'), 400); return;
  }
  if (request.url === '/never') return;
  if (request.url === '/drip' || request.url === '/events') {
    if (request.url === '/events') response.setHeader('content-type', 'text/event-stream');
    response.write('drip'); setInterval(() => response.write('drip'), 50); return;
  }
  response.setHeader('set-cookie', ['sid=1; Path=/; Domain=localhost', '__Host-optidev-preview=stolen; Path=/; Secure', '__Host-optidev=stolen; Path=/; Secure']);
  let body = ''; request.on('data', part => body += part);
  request.on('end', () => response.end(JSON.stringify({url: request.url, method: request.method, headers: request.headers, body})));
});
server.on('upgrade', (request, socket) => {
  const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n');
  socket.write(Buffer.from([0x81, 5, ...Buffer.from('hello')]));
});
server.listen(Number(process.argv[2]), '127.0.0.1');
"#;

/// The owner's browser at one preview.
#[derive(Clone)]
pub struct Browser {
    base: String,
    host: String,
    cookie: String,
    http: reqwest::Client,
}

impl Browser {
    pub async fn send(&self, path: &str) -> reqwest::Response {
        let request = self
            .http
            .request(Method::GET, format!("{}{path}", self.base));
        request
            .header("host", &self.host)
            .header("cookie", &self.cookie)
            .send()
            .await
            .unwrap()
    }

    /// Opens a WebSocket as the preview's own page does.
    pub async fn socket(&self) -> Socket {
        let mut request = format!("{}/hmr", self.base.replace("http", "ws"))
            .into_client_request()
            .unwrap();
        for (name, value) in [
            ("host", self.host.clone()),
            ("cookie", self.cookie.clone()),
            ("origin", format!("http://{}", self.host)),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let first = socket.next().await.unwrap().unwrap();
        assert_eq!(first, Message::text("hello"));
        Socket(socket)
    }

    fn at(&self, host: &str) -> Self {
        Self {
            base: self.base.clone(),
            host: host.to_owned(),
            cookie: self.cookie.clone(),
            http: self.http.clone(),
        }
    }
}

/// An open WebSocket of a preview.
pub struct Socket(
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>,
);

impl Socket {
    /// Waits for a message; whether there will be more.
    pub async fn receive(&mut self) -> bool {
        matches!(self.0.next().await, Some(Ok(message)) if !message.is_close())
    }
}

/// Host and path of the address that opens a port.
pub async fn open(api: &Api, path: &str, port: u16) -> (String, String) {
    let url = api
        .post(&format!("{path}/ports/{port}/open"), &json!({}))
        .await
        .ok()["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = url::Url::parse(&url).unwrap();
    let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    (host, format!("{}?{}", url.path(), url.query().unwrap()))
}

/// Redeems a ticket: status, and the cookie as a browser sends it.
pub async fn redeem(
    server: &Server,
    host: &str,
    path: &str,
) -> (StatusCode, Option<String>, reqwest::Response) {
    let response = http_client()
        .get(format!("{}{path}", server.url()))
        .header("host", host)
        .send()
        .await
        .unwrap();
    let cookie = response
        .headers()
        .get("set-cookie")
        .map(|value| value.to_str().unwrap().to_owned());
    (response.status(), cookie, response)
}

pub async fn browser(server: &Server, api: &Api, path: &str, port: u16) -> Browser {
    let (host, ticket) = open(api, path, port).await;
    let (status, cookie, _) = redeem(server, &host, &ticket).await;
    assert_eq!(status, 303);
    let cookie = cookie.unwrap().split(';').next().unwrap().to_owned();
    Browser {
        base: server.url(),
        host,
        cookie,
        http: http_client(),
    }
}

pub async fn serve(api: &Api, path: &str, port: u16) {
    api.put_bytes(
        &format!("{path}/files/app.js"),
        APPLICATION.as_bytes().to_vec(),
    )
    .await
    .ok();
    sh(
        api,
        path,
        &format!("setsid node app.js {port} </dev/null >app.log 2>&1 &"),
    )
    .await;
    eventually("the application", SOON, || async {
        let ports = api.get(&format!("{path}/ports")).await.ok();
        ports["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["port"] == port)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_application_is_seen_by_its_owner() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let browser = browser(&server, &api, &path, 5173).await;

    let waiting = browser
        .http
        .get(format!("{}/", browser.base))
        .header("host", &browser.host);
    let waiting = waiting
        .header("cookie", &browser.cookie)
        .header("accept", "text/html")
        .send()
        .await
        .unwrap();
    assert_eq!(waiting.status(), 502);
    let page = waiting.text().await.unwrap();
    assert!(
        page.contains("http-equiv=\"refresh\"") && page.contains("5173"),
        "{page}"
    );

    serve(&api, &path, 5173).await;
    let request = browser
        .http
        .post(format!("{}/api/x?y=1", browser.base))
        .header("host", &browser.host);
    let request = request
        .header(
            "cookie",
            format!("theirs=1; {}; __Host-optidev=console", browser.cookie),
        )
        .header("authorization", "Bearer odv_secret")
        .header("x-forwarded-for", "6.6.6.6")
        .body("payload");
    let response = request.send().await.unwrap();
    let cookies: Vec<_> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|one| one.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(cookies, ["sid=1; Path=/"]);
    let seen: serde_json::Value = response.json().await.unwrap();
    assert_eq!(
        (&seen["url"], &seen["method"], &seen["body"]),
        (&json!("/api/x?y=1"), &json!("POST"), &json!("payload"))
    );
    assert_eq!(seen["headers"]["cookie"], "theirs=1");
    assert_eq!(seen["headers"]["authorization"], serde_json::Value::Null);
    assert_eq!(seen["headers"]["host"], browser.host.as_str());
    assert_eq!(seen["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(seen["headers"]["x-forwarded-host"], browser.host.as_str());

    // The answer comes as it is made.
    let mut slow = browser.send("/slow").await;
    assert_eq!(slow.chunk().await.unwrap().unwrap(), "first");
    assert_eq!(slow.chunk().await.unwrap().unwrap(), "second");

    // Hot reload: a WebSocket, from the preview's own pages.
    let dial = |origin: String| {
        let (base, host, cookie) = (
            server.url().replace("http", "ws"),
            browser.host.clone(),
            browser.cookie.clone(),
        );
        async move {
            let mut request = format!("{base}/hmr").into_client_request().unwrap();
            request.headers_mut().insert("host", host.parse().unwrap());
            request
                .headers_mut()
                .insert("cookie", cookie.parse().unwrap());
            request
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
            tokio_tungstenite::connect_async(request).await
        }
    };
    let (mut socket, _) = dial(format!("http://{}", browser.host)).await.unwrap();
    socket.send(Message::text("x")).await.unwrap();
    assert_eq!(
        socket.next().await.unwrap().unwrap(),
        Message::text("hello")
    );
    assert!(dial("https://evil.example".to_owned()).await.is_err());

    api.post(&format!("{path}/stop"), &json!({}))
        .await
        .expect(202);
    crate::containers::wait_for(&api, &path, "stopped").await;
    assert_eq!(browser.send("/").await.status(), 503);
}

#[tokio::test]
async fn nobody_else_sees_it() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let path = running(&ada).await;
    let bob = member(&server, &ada, "bob@example.com", "admin").await;
    let bobs_path = running(&bob).await;
    serve(&ada, &path, 3000).await;

    // A ticket is good once, for its own port of its own container.
    let (host, ticket) = open(&ada, &path, 3000).await;
    let other_port = host.replacen("3000--", "3001--", 1);
    assert_eq!(redeem(&server, &other_port, &ticket).await.0, 401);
    let (bobs_host, bobs_ticket) = open(&bob, &bobs_path, 3000).await;
    assert_eq!(redeem(&server, &bobs_host, &ticket).await.0, 401);
    assert_eq!(redeem(&server, &host, &bobs_ticket).await.0, 401);
    let broken = ticket.replacen("t=AQ", "t=Ag", 1);
    assert_eq!(redeem(&server, &host, &broken).await.0, 401);
    let (status, cookie, response) = redeem(&server, &host, &ticket).await;
    assert_eq!(
        (status, response.headers()["location"].to_str().unwrap()),
        (StatusCode::SEE_OTHER, "/")
    );
    let cookie = cookie.unwrap();
    for part in [
        "__Host-optidev-preview=",
        "; Path=/",
        "; Secure",
        "; HttpOnly",
        "; SameSite=None",
        "; Partitioned",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain"));
    assert_eq!(
        redeem(&server, &host, &ticket).await.0,
        401,
        "a ticket was good twice"
    );
    let evil = open(&ada, &path, 3000)
        .await
        .1
        .replace("to=%2F", "to=%2F%2Fevil.example");
    assert_eq!(
        redeem(&server, &host, &evil).await.2.headers()["location"],
        "/"
    );

    // The cookie is good at its own host only.
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let adas = Browser {
        base: server.url(),
        host: host.clone(),
        cookie,
        http: http_client(),
    };
    assert_eq!(adas.send("/").await.status(), 200);
    assert_eq!(adas.at(&other_port).send("/").await.status(), 401);
    assert_eq!(adas.at(&bobs_host).send("/").await.status(), 401);
    let bobs = browser(&server, &bob, &bobs_path, 3000).await;
    assert_eq!(bobs.at(&host).send("/").await.status(), 401);
    // A ticket is no cookie, a stranger has none, a console's token opens nothing.
    let mut forged = adas.at(&host);
    forged.cookie = format!(
        "__Host-optidev-preview={}",
        ticket
            .split("t=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap()
    );
    assert_eq!(forged.send("/").await.status(), 401);
    forged.cookie = String::new();
    assert_eq!(forged.send("/").await.status(), 401);
    let with_token = http_client().get(server.url()).header("host", &host);
    let with_token = with_token.header("authorization", format!("Bearer {}", ada.token().unwrap()));
    assert_eq!(with_token.send().await.unwrap().status(), 401);

    // A preview's host has none of OptiDev's routes, and OptiDev's host none of the preview's.
    let api_at_preview = http_client()
        .get(format!("{}/api/v1/me", server.url()))
        .header("host", &host);
    let api_at_preview =
        api_at_preview.header("authorization", format!("Bearer {}", ada.token().unwrap()));
    assert_eq!(api_at_preview.send().await.unwrap().status(), 401);
    let nonsense = http_client()
        .get(server.url())
        .header("host", "3000--nothing.localhost")
        .send()
        .await
        .unwrap();
    assert_eq!(nonsense.status(), 404);
}

#[tokio::test]
async fn a_preview_ends_with_what_opened_it() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let path = running(&bob).await;
    serve(&bob, &path, 3000).await;
    let browser = browser(&server, &bob, &path, 3000).await;
    assert_eq!(browser.send("/").await.status(), 200);
    let statement = "delete from api_token where account_id in (select id from account where email = 'bob@example.com')";
    server.execute(statement).await;
    eventually("the end of the preview", Duration::from_secs(2), || async {
        (browser.send("/").await.status() == 401).then_some(())
    })
    .await;
}
