//! Outbound HTTP: the one way out of the server.
//!
//! What always holds:
//! - A request names an [`Integration`], and goes to that integration's configured base address or nowhere: scheme,
//!   host, port and path prefix are compared before a connection is made. A refusal is recorded (target `outbound`).
//! - Redirects are not followed, environment proxies are not used, nothing is decompressed: what the other side sent
//!   is what the caller sees, as it comes.
//! - Certificates are checked against the system's roots (`SSL_CERT_FILE` is respected), and those that an integration's
//!   settings name beside them.
//!
//! The container's traffic is not this module's: it goes through `features::egress`.

pub(super) mod destination;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::{HeaderMap, Method, Response};
use url::Url;

use crate::config::{Config, ObjectsKind};

pub use destination::Refused;

/// The body of an answer, as it comes.
pub type ResponseBody = reqwest::Body;

/// An outside system that the configuration may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Integration {
    /// The upstream of the AI gateway: `[ai] anthropic_base_url`.
    Anthropic,
    /// Storage for archives: the bucket of `[objects]`, below its prefix.
    Objects,
}

impl Integration {
    /// The word in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Objects => "objects",
        }
    }
}

/// Why a request did not get an answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// A base address in the configuration cannot be used.
    #[error(
        "setting {setting:?} is {value:?}, which is not an address like \"https://api.example.com\": {reason}"
    )]
    BaseUrl {
        /// The setting's key.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The settings name no such system.
    #[error("no address of {integration} is configured", integration = .0.as_str())]
    NotConfigured(Integration),
    /// A file of certificates cannot be used.
    #[error(
        "setting {setting:?} is {path}, which holds no certificates in PEM that can be read: {reason}"
    )]
    Certificates {
        /// The setting's key.
        setting: &'static str,
        /// Its value.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The destination is not the integration's.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The HTTP client could not be made: no root certificates, most likely.
    #[error(
        "no outbound connections are possible: the client could not be made. Install ca-certificates or set SSL_CERT_FILE"
    )]
    Client(#[source] Arc<reqwest::Error>),
    /// No connection, or it broke before an answer.
    #[error("{integration} did not answer", integration = .0.as_str())]
    Unreachable(Integration, #[source] reqwest::Error),
}

/// A request to an integration.
pub struct OutboundRequest {
    /// GET, POST, ...
    pub method: Method,
    /// The whole address; [`Outbound::url`] makes it.
    pub url: Url,
    /// Sent as they are; credentials included, so keep no copy.
    pub headers: HeaderMap,
    /// The body's bytes; empty for none.
    pub body: bytes::Bytes,
}

/// The outbound client. Cheap to clone.
#[derive(Clone)]
pub struct Outbound(Arc<Inner>);

struct Inner {
    anthropic: Target,
    objects: Option<Target>,
}

/// Where an integration is, and how it is connected to.
struct Target {
    base: Url,
    /// Longest time between two reads; to the head of an answer, too.
    patience: Duration,
    /// Certificates that are believed beside the system's: the setting, and the file.
    ca: Option<(&'static str, PathBuf)>,
    // Made at first use: reading the system's roots costs time and memory that an installation without
    // integrations need not spend, and must not keep the server from starting.
    client: OnceLock<Result<reqwest::Client, Arc<reqwest::Error>>>,
}

impl Target {
    fn new(base: Url, patience: Duration) -> Self {
        Self {
            base,
            patience,
            ca: None,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&reqwest::Client, OutboundError> {
        let certificates = self.certificates()?;
        self.client
            .get_or_init(|| build(self.patience, certificates).map_err(Arc::new))
            .as_ref()
            .map_err(|error| OutboundError::Client(Arc::clone(error)))
    }

    /// Reads the file of certificates, unless the client is there already.
    fn certificates(&self) -> Result<Vec<reqwest::Certificate>, OutboundError> {
        let Some((setting, path)) = self.ca.as_ref().filter(|_| self.client.get().is_none()) else {
            return Ok(Vec::new());
        };
        let wrong = |reason: String| OutboundError::Certificates {
            setting,
            path: path.display().to_string(),
            reason,
        };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err(wrong("no certificate is in it".to_owned())),
            Err(error) => Err(wrong(error.to_string())),
        }
    }
}

impl Outbound {
    /// Reads the base addresses and files of certificates that the settings name; connects to nothing.
    ///
    /// # Errors
    /// [`OutboundError::BaseUrl`], [`OutboundError::Certificates`] name the setting and its value.
    pub fn new(config: &Config) -> Result<Self, OutboundError> {
        let anthropic = destination::base("ai.anthropic_base_url", &config.ai.anthropic_base_url)?;
        let objects = match config.objects.kind {
            ObjectsKind::Disk | ObjectsKind::None => None,
            ObjectsKind::S3 => {
                let base = destination::below_prefix(&config.objects)?;
                let patience = Duration::from_millis(config.objects.timeout_ms.max(1));
                let mut target = Target::new(base, patience);
                let file = config.objects.ca_file.clone();
                target.ca = file.map(|file| ("objects.ca_file", file));
                target.certificates()?;
                Some(target)
            }
        };
        // Long answers without streaming take minutes to begin.
        let anthropic = Target::new(anthropic, Duration::from_secs(600));
        Ok(Self(Arc::new(Inner { anthropic, objects })))
    }

    fn target(&self, integration: Integration) -> Result<&Target, OutboundError> {
        match integration {
            Integration::Anthropic => Ok(&self.0.anthropic),
            Integration::Objects => {
                let objects = self.0.objects.as_ref();
                objects.ok_or(OutboundError::NotConfigured(integration))
            }
        }
    }

    /// An address below the integration's base: `path` starts with a slash, `query` is taken as it is.
    ///
    /// # Errors
    /// [`OutboundError::NotConfigured`].
    pub fn url(
        &self,
        integration: Integration,
        path: &str,
        query: Option<&str>,
    ) -> Result<Url, OutboundError> {
        let mut url = self.target(integration)?.base.clone();
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        url.set_query(query);
        Ok(url)
    }

    /// Sends the request and gives the answer as soon as its head is there. Dropping the future or the body ends the
    /// exchange.
    ///
    /// # Errors
    /// [`OutboundError::Refused`] before anything is sent; [`OutboundError::Unreachable`] when no answer came.
    pub async fn send(
        &self,
        integration: Integration,
        request: OutboundRequest,
    ) -> Result<Response<ResponseBody>, OutboundError> {
        let target = self.target(integration)?;
        if let Err(refused) = destination::check(integration, &target.base, &request.url) {
            tracing::warn!(
                target: "outbound",
                integration = integration.as_str(),
                host = request.url.host_str().unwrap_or(""),
                "refused an outbound request: {refused}"
            );
            return Err(refused.into());
        }
        let mut builder = target
            .client()?
            .request(request.method, request.url)
            .headers(request.headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body);
        }
        match builder.send().await {
            Ok(response) => Ok(response.into()),
            Err(error) => Err(OutboundError::Unreachable(integration, error.without_url())),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that makes an outbound client"
)]
fn build(
    patience: Duration,
    certificates: Vec<reqwest::Certificate>,
) -> Result<reqwest::Client, reqwest::Error> {
    // Fails when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .tcp_nodelay(true)
        .connect_timeout(Duration::from_secs(10))
        // Between two reads, not for the whole.
        .read_timeout(patience)
        .tls_certs_merge(certificates)
        .pool_idle_timeout(Duration::from_secs(60))
        .build()
}
