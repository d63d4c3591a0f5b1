//! `[log]`: what the server logs to stderr.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::origin::{SettingCheck, SettingRefusal};

/// Settings of the log. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Log levels, by module where they differ.
    pub filter: String,
    /// Format of the log lines.
    pub format: LogFormat,
}

/// Format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Human-readable text lines.
    Text,
    /// JSON, one object per line.
    Json,
}

impl LogSettings {
    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        EnvFilter::builder()
            .parse(&self.filter)
            .map(|_| ())
            .map_err(|error| {
                let hint =
                    "write a level, such as \"info\", or \"info,claude_switchboard::engine::pool=debug\"";
                SettingCheck::section("log").refuse("filter", format!("`{}`: {error}", self.filter), hint)
            })
    }
}
