//! Destinations that people name, such as where the audit log is carried to: any public one, no private one.
//!
//! What always holds: a name is resolved here, each address is held against the special-purpose ranges, and a connection
//! is made to a checked address and no other. Redirects are not followed and no proxy is used, so that a destination
//! cannot point elsewhere.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Host, Url};

use super::ranges;

/// For name, connection and answer together.
const LIMIT: Duration = Duration::from_secs(15);

/// Why a destination was not reached.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    /// It may not be reached.
    #[error(
        "{host} is not reached: {address} is a {range} address. Name a public one, or have the operator allow it in [audit] also_allow"
    )]
    Special {
        /// As it was named.
        host: String,
        /// What it stands for.
        address: IpAddr,
        /// The kind of range.
        range: &'static str,
    },
    /// The address is none that is asked.
    #[error("{0}")]
    Address(&'static str),
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
}

/// Reaches destinations. Cheap to clone.
#[derive(Clone)]
pub struct Named(Arc<Inner>);

struct Inner {
    also_allow: Arc<[IpNet]>,
    // Made at first use: reading the system's roots costs time.
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Named {
    /// Special-purpose addresses in `also_allow` may be reached all the same.
    pub fn new(also_allow: &[IpNet]) -> Self {
        Self(Arc::new(Inner {
            also_allow: also_allow.into(),
            client: OnceLock::new(),
        }))
    }

    /// Whether `url` may be named: https, or http to this machine itself, and no address that is refused by its number.
    ///
    /// # Errors
    /// [`NamedError::Address`], [`NamedError::Special`].
    pub fn check(&self, url: &Url) -> Result<(), NamedError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(NamedError::Address("The address names no host.")),
        };
        let loopback = address.is_some_and(|address| address.is_loopback());
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err(NamedError::Address(
                "The address must begin with https://, so that nobody on the way reads along.",
            ));
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(NamedError::Address(
                "The address must hold neither a user name nor a fragment.",
            ));
        }
        match address {
            Some(address) => {
                allowed(&address.to_string(), &[address], &self.0.also_allow).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Sends a POST and answers its status; the answer's body is not read.
    ///
    /// # Errors
    /// [`NamedError`].
    pub async fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<StatusCode, NamedError> {
        self.check(&url)?;
        let client = self
            .0
            .client
            .get_or_init(|| build(&self.0.also_allow))
            .as_ref()
            .map_err(|error| NamedError::Unreachable(error.clone()))?;
        let sent = client.post(url).headers(headers).body(body).send().await;
        sent.map(|answer| answer.status())
            .map_err(|error| NamedError::Unreachable(chain(&error.without_url())))
    }

    /// Connects to `host` and `port`.
    ///
    /// # Errors
    /// [`NamedError`].
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, NamedError> {
        let connecting = async {
            let addresses = resolve(host, port, &self.0.also_allow).await?;
            let mut reason = String::from("it has no address");
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => reason = error.to_string(),
                }
            }
            Err(NamedError::Unreachable(format!("{host}:{port}: {reason}")))
        };
        timeout(LIMIT, connecting).await.unwrap_or_else(|_| {
            Err(NamedError::Unreachable(format!(
                "{host}:{port} did not answer within {} s",
                LIMIT.as_secs()
            )))
        })
    }
}

/// The addresses of `host` that may be connected to; never empty.
async fn resolve(
    host: &str,
    port: u16,
    also_allow: &[IpNet],
) -> Result<Vec<SocketAddr>, NamedError> {
    let found: Vec<IpAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|error| NamedError::Unreachable(format!("{host}: {error}")))?
        .map(|address| address.ip())
        .collect();
    let allowed = allowed(host, &found, also_allow)?;
    Ok(allowed
        .into_iter()
        .map(|address| SocketAddr::new(address, port))
        .collect())
}

fn allowed(host: &str, found: &[IpAddr], also_allow: &[IpNet]) -> Result<Vec<IpAddr>, NamedError> {
    let mut good = Vec::new();
    let mut refused = None;
    for address in found {
        match ranges::special(*address, also_allow) {
            None => good.push(*address),
            Some(range) => refused = refused.or(Some((*address, range))),
        }
    }
    match (good.is_empty(), refused) {
        (false, _) => Ok(good),
        (true, Some((address, range))) => Err(NamedError::Special {
            host: host.to_owned(),
            address,
            range,
        }),
        (true, None) => Err(NamedError::Unreachable(format!("{host} has no address"))),
    }
}

/// The resolver of the HTTP client: what it does not answer cannot be connected to.
struct Checked(Arc<[IpNet]>);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let also_allow = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = resolve(name.as_str(), 0, &also_allow).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the client of destinations that people name, which checks each address"
)]
fn build(also_allow: &Arc<[IpNet]>) -> Result<reqwest::Client, String> {
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .dns_resolver(Arc::new(Checked(Arc::clone(also_allow))))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent("OptiDev")
        .timeout(LIMIT)
        .build()
        .map_err(|error| chain(&error))
}

/// An error with its causes, which say more than the first of them.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(url: &str, also_allow: &[&str]) -> bool {
        let ranges: Vec<IpNet> = also_allow.iter().map(|net| net.parse().unwrap()).collect();
        Named::new(&ranges).check(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn private_numbers_in_any_spelling_are_refused() {
        assert!(verdict("https://siem.example.com/hook", &[]));
        for url in [
            "http://siem.example.com/hook",
            "https://169.254.169.254/latest",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://10.1.2.3/",
            "https://user@siem.example.com/",
            "http://127.0.0.1/",
        ] {
            assert!(!verdict(url, &[]), "{url}");
        }
        assert!(verdict("http://127.0.0.1:9/", &["127.0.0.0/8"]));
        assert!(!verdict("http://10.1.2.3/", &["10.0.0.0/8"]));
    }

    #[tokio::test]
    async fn a_name_that_stands_for_loopback_is_refused() {
        let named = Named::new(&[]);
        let refused = named.connect("localhost", 1).await;
        assert!(matches!(refused, Err(NamedError::Special { .. })));
        let url = Url::parse("https://localhost/").unwrap();
        let sent = named.post(url, HeaderMap::new(), Vec::new()).await;
        assert!(sent.unwrap_err().to_string().contains("loopback"));
    }
}
