//! `[tasks]`: agents that work in folders of this machine.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{SettingCheck, SettingRefusal};
use super::seconds;
use crate::domain::Money;

/// Folders and limits of agents. `default.toml` explains each key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSettings {
    /// Folders under which agents may work.
    pub roots: Vec<PathBuf>,
    /// System user that agents run as; empty for the server's own.
    pub user: String,
    /// Default model of a task.
    pub model: String,
    /// Maximum number of running tasks.
    pub max_running: usize,
    /// Maximum number of queued tasks.
    pub queue_length: usize,
    /// Maximum number of running and queued tasks per key.
    pub max_per_key: usize,
    /// Maximum run time of a task.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// Default budget of a task, as a decimal number of dollars.
    pub max_budget_usd: String,
    /// Maximum output tokens of an answer.
    pub max_output_tokens: u32,
    /// Hosts that webhooks of tasks may name.
    pub webhook_hosts: Vec<String>,
    /// Timeout of a permission request.
    #[serde(rename = "permission_timeout_seconds", with = "seconds")]
    pub permission_timeout: Duration,
    /// Grace period for an agent to stop by itself.
    #[serde(rename = "interrupt_grace_seconds", with = "seconds")]
    pub grace: Duration,
    /// Time to live of a stored task.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
    /// Maximum number of stored tasks.
    pub max_stored: usize,
    /// Maximum total size of all stored task events, in bytes.
    pub max_stored_bytes: usize,
}

impl TaskSettings {
    /// Returns the default budget of a task.
    pub fn budget(&self) -> Money {
        Money::from_decimal(&self.max_budget_usd).unwrap_or(Money::ZERO)
    }

    pub(super) fn check(&self) -> Result<(), SettingRefusal> {
        let check = SettingCheck::section("tasks");
        if let Some(root) = self.roots.iter().find(|root| !root.is_absolute()) {
            let message = format!("`{}` is not an absolute path", root.display());
            return Err(check.refuse("roots", message, "name folders as /srv/work is named"));
        }
        if self.user.contains([':', '/']) || self.user.trim() != self.user {
            let message = format!("`{}` is not the name of a user", self.user);
            return Err(check.refuse(
                "user",
                message,
                "write the name as in the first column of /etc/passwd",
            ));
        }
        if self.model.trim().is_empty() {
            return Err(check.refuse(
                "model",
                "it is blank".to_owned(),
                "name a model, such as sonnet",
            ));
        }
        if let Some(host) = self
            .webhook_hosts
            .iter()
            .find(|host| host.is_empty() || host.contains(['/', ':', '@']))
        {
            let message = format!("`{host}` is not the name of a host");
            return Err(check.refuse(
                "webhook_hosts",
                message,
                "write it as ci.example.com is written",
            ));
        }
        check.number("max_running", self.max_running, 1..=1000)?;
        check.number("queue_length", self.queue_length, 0..=100_000)?;
        check.number("max_per_key", self.max_per_key, 1..=100_000)?;
        check.seconds("timeout_seconds", self.timeout, 1)?;
        if self.budget() <= Money::ZERO {
            let message = format!("`{}` is not an amount of dollars", self.max_budget_usd);
            return Err(check.refuse("max_budget_usd", message, "write it as \"1.00\" is written"));
        }
        check.number(
            "max_output_tokens",
            self.max_output_tokens as usize,
            1..=1_000_000,
        )?;
        check.seconds("permission_timeout_seconds", self.permission_timeout, 1)?;
        check.seconds("interrupt_grace_seconds", self.grace, 0)?;
        check.seconds("ttl_seconds", self.time_to_live, 1)?;
        check.number("max_stored", self.max_stored, 1..=1_000_000)?;
        check.number(
            "max_stored_bytes",
            self.max_stored_bytes,
            1 << 20..=u32::MAX as usize,
        )
    }
}
