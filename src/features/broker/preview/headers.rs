//! What is changed in headers between a browser and the application in a container.
//!
//! The application is the owner's code, not OptiDev's: it gets nothing of OptiDev's, and cannot set it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The cookie that opens a preview.
pub const COOKIE: &str = "__Host-optidev-preview";
/// Names of OptiDev's own cookies.
const OURS: &str = "__Host-optidev";

/// Headers that belong to one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "trailer",
];

/// The value of the preview's cookie in a request.
pub fn cookie(headers: &HeaderMap) -> Option<String> {
    cookies(headers)
        .into_iter()
        .find_map(|one| Some(one.strip_prefix(COOKIE)?.strip_prefix('=')?.to_owned()))
}

/// Makes a browser's headers the application's.
pub fn to_application(
    headers: &mut HeaderMap,
    host: &str,
    scheme: &'static str,
    address: Option<String>,
) {
    remove_hop_by_hop(headers);
    let kept: Vec<String> = cookies(headers)
        .into_iter()
        .filter(|one| !is_ours(one))
        .collect();
    headers.remove(header::COOKIE);
    if !kept.is_empty()
        && let Ok(value) = HeaderValue::from_str(&kept.join("; "))
    {
        headers.insert(header::COOKIE, value);
    }
    // In whatever header and scheme it comes: a token of ours is not for the application.
    let carrying: Vec<HeaderName> = headers
        .iter()
        .filter(|(_, value)| holds_token(value.as_bytes()))
        .map(|(name, _)| name.clone())
        .collect();
    for name in carrying {
        headers.remove(name);
    }
    headers.remove("x-csrf-token");
    for name in [
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-port",
        "x-real-ip",
    ] {
        headers.remove(name);
    }
    let port = host
        .rsplit_once(':')
        .map_or(if scheme == "https" { "443" } else { "80" }, |(_, port)| {
            port
        })
        .to_owned();
    set(headers, header::HOST, host);
    set(headers, HeaderName::from_static("x-forwarded-host"), host);
    set(
        headers,
        HeaderName::from_static("x-forwarded-proto"),
        scheme,
    );
    set(headers, HeaderName::from_static("x-forwarded-port"), &port);
    if let Some(address) = address {
        set(
            headers,
            HeaderName::from_static("x-forwarded-for"),
            &address,
        );
    }
}

/// Makes the application's headers the browser's.
pub fn to_browser(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    // Both speak for the server, not for the application.
    headers.remove(header::STRICT_TRANSPORT_SECURITY);
    headers.remove(header::ALT_SVC);
    let set_cookies: Vec<HeaderValue> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(own_cookie)
        .collect();
    headers.remove(header::SET_COOKIE);
    for value in set_cookies {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Whether a header's value has one of OptiDev's tokens in it, plainly or as user or password of Basic.
fn holds_token(value: &[u8]) -> bool {
    let prefix = crate::authz::TOKEN_PREFIX.as_bytes();
    let has = |bytes: &[u8]| bytes.windows(prefix.len()).any(|window| window == prefix);
    let basic = value
        .split(u8::is_ascii_whitespace)
        .filter_map(|word| STANDARD.decode(word).ok())
        .any(|decoded| has(&decoded));
    has(value) || basic
}

/// An application's cookie, kept to its own host: one for a parent domain would reach other previews. None when it has
/// one of our names.
fn own_cookie(value: &HeaderValue) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    if is_ours(text.trim_start()) {
        return None;
    }
    let parts: Vec<&str> = text
        .split(';')
        .filter(|part| {
            // Browsers trim an attribute's name (RFC 6265bis, section 5.6).
            let name = part.split_once('=').map_or(*part, |(name, _)| name);
            !name.trim().eq_ignore_ascii_case("domain")
        })
        .collect();
    HeaderValue::from_str(&parts.join(";")).ok()
}

fn is_ours(cookie: &str) -> bool {
    // `=name=value` is a cookie without a name, which is sent back as `name=value`.
    cookie
        .trim_start_matches(|c: char| c == '=' || c.is_whitespace())
        .get(..OURS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(|one| one.trim().to_owned())
        .filter(|one| !one.is_empty())
        .collect()
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| name != "upgrade")
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_application_gets_nothing_of_ours() {
        let mut headers = map(&[
            (
                "cookie",
                "a=1; __Host-optidev=secret; __host-optidev-preview=x",
            ),
            ("cookie", "b=2"),
            ("authorization", "Bearer odv_abc"),
            ("connection", "keep-alive, x-private"),
            ("x-private", "1"),
            ("x-forwarded-host", "evil"),
            ("transfer-encoding", "chunked"),
        ]);
        assert_eq!(
            cookie(&map(&[("cookie", "a=1; __Host-optidev-preview=xyz")])),
            Some("xyz".to_owned())
        );
        to_application(
            &mut headers,
            "80--x.localhost:8080",
            "http",
            Some("127.0.0.1".to_owned()),
        );
        let expected = map(&[
            ("cookie", "a=1; b=2"),
            ("host", "80--x.localhost:8080"),
            ("x-forwarded-host", "80--x.localhost:8080"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-port", "8080"),
            ("x-forwarded-for", "127.0.0.1"),
        ]);
        assert_eq!(headers, expected);
        for value in ["token odv_abc", "bearer\todv_abc", "Basic b2R2X2FiYzo="] {
            let mut headers = map(&[("authorization", value), ("x-api-key", "odv_abc")]);
            to_application(&mut headers, "h", "http", None);
            assert!(headers.get("authorization").is_none(), "{value}");
            assert!(headers.get("x-api-key").is_none());
        }
        let mut own = map(&[("authorization", "Basic YTpi")]);
        to_application(&mut own, "h", "https", None);
        assert_eq!(own["authorization"], "Basic YTpi");
    }

    #[test]
    fn the_application_sets_nothing_of_ours() {
        let mut headers = map(&[
            (
                "set-cookie",
                "__Host-optidev-preview=stolen; Path=/; Secure",
            ),
            ("set-cookie", "=__Host-optidev=x; Path=/"),
            ("set-cookie", "sid=1; dOmAiN =localhost; Path=/"),
            ("strict-transport-security", "max-age=1; includeSubDomains"),
            ("content-type", "text/html"),
        ]);
        to_browser(&mut headers);
        assert_eq!(
            headers,
            map(&[
                ("set-cookie", "sid=1; Path=/"),
                ("content-type", "text/html")
            ])
        );
    }
}
