//! `route --explain`: shows which models the routing rules choose for a file of requests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::bail;
use clap::ValueHint;
use serde::Serialize;
use serde::Serializer;

use crate::accounts::pricing::Prices;
use crate::api::openai::chat;
use crate::api::request_schema::Policy;
use crate::app;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;
use crate::domain::BudgetState;
use crate::domain::ModelName;
use crate::domain::Money;
use crate::domain::Turn;
use crate::engine::routing::FallbackConfig;
use crate::engine::routing::FallbackModel;
use crate::engine::routing::Router;
use crate::engine::routing::RoutingFeatures;
use crate::engine::upstreams::check_chat;

/// Maximum characters of a prompt in the table.
const MAX_PREVIEW_CHARACTERS: usize = 32;

const EXAMPLE: &str = "Example:\n  claude-switchboard route --explain examples/prompts.jsonl";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct RouteArguments {
    /// A file of requests, each a line of JSON as for POST /v1/chat/completions.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    explain: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// A configuration file in TOML, for the rules and the prices.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Assume that this many tokens of the budget are left.
    #[arg(long, value_name = "N")]
    tokens_left: Option<u64>,
    /// Assume that this share of the budget is used.
    #[arg(long, value_name = "PERCENT")]
    percent_used: Option<u64>,
}

/// Rules by which models are chosen, and the model that costs are compared with.
struct RouteRules {
    router: Router,
    prices: Arc<Prices>,
    baseline: String,
}

/// Choices for all requests, with their cost.
#[derive(Debug, Serialize)]
struct RouteExplanation {
    requests: Vec<RouteRow>,
    /// Number of requests per chosen model.
    models: BTreeMap<String, usize>,
    #[serde(rename = "cost_usd", serialize_with = "dollars")]
    cost: Money,
    /// Model of all requests without the rules, which the savings are compared with.
    always: String,
    #[serde(rename = "always_cost_usd", serialize_with = "dollars")]
    always_cost: Money,
    /// Savings in percent, rounded towards zero.
    saved_percent: i64,
}

/// Choice for one request.
#[derive(Debug, Serialize)]
struct RouteRow {
    line: usize,
    #[serde(skip)]
    preview: String,
    model: String,
    rule: &'static str,
    reason: String,
    /// Models that answer where the chosen one cannot, each with its causes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fallbacks: Vec<String>,
    /// Estimated tokens of the prompt and the answer.
    tokens: u64,
    #[serde(rename = "cost_usd", serialize_with = "dollars")]
    cost: Money,
    #[serde(rename = "always_cost_usd", serialize_with = "dollars")]
    always_cost: Money,
}

/// Returns the table or JSON to print.
pub(super) fn explain(
    arguments: &RouteArguments,
    environment: &Environment,
) -> anyhow::Result<String> {
    let settings = Settings::load(
        arguments.config.as_deref(),
        environment,
        &CommandLineFlags::default(),
    )?;
    let prices = Arc::new(app::prices(&settings));
    let router = app::router(&settings, &prices);
    let file = &arguments.explain;
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    let budget = BudgetState {
        tokens_left: arguments.tokens_left,
        percent_used: arguments.percent_used,
    };
    let rules = RouteRules {
        router,
        prices,
        baseline: settings.baseline_model(),
    };
    let rows = text
        .lines()
        .zip(1..)
        .filter(|(text, _)| !text.trim().is_empty())
        .map(|(text, line)| {
            row(text, line, &rules, budget).with_context(|| format!("{name}:{line}"))
        });
    let rows = rows.collect::<anyhow::Result<Vec<RouteRow>>>()?;
    if rows.is_empty() {
        bail!("{name} holds no request");
    }
    let explanation = sum_up(rows, &rules.baseline);
    if arguments.json {
        Ok(serde_json::to_string_pretty(&explanation)? + "\n")
    } else {
        Ok(table(&explanation))
    }
}

fn row(
    text: &str,
    line: usize,
    rules: &RouteRules,
    budget: BudgetState,
) -> anyhow::Result<RouteRow> {
    let RouteRules {
        router,
        prices,
        baseline,
    } = rules;
    let request = chat::decode(text.as_bytes(), Policy::Lenient)?;
    let turn = &request.turn;
    let features = RoutingFeatures::from_turn(turn, prices.prompt_tokens(turn), budget);
    let choice = router.choose(&features);
    let fallbacks = explain_fallbacks(router.fallbacks(), &choice.model, turn);
    let chosen = prices.estimate(choice.model.as_str(), turn);
    let always = prices.estimate(baseline, turn);
    let of_all =
        |one: Money| std::iter::repeat_n(one, request.n).fold(Money::ZERO, |sum, one| sum + one);
    Ok(RouteRow {
        line,
        preview: preview(&features.prompt),
        model: choice.model.to_string(),
        rule: choice.rule.name(),
        reason: choice.reason,
        fallbacks,
        tokens: chosen.tokens * request.n as u64,
        cost: of_all(chosen.money),
        always_cost: of_all(always.money),
    })
}

