//! Preview hosts: `<port>--<26 characters>.<apps domain>`, a site of its own for each port of each container.

use crate::kernel::ContainerId;

/// What a host names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Not ours to answer.
    Else,
    /// Has the form of a preview but names none.
    Nothing,
    /// A port of a container.
    Port(ContainerId, u16),
}

/// Reads a `Host` header; its port is the server's and says nothing.
pub fn parse(host: &str, apps_domain: &str) -> Named {
    let host = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let Some(label) = host.strip_suffix(&apps_domain.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.')) else {
        return Named::Else;
    };
    let Some((port, container)) = label.split_once("--") else { return Named::Else };
    let plain = !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit());
    match (plain.then(|| port.parse::<u16>().ok()).flatten(), ContainerId::from_suffix(container)) {
        (Some(port), Ok(container)) if port > 0 => Named::Port(container, port),
        _ => Named::Nothing,
    }
}

/// The label of a port's host.
pub fn label(container: ContainerId, port: u16) -> String {
    format!("{port}--{}", container.suffix())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[test]
    fn only_exact_names_are_previews() {
        let id = ContainerId::new(&Clock::system(), &Rng);
        let label = label(id, 5173);
        let good = Named::Port(id, 5173);
        assert_eq!(parse(&format!("{label}.localhost:8080"), "localhost"), good);
        assert_eq!(parse(&format!("{}.Apps.Example.com.", label.to_uppercase()), "apps.example.com"), good);
        let suffix = id.suffix();
        for nothing in [
            format!("0--{suffix}.localhost"),
            format!("05173--{suffix}.localhost"),
            format!("65536--{suffix}.localhost"),
            format!("+80--{suffix}.localhost"),
            format!("80--{suffix}x.localhost"),
            format!("x.80--{suffix}.localhost"),
            "80--.localhost".to_owned(),
        ] {
            assert_eq!(parse(&nothing, "localhost"), Named::Nothing, "{nothing}");
        }
        for other in ["localhost:8080", "127.0.0.1", "[::1]:8080", "www.localhost", "", "80--x.localhost.evil.com"] {
            assert_eq!(parse(other, "localhost"), Named::Else, "{other}");
        }
        assert_eq!(parse(&format!("{label}evil.localhost"), "localhost"), Named::Nothing);
    }
}
