//! Why a connection was not made, in one line that a person reads in `npm`, `git` or `curl`.

use std::net::IpAddr;

use super::host::Target;

/// A refusal. Its text starts with "OptiDev egress:", names the destination and says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Name or port is not on the installation's list, which is the only one.
    #[error(
        "OptiDev egress: {0} is not on the allow-list of this installation. Ask its operator to add it under [egress] allow."
    )]
    NotListed(Target),
    /// Name or port is neither on the installation's list nor on the workspace's.
    #[error(
        "OptiDev egress: {0} is not on the allow-list of this installation, nor on this workspace's own. Ask an admin of the workspace to add it in the workspace's settings, or the operator to add it under [egress] allow."
    )]
    ListedNowhere(Target),
    /// It is listed, and beyond what the organization allows.
    #[error(
        "OptiDev egress: {0} is beyond the ceiling that this organization set for its workspaces. Ask an owner of the organization to add it there."
    )]
    BeyondCeiling(Target),
    /// A tunnel to the port of plain HTTP is listed, and the ceiling does not name the port.
    #[error(
        "OptiDev egress: no tunnel (CONNECT) is opened to {0}: the ceiling of this organization lets plain HTTP pass as requests only. Set http_proxy, use https, or ask an owner of the organization to add {0} there, with its port."
    )]
    TunnelBeyondCeiling(Target),
    /// Nobody knows what the workspace may reach.
    #[error(
        "OptiDev egress: the lists of this workspace cannot be read at the moment, so {0} is refused. Try again in a few seconds."
    )]
    RulesUnknown(Target),
    /// A literal address that is not listed as such.
    #[error(
        "OptiDev egress: {0} is an address, and addresses are refused unless the installation lists them as such. Use the host's name, or ask the operator to add it under [egress] allow."
    )]
    AddressNotListed(Target),
    /// A tunnel to the port of plain HTTP, whose Host header nobody would see.
    #[error(
        "OptiDev egress: no tunnel (CONNECT) is opened to {0}: plain HTTP passes as requests to the proxy. Set http_proxy, use https, or ask the operator to list {0} with its port under [egress] allow."
    )]
    PlainTunnel(Target),
    /// An IPv4 address written in a way that hides it.
    #[error(
        "OptiDev egress: the host is an address in an unusual form (octal, hexadecimal, shortened or one number). Use the host's name."
    )]
    UnusualAddress,
    /// Not a request that a proxy can serve.
    #[error("OptiDev egress: {0}")]
    Malformed(&'static str),
    /// The name leads nowhere.
    #[error("OptiDev egress: the name of {0} cannot be resolved. Check its spelling.")]
    Unresolved(Target),
    /// The name leads into a special-purpose range.
    #[error(
        "OptiDev egress: {target} resolves to {address} ({range}), where containers may not connect. If it is meant to be reached, ask the operator to add the range under [egress] also_allow."
    )]
    Special {
        /// Where the container wanted to go.
        target: Target,
        /// The first address that was refused.
        address: IpAddr,
        /// The kind of range.
        range: &'static str,
    },
    /// A name that the workspace alone lists leads into a special-purpose range.
    #[error(
        "OptiDev egress: {target} resolves to {address} ({range}), and what a workspace adds to the allow-list opens public addresses only. If it is meant to be reached, ask the operator to add the name under [egress] allow and the range under also_allow."
    )]
    SpecialAddition {
        /// Where the container wanted to go.
        target: Target,
        /// The first address that was refused.
        address: IpAddr,
        /// The kind of range.
        range: &'static str,
    },
    /// No address answered in time.
    #[error("OptiDev egress: {target} does not answer ({reason}). Try again later.")]
    Unreachable {
        /// Where the container wanted to go.
        target: Target,
        /// What the system said.
        reason: String,
    },
    /// A name that the workspace alone lists, where names are resolved by an upstream proxy.
    #[error(
        "OptiDev egress: this workspace added {0}, and it would be reached through the company's proxy, where OptiDev cannot check where it leads. Ask the operator to add it under [egress] allow, or under upstream_proxy_except."
    )]
    UncheckedAddition(Target),
    /// The upstream proxy answered, and not with success.
    #[error(
        "OptiDev egress: {target} is allowed here, but the company's proxy refuses it with the status {status}. Ask the operator of this installation, or of that proxy."
    )]
    UpstreamRefused {
        /// Where the container wanted to go.
        target: Target,
        /// What the proxy answered.
        status: u16,
    },
    /// The upstream proxy did not answer, or not as a proxy does.
    #[error(
        "OptiDev egress: {target} is not reached, because the company's proxy fails ({reason}). Try again later, or ask the operator to check [egress] upstream_proxy."
    )]
    UpstreamAway {
        /// Where the container wanted to go.
        target: Target,
        /// What went wrong.
        reason: String,
    },
    /// The client did not wait. Nobody is told, but it is recorded.
    #[error("OptiDev egress: the connection to {0} was given up before it was made.")]
    GivenUp(Target),
    /// Port 443, and not TLS.
    #[error("OptiDev egress: only TLS may go to {0}, and the connection did not begin with it.")]
    NotTls(Target),
    /// TLS that names no server.
    #[error(
        "OptiDev egress: the TLS connection to {0} names no server (SNI). Use a client that sends it."
    )]
    NoServerName(Target),
    /// TLS to another server than the one asked for.
    #[error(
        "OptiDev egress: the TLS connection to {target} is for another server, {server_name:?}."
    )]
    OtherServerName {
        /// Where the container wanted to go.
        target: Target,
        /// What the SNI says.
        server_name: String,
    },
    /// The container has too many connections.
    #[error(
        "OptiDev egress: this container has {0} connections open, which is the most it may have. Close some."
    )]
    TooMany(usize),
}

