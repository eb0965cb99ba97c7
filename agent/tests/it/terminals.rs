//! Terminals: no byte lost or doubled, whoever disconnects or dies.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use optidev_agent::wire::{Activity, List, Terminal, TerminalEvent, decode_output};
use serde_json::json;
use tokio::net::UnixStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Agent, runs, until};

struct Client {
    socket: WebSocketStream<UnixStream>,
    first: u64,
    alive: bool,
    at: u64,
    output: Vec<u8>,
    gaps: Vec<(u64, u64)>,
    exit: Option<i32>,
}

impl Client {
    async fn connect(agent: &Agent, id: &str, after: Option<u64>) -> Self {
        let query = after
            .map(|after| format!("?after={after}"))
            .unwrap_or_default();
        let url = format!("ws://agent/v1/terminals/{id}{query}");
        let (mut socket, _) = tokio_tungstenite::client_async(url, agent.connect().await)
            .await
            .unwrap();
        let hello = socket.next().await.unwrap().unwrap();
        let hello = serde_json::from_str(hello.to_text().unwrap()).unwrap();
        let TerminalEvent::Hello { first, alive, .. } = hello else {
            panic!("{hello:?}")
        };
        let at = after.unwrap_or(first);
        Self {
            socket,
            first,
            alive,
            at,
            output: Vec::new(),
            gaps: Vec::new(),
            exit: None,
        }
    }

