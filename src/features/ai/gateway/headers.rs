//! Which headers cross the gateway, in each direction. Pure.

use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use axum::http::{HeaderMap, HeaderName};

/// What a client's request may carry to the upstream. A list of what passes, so that cookies, OptiDev's own credentials
/// and what proxies in front of OptiDev add can never be forgotten. `accept-encoding` is not on it: the answer is
/// passed on as it is, and its usage is read from a copy.
pub fn to_upstream(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        [ACCEPT, CONTENT_TYPE, USER_AGENT].contains(name)
            || matches!(name.as_str(), "x-app" | "idempotency-key")
            || ["anthropic-", "x-stainless-", "x-claude-"]
                .iter()
                .any(|prefix| name.as_str().starts_with(prefix))
    };
    pick(headers, passes)
}

/// What an answer of the upstream may carry to the client.
pub fn to_client(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        [CONTENT_TYPE, RETRY_AFTER].contains(name)
            || matches!(
                name.as_str(),
                "content-encoding"
                    | "cache-control"
                    | "request-id"
                    | "x-should-retry"
                    | "retry-after-ms"
            )
            || name.as_str().starts_with("anthropic-")
    };
    pick(headers, passes)
}

fn pick(headers: &HeaderMap, passes: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let mut picked = HeaderMap::new();
    for (name, value) in headers {
        if passes(name) {
            picked.append(name, value.clone());
        }
    }
    picked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn credentials_and_cookies_stay_here() {
        let sent = to_upstream(&map(&[
            ("authorization", "Bearer odv_x"),
            ("x-api-key", "odv_x"),
            ("cookie", "session=x"),
            ("x-csrf-token", "x"),
            ("x-optidev-workspace", "wsp_x"),
            ("x-forwarded-for", "10.0.0.1"),
            ("host", "optidev"),
            ("accept-encoding", "gzip"),
            ("connection", "close"),
            ("content-length", "3"),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "a"),
            ("anthropic-something-new", "b"),
            ("content-type", "application/json"),
            ("x-stainless-lang", "js"),
        ]));
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "anthropic-beta",
                "anthropic-something-new",
                "anthropic-version",
                "content-type",
                "x-stainless-lang"
            ]
        );
    }

    #[test]
    fn answers_keep_what_sdks_act_on() {
        let answered = to_client(&map(&[
            ("retry-after", "3"),
            ("x-should-retry", "true"),
            ("anthropic-ratelimit-tokens-remaining", "5"),
            ("request-id", "req_1"),
            ("set-cookie", "x=1"),
            ("content-type", "text/event-stream"),
            ("transfer-encoding", "chunked"),
            ("strict-transport-security", "max-age=1"),
        ]));
        assert_eq!(answered.len(), 5, "{answered:?}");
        assert!(!answered.contains_key("set-cookie"));
    }
}
