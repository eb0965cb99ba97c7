//! `[log]`

use serde::{Deserialize, Serialize};

/// The log on standard error.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged: a level, or directives by target. Example: `"info,egress=debug"`.
    pub level: String,
    /// `json`, `text`, or `auto`: text on a terminal and JSON elsewhere.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info,sea_orm_migration=warn".to_owned(),
            format: LogFormat::Auto,
        }
    }
}

/// The log's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text on a terminal and JSON elsewhere.
    Auto,
    /// One JSON object in each line.
    Json,
    /// For people.
    Text,
}