/// Returns the fallbacks of `model` for `turn` in words, each with the reason why it is not tried, if it
/// is not.
fn explain_fallbacks(config: &FallbackConfig, model: &ModelName, turn: &Turn) -> Vec<String> {
    let mut tries_left = config.max_tries;
    let explain = |fallback: &FallbackModel| {
        let words = fallback_words(fallback);
        let inexpressible = fallback.upstream.as_ref().and(check_chat(turn).err());
        if let Some(part) = inexpressible {
            return format!("{words}, skipped: {part}");
        }
        if tries_left == 0 {
            return format!("{words}, skipped: {}", config.too_many_tries());
        }
        tries_left -= 1;
        words
    };
    let fallbacks = config.models_for(model, "");
    fallbacks.iter().map(explain).collect()
}

/// Returns a fallback in words, such as `haiku on overload, limit`.
fn fallback_words(fallback: &FallbackModel) -> String {
    let causes: Vec<&str> = fallback.causes.iter().map(|cause| cause.name()).collect();
    let causes = causes.join(", ");
    let model = &fallback.model;
    match (&fallback.sign_in, &fallback.upstream) {
        (Some(sign_in), _) => format!("{model} by sign-in {sign_in} on {causes}"),
        (None, Some(upstream)) => format!("{model} at {upstream} on {causes}"),
        (None, None) => format!("{model} on {causes}"),
    }
}

fn sum_up(requests: Vec<RouteRow>, always: &str) -> RouteExplanation {
    let mut models = BTreeMap::new();
    for row in &requests {
        *models.entry(row.model.clone()).or_default() += 1;
    }
    let sum = |of: fn(&RouteRow) -> Money| {
        requests
            .iter()
            .map(of)
            .fold(Money::ZERO, |sum, one| sum + one)
    };
    let cost = sum(|row| row.cost);
    let always_cost = sum(|row| row.always_cost);
    let saved =
        i128::from((always_cost - cost).nanos()) * 100 / i128::from(always_cost.nanos().max(1));
    RouteExplanation {
        requests,
        models,
        cost,
        always: always.to_owned(),
        always_cost,
        saved_percent: i64::try_from(saved).unwrap_or(i64::MAX),
    }
}

/// Returns the beginning of a prompt on one line, with control characters replaced.
fn preview(prompt: &[&str]) -> String {
    let words: Vec<&str> = prompt
        .iter()
        .flat_map(|text| text.split_whitespace())
        .take(MAX_PREVIEW_CHARACTERS)
        .collect();
    let mut text = words.join(" ").replace(char::is_control, "?");
    if let Some((end, _)) = text.char_indices().nth(MAX_PREVIEW_CHARACTERS) {
        text.truncate(end);
        text.pop();
        text.push('…');
    }
    text
}

fn dollars<S: Serializer>(money: &Money, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(money.dollars())
}

fn table(explanation: &RouteExplanation) -> String {
    let RouteExplanation {
        requests,
        models,
        cost,
        always,
        always_cost,
        saved_percent,
    } = explanation;
    let short = |money: &Money| format!("${:.4}", money.dollars());
    let longest = requests
        .iter()
        .map(|row| row.model.chars().count())
        .max()
        .unwrap_or_default()
        .max(5);
    let with = format!("with {always}");
    let width = with.chars().count();
    let mut text = format!(
        "{:>4}  {:<MAX_PREVIEW_CHARACTERS$}  {:>7}  {:<longest$}  {:>8}  {with}  why\n",
        "line", "prompt", "tokens", "model", "cost"
    );
    for RouteRow {
        line,
        preview,
        model,
        reason,
        fallbacks,
        tokens,
        cost,
        always_cost,
        ..
    } in requests
    {
        let fallbacks = fallbacks
            .iter()
            .map(|words| format!("; else {words}"))
            .collect::<String>();
        let cost = short(cost);
        let always_cost = short(always_cost);
        let _ = writeln!(
            text,
            "{line:>4}  {preview:<MAX_PREVIEW_CHARACTERS$}  {tokens:>7}  {model:<longest$}  {cost:>8}  {always_cost:>width$}  {reason}{fallbacks}"
        );
    }
    let models: Vec<String> = models
        .iter()
        .map(|(model, count)| format!("{count} {model}"))
        .collect();
    let _ = writeln!(
        text,
        "\n{} requests: {}\nestimated {}, always {always} {}: {saved_percent} % saved",
        requests.len(),
        models.join(", "),
        short(cost),
        short(always_cost)
    );
    text
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
