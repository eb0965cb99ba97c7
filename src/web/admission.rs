//! Who sends a request, from where, and whether it is one too many: found out once, before any handler.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;

use super::extract::Peer;
use super::passing::without_pauses;
use super::session_value;
use crate::authz::{Credential, Recognized};
use crate::config::LimitsConfig;
use crate::context::Services;
use crate::kernel::Problem;
use crate::shared::{Left, Quota, Take, Taken};

/// The draft of the field for what is left (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Where SDKs of the gateway send their key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who sends a request.
#[derive(Clone)]
pub(super) struct Caller {
    /// The client's address in text.
    pub address: String,
    /// Whose session or token it shows; the problem when that could not be found out, or is one request too many.
    pub known: Result<Option<Recognized>, Problem>,
}

/// Recognises the caller and counts the request, unless it is for what everybody may have as often as they like.
///
/// Recognising costs the vault and the database something, so an address that showed as many wrong sessions and tokens as
/// it may send requests gets no more of them looked at, but for those that were good lately. Each replica counts those for itself: it is its own work that it
/// saves, and asking Redis would be more of it.
pub async fn admit(State(services): State<Services>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/assets/") || path == "/healthz" || path == "/readyz" {
        return next.run(request).await;
    }
    let gateway = path.starts_with("/ai/");
    let (mut parts, body) = request.into_parts();
    let body = without_pauses(body);
    let address = address(&parts, &services);
    let (shows, was_good) = match shown(&parts.headers, gateway) {
        Some(Shown::Token(token)) => (true, services.credentials.token_was_good(token)),
        Some(Shown::Session(cookie)) => (true, services.credentials.session_was_good(&cookie)),
        None => (false, false),
    };
    let misses = misses(&services.config.limits, &address).filter(|_| shows);
    let spent = misses
        .as_ref()
        .filter(|_| !was_good)
        .and_then(|take| services.shared.limiter.spent_here(take));
    let (mut caller, count) = match spent {
        Some(wait) => {
            let known = Ok(None);
            let refusal = Some(refusal("address", wait));
            let quota = per_minute(services.config.limits.address_per_minute);
            let left = Left {
                remaining: 0,
                full_in: quota.per,
            };
            let headers = headers(&[("address", quota, String::new())], &[left]);
            (Caller { address, known }, Count { refusal, headers })
        }
        None => {
            let caller = find(&parts, &services, address, gateway).await;
            if let (Some(take), Ok(None)) = (misses, &caller.known) {
                services.shared.limiter.take_here(&[take]);
            }
            let count = count(&services, &caller).await;
            (caller, count)
        }
    };
    if let Some(refusal) = count.refusal {
        if !gateway {
            let mut response = refusal.into_response();
            response.headers_mut().extend(count.headers);
            return response;
        }
        // The gateway answers in its own words.
        caller.known = Err(refusal);
    }
    parts.extensions.insert(Arc::new(caller));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    response.headers_mut().extend(count.headers);
    response
}

/// The caller that [`admit`] found.
pub(super) async fn caller(parts: &Parts, services: &Services) -> Arc<Caller> {
    match parts.extensions.get::<Arc<Caller>>() {
        Some(caller) => Arc::clone(caller),
        // A router without the middleware, as unit tests build them.
        None => Arc::new(find(parts, services, address(parts, services), true).await),
    }
}

fn address(parts: &Parts, services: &Services) -> String {
    let peer = parts.extensions.get::<ConnectInfo<Peer>>();
    let trusted = &services.config.server.trusted_proxies;
    peer.map(|info| client_address(info.0.0.ip(), &parts.headers, trusted).to_string())
        .unwrap_or_default()
}

/// The count of wrong sessions and tokens of an address.
fn misses(limits: &LimitsConfig, address: &str) -> Option<Take> {
    let quota = per_minute(limits.address_per_minute);
    (quota.most > 0).then(|| Take::new(&format!("misses from {}", block(address)), quota))
}

async fn find(parts: &Parts, services: &Services, address: String, gateway: bool) -> Caller {
    let credentials = &services.credentials;
    let known = match shown(&parts.headers, gateway) {
        Some(Shown::Token(token)) => credentials.token(token, &address).await,
        Some(Shown::Session(cookie)) => credentials.session(&cookie, &address).await,
        None => Ok(None),
    };
    Caller {
        address,
        known: known.map_err(Problem::from),
    }
}

enum Shown<'a> {
    Token(&'a str),
    Session(String),
}

/// A token, or else the cookie of a session. A header that holds no token is no reason to look at the cookie.
fn shown(headers: &HeaderMap, gateway: bool) -> Option<Shown<'_>> {
    if gateway && let Some(key) = headers.get(X_API_KEY) {
        return key.to_str().ok().map(|key| Shown::Token(key.trim()));
    }
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
        return Some(Shown::Token(token.trim()));
    }
    session_value(headers).map(Shown::Session)
}

/// The client behind proxies: from the right, the first address that is no proxy's.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_proxy = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut client = peer.to_canonical();
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        if !is_proxy(client) {
            break;
        }
        let hop = hop.trim();
        let ip = hop.parse::<IpAddr>().or_else(|_| {
            hop.parse::<std::net::SocketAddr>()
                .map(|address| address.ip())
        });
        // What a proxy did not write says nothing about what stands before it.
        let Ok(ip) = ip else { break };
        client = ip.to_canonical();
    }
    client
}

/// What came of counting.
struct Count {
    refusal: Option<Problem>,
    headers: HeaderMap,
}

