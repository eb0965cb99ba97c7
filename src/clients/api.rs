//! OptiDev's own API, as the command line asks it from wherever it runs.
//!
//! What always holds: a token goes out over TLS, or to the same machine; it goes to the one server that was named, because no
//! redirect is followed; and no proxy of the environment carries it.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::{Host, Url};

use crate::kernel::SecretString;

/// Why the server gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// What was given is no address of a server.
    #[error("{0:?} is not the address of a server, like https://optidev.example.com: {1}")]
    Address(String, String),
    /// The token would go over the network as it is.
    #[error(
        "{0} is not https, so anybody on the way would see the token and the answers; use https, which is not needed for this machine's own addresses only"
    )]
    NotSecure(Url),
    /// The certificates cannot be used.
    #[error("the file of certificates cannot be used: it has to hold one or more in PEM")]
    Certificates(#[source] reqwest::Error),
    /// No client.
    #[error("no connection is possible: install ca-certificates, or name a file with --ca-file")]
    Client(#[source] reqwest::Error),
    /// No answer.
    #[error("{0} does not answer; is the address right, and does the server run?")]
    Unreachable(Url, #[source] reqwest::Error),
    /// The server said no.
    #[error("{detail}")]
    Refused {
        /// What it said, with what to do.
        detail: String,
        /// The kind of problem.
        code: String,
    },
    /// It is no server of this kind, or of another version.
    #[error("{0} answers something else than OptiDev's API; is this the right address?")]
    Misunderstood(Url),
}

/// A server, and the token that is shown to it.
pub struct ApiClient {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
}

impl ApiClient {
    /// A client of the server at `address`, which is believed by the system's certificates, or by those in `ca` (PEM) alone.
    ///
    /// # Errors
    /// [`ApiError::Address`], [`ApiError::NotSecure`], [`ApiError::Certificates`], [`ApiError::Client`].
    pub fn new(address: &str, token: SecretString, ca: Option<&[u8]>) -> Result<Self, ApiError> {
        let base = base(address)?;
        Ok(Self {
            http: client(ca)?,
            base,
            token,
        })
    }

    /// Asks for `path` below `/api/v1`, whose parts are escaped already.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with the server's words; [`ApiError::Unreachable`], [`ApiError::Misunderstood`].
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ApiError> {
        let text = self.text(method, path, body).await?;
        // No body is null: what deletes answers nothing.
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text).map_err(|_| ApiError::Misunderstood(self.base.clone()))
    }

    /// As [`ApiClient::ask`], for an answer that is text.
    ///
    /// # Errors
    /// As there.
    pub async fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, ApiError> {
        let unreachable =
            |error: reqwest::Error| ApiError::Unreachable(self.base.clone(), error.without_url());
        let address = format!("{}/api/v1{path}", self.base.as_str().trim_end_matches('/'));
        let mut request = self
            .http
            .request(method, address)
            .bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(text);
        }
        Err(self.refusal(status, &text))
    }

    fn refusal(&self, status: StatusCode, text: &str) -> ApiError {
        let problem: Value = serde_json::from_str(text).unwrap_or_default();
        let word = |field: &str| problem.get(field).and_then(Value::as_str);
        let Some(code) = word("code") else {
            return ApiError::Misunderstood(self.base.clone());
        };
        let mut detail = word("detail")
            .or_else(|| word("title"))
            .unwrap_or(code)
            .to_owned();
        // The operator finds the cause by it; what the caller did wrong needs no looking up.
        if let (true, Some(id)) = (status.is_server_error(), word("request_id")) {
            detail.push_str(&format!(" (request {id})"));
        }
        ApiError::Refused {
            detail,
            code: code.to_owned(),
        }
    }
}

fn base(address: &str) -> Result<Url, ApiError> {
    let wrong = |reason: &str| ApiError::Address(address.to_owned(), reason.to_owned());
    let url = Url::parse(address).map_err(|error| wrong(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ApiError::Address(
            // Not shown again: it holds a password.
            url.host_str().unwrap_or_default().to_owned(),
            "it must not hold a user name or password".to_owned(),
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must not hold a query or a fragment"));
    }
    let own = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if own => Ok(url),
        "http" => Err(ApiError::NotSecure(url)),
        _ => Err(wrong("the scheme must be https")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client for the command line, which goes to the server that its user names"
)]
fn client(ca: Option<&[u8]>) -> Result<reqwest::Client, ApiError> {
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("optidev/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(60));
    if let Some(pem) = ca {
        let certificates =
            reqwest::Certificate::from_pem_bundle(pem).map_err(ApiError::Certificates)?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(ApiError::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_the_machine() {
        for fine in [
            "https://optidev.example.com",
            "https://optidev.example.com:8443/below",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost:8080/",
        ] {
            assert!(base(fine).is_ok(), "{fine}");
        }
        for insecure in [
            "http://optidev.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
        ] {
            let error = base(insecure).unwrap_err();
            assert!(matches!(error, ApiError::NotSecure(_)), "{error}");
        }
        for wrong in ["", "optidev", "ftp://a", "https://a?b", "https://a#b"] {
            let error = base(wrong).unwrap_err();
            assert!(matches!(error, ApiError::Address(..)), "{wrong}: {error}");
        }
        let error = base("https://me:hunter2@a").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
