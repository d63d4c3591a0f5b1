//! Shared parts of the commands that call the admin API: which server they call, and how they show
//! its answers.

use std::path::PathBuf;

use clap::Args;
use clap::ValueHint;
use serde_json::Value;
use serde_json::json;

use crate::app::AdminClient;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;

/// Selection of the server.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// The server's configuration file, if it has one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The server's data directory [default: ~/.local/share/claude-switchboard].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,
}

/// Output format of an answer.
#[derive(Debug, Args)]
pub(super) struct OutputArguments {
    /// Print JSON, as the admin API gives it.
    #[arg(long)]
    json: bool,
}

/// Limits of a key or of a project.
#[derive(Debug, Args)]
pub(super) struct LimitArguments {
    /// Requests per minute [default: unlimited].
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
    /// Tokens per minute, of prompts and answers [default: unlimited].
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u32>,
    /// Concurrent requests [default: unlimited].
    #[arg(long, value_name = "N")]
    concurrent_requests: Option<u32>,
    /// Turns in each round when requests wait for a worker, 1 to 100 [default: for a key that of
    /// its project, for a project 1].
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    #[command(flatten)]
    budget: BudgetArguments,
}

/// Caps of a budget.
#[derive(Debug, Args)]
pub(super) struct BudgetArguments {
    /// Tokens per day [default: unlimited].
    #[arg(long, value_name = "N")]
    daily_tokens: Option<u64>,
    /// Dollars per day, such as 2.50 [default: unlimited].
    #[arg(long, value_name = "DOLLARS")]
    daily_money: Option<String>,
    /// Tokens per month [default: unlimited].
    #[arg(long, value_name = "N")]
    monthly_tokens: Option<u64>,
    /// Dollars per month, such as 2.50 [default: unlimited].
    #[arg(long, value_name = "DOLLARS")]
    monthly_money: Option<String>,
}

impl LimitArguments {
    /// Returns the limits as fields of a request body.
    pub(super) fn body(&self) -> Value {
        json!({
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "concurrent_requests": self.concurrent_requests,
            "weight": self.weight,
            "budget": self.budget.body(),
        })
    }
}

impl BudgetArguments {
    /// Returns the budget as the admin API expects it.
    pub(super) fn body(&self) -> Value {
        json!({
            "daily": {"tokens": self.daily_tokens, "money": self.daily_money},
            "monthly": {"tokens": self.monthly_tokens, "money": self.monthly_money},
        })
    }
}

impl OutputArguments {
    /// Returns `answer` as JSON, or as the text made by `words`.
    ///
    /// # Errors
    /// Fails when the JSON cannot be serialized, which does not happen for a JSON value.
    pub(super) fn show(
        &self,
        answer: &Value,
        words: impl FnOnce() -> String,
    ) -> anyhow::Result<String> {
        Ok(if self.json {
            format!("{}\n", serde_json::to_string_pretty(answer)?)
        } else {
            words()
        })
    }
}

impl ServerArguments {
    /// Selects the server with the configuration file `config`.
    pub(super) fn of_config(config: PathBuf) -> Self {
        Self {
            config: Some(config),
            data_dir: None,
        }
    }

    /// Loads the settings of the selected server.
    ///
    /// # Errors
    /// Fails when the settings are refused.
    pub(super) fn settings(&self, environment: &Environment) -> anyhow::Result<Settings> {
        let flags = CommandLineFlags {
            data_dir: self.data_dir.clone(),
            ..CommandLineFlags::default()
        };
        Ok(Settings::load(self.config.as_deref(), environment, &flags)?)
    }
}

/// Sends one request to the selected server and returns its answer.
///
/// # Errors
/// Fails when the server cannot be reached or refuses the request.
pub(super) fn request_json(
    target: &ServerArguments,
    environment: &Environment,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    with_admin_client(target, environment, async |client| {
        client.request_json(method, path, body).await
    })
}

/// Reads all pages of the list at `path` and returns the items as an array.
///
/// # Errors
/// Fails when the server cannot be reached or refuses a request.
pub(super) fn read_all_pages(
    target: &ServerArguments,
    environment: &Environment,
    path: &str,
) -> anyhow::Result<Value> {
    with_admin_client(target, environment, async |client| {
        read_pages(client, path).await
    })
}

/// Reads all pages of the list at `path` through `client`, as [`read_all_pages`] does.
///
/// # Errors
/// Fails when the server refuses a request.
pub(super) async fn read_pages(client: &AdminClient, path: &str) -> anyhow::Result<Value> {
    let mut items = Vec::new();
    let mut next = format!("{path}?limit=100");
    loop {
        let mut page = client.request_json("GET", &next, None).await?;
        let last = page["last_id"].as_str().unwrap_or_default().to_owned();
        items.append(page["data"].as_array_mut().unwrap_or(&mut Vec::new()));
        if page["has_more"] != true {
            return Ok(Value::Array(items));
        }
        next = format!("{path}?limit=100&after={last}");
    }
}

/// Reads `path` and returns the response body as text; creates no records if there are none.
///
/// # Errors
/// Fails when there are no records, or the request is refused.
pub(super) fn request_text(
    target: &ServerArguments,
    environment: &Environment,
    path: &str,
) -> anyhow::Result<String> {
    let settings = target.settings(environment)?;
    block_on(async {
        let client = AdminClient::open_existing(&settings).await?;
        let read = client.request_text("GET", path, None).await;
        client.close().await;
        read
    })
}

/// Runs `work` with one client of the selected server, and returns its result.
///
/// # Errors
/// Fails when the server cannot be reached, or with the error of the work.
pub(super) fn with_admin_client<T>(
    target: &ServerArguments,
    environment: &Environment,
    work: impl AsyncFnOnce(&AdminClient) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let settings = target.settings(environment)?;
    block_on(async {
        let client = AdminClient::open(&settings).await?;
        let done = work(&client).await;
        client.close().await;
        done
    })
}

/// Runs a command to its end on a single-threaded runtime.
///
/// # Errors
/// The errors of the command, or a failure to start the runtime.
pub(super) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(command)
}
