//! The one path to the upstream: what the caller gives goes out with the upstream key, what comes back is untouched.

use axum::http::{HeaderMap, HeaderName, Method, Response};
use bytes::Bytes;

use super::key::{KeyError, UpstreamKey};
use crate::clients::http::{Integration, Outbound, OutboundError, OutboundRequest, ResponseBody};
use crate::metrics;

/// Where the Messages API takes its key.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Why the upstream gave no answer at all.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// There is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It could not be asked.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

/// The upstream of the gateway and the assistant.
pub struct Upstream {
    outbound: Outbound,
    key: UpstreamKey,
}

impl Upstream {
    /// The upstream that the settings name.
    pub fn new(outbound: Outbound, key: UpstreamKey) -> Self {
        Self { outbound, key }
    }

    /// Whether there is a key.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ready(&self) -> Result<(), KeyError> {
        self.key.ready().await
    }

    /// Sends a request below the upstream's base address. The key is opened here, at the last moment.
    ///
    /// # Errors
    /// [`UpstreamError`] when no answer came; an answer with an error status is an answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        headers.insert(X_API_KEY, self.key.header().await?);
        let url = self.outbound.url(Integration::Anthropic, path, query)?;
        let request = OutboundRequest {
            method,
            url,
            headers,
            body,
        };
        let answer = self.outbound.send(Integration::Anthropic, request).await;
        metrics::ai(match &answer {
            Ok(answer) if answer.status().is_success() => "ok",
            Ok(answer) if answer.status().as_u16() == 429 => "rate_limited",
            Ok(answer) if answer.status().is_client_error() => "refused",
            Ok(_) => "failed",
            Err(_) => "unreachable",
        });
        Ok(answer?)
    }
}
