//! Settings of tasks.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;

use super::workspace::WorkspaceRoots;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::runtime::setting;

/// Limits and defaults of all tasks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Folders under which agents may work.
    #[serde(deserialize_with = "roots")]
    pub roots: WorkspaceRoots,
    /// Whether all servers with the same records reach the same folders by the paths of `roots`, so that
    /// any of them may run a task that waits.
    pub shared_workspaces: bool,
    /// Maximum number of running tasks.
    #[serde(deserialize_with = "setting::number::<1, 1000, _, _>")]
    pub max_running: usize,
    /// Maximum number of queued tasks.
    #[serde(deserialize_with = "setting::number::<0, 100_000, _, _>")]
    pub queue_length: usize,
    /// Maximum number of running and queued tasks of one key.
    #[serde(deserialize_with = "setting::number::<1, 100_000, _, _>")]
    pub max_per_key: usize,
    /// Default model of tasks.
    #[serde(deserialize_with = "model")]
    pub model: ModelName,
    /// Hosts allowed in the webhooks of single tasks.
    #[serde(deserialize_with = "hosts")]
    pub webhook_hosts: Vec<String>,
    /// Default timeout of tasks, which is also the maximum.
    #[serde(rename = "timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub timeout: Duration,
    /// Default maximum cost of a task.
    #[serde(rename = "max_budget_usd", deserialize_with = "budget")]
    pub budget: Money,
    /// Maximum output tokens of one model call, used to size the budget hold.
    #[serde(deserialize_with = "setting::number::<1, 1_000_000, _, _>")]
    pub max_output_tokens: u32,
    /// Time until an unanswered permission request is denied.
    #[serde(rename = "permission_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub permission_timeout: Duration,
    /// Time between the interrupt of an agent and its kill.
    #[serde(rename = "interrupt_grace_seconds")]
    #[serde(deserialize_with = "setting::seconds::<0, _>")]
    pub grace: Duration,
}

/// Reads a list of absolute paths.
fn roots<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WorkspaceRoots, D::Error> {
    let roots = Vec::<PathBuf>::deserialize(deserializer)?;
    match roots.iter().find(|root| !root.is_absolute()) {
        None => Ok(WorkspaceRoots::new(roots)),
        Some(root) => Err(setting::refuse(
            format!("`{}` is not an absolute path", root.display()),
            "name folders as /srv/work is named",
        )),
    }
}

/// Reads the name of a model.
fn model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ModelName, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.trim().is_empty() {
        return Err(setting::refuse(
            "it is blank",
            "name a model, such as sonnet",
        ));
    }
    Ok(ModelName::new(name))
}

/// Reads a list of host names.
fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<String>::deserialize(deserializer)?;
    let is_host = |host: &&String| !host.is_empty() && !host.contains(['/', ':', '@']);
    match hosts.iter().find(|host| !is_host(host)) {
        None => Ok(hosts),
        Some(host) => Err(setting::refuse(
            format!("`{host}` is not the name of a host"),
            "write it as ci.example.com is written",
        )),
    }
}

/// Reads an amount of dollars above zero.
fn budget<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Money, D::Error> {
    match setting::dollars(deserializer)? {
        Money::ZERO => Err(setting::refuse(
            "no task can run on 0 dollars",
            "write it as \"1.00\" is written",
        )),
        budget => Ok(budget),
    }
}
