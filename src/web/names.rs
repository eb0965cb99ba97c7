//! The names under which this server is asked, checked against each request's `Host`.
//!
//! A page of a stranger whose own name was made to lead here (DNS rebinding) is, to the browser, of one site with what
//! answers there. So only known names are answered. Hosts of previews never come here: they are answered before.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::ServerConfig;
use crate::kernel::{Code, Problem};

/// What this server answers to.
pub struct Names {
    /// Lower case, without port and closing dot: of `public_url`, and those that the operator adds.
    names: Vec<String>,
    /// The domain of previews: a name below it that is none of theirs answers as nothing there, and is no stranger's.
    apps: String,
    listen: IpAddr,
}

impl Names {
    /// Those of a server with this configuration, whose browsers use `public_url`.
    pub fn new(config: &ServerConfig, public_url: &str) -> Self {
        let public = url::Url::parse(public_url).ok();
        let public = public.as_ref().and_then(url::Url::host_str);
        let names = config.other_names.iter().map(String::as_str).chain(public);
        Self {
            names: names.map(|name| plain(name).to_ascii_lowercase()).collect(),
            apps: config.apps_domain.to_ascii_lowercase(),
            listen: config.listen.ip().to_canonical(),
        }
    }

    fn include(&self, host: &str) -> bool {
        let host = plain(host).to_ascii_lowercase();
        if self.names.contains(&host) || host == "localhost" {
            return true;
        }
        if let Some(below) = host.strip_suffix(&self.apps) {
            return below.is_empty() || below.ends_with('.');
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) else {
            return false;
        };
        // Listening everywhere, every address that leads here is ours; no name can be made to lead here by them.
        address.is_loopback() || address == self.listen || self.listen.is_unspecified()
    }
}

/// Without port and closing dot. The colons of an IPv6 address stand in brackets.
fn plain(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Refuses requests for other names. Health checks come by address, from the inside, and learn nothing.
pub async fn check(State(names): State<Arc<Names>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path == "/healthz" || path == "/readyz" {
        return next.run(request).await;
    }
    // HTTP/2 and absolute addresses have it there, and it is what counts then (RFC 9112, section 3.2.2).
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str().as_bytes()),
        None => request
            .headers()
            .get(header::HOST)
            .map(|host| host.as_bytes()),
    };
    // HTTP/1.0 has none, and no browser speaks it.
    let known =
        host.is_none_or(|host| std::str::from_utf8(host).is_ok_and(|host| names.include(host)));
    if known {
        return next.run(request).await;
    }
    Problem::new(
        Code::Misdirected,
        "This server is not asked under this name. Use the address of [server] public_url; an operator can add names with \
         [server] other_names.",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listen: &str) -> Names {
        let config = ServerConfig {
            listen: listen.parse().unwrap(),
            apps_domain: "apps.example.com".into(),
            other_names: vec!["optidev.tools.svc".into()],
            ..ServerConfig::default()
        };
        Names::new(&config, "https://Dev.example.com:8443")
    }

    #[test]
    fn only_own_names_are_answered() {
        let own = names("192.0.2.1:80");
        for good in [
            "dev.example.com",
            "DEV.example.com:443",
            "dev.example.com.:8443",
            "optidev.tools.svc:8080",
            "localhost:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "192.0.2.1",
            "[::ffff:192.0.2.1]:80",
            "x.apps.example.com",
            "apps.example.com",
        ] {
            assert!(own.include(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "dev.example.com.evil.example",
            "evildev.example.com",
            "dev.example.com:x",
            "xapps.example.com",
            "192.0.2.2",
            "[2001:db8::1]:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example:127.0.0.1",
        ] {
            assert!(!own.include(bad), "{bad}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_asked_by_any_address() {
        for listen in ["0.0.0.0:80", "[::]:80"] {
            let own = names(listen);
            assert!(own.include("10.1.2.3:8080") && own.include("[2001:db8::1]:80"));
            assert!(!own.include("evil.example"));
        }
    }
}