impl Refusal {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Unresolved(_)
            | Self::Unreachable { .. }
            | Self::UpstreamRefused { .. }
            | Self::UpstreamAway { .. } => 502,
            Self::TooMany(_) | Self::RulesUnknown(_) => 503,
            _ => 403,
        }
    }

    /// The word in the log and the API.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotListed(_) | Self::ListedNowhere(_) => "not_listed",
            Self::BeyondCeiling(_) | Self::TunnelBeyondCeiling(_) => "beyond_ceiling",
            Self::RulesUnknown(_) => "rules_unknown",
            Self::AddressNotListed(_) => "address_not_listed",
            Self::PlainTunnel(_) => "plain_tunnel",
            Self::UnusualAddress => "unusual_address",
            Self::Malformed(_) => "malformed",
            Self::Unresolved(_) => "unresolved",
            Self::Special { .. } | Self::SpecialAddition { .. } => "special_address",
            Self::Unreachable { .. } => "unreachable",
            Self::UncheckedAddition(_) => "unchecked_addition",
            Self::UpstreamRefused { .. } => "upstream_refused",
            Self::UpstreamAway { .. } => "upstream_away",
            Self::GivenUp(_) => "given_up",
            Self::NotTls(_) => "not_tls",
            Self::NoServerName(_) => "no_server_name",
            Self::OtherServerName { .. } => "other_server_name",
            Self::TooMany(_) => "too_many_connections",
        }
    }

    /// The error type of `Proxy-Status` (RFC 9209, section 2.3).
    pub fn proxy_status(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "http_request_error",
            Self::Unresolved(_) => "dns_error",
            Self::Special { .. } | Self::SpecialAddition { .. } => "destination_ip_prohibited",
            Self::RulesUnknown(_) => "proxy_internal_error",
            Self::Unreachable { .. } => "destination_ip_unroutable",
            Self::UpstreamAway { .. } => "destination_unavailable",
            Self::TooMany(_) => "connection_limit_reached",
            _ => "http_request_denied",
        }
    }
}
