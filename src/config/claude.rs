//! `[claude]`: the Claude CLI and how it is run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;

/// Settings of the Claude CLI. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaudeSettings {
    /// Path of the CLI: absolute, or a bare name to look up in `PATH`.
    pub binary: PathBuf,
    /// Method by which the CLI signs in.
    pub sign_in: SignInMethod,
    /// Names of further environment variables for the workers; a trailing `*` matches any rest.
    pub pass_environment: Vec<String>,
    /// Maximum retries of a failed upstream call by the CLI.
    pub max_retries: u32,
    /// Consecutive upstream failures that open the circuit breaker; 0 disables it.
    pub breaker_failures: u32,
    /// Beta features of Anthropic's API that every call asks for.
    pub betas: Vec<String>,
    /// Timeout between two events of a running turn.
    #[serde(rename = "event_timeout_seconds", with = "seconds")]
    pub event_timeout: Duration,
    /// Timeout for the answer to a control request.
    #[serde(rename = "control_timeout_seconds", with = "seconds")]
    pub control_timeout: Duration,
    /// Timeout for the start of a new process.
    #[serde(rename = "start_timeout_seconds", with = "seconds")]
    pub start_timeout: Duration,
    /// Maximum length of a line read from the CLI, in bytes.
    pub max_line_bytes: usize,
}

/// Methods of signing in that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInMethod {
    /// First of the other methods whose variable is set; never `Stored`.
    Auto,
    /// API key in `ANTHROPIC_API_KEY`.
    ApiKey,
    /// Token in `CLAUDE_CODE_OAUTH_TOKEN`.
    OauthToken,
    /// Login stored by the CLI.
    Stored,
    /// Amazon Bedrock credentials.
    Bedrock,
    /// Google Vertex AI credentials.
    Vertex,
}

impl SignInMethod {
    /// Returns the value as it is written in a configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ApiKey => "api_key",
            Self::OauthToken => "oauth_token",
            Self::Stored => "stored",
            Self::Bedrock => "bedrock",
            Self::Vertex => "vertex",
        }
    }
}

impl ClaudeSettings {
    pub(super) fn resolve(&mut self, environment: &Environment) {
        // Workers run in a directory of their own, where a relative path would resolve differently.
        let is_bare_name =
            self.binary.parent() == Some(Path::new("")) && !self.binary.starts_with("~");
        if !is_bare_name && let Some(path) = environment.absolute(&self.binary) {
            self.binary = path;
        }
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("claude");
        if self.binary.as_os_str().is_empty() {
            let hint = "name the CLI's binary, or leave the key out to look for `claude` in PATH";
            return Err(check.refuse("binary", "it is empty", hint));
        }
        if self
            .pass_environment
            .iter()
            .any(|name| name.trim_end_matches('*').is_empty())
        {
            let hint = "name the variables; nothing else of the server's environment may reach the workers";
            return Err(check.refuse(
                "pass_environment",
                "an entry is empty or would pass everything",
                hint,
            ));
        }
        let is_name = |beta: &String| {
            !beta.is_empty()
                && beta
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        if !self.betas.iter().all(is_name) {
            let hint = "write each as Anthropic does, such as \"code-execution-2025-08-25\"";
            return Err(check.refuse("betas", "an entry is no name of a beta", hint));
        }
        check.number("max_retries", self.max_retries as usize, 0..=10)?;
        check.number("breaker_failures", self.breaker_failures as usize, 0..=1000)?;
        check.seconds("event_timeout_seconds", self.event_timeout, 1)?;
        check.seconds("control_timeout_seconds", self.control_timeout, 1)?;
        check.seconds("start_timeout_seconds", self.start_timeout, 1)?;
        check.number("max_line_bytes", self.max_line_bytes, 65_536..=1 << 30)
    }
}
