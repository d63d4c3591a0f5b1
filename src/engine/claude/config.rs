//! Settings of CLI processes.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;

use super::sign_in::SignInMethod;
use crate::runtime::setting;

/// Settings of the CLI and how it is run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Path of the CLI, or a name that is looked up in `PATH`.
    #[serde(deserialize_with = "binary")]
    pub binary: PathBuf,
    /// Method by which the CLI signs in.
    pub sign_in: SignInMethod,
    /// Names of further variables to pass on; a trailing `*` matches any suffix.
    #[serde(deserialize_with = "variables")]
    pub pass_environment: Vec<String>,
    /// Number of retries that the CLI makes by itself after a failed call.
    #[serde(deserialize_with = "setting::number::<0, 10, _, _>")]
    pub max_retries: u32,
    /// Betas of Anthropic's API that every call of a turn asks for.
    #[serde(deserialize_with = "betas")]
    pub betas: Vec<String>,
    /// Timeout between two events of a turn, after which the turn fails.
    #[serde(rename = "event_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub event_timeout: Duration,
    /// Timeout for the response to a control request.
    #[serde(rename = "control_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub control_timeout: Duration,
    /// Timeout until a new process can be used.
    #[serde(rename = "start_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub start_timeout: Duration,
    /// Maximum length of a line read from a process, in bytes; a longer one is skipped.
    #[serde(deserialize_with = "setting::number::<65_536, { 1 << 30 }, _, _>")]
    pub max_line_bytes: usize,
}

/// Settings of the processes of agents.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AgentConfig {
    /// System user that agents run as; `None` for the server's own.
    #[serde(deserialize_with = "user")]
    pub user: Option<String>,
}

/// Reads the path or the name of a program.
fn binary<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let binary = PathBuf::deserialize(deserializer)?;
    if binary.as_os_str().is_empty() {
        let hint = "name the CLI's binary, or leave the key out to look for `claude` in PATH";
        return Err(setting::refuse("it is empty", hint));
    }
    Ok(binary)
}

/// Reads a list of variables, none of which matches all.
fn variables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names
        .iter()
        .any(|name| name.trim_end_matches('*').is_empty())
    {
        return Err(setting::refuse(
            "an entry is empty or would pass everything",
            "name the variables; nothing else of the server's environment may reach the workers",
        ));
    }
    Ok(names)
}

/// Reads a list of names of betas.
fn betas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let betas = Vec::<String>::deserialize(deserializer)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if betas
        .iter()
        .any(|beta| beta.is_empty() || !beta.bytes().all(fits))
    {
        let hint = "write each as Anthropic does, such as \"code-execution-2025-08-25\"";
        return Err(setting::refuse("an entry is no name of a beta", hint));
    }
    Ok(betas)
}

/// Reads the name of a system user; an empty one means none.
fn user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let user = String::deserialize(deserializer)?;
    if user.contains([':', '/']) || user.trim() != user {
        return Err(setting::refuse(
            format!("`{user}` is not the name of a user"),
            "write the name as in the first column of /etc/passwd",
        ));
    }
    Ok(Some(user).filter(|user| !user.is_empty()))
}
