//! `hooks`: shows the configured hooks, and what they do with a request.

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use clap::ValueHint;
use serde::Deserialize;
use tokio::time::Instant;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::CommandError;
use super::admin::block_on;
use super::control_characters::without_control_characters;
use crate::api::openai::chat;
use crate::api::request_schema::Policy;
use crate::app;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::RequestOrigin;
use crate::domain::Surface;
use crate::domain::Turn;
use crate::domain::Usage;
use crate::engine::hooks::HookPoint;
use crate::engine::hooks::HookStop;
use crate::engine::hooks::HookStopReason;
use crate::engine::hooks::Hooks;
use crate::engine::hooks::TextPrompt;
use crate::engine::hooks::TurnHooks;
use crate::engine::hooks::WireAnswer;
use crate::engine::hooks::WireMessage;
use crate::engine::hooks::replace_messages;
use crate::engine::hooks::wire_messages;
use crate::runtime::text_table::TextTable;

/// Maximum wait until the programs of hooks have ended.
const MAX_END_WAIT: Duration = Duration::from_secs(5);

const EXAMPLE: &str = "\
Example:
  claude-switchboard hooks test request.json --config switchboard.toml

FILE is the body of a chat request, or an input of a hook; an `answer` in it is passed through the hooks on the way out.";

#[derive(Debug, Subcommand)]
pub(super) enum HooksCommand {
    /// List the configured hooks in their order.
    List {
        /// A configuration file in TOML.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
    },
    /// Show which hooks are called for a request, what they decide, and what they change.
    #[command(after_help = EXAMPLE)]
    Test {
        /// A request in JSON.
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// A configuration file in TOML.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
        /// The API by which the request comes.
        #[arg(long, value_name = "NAME", default_value = "chat")]
        surface: String,
        /// The project of its key.
        #[arg(long, value_name = "ID", default_value = "default")]
        project: String,
    },
}

/// Members of an input of a hook.
#[derive(Deserialize)]
struct WireRequest {
    #[serde(default)]
    model: String,
    #[serde(default)]
    system: Option<String>,
    #[serde(default)]
    messages: Vec<WireMessage>,
    #[serde(default)]
    answer: Option<WireAnswer>,
}

/// Request of a dry run.
struct DryRun {
    turn: Turn,
    answer: Option<String>,
}

/// Runs the command and returns its output.
///
/// # Errors
/// Fails when the settings are refused or the file is no request, with advice on what to do next.
pub(super) fn run(command: &HooksCommand, environment: &Environment) -> anyhow::Result<String> {
    match command {
        HooksCommand::List { config } => {
            let settings = load_settings(config.as_deref(), environment)?;
            show_hooks(&settings, environment, async |hooks| Ok(list_hooks(&hooks)))
        }
        HooksCommand::Test {
            file,
            config,
            surface,
            project,
        } => {
            let settings = load_settings(config.as_deref(), environment)?;
            let caller = parse_caller(surface, project)?;
            let request = read_request(file)?;
            show_hooks(&settings, environment, async |hooks| {
                test_request(&hooks, &caller, request).await
            })
        }
    }
}

fn load_settings(config: Option<&Path>, environment: &Environment) -> anyhow::Result<Settings> {
    Ok(Settings::load(
        config,
        environment,
        &CommandLineFlags::default(),
    )?)
}

/// Runs `show` with the hooks of the settings, and ends their programs.
fn show_hooks(
    settings: &Settings,
    environment: &Environment,
    show: impl AsyncFnOnce(Hooks) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    block_on(async {
        let tracker = TaskTracker::new();
        let stop = CancellationToken::new();
        let hooks = app::start_hooks(settings, environment, &tracker, stop.clone())?;
        let shown = show(hooks).await;
        stop.cancel();
        tracker.close();
        // Programs are ended, and none is left behind.
        let _ = timeout(MAX_END_WAIT, tracker.wait()).await;
        // Words of hooks and requests may be in it.
        shown.map(|text| without_control_characters(&text).into_owned())
    })
}

fn parse_caller(surface: &str, project: &str) -> anyhow::Result<Caller> {
    let Some(surface) = Surface::from_name(surface) else {
        let known = Surface::ALL.map(Surface::name).join(", ");
        let message = format!("there is no surface `{surface}`; there are {known}");
        return Err(CommandError::new(message, "name one of them with --surface").into());
    };
    Ok(Caller {
        project: project.to_owned(),
        origin: RequestOrigin {
            surface,
            ..RequestOrigin::default()
        },
        ..Caller::named("key-1")
    })
}

