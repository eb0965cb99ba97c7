//! The one question that probes ask (RFC 1035, section 4.1).

/// A recursive query for the A record of `name`; `None` when it is no name.
pub fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let mut message = Vec::with_capacity(name.len() + 18);
    message.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question, nothing else.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok();
        let length = length.filter(|length| (1..=63).contains(length))?;
        if !label.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    // The root, type A, class IN.
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_what_the_rfc_says() {
        let expected = [
            0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, b'a', b'b', 1, b'c', 0, 0, 1, 0, 1,
        ];
        assert_eq!(question(0x1234, "ab.c").unwrap(), expected);
        assert_eq!(question(0x1234, "ab.c.").unwrap(), expected);
        for wrong in ["", ".", "a..b", "a b", &"x".repeat(64), &"x.".repeat(128)] {
            assert_eq!(question(1, wrong), None, "{wrong}");
        }
    }
}
