//! `[limits]`

use serde::{Deserialize, Serialize};

/// How many requests are taken in a minute; that many may come at once, and they grow back evenly. 0 is no limit.
/// Assets, health checks and previews are not counted.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Of one address, without a good session or token. IPv6 counts by its first 64 bits.
    pub address_per_minute: u32,
    /// Of one account, whatever it signed in with.
    pub account_per_minute: u32,
    /// Of one API token.
    pub token_per_minute: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            address_per_minute: 600,
            account_per_minute: 3_000,
            token_per_minute: 1_500,
        }
    }
}