fn read_request(file: &Path) -> anyhow::Result<DryRun> {
    let name = file.display();
    let text = std::fs::read(file).with_context(|| format!("{name} cannot be read"))?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("{name} is no JSON"))?;
    if value.get("point").is_none() {
        let chat = chat::decode(&text, Policy::Lenient);
        let chat = chat.with_context(|| format!("{name} is no chat request"))?;
        let answer = value["answer"]["text"].as_str().map(ToOwned::to_owned);
        let turn = chat.turn;
        return Ok(DryRun { turn, answer });
    }
    let request: WireRequest =
        serde_json::from_value(value).with_context(|| format!("{name} is no input of a hook"))?;
    let prompt = TextPrompt {
        model: ModelName::new(request.model),
        system: request.system,
        prompt: "-".to_owned(),
    };
    let mut turn = prompt.to_turn();
    if !request.messages.is_empty() {
        let replaced = replace_messages(&mut turn, request.messages);
        replaced.with_context(|| format!("the messages of {name} cannot be used"))?;
    }
    let answer = request.answer.map(|answer| answer.text);
    Ok(DryRun { turn, answer })
}

fn list_hooks(hooks: &Hooks) -> String {
    let mut table = TextTable::new(["name", "kind", "points", "prompt", "answer", "timeout"]);
    for config in hooks.configs() {
        let points = config.points.iter().map(|point| point.name());
        table.row([
            config.name.clone(),
            format!("{:?}", config.kind).to_lowercase(),
            points.collect::<Vec<_>>().join(", "),
            format!("{:?}", config.prompt).to_lowercase(),
            format!("{:?}", config.answer).to_lowercase(),
            format!("{} ms", config.timeout_ms),
        ]);
    }
    table.to_string()
}

/// Passes the request, and its answer if there is one, through the hooks one by one.
async fn test_request(hooks: &Hooks, caller: &Caller, request: DryRun) -> anyhow::Result<String> {
    let DryRun { mut turn, answer } = request;
    let Some(found) = hooks.for_turn(caller, &turn) else {
        return Ok("no hook is called for this request\n".to_owned());
    };
    let mut table = TextTable::new(["hook", "point", "verdict", "time"]);
    let single = found.split_into_single();
    let before = message_lines(&wire_messages(&turn))?;
    let mut stopped = None;
    for hook in single.iter().filter(|hook| hook.are_at(HookPoint::Before)) {
        let started = Instant::now();
        let passed = hook.call_before(&mut turn).await;
        table.row(table_row(hook, HookPoint::Before, started));
        stopped = passed.err();
        if stopped.is_some() {
            break;
        }
    }
    let mut changes = describe_changes(&before, &message_lines(&wire_messages(&turn))?);
    if stopped.is_none()
        && let Some(answer) = answer
    {
        let mut text = answer.clone();
        for hook in single
            .iter()
            .rev()
            .filter(|hook| hook.are_at(HookPoint::After))
        {
            let started = Instant::now();
            let usage = Usage::default();
            let passed = hook.pass_result_text(text.clone(), usage).await;
            table.row(table_row(hook, HookPoint::After, started));
            match passed {
                Ok(new) => text = new,
                Err(stop) => {
                    stopped = Some(stop);
                    break;
                }
            }
        }
        let answered = |text: &str| vec![format!("answer: {text}")];
        changes.push_str(&describe_changes(&answered(&answer), &answered(&text)));
    }
    let end = stopped.map_or_else(String::new, |stop| describe_stop(&stop));
    Ok([table.to_string(), changes, end].concat())
}

fn table_row(hook: &TurnHooks, point: HookPoint, started: Instant) -> [String; 4] {
    let time = started.elapsed();
    let name = hook.first_hook_name();
    let header = hook.notes().header_value().unwrap_or_default();
    let prefix = format!("{name}; point={}; verdict=", point.name());
    let last = header.rsplit(", ").next().unwrap_or_default();
    // A hook that only listens is notified in the background, and has no verdict.
    let verdict = last.strip_prefix(prefix.as_str()).unwrap_or("notified");
    [
        name.to_owned(),
        point.name().to_owned(),
        verdict.to_owned(),
        format!("{:.1} ms", time.as_secs_f64() * 1000.0),
    ]
}

/// Returns a line for each part of the messages.
fn message_lines(messages: &[WireMessage]) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for message in messages {
        for part in &message.content {
            let role = serde_json::to_value(message.role)?;
            let content = serde_json::to_string(&part.content)?;
            lines.push(format!("{}: {content}", role.as_str().unwrap_or_default()));
        }
    }
    Ok(lines)
}

/// Returns the lines that were removed and added, with `-` and `+` before them.
fn describe_changes(before: &[String], after: &[String]) -> String {
    let mut text = String::new();
    let mut end = before.len().min(after.len());
    let start = (0..end)
        .find(|index| before[*index] != after[*index])
        .unwrap_or(end);
    let mut same = 0;
    while same < end - start && before[before.len() - 1 - same] == after[after.len() - 1 - same] {
        same += 1;
    }
    end = before.len() - same;
    for line in &before[start..end] {
        let _ = writeln!(text, "- {line}");
    }
    for line in &after[start..after.len() - same] {
        let _ = writeln!(text, "+ {line}");
    }
    text
}

fn describe_stop(stop: &HookStop) -> String {
    match &stop.reason {
        HookStopReason::Refused { message, .. } => format!("refused: {message}\n"),
        HookStopReason::Failed(failure) => format!("refused, since the hook failed: {failure}\n"),
    }
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
