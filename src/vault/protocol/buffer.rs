//! A byte buffer for data that may be secret.

use zeroize::{Zeroize, Zeroizing};

/// Bytes that are zeroized when dropped, when consumed, and when the buffer moves to grow.
#[derive(Default)]
pub struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
    start: usize,
}

impl Buffer {
    /// An empty buffer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(capacity)),
            start: 0,
        }
    }

    /// The bytes that were not consumed yet.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// How many bytes are waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// True when nothing is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `data`.
    pub fn extend(&mut self, data: &[u8]) {
        self.reserve(data.len());
        self.bytes.extend_from_slice(data);
    }

    /// Appends `count` zero bytes and returns them, to be read into; see [`Buffer::truncate_tail`].
    pub fn grow(&mut self, count: usize) -> &mut [u8] {
        self.reserve(count);
        let end = self.bytes.len();
        self.bytes.resize(end + count, 0);
        self.bytes.get_mut(end..).unwrap_or_default()
    }

    /// Takes the last `count` bytes off again: the part of [`Buffer::grow`] that was not filled.
    pub fn truncate_tail(&mut self, count: usize) {
        let keep = self.bytes.len().saturating_sub(count).max(self.start);
        self.bytes.truncate(keep);
    }

    /// Overwrites four bytes at `offset` (from the first unconsumed byte), for a length that is known
    /// only at the end.
    pub fn patch(&mut self, offset: usize, value: [u8; 4]) {
        let from = self.start + offset;
        if let Some(place) = self.bytes.get_mut(from..from + value.len()) {
            place.copy_from_slice(&value);
        }
    }

    /// Wipes and forgets the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        let end = (self.start + count).min(self.bytes.len());
        if let Some(done) = self.bytes.get_mut(self.start..end) {
            done.zeroize();
        }
        self.start = end;
        if self.start == self.bytes.len() {
            self.clear();
        }
    }

    /// Wipes and forgets everything, and gives back memory that one large frame needed.
    pub fn clear(&mut self) {
        self.start = 0;
        self.bytes.zeroize();
        if self.bytes.capacity() > KEEP {
            self.bytes = Zeroizing::new(Vec::new());
        }
    }

    /// Makes room without leaving an unwiped copy behind, as `Vec`'s own growth would.
    fn reserve(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed <= self.bytes.capacity() {
            return;
        }
        let waiting = self.len();
        let capacity = (waiting + more).next_power_of_two().max(MINIMUM);
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(self.as_slice());
        self.bytes = larger;
        self.start = 0;
    }
}

/// The smallest allocation.
const MINIMUM: usize = 256;

/// The largest allocation that is kept while a connection is idle.
const KEEP: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_over_growth_and_consumption() {
        let mut buffer = Buffer::default();
        let mut expected = std::collections::VecDeque::new();
        for round in 0..2000_usize {
            let data: Vec<u8> = (0..round % 97).map(|byte| byte as u8).collect();
            buffer.extend(&data);
            expected.extend(data);
            let take = (round * 7 % 101).min(expected.len());
            buffer.consume(take);
            expected.drain(..take);
            assert_eq!(buffer.as_slice(), expected.make_contiguous());
        }
    }

    #[test]
    fn a_partly_filled_tail_is_taken_back() {
        let mut buffer = Buffer::with_capacity(4);
        buffer.extend(b"ab");
        buffer.grow(100)[..2].copy_from_slice(b"cd");
        buffer.truncate_tail(98);
        assert_eq!(buffer.as_slice(), b"abcd");
        buffer.patch(0, *b"wxyz");
        assert_eq!(buffer.as_slice(), b"wxyz");
    }
}
