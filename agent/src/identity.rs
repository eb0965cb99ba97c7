//! Who is who between the server and its agents in pods: names, protocols and the messages of enrolment.
//!
//! All certificates come from the installation's one authority, so a chain alone says little: the DNS name in a certificate
//! is the boundary. Always holds: an agent talks to [`SERVER_NAME`] only and serves [`BROKER_NAME`] only.
//!
//! Must not import anything else of this crate.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The name in the certificate of the server's port for agents.
pub const SERVER_NAME: &str = "server.optidev.internal";
/// The name in the client certificate of those who may command agents.
pub const BROKER_NAME: &str = "broker.optidev.internal";
/// The end of the names of containers.
pub const CONTAINER_DOMAIN: &str = "container.optidev.internal";

/// ALPN of enrolment and renewal, which are HTTP/1.1.
pub const ENROL_ALPN: &[u8] = b"optidev-enrol/1";
/// ALPN of the way out: the server speaks the HTTP proxy protocol on it, with a client certificate.
pub const EGRESS_ALPN: &[u8] = b"optidev-egress/1";

/// `POST`, [`EnrolRequest`] without a client certificate; answers [`IssuedCertificate`].
pub const ENROL_PATH: &str = "/v1/enrol";
/// `POST`, [`RenewRequest`] with the certificate that is to be renewed; answers [`IssuedCertificate`].
pub const RENEW_PATH: &str = "/v1/renew";

/// The one DNS name in a container's certificate: the id, with `-` for `_`, which DNS names do not have.
#[must_use]
pub fn container_name(id: &str) -> String {
    format!("{}.{CONTAINER_DOMAIN}", id.replace('_', "-"))
}

/// What an agent asks for its first certificate with.
///
/// An agent that did not get the answer sends the same request again, so a server does well to answer a used token once more
/// when the same key asks within moments.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct EnrolRequest {
    /// The container's id, `ctr_…`.
    pub container: String,
    /// Good for one certificate.
    pub token: String,
    /// PKCS #10 as PEM.
    pub csr: String,
}

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolRequest")
            .field("container", &self.container)
            .finish_non_exhaustive()
    }
}

/// What an agent asks for its next certificate with. The client certificate says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// PKCS #10 as PEM, of a new key.
    pub csr: String,
}

/// The answer to both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// PEM: the certificate, then what is between it and the authority. It needs the extended key usages of server and client.
    pub certificate: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_has_a_dns_name() {
        assert_eq!(
            container_name("ctr_01j8z3k4m5n6p7q8r9s0t1v2w3"),
            "ctr-01j8z3k4m5n6p7q8r9s0t1v2w3.container.optidev.internal"
        );
    }

    #[test]
    fn a_token_is_not_printed() {
        let request = EnrolRequest {
            container: "ctr_1".into(),
            token: "once".into(),
            csr: String::new(),
        };
        assert!(!format!("{request:?}").contains("once"));
    }
}
