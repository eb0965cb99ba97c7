//! `[audit]`

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The audit log.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Special-purpose address ranges (private, loopback, ...) where organizations may have their log carried to all
    /// the same. Example: `["10.20.30.0/24"]` for a log collector inside the company.
    pub also_allow: Vec<IpNet>,
}
