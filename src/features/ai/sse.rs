//! Server-sent events, read as they come (WHATWG HTML, section 9.2.6). Pure.

/// Most bytes of one event; more is not what the Messages API sends.
const LARGEST: usize = 16 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// The event's name; "message" unless given.
    pub name: String,
    /// The data lines, joined by line feeds.
    pub data: String,
}

/// The stream holds an event that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream has more than {LARGEST} bytes")]
pub struct TooLarge;

/// Reads events from pieces that may be cut anywhere, within a character too.
#[derive(Default)]
pub struct SseParser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    begun: bool,
    name: String,
    data: String,
    has_data: bool,
}

impl SseParser {
    /// Takes a piece of the stream and gives the events that it completes.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn feed(&mut self, piece: &[u8]) -> Result<Vec<SseEvent>, TooLarge> {
        let mut events = Vec::new();
        for &byte in piece {
            if std::mem::take(&mut self.after_return) && byte == b'\n' {
                continue;
            }
            match byte {
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > LARGEST {
                return Err(TooLarge);
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line: &str = &text;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let data = std::mem::take(&mut self.data);
            return std::mem::take(&mut self.has_data).then(|| SseEvent {
                name: if name.is_empty() {
                    "message".to_owned()
                } else {
                    name
                },
                data,
            });
        }
        let (field, value) = match line.split_once(':') {
            Some((field, value)) => (field, value.strip_prefix(' ').unwrap_or(value)),
            None => (line, ""),
        };
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // Comments have an empty field; id and retry are of no use here.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "\u{feff}event: message_start\ndata: {\"a\":\"é\"}\n\n: a comment\r\n\r\ndata:one\r\ndata: two\r\ndata\r\rid: 7\nevent: ping\n\nevent: last\ndata:  spaced\n\ndata: never ended";

    fn expected() -> Vec<SseEvent> {
        [
            ("message_start", "{\"a\":\"é\"}"),
            ("message", "one\ntwo\n"),
            ("last", " spaced"),
        ]
        .map(|(name, data)| SseEvent {
            name: name.to_owned(),
            data: data.to_owned(),
        })
        .to_vec()
    }

    #[test]
    fn the_same_events_however_the_stream_is_cut() {
        let bytes = STREAM.as_bytes();
        for size in 1..=bytes.len() {
            let mut parser = SseParser::default();
            let events: Vec<_> = bytes
                .chunks(size)
                .flat_map(|piece| parser.feed(piece).unwrap())
                .collect();
            assert_eq!(events, expected(), "pieces of {size}");
        }
        for cut in 0..bytes.len() {
            let mut parser = SseParser::default();
            let mut events = parser.feed(&bytes[..cut]).unwrap();
            events.extend(parser.feed(&bytes[cut..]).unwrap());
            assert_eq!(events, expected(), "cut at {cut}");
        }
    }

    #[test]
    fn an_event_without_data_is_none_and_its_name_is_forgotten() {
        let mut parser = SseParser::default();
        let events = parser.feed(b"event: ping\n\ndata: x\n\n").unwrap();
        assert_eq!(
            events,
            [SseEvent {
                name: "message".to_owned(),
                data: "x".to_owned()
            }]
        );
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; 1 << 20];
        assert!((0..20).any(|_| parser.feed(&piece).is_err()));
        let mut parser = SseParser::default();
        let piece = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert!((0..20).any(|_| parser.feed(&piece).is_err()));
    }
}
