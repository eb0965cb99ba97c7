//! Reads `text/event-stream` (the WHATWG server-sent events format), as a browser would.

use std::time::Duration;

use serde_json::Value;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// `message` when the stream names none.
    pub name: String,
    pub id: Option<String>,
    pub data: String,
}

impl Event {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| {
            panic!(
                "event {:?} holds no JSON ({error}): {}",
                self.name, self.data
            )
        })
    }
}

/// An open stream; dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    path: String,
    response: reqwest::Response,
    parser: Parser,
}

impl EventStream {
    pub fn new(path: &str, response: reqwest::Response) -> Self {
        Self {
            path: path.to_owned(),
            response,
            parser: Parser::default(),
        }
    }

    /// The next event, or nothing when the server ended the stream.
    ///
    /// # Panics
    /// When `limit` passes without one.
    pub async fn next(&mut self, limit: Duration) -> Option<Event> {
        let path = self.path.clone();
        let work = async {
            loop {
                if let Some(event) = self.parser.next() {
                    return Some(event);
                }
                match self.response.chunk().await {
                    Ok(Some(bytes)) => self.parser.feed(&bytes),
                    // A server that was killed ends its streams in the middle.
                    Ok(None) | Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| panic!("{path}: no event within {limit:?}"))
    }

    /// Events up to and including the first that `is_last` says; the time limit is for all of them together.
    pub async fn until(&mut self, limit: Duration, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
        let start = std::time::Instant::now();
        let mut events = Vec::new();
        loop {
            let left = limit.saturating_sub(start.elapsed());
            let event = self.next(left).await;
            let event = event.unwrap_or_else(|| panic!("{}: ended after {events:?}", self.path));
            let last = is_last(&event);
            events.push(event);
            if last {
                return events;
            }
        }
    }
}

/// The format itself: lines, fields, a blank line ends an event, a leading colon is a comment.
#[derive(Debug, Default)]
pub struct Parser {
    bytes: Vec<u8>,
}

impl Parser {
    pub fn feed(&mut self, bytes: &[u8]) {
        // Carriage returns are legal line ends; none of our servers sends a bare one.
        self.bytes
            .extend(bytes.iter().filter(|byte| **byte != b'\r'));
    }

    /// The next whole event. Comments alone (keep-alive) make none.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.bytes.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block).into_owned();
            let mut event = Event {
                name: "message".to_owned(),
                ..Event::default()
            };
            let mut data = Vec::new();
            for line in block.lines() {
                let (field, value) = line.split_once(':').unwrap_or((line, ""));
                let value = value.strip_prefix(' ').unwrap_or(value);
                match field {
                    "event" => event.name = value.to_owned(),
                    "id" => event.id = Some(value.to_owned()),
                    "data" => data.push(value),
                    _ => {}
                }
            }
            if !data.is_empty() {
                event.data = data.join("\n");
                return Some(event);
            }
        }
    }
}

#[test]
fn events_come_out_whole_however_they_are_cut() {
    let stream =
        ": hello\n\nevent: change\nid: 7\ndata: {\"a\":\ndata: 1}\n\ndata: ü\n\nevent: half\nda"
            .as_bytes();
    for size in 1..stream.len() {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in stream.chunks(size) {
            parser.feed(piece);
            events.extend(std::iter::from_fn(|| parser.next()));
        }
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(
            (events[0].name.as_str(), events[0].id.as_deref()),
            ("change", Some("7"))
        );
        assert_eq!(events[0].json()["a"], 1);
        assert_eq!(
            (events[1].name.as_str(), events[1].data.as_str()),
            ("message", "ü")
        );
    }
}
