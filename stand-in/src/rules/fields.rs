//! The fields of a request beside its messages and tools, and the header `anthropic-beta`.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// The least budget of thinking.
const LEAST_BUDGET: u64 = 1024;

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    toml::from_str(include_str!("../../rules/names.toml"))
        .expect("the table of names is well-formed")
});

/// What the API knows by name.
#[derive(Deserialize)]
struct Names {
    fields: Vec<String>,
    betas: Vec<String>,
    betas_of_the_cli: Vec<String>,
    betas_of_clients: Vec<String>,
}

/// Refuses betas and fields which nobody knows, and values which no model takes.
pub(crate) fn check(headers: &HeaderMap, body: &Value) -> Result<(), String> {
    betas(headers)?;
    for (name, _) in body.as_object().into_iter().flatten() {
        if !NAMES.fields.contains(name) {
            return Err(format!("{name}: Extra inputs are not permitted"));
        }
    }
    let mut sequences = body["stop_sequences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    if sequences.any(|sequence| sequence.trim().is_empty()) {
        return Err("stop_sequences: each stop sequence must contain non-whitespace".to_owned());
    }
    budget(body)
}

fn betas(headers: &HeaderMap) -> Result<(), String> {
    let values = headers
        .get_all("anthropic-beta")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let betas = values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|beta| !beta.is_empty());
    let unknown: Vec<_> = betas.filter(|beta| !NAMES.has_beta(beta)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "Unexpected value(s) `{}` for the `anthropic-beta` header. Please consult our documentation at \
         platform.claude.com/docs or try again without the header.",
        unknown.join("`, `")
    ))
}

impl Names {
    fn has_beta(&self, name: &str) -> bool {
        [&self.betas, &self.betas_of_the_cli, &self.betas_of_clients]
            .into_iter()
            .flatten()
            .any(|beta| beta == name)
    }
}

/// Checks a budget of thinking against what it may be and what it goes with.
fn budget(body: &Value) -> Result<(), String> {
    let thinking = &body["thinking"];
    if thinking["type"] != "enabled" {
        return Ok(());
    }
    let Some(budget) = thinking["budget_tokens"].as_u64() else {
        return Err("thinking.enabled.budget_tokens: Field required".to_owned());
    };
    if budget < LEAST_BUDGET {
        let words = "thinking.enabled.budget_tokens: Input should be greater than or equal to";
        return Err(format!("{words} {LEAST_BUDGET}"));
    }
    if body["max_tokens"]
        .as_u64()
        .is_some_and(|most| most <= budget)
    {
        return Err("`max_tokens` must be greater than `thinking.budget_tokens`.".to_owned());
    }
    if super::forces_tool(body) {
        return Err("Thinking may not be enabled when tool_choice forces tool use.".to_owned());
    }
    if body["temperature"]
        .as_f64()
        .is_some_and(|value| (value - 1.0).abs() > f64::EPSILON)
    {
        return Err("`temperature` may only be set to 1 when thinking is enabled.".to_owned());
    }
    Ok(())
}
