//! Webhooks, signed as Standard Webhooks has it: HMAC-SHA-256 over id, time and body.

use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use url::Url;

use crate::clients::named::Named;
use crate::features::audit::model::AuditEntry;
use crate::kernel::SecretBytes;

/// What is sent.
#[derive(Serialize)]
pub struct Batch<'a> {
    /// `audit.entries` or `audit.test`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whose log.
    pub organization: String,
    /// Oldest first.
    pub entries: &'a [AuditEntry],
}

/// Sends a batch; `id` is the same whenever the same batch is sent again.
///
/// # Errors
/// A sentence for the owner.
pub async fn send(
    named: &Named,
    url: &str,
    secret: &SecretBytes,
    id: &str,
    at_ms: i64,
    batch: &Batch<'_>,
) -> Result<(), String> {
    let body = serde_json::to_vec(batch).map_err(|error| error.to_string())?;
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let timestamp = (at_ms / 1_000).to_string();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.clone()),
        (
            "webhook-signature",
            signature(secret, id, &timestamp, &body)?,
        ),
    ] {
        let value = HeaderValue::from_str(&value).map_err(|error| error.to_string())?;
        headers.insert(HeaderName::from_static(name), value);
    }
    let status = named
        .post(url, headers, body)
        .await
        .map_err(|error| error.to_string())?;
    if status.is_success() {
        return Ok(());
    }
    Err(format!("the receiver answered {status} instead of 2xx"))
}

/// `v1,` and the MAC in base64.
fn signature(
    secret: &SecretBytes,
    id: &str,
    timestamp: &str,
    body: &[u8],
) -> Result<String, String> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose()).map_err(|error| error.to_string())?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    Ok(format!(
        "v1,{}",
        BASE64_STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_specification_has_it() {
        // The example of the Standard Webhooks specification's reference libraries.
        let key = BASE64_STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .unwrap();
        let signed = signature(
            &SecretBytes::from(key.as_slice()),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.as_deref(),
            Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }
}
