//! Which addresses an integration may be asked for. Pure.

use url::Url;

use super::{Integration, OutboundError};

/// A destination that is not the integration's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{destination} is not below {base}, the configured address of {integration}")]
pub struct Refused {
    integration: &'static str,
    destination: String,
    base: String,
}

/// Reads a base address from the settings.
pub(super) fn base(setting: &'static str, value: &str) -> Result<Url, OutboundError> {
    let wrong = |reason: &str| OutboundError::BaseUrl {
        setting,
        value: value.to_owned(),
        reason: reason.to_owned(),
    };
    let url = Url::parse(value).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("the scheme must be https or http"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must not hold a query or a fragment"));
    }
    Ok(url)
}

/// Whether `url` is below `base`: same scheme, host and port, no user, and a path below the base's.
pub(super) fn check(integration: Integration, base: &Url, url: &Url) -> Result<(), Refused> {
    let prefix = base.path().trim_end_matches('/');
    let below = url
        .path()
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let same =
        url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
    if same && below && !climbs(url.path()) {
        return Ok(());
    }
    Err(Refused {
        integration: integration.as_str(),
        // Neither path nor query: they may hold what people wrote.
        destination: url.origin().ascii_serialization(),
        base: base.to_string(),
    })
}

/// `Url` resolves dot segments, but not those that hide a slash behind percent encoding.
fn climbs(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.contains("..%2f")
        || lower.contains("%2f..")
        || lower.contains("..%5c")
        || lower.contains("%5c..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(base_text: &str, url: &str) -> bool {
        let base = base("test", base_text).unwrap();
        check(Integration::Anthropic, &base, &Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn only_the_configured_address_is_reached() {
        let base = "https://api.anthropic.com/proxy/";
        assert!(verdict(
            base,
            "https://api.anthropic.com/proxy/v1/messages?beta=true"
        ));
        assert!(verdict(
            base,
            "https://API.anthropic.com:443/proxy/v1/messages"
        ));
        for bad in [
            "http://api.anthropic.com/proxy/v1/messages",
            "https://api.anthropic.com:8443/proxy/v1/messages",
            "https://api.anthropic.com.evil.example/proxy/v1",
            "https://evil.example/proxy/v1",
            "https://api.anthropic.com@evil.example/proxy/v1",
            "https://user@api.anthropic.com/proxy/v1",
            "https://api.anthropic.com/other",
            "https://api.anthropic.com/proxyother",
            "https://api.anthropic.com/proxy/../other",
            "https://api.anthropic.com/proxy/%2e%2e/other",
            "https://api.anthropic.com/proxy/..%2fother",
        ] {
            assert!(!verdict(base, bad), "{bad}");
        }
    }

    #[test]
    fn a_base_that_cannot_be_used_names_setting_and_value() {
        for bad in [
            "",
            "api.anthropic.com",
            "ftp://a",
            "https://u:p@a",
            "https://a/?q",
        ] {
            let error = base("ai.anthropic_base_url", bad).unwrap_err().to_string();
            assert!(
                error.contains("ai.anthropic_base_url") && error.contains(bad),
                "{error}"
            );
        }
    }
}
