//! Which values are not looked for: they would be found where nobody meant them, and a text without them is of no use.
//!
//! The rules are few, so that a person can be told them. They compare without regard to case.
//! - Shorter than [`SHORTEST`] bytes: too short.
//! - One character over and over; a plain number of fewer than ten digits; one of [`WORDS`]; a loopback host, with or without
//!   scheme and port; the name of a region of a cloud; a word of the provider's protocol or a model's name, as its
//!   requests would not be understood without. Whatever a placeholder says (see `forms`) belongs here, too.

/// Why a value is not looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unlooked {
    /// Under eight bytes: it would be found by chance.
    TooShort,
    /// A plain word, a small number, a well-known host: it is no secret, and stands everywhere.
    TooCommon,
}

/// The fewest bytes of a value and of each of its forms.
pub(super) const SHORTEST: usize = 8;

/// Settings that are spelled out, and passwords that everybody knows. Shorter ones are too short anyway.
const WORDS: &[&str] = &[
    "12345678a",
    "administrator",
    "anonymous",
    "application",
    "application/json",
    "changeit",
    "changeme",
    "change-me",
    "database",
    "deployment",
    "developer",
    "development",
    "disabled",
    "localhost",
    "localhost.localdomain",
    "maintenance",
    "optional",
    "password",
    "password1",
    "password123",
    "passw0rd",
    "postgres",
    "postgresql",
    "production",
    "readonly",
    "required",
    "sandboxed",
    "undefined",
    "username",
];

/// Hosts that are the same on every machine.
const HOSTS: &[&str] = &[
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "::1",
    "[::1]",
    "example.com",
];

/// What a request to the provider is made of. A value that is a part of it would break each request.
const PROTOCOL: &str = "anthropic_version base64 cache_control cache_creation_input_tokens citations \
    code_execution container container_upload content content_block custom_id disable_parallel_tool_use document enabled \
    ephemeral image/gif image/jpeg image/png image/webp input_schema mcp_servers mcp_tool_result mcp_tool_use media_type \
    messages metadata properties redacted_thinking requests search_result server_tool_use service_tier signature \
    stop_sequences system temperature text/plain thinking budget_tokens max_tokens tool_choice tool_reference tool_result \
    tool_use tool_use_id web_fetch_tool_result web_search web_search_tool_result additionalproperties description \
    application/pdf assistant adaptive interleaved";

/// Why `value`, without white space around it, is not looked for.
pub(super) fn unlooked(value: &[u8]) -> Option<Unlooked> {
    if value.len() < SHORTEST {
        return Some(Unlooked::TooShort);
    }
    is_common(value).then_some(Unlooked::TooCommon)
}

fn is_common(value: &[u8]) -> bool {
    let first = value.first();
    if value.iter().all(|byte| Some(byte) == first) {
        return true;
    }
    // No rule below speaks of anything longer.
    if value.len() > 64 {
        return false;
    }
    let text = match std::str::from_utf8(value) {
        Ok(text) => text.to_ascii_lowercase(),
        Err(_) => return false,
    };
    let number = text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    number
        || WORDS.contains(&text.as_str())
        || PROTOCOL.contains(text.as_str())
        || is_model(&text)
        || is_loopback(&text)
        || is_region(&text)
}

/// `localhost:3000`, `http://127.0.0.1/`, `redis://localhost:6379`; neither with a path nor with a password.
fn is_loopback(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let port = |port: &str| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    HOSTS.iter().any(|host| match rest.strip_prefix(host) {
        Some("") => true,
        Some(after) => after.strip_prefix(':').is_some_and(port),
        None => false,
    })
}

/// `claude-sonnet-4-5-20250929`: words and numbers, never mixed as in a key.
fn is_model(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("claude-") else {
        return false;
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let letters = |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase());
    text.len() <= 40
        && rest.split('-').any(digits)
        && rest.split('-').all(|part| digits(part) || letters(part))
}

/// `us-east-1`, `europe-west4`.
fn is_region(text: &str) -> bool {
    const PLACES: &[&str] = &[
        "af", "ap", "asia", "ca", "eu", "europe", "il", "me", "mx", "sa", "us",
    ];
    let Some((place, rest)) = text.split_once('-') else {
        return false;
    };
    let words = rest.trim_end_matches(|one: char| one.is_ascii_digit());
    PLACES.contains(&place)
        && rest.len() <= 16
        && (1..=2).contains(&(rest.len() - words.len()))
        && words
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_small_numbers_and_well_known_hosts_are_common() {
        let common = "localhost production DEVELOPMENT Password undefined aaaaaaaaaaaa ******** 123456789 127.0.0.1 \
            http://localhost:3000 https://localhost/ redis://127.0.0.1:6379 localhost:8080 [::1]:8080 us-east-1 \
            ap-southeast-2 europe-west4 assistant tool_use redacted redacted_thinking claude-sonnet-4-5 \
            claude-3-5-haiku-20241022";
        for value in common.split_whitespace() {
            assert_eq!(
                unlooked(value.as_bytes()),
                Some(Unlooked::TooCommon),
                "{value}"
            );
        }
        for value in ["true", "false", "", "1234567", "hunter2"] {
            assert_eq!(
                unlooked(value.as_bytes()),
                Some(Unlooked::TooShort),
                "{value}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_one_is_looked_for() {
        let looked = "1234567890 12345678x localhost.internal.example http://localhost:3000/key=5f3a \
            postgres://ada:lovelace@localhost/x productionX us-east-1a us-hunter-2222222 aaaaaaab hunter2hunter2 localhost123 \
            claude-proxy-key-8f3a9d claude-proxy-key";
        for value in looked.split_whitespace() {
            assert_eq!(unlooked(value.as_bytes()), None, "{value}");
        }
        assert_eq!(unlooked(&[0xff, 0xfe, 0, 1, 2, 3, 4, 5]), None);
    }
}
