//! `[claude]`: the Claude CLI and how it is run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::origin::{Check, Refusal};
use super::seconds;

/// How the CLI is run. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claude {
    /// The CLI: an absolute path, or a bare name to look up in `PATH`.
    pub binary: PathBuf,
    /// How the CLI signs in.
    pub sign_in: SignIn,
    /// Names of further variables for the workers; a trailing `*` stands for any rest.
    pub pass_environment: Vec<String>,
    /// How often the CLI tries a failed call again.
    pub max_retries: u32,
    /// How many turns in a row must fail upstream until calls are held back; 0 for never.
    pub breaker_failures: u32,
    /// Betas of Anthropic's API that every call asks for.
    pub betas: Vec<String>,
    /// How long a running turn may be silent.
    #[serde(rename = "event_timeout_seconds", with = "seconds")]
    pub event_timeout: Duration,
    /// How long the answer to a control request may take.
    #[serde(rename = "control_timeout_seconds", with = "seconds")]
    pub control_timeout: Duration,
    /// How long a new process may take until it can be used.
    #[serde(rename = "start_timeout_seconds", with = "seconds")]
    pub start_timeout: Duration,
    /// The longest line read from the CLI, in bytes.
    pub max_line_bytes: usize,
}

/// The ways to sign in that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignIn {
    /// The first of the others whose variable is set, `Stored` aside.
    Auto,
    /// `ANTHROPIC_API_KEY`.
    ApiKey,
    /// `CLAUDE_CODE_OAUTH_TOKEN`.
    OauthToken,
    /// The login kept by the CLI.
    Stored,
    /// Amazon Bedrock.
    Bedrock,
    /// Google Vertex AI.
    Vertex,
}

impl SignIn {
    /// The value as it stands in a file.
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

impl Claude {
    pub(super) fn resolve(&mut self, environment: &Environment) {
        // Workers run in a directory of their own, where a relative path would name something else.
        let is_bare_name =
            self.binary.parent() == Some(Path::new("")) && !self.binary.starts_with("~");
        if !is_bare_name && let Some(path) = environment.absolute(&self.binary) {
            self.binary = path;
        }
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("claude");
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
