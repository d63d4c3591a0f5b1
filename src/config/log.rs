//! `[log]`: what the server writes to stderr.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::origin::{Check, Refusal};

/// What is logged, and how. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Levels, by part where they differ.
    pub filter: String,
    /// For whom the lines are written.
    pub format: LogFormat,
}

/// For whom lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object on each line.
    Json,
}

impl Log {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        EnvFilter::builder()
            .parse(&self.filter)
            .map(|_| ())
            .map_err(|error| {
                let hint =
                    "write a level, such as \"info\", or \"info,claude_switchboard::engine::pool=debug\"";
                Check::section("log").refuse("filter", format!("`{}`: {error}", self.filter), hint)
            })
    }
}
