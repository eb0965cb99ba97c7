//! Which addresses an integration may be asked for. Pure.

use url::{Host, Url};

use super::{Integration, OutboundError};
use crate::config::ObjectsConfig;

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

/// The bucket's own address, by path or by name.
pub(in crate::clients) fn bucket(config: &ObjectsConfig) -> Result<Url, OutboundError> {
    const SETTING: &str = "objects.s3_endpoint";
    let mut url = base(SETTING, &config.s3_endpoint)?;
    let wrong = |reason: &str| OutboundError::BaseUrl {
        setting: SETTING,
        value: config.s3_endpoint.clone(),
        reason: reason.to_owned(),
    };
    if url.scheme() == "http" && !config.allow_http && !is_this_machine(&url) {
        return Err(wrong(
            "anybody on the way could read and change all archives; use https, or set [objects] allow_http = true where the \
             network itself protects the way",
        ));
    }
    if config.path_style {
        let path = format!("{}/{}", url.path().trim_end_matches('/'), config.bucket);
        url.set_path(&path);
        return Ok(url);
    }
    let Some(Host::Domain(name)) = url.host() else {
        return Err(wrong(
            "an address without a name cannot have the bucket in its name; set [objects] path_style = true",
        ));
    };
    let name = format!("{}.{name}", config.bucket);
    url.set_host(Some(&name))
        .map_err(|error| wrong(&format!("{name:?} is no name of a host: {error}")))?;
    Ok(url)
}

/// What of the bucket is this installation's.
pub(super) fn below_prefix(config: &ObjectsConfig) -> Result<Url, OutboundError> {
    let mut url = bucket(config)?;
    if !config.prefix.is_empty() {
        let path = format!("{}/{}", url.path().trim_end_matches('/'), config.prefix);
        url.set_path(&path);
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
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

    fn objects(endpoint: &str, change: impl FnOnce(&mut ObjectsConfig)) -> Result<String, String> {
        let mut config = ObjectsConfig {
            s3_endpoint: endpoint.to_owned(),
            bucket: "archives".to_owned(),
            ..ObjectsConfig::default()
        };
        change(&mut config);
        below_prefix(&config)
            .map(String::from)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn of_a_storage_only_what_is_below_bucket_and_prefix_is_reached() {
        let base = objects("https://s.example.com", |_| {}).unwrap();
        assert_eq!(base, "https://s.example.com/archives/optidev");
        let by_name = objects("https://s.example.com/", |c| c.path_style = false).unwrap();
        assert_eq!(by_name, "https://archives.s.example.com/optidev");
        let whole = objects("https://s.example.com/", |c| c.prefix.clear()).unwrap();
        assert_eq!(whole, "https://s.example.com/archives");
        assert!(objects("https://10.0.0.1", |c| c.path_style = false).is_err());
        assert!(verdict(
            &base,
            "https://s.example.com/archives/optidev/wsp_1/prj_1.zip?uploadId=x"
        ));
        for bad in [
            "https://s.example.com/archives/optidev2/x",
            "https://s.example.com/archives/other/x",
            "https://s.example.com/archives?list-type=2",
            "https://s.example.com/other/optidev/x",
            "https://s.example.com/archives/optidev/../x",
            "https://s.example.com/archives/optidev/..%2fx",
        ] {
            assert!(!verdict(&base, bad), "{bad}");
        }
    }

    #[test]
    fn a_way_in_the_clear_is_asked_for() {
        for (endpoint, taken) in [
            ("http://s.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://127.0.0.1:9000", true),
            ("http://localhost:9000", true),
            ("http://[::1]:9000", true),
        ] {
            assert_eq!(objects(endpoint, |_| {}).is_ok(), taken, "{endpoint}");
        }
        objects("http://s.example.com", |config| config.allow_http = true).unwrap();
    }
}