    /// Takes one frame; false at the end.
    async fn step(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Binary(frame))) => {
                let (sequence, output) = decode_output(&frame).unwrap();
                assert_eq!(sequence, self.at, "lost or doubled");
                self.at += output.len() as u64;
                self.output.extend_from_slice(output);
                true
            }
            Some(Ok(Message::Text(text))) => {
                match serde_json::from_str(&text).unwrap() {
                    TerminalEvent::Gap { from, to } => {
                        assert_eq!(from, self.at);
                        self.gaps.push((from, to));
                        self.at = to;
                    }
                    TerminalEvent::Exit { status } => self.exit = Some(status),
                    hello => panic!("{hello:?}"),
                }
                true
            }
            Some(Ok(_)) => true,
            _ => false,
        }
    }

    async fn until(&mut self, text: &str) {
        let read = async {
            while !String::from_utf8_lossy(&self.output).contains(text) {
                assert!(self.step().await, "ended without {text:?}");
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .unwrap_or_else(|_| panic!("no {text:?}"));
    }

    async fn type_in(&mut self, text: &str) {
        self.socket
            .send(Message::Binary(text.to_owned().into()))
            .await
            .unwrap();
    }
}

async fn create(agent: &Agent, script: Option<&str>) -> Terminal {
    let command = script.map(|script| json!(["sh", "-c", script]));
    agent
        .post(
            "/v1/terminals",
            json!({"cols": 80, "rows": 24, "command": command}),
        )
        .await
        .is(201)
        .json()
}

/// `seq 1 200000` in a form whose pace leaves nobody behind by a whole ring.
const SEQ: &str = "i=0; while [ $i -lt 40 ]; do seq $((i*5000+1)) $((i*5000+5000)); sleep 0.02; i=$((i+1)); done; exit 3";

#[tokio::test]
async fn reconnecting_neither_loses_nor_doubles_a_byte() {
    let agent = Agent::start();
    let terminal = create(&agent, Some(SEQ)).await;
    let mut output = Vec::new();
    let mut connections = 0;
    let exit = loop {
        connections += 1;
        let mut client = Client::connect(&agent, &terminal.id, Some(output.len() as u64)).await;
        // Leaves after a few frames, in the middle of whatever comes.
        for _ in 0..(connections % 7 + 2) * 3 {
            if client.exit.is_some() || !client.step().await {
                break;
            }
        }
        assert!(client.gaps.is_empty());
        output.extend_from_slice(&client.output);
        if let Some(exit) = client.exit {
            break exit;
        }
    };
    let expected: String = (1..=200_000).map(|n| format!("{n}\r\n")).collect();
    assert!(
        output == expected.as_bytes(),
        "{} of {} bytes",
        output.len(),
        expected.len()
    );
    assert_eq!(exit, 3);
    assert!(connections > 5, "{connections}");
    let after: Terminal = agent
        .get(&format!("/v1/terminals/{}", terminal.id))
        .await
        .json();
    assert_eq!(
        (after.alive, after.exit_status, after.next),
        (false, Some(3), output.len() as u64)
    );
    assert_eq!(after.first, after.next - (1 << 20));
    // Ended by itself: connecting shows the history and starts nothing.
    let mut late = Client::connect(&agent, &terminal.id, None).await;
    while late.step().await {}
    assert!(!late.alive && late.exit == Some(3));
    assert!(late.output == expected.as_bytes()[expected.len() - (1 << 20)..]);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody() {
    let agent = Agent::start();
    let terminal = create(
        &agent,
        Some("read go; head -c 20000000 /dev/zero | tr '\\0' x; echo; echo finished; read end"),
    )
    .await;
    let lazy = Client::connect(&agent, &terminal.id, None).await;
    let mut quick = Client::connect(&agent, &terminal.id, None).await;
    let begun = Instant::now();
    quick.type_in("\n").await;
    quick.until("finished").await;
    assert!(begun.elapsed() < Duration::from_secs(8));
    let mut lazy = lazy;
    lazy.until("finished").await;
    assert!(!lazy.gaps.is_empty(), "it must have fallen out of the ring");
    assert_eq!(lazy.at, quick.at);
}

#[tokio::test]
async fn history_survives_kill_9_and_a_new_shell_starts() {
    let mut agent = Agent::start();
    let terminal = create(&agent, None).await;
    let mut client = Client::connect(&agent, &terminal.id, None).await;
    client
        .type_in("echo first-$((40+2)); sleep 300 & echo pid=$!.\n")
        .await;
    client.until("first-42\r\n").await;
    client.until("pid=").await;
    client.until(".\r\n").await;
    let (seen, at) = (client.output.clone(), client.at);
    let mut gone = create(&agent, Some("exit 5")).await;
    until("the second one ends", || true).await;
    while gone.exit_status.is_none() {
        gone = agent
            .get(&format!("/v1/terminals/{}", gone.id))
            .await
            .json();
    }
    agent.kill_and_restart();
    let list: List<Terminal> = agent.get("/v1/terminals").await.json();
    assert_eq!(
        list.items.iter().map(|one| &one.id).collect::<Vec<_>>(),
        [&terminal.id, &gone.id]
    );
    let kept = &list.items[0];
    assert!(!kept.alive && kept.exit_status.is_none() && kept.next >= at);
    assert_eq!(list.items[1], gone);

    let mut client = Client::connect(&agent, &terminal.id, Some(at)).await;
    assert!(client.alive);
    client
        .until("\x1b[2m[container restarted, new shell]\x1b[0m\r\n")
        .await;
    client.type_in("echo second-$((40+3))\n").await;
    client.until("second-43\r\n").await;
    let mut whole = Client::connect(&agent, &terminal.id, None).await;
    whole.until("second-43\r\n").await;
    assert_eq!(whole.first, 0);
    assert!(whole.output.starts_with(&seen));
    let activity: Activity = agent.get("/v1/activity").await.json();
    assert_eq!(activity.terminals, 1);
}

#[tokio::test]
async fn resize_colours_and_input_forms() {
    let agent = Agent::start();
    let terminal = create(&agent, None).await;
    let mut client = Client::connect(&agent, &terminal.id, None).await;
    let resize = json!({"type": "resize", "cols": 123, "rows": 45}).to_string();
    client
        .socket
        .send(Message::Text(resize.into()))
        .await
        .unwrap();
    let input = json!({"type": "input", "data": "stty size; echo $TERM $COLORTERM ü$((1+1))\n"})
        .to_string();
    client
        .socket
        .send(Message::Text(input.into()))
        .await
        .unwrap();
    client.until("45 123\r\n").await;
    client.until("xterm-256color truecolor ü2\r\n").await;
    let now: Terminal = agent
        .get(&format!("/v1/terminals/{}", terminal.id))
        .await
        .json();
    assert_eq!((now.cols, now.rows, now.alive), (123, 45, true));
    client.type_in("exit 4\n").await;
    while client.exit.is_none() {
        assert!(client.step().await);
    }
    assert_eq!(client.exit, Some(4));
    let again: Terminal = agent
        .post(
            &format!("/v1/terminals/{}/restart", terminal.id),
            json!(null),
        )
        .await
        .is(200)
        .json();
    assert!(again.alive && again.exit_status.is_none());
    agent
        .post(
            &format!("/v1/terminals/{}/restart", terminal.id),
            json!(null),
        )
        .await
        .is(409);
    agent
        .post("/v1/terminals", json!({"cols": 0, "rows": 24}))
        .await
        .is(400);
    agent
        .post(
            "/v1/terminals",
            json!({"cols": 80, "rows": 24, "command": ["/no/such"]}),
        )
        .await
        .is(422);
    agent.get("/v1/terminals/trm_none").await.is(404);
}

#[tokio::test]
async fn deleting_ends_every_process_of_the_session() {
    let agent = Agent::start();
    let script = "trap '' HUP; sleep 300 & echo pid=$!.; trap '' HUP; while :; do sleep 1; done";
    let terminal = create(&agent, Some(script)).await;
    let mut client = Client::connect(&agent, &terminal.id, None).await;
    client.until(".\r\n").await;
    let text = String::from_utf8_lossy(&client.output).into_owned();
    let pid = text
        .split("pid=")
        .nth(1)
        .unwrap()
        .split('.')
        .next()
        .unwrap()
        .to_owned();
    assert!(runs(&pid));
    agent
        .ask("DELETE", &format!("/v1/terminals/{}", terminal.id), &[], "")
        .await
        .is(204);
    while client.step().await {}
    until("what ignores the hang-up is killed", || !runs(&pid)).await;
    agent
        .get(&format!("/v1/terminals/{}", terminal.id))
        .await
        .is(404);
    assert_eq!(
        std::fs::read_dir(agent.dir.path().join("state/terminals"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn the_number_of_terminals_is_limited() {
    let agent = Agent::start();
    for _ in 0..32 {
        create(&agent, Some("sleep 100")).await;
    }
    agent
        .post("/v1/terminals", json!({"cols": 80, "rows": 24}))
        .await
        .is(409);
}

#[tokio::test]
async fn echo_comes_back_at_once() {
    let agent = Agent::start();
    let terminal = create(&agent, Some("stty raw -echo; exec cat")).await;
    let mut client = Client::connect(&agent, &terminal.id, None).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut times = Vec::new();
    for n in 0..50 {
        let begun = Instant::now();
        client.type_in(&format!("<{n}>")).await;
        client.until(&format!("<{n}>")).await;
        times.push(begun.elapsed());
    }
    times.sort();
    println!("echo p50 {:?} max {:?}", times[25], times[49]);
    assert!(times[25] < Duration::from_millis(20), "{:?}", times[25]);
}

#[tokio::test]
async fn a_shell_that_falls_with_the_agent_has_not_ended_by_itself() {
    let mut agent = Agent::start();
    let terminal = create(&agent, Some("echo up; read forever")).await;
    let mut client = Client::connect(&agent, &terminal.id, None).await;
    client.until("up").await;
    let begun = Instant::now();
    agent.signal(rustix::process::Signal::TERM);
    assert!(agent.wait().success());
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    while client.step().await {}
    assert_eq!(client.exit, None);
    agent.start_again();
    let after: Terminal = agent
        .get(&format!("/v1/terminals/{}", terminal.id))
        .await
        .json();
    assert_eq!(
        (after.alive, after.exit_status, after.next),
        (false, None, client.at)
    );
}
