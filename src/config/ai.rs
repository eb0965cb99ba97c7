//! `[ai]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The AI gateway and the assistant.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AiConfig {
    /// File that holds the upstream key. Without it the assistant says so and the gateway answers 503.
    /// Example: `"/etc/optidev/anthropic.key"`.
    pub anthropic_api_key_file: Option<PathBuf>,
    /// Address of the upstream that speaks the Messages API.
    pub anthropic_base_url: String,
    /// Model of the assistant.
    pub model: String,
    /// Most tokens of one answer of the assistant.
    pub max_output_tokens: u32,
}

impl Default for AiConfig {
    fn default() -> Self {
        Self {
            anthropic_api_key_file: None,
            anthropic_base_url: "https://api.anthropic.com".to_owned(),
            model: "claude-sonnet-4-5".to_owned(),
            max_output_tokens: 16_000,
        }
    }
}