async fn count(services: &Services, caller: &Caller) -> Count {
    let quotas = quotas(&services.config.limits, caller);
    let takes: Vec<Take> = quotas
        .iter()
        .map(|(_, quota, key)| Take::new(key, *quota))
        .collect();
    if takes.is_empty() {
        return Count {
            refusal: None,
            headers: HeaderMap::new(),
        };
    }
    let (refusal, left) = match services.shared.limiter.lenient(&takes).await {
        Taken::All(left) => (None, left),
        Taken::None { which, wait, left } => {
            let of = quotas.get(which).map_or("address", |(name, ..)| *name);
            (Some(refusal(of, wait)), left)
        }
    };
    Count {
        refusal,
        headers: headers(&quotas, &left),
    }
}

fn per_minute(most: u32) -> Quota {
    Quota {
        most,
        per: Duration::from_secs(60),
    }
}

type Named = (&'static str, Quota, String);

fn quotas(limits: &LimitsConfig, caller: &Caller) -> Vec<Named> {
    let mut quotas = Vec::with_capacity(2);
    match &caller.known {
        Ok(Some(known)) => {
            let account = format!("requests of {}", known.actor.user());
            quotas.push(("account", per_minute(limits.account_per_minute), account));
            if let Credential::Token(id, _) = known.actor.credential() {
                let token = format!("requests of {id}");
                quotas.push(("token", per_minute(limits.token_per_minute), token));
            }
        }
        _ => {
            let address = format!("requests from {}", block(&caller.address));
            quotas.push(("address", per_minute(limits.address_per_minute), address));
        }
    }
    quotas.retain(|(_, quota, _)| quota.most > 0);
    quotas
}

/// What counts as one address. One customer's part of the IPv6 addresses is a /64: whoever has one has them all.
pub fn block(address: &str) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => address.to_owned(),
    }
}

fn refusal(of: &str, wait: Duration) -> Problem {
    let seconds = seconds(wait);
    let detail = format!(
        "Too many requests of this {of}. Wait {seconds} s and go on more slowly; the header RateLimit says how many are left."
    );
    Problem::rate_limited(detail, wait)
}

fn seconds(time: Duration) -> u64 {
    time.as_millis()
        .div_ceil(1_000)
        .try_into()
        .unwrap_or(u64::MAX)
}

/// All policies, and what is left of the one that is nearest to its end.
fn headers(quotas: &[Named], left: &[Left]) -> HeaderMap {
    let policies: Vec<String> = quotas
        .iter()
        .map(|(name, quota, _)| format!("{name:?};q={};w={}", quota.most, quota.per.as_secs()))
        .collect();
    let nearest = quotas.iter().zip(left).min_by_key(|((_, quota, _), left)| {
        u64::from(left.remaining) * 10_000 / u64::from(quota.most.max(1))
    });
    let mut headers = HeaderMap::new();
    let mut set = |name, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    };
    set(RATE_LIMIT_POLICY, policies.join(", "));
    if let Some(((name, ..), left)) = nearest {
        let text = format!("{name:?};r={};t={}", left.remaining, seconds(left.full_in));
        set(RATE_LIMIT, text);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, lines: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_forwarded_address_is_believed_from_proxies_only() {
        let proxies = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(from("203.0.113.9", &["198.51.100.1"], &[]), "203.0.113.9");
        assert_eq!(
            from("203.0.113.9", &["198.51.100.1"], &proxies),
            "203.0.113.9"
        );
        assert_eq!(
            from("10.0.0.1", &["198.51.100.1"], &proxies),
            "198.51.100.1"
        );
        // What the client wrote itself stands on the left, and does not count.
        assert_eq!(
            from("10.0.0.1", &["1.1.1.1, 198.51.100.1"], &proxies),
            "198.51.100.1"
        );
        assert_eq!(
            from("10.0.0.1", &["1.1.1.1", "198.51.100.1, 10.0.0.2"], &proxies),
            "198.51.100.1"
        );
        assert_eq!(
            from("10.0.0.1", &["198.51.100.1:4711"], &proxies),
            "198.51.100.1"
        );
        assert_eq!(
            from("fd00::1", &["[2001:db8::5]:443"], &proxies),
            "2001:db8::5"
        );
        assert_eq!(
            from("::ffff:10.0.0.1", &["198.51.100.1"], &proxies),
            "198.51.100.1"
        );
        assert_eq!(
            from("10.0.0.1", &["1.1.1.1, nonsense"], &proxies),
            "10.0.0.1"
        );
        assert_eq!(from("10.0.0.1", &[], &proxies), "10.0.0.1");
    }

    #[test]
    fn an_ipv6_customer_counts_as_one() {
        assert_eq!(block("2001:db8:1:2:3:4:5:6"), block("2001:db8:1:2::9"));
        assert_ne!(block("2001:db8:1:2::9"), block("2001:db8:1:3::9"));
        assert_eq!(block("198.51.100.1"), "198.51.100.1");
    }

    #[test]
    fn the_headers_tell_all_policies_and_the_nearest_end() {
        let quota = |most| Quota {
            most,
            per: Duration::from_secs(60),
        };
        let quotas = [
            ("account", quota(100), String::new()),
            ("token", quota(10), String::new()),
        ];
        let left = |remaining| Left {
            remaining,
            full_in: Duration::from_millis(1_001),
        };
        let headers = headers(&quotas, &[left(50), left(4)]);
        assert_eq!(
            headers[RATE_LIMIT_POLICY],
            "\"account\";q=100;w=60, \"token\";q=10;w=60"
        );
        assert_eq!(headers[RATE_LIMIT], "\"token\";r=4;t=2");
    }
}
