//! Ports, tunnels and the egress relay.

use optidev_agent::wire::{List, Port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::support::Agent;

async fn tunnel(agent: &Agent, port: u16) -> (String, UnixStream) {
    let mut stream = agent.connect().await;
    let request = format!(
        "GET /v1/ports/{port}/tunnel HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: optidev-tunnel\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap(), stream)
}

/// Answers with what it got, only after the client has closed its half.
async fn echo_once(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    stream.write_all(&all).await.unwrap();
}

#[tokio::test]
async fn tunnels_reach_both_loopbacks_and_half_close() {
    let agent = Agent::start();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let list: List<Port> = agent.get("/v1/ports").await.is(200).json();
        assert!(list.items.iter().any(|one| one.port == port), "{address}");
        let server = tokio::spawn(echo_once(listener));
        let (head, mut stream) = tunnel(&agent, port).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).await.unwrap();
        assert!(got == sent, "{address}: {} bytes", got.len());
        server.await.unwrap();
    }
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let (head, _) = tunnel(&agent, free).await;
    assert!(
        head.starts_with("HTTP/1.1 502") && head.contains("problem+json"),
        "{head}"
    );
    agent.get("/v1/ports/80/tunnel").await.is(400);
    agent.get("/v1/ports/99999/tunnel").await.is(400);
}

async fn proxy_port(agent: &Agent) -> u16 {
    let show = serde_json::json!({"command": ["sh", "-c", "echo ${http_proxy##*:}"]});
    let result: optidev_agent::wire::ExecResult = agent.post("/v1/exec", show).await.json();
    result.stdout.trim().parse().unwrap()
}

#[tokio::test]
async fn the_proxy_relays_to_the_egress_socket_or_says_that_it_cannot() {
    let agent = Agent::start();
    let port = proxy_port(&agent).await;
    let list: List<Port> = agent.get("/v1/ports").await.json();
    assert!(
        list.items.iter().all(|one| one.port != port),
        "the agent's own port is not shown"
    );
    let (head, _) = tunnel(&agent, port).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    let ask = async || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream
            .write_all(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let away = ask().await;
    assert!(
        away.starts_with("HTTP/1.1 502 ") && away.contains("not available"),
        "{away}"
    );
    let egress = UnixListener::bind(agent.dir.path().join("egress")).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = egress.accept().await.unwrap();
        let mut head = vec![0; 36];
        stream.read_exact(&mut head).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\n\r\nnot on the list")
            .await
            .unwrap();
        head
    });
    assert!(ask().await.ends_with("not on the list"));
    assert!(
        server
            .await
            .unwrap()
            .starts_with(b"CONNECT example.com:443")
    );
}
