//! `[tasks]`: agents that work in folders of this machine.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::{Check, Refusal};
use super::seconds;
use crate::domain::Money;

/// Where agents may work, and how many and how long. `default.toml` says what each key means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tasks {
    /// Folders under which agents may work.
    pub roots: Vec<PathBuf>,
    /// The user as whom agents run; empty is the server's own.
    pub user: String,
    /// The model of tasks that name none.
    pub model: String,
    /// Tasks that run at the same time.
    pub max_running: usize,
    /// Tasks that may wait.
    pub queue_length: usize,
    /// Tasks of one key that may run and wait.
    pub max_per_key: usize,
    /// How long a task may run.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// What a task may cost that names no amount, as a decimal number of dollars.
    pub max_budget_usd: String,
    /// Tokens of the longest answer.
    pub max_output_tokens: u32,
    /// Hosts of webhooks that tasks may name.
    pub webhook_hosts: Vec<String>,
    /// How long a question waits.
    #[serde(rename = "permission_timeout_seconds", with = "seconds")]
    pub permission_timeout: Duration,
    /// How long an agent has to stop by itself.
    #[serde(rename = "interrupt_grace_seconds", with = "seconds")]
    pub grace: Duration,
    /// How long a task is kept.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub time_to_live: Duration,
    /// Tasks that are kept.
    pub max_stored: usize,
    /// Bytes that what they have told may have together.
    pub max_stored_bytes: usize,
}

impl Tasks {
    /// What a task may cost that names no amount.
    pub fn budget(&self) -> Money {
        Money::from_decimal(&self.max_budget_usd).unwrap_or(Money::ZERO)
    }

    pub(super) fn check(&self) -> Result<(), Refusal> {
        let check = Check::section("tasks");
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
