//! Identifiers, random names and the time. No I/O but the kernel's clock and random numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::rand::{GetRandomFlags, getrandom};

/// Crockford base32, lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
        })
}

/// 128 random bits.
pub fn random() -> u128 {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        // Only EINTR can come back for so few bytes; then the loop asks again.
        filled += getrandom(rest, GetRandomFlags::empty()).unwrap_or(0);
    }
    u128::from_ne_bytes(bytes)
}

/// 32 hex digits.
pub fn random_hex() -> String {
    format!("{:032x}", random())
}

/// `trm_` and the 26 characters of a UUIDv7 (RFC 9562).
pub fn terminal_id() -> String {
    let time = u128::from(now_ms().unsigned_abs()) << 80;
    let tail = random() & ((1 << 74) - 1);
    let uuid = time | (0x7 << 76) | ((tail >> 62) << 64) | (0b10 << 62) | (tail & ((1 << 62) - 1));
    let mut id = String::from("trm_");
    for place in (0..26).rev() {
        let digit = usize::try_from((uuid >> (5 * place)) & 31).unwrap_or(0);
        id.push(ALPHABET.get(digit).copied().unwrap_or(b'0').into());
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_ids_are_sortable_and_distinct() {
        let first = terminal_id();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let second = terminal_id();
        assert_eq!(first.len(), 30);
        assert!(first < second, "{first} {second}");
    }
}
