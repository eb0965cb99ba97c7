//! One client on a terminal's WebSocket.
//!
//! Two independent loops: a client that does not read holds up only itself, and a program that
//! does not read its input does not stop the output.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};

use super::terminal::Terminal;
use crate::app::App;
use crate::wire::{TerminalCommand, TerminalEvent, encode_output};

/// The largest message from a client (a big paste).
pub const INPUT_MAX: usize = 1 << 20;
/// Output bytes in one frame.
const FRAME_MAX: usize = 32 << 10;

pub async fn serve(app: App, terminal: Arc<Terminal>, socket: WebSocket, after: Option<u64>) {
    let (mut sink, stream) = socket.split();
    tokio::select! {
        _ = send(&terminal, &mut sink, after) => {}
        () = receive(&app, &terminal, stream) => {}
        () = app.stop.cancelled() => {}
    }
    let _ = sink.close().await;
}

fn event(event: &TerminalEvent) -> Message {
    Message::Text(serde_json::to_string(event).unwrap_or_default().into())
}

async fn send(
    terminal: &Terminal,
    sink: &mut SplitSink<WebSocket, Message>,
    after: Option<u64>,
) -> Result<(), axum::Error> {
    let mut head = terminal.subscribe();
    let now = terminal.describe();
    let hello = TerminalEvent::Hello {
        first: now.first,
        next: now.next,
        cols: now.cols,
        rows: now.rows,
        alive: now.alive,
    };
    sink.send(event(&hello)).await?;
    let mut at = after.unwrap_or(now.first).min(now.next);
    loop {
        let seen = *head.borrow_and_update();
        while at < seen.next {
            let (from, output) = terminal.read(at, FRAME_MAX).map_err(axum::Error::new)?;
            if from > at {
                sink.send(event(&TerminalEvent::Gap { from: at, to: from }))
                    .await?;
            }
            at = from + output.len() as u64;
            sink.send(Message::Binary(encode_output(from, &output).into()))
                .await?;
        }
        if seen.deleted {
            return Ok(());
        }
        if let Some(status) = seen.exit_status {
            return sink.send(event(&TerminalEvent::Exit { status })).await;
        }
        if head.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn receive(app: &App, terminal: &Terminal, mut stream: SplitStream<WebSocket>) {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Binary(bytes) => input(app, terminal, bytes).await,
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(TerminalCommand::Input { data }) => input(app, terminal, data.into()).await,
                // An impossible size is the client's slip; the session goes on.
                Ok(TerminalCommand::Resize { cols, rows }) => drop(terminal.resize(cols, rows)),
                Err(_) => return,
            },
            Message::Close(_) => return,
            Message::Ping(_) | Message::Pong(_) => {}
        }
    }
}

async fn input(app: &App, terminal: &Terminal, bytes: Bytes) {
    app.activity.touch();
    if let Some(sender) = terminal.input() {
        // The shell may end meanwhile; then there is nobody to tell.
        let _ = sender.send(bytes).await;
    }
}
