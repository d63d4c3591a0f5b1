//! Rules of fields other than messages and tools, and of the header `anthropic-beta`.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

/// Minimum of `thinking.budget_tokens`.
const MIN_THINKING_BUDGET: u64 = 1024;

static KNOWN_NAMES: LazyLock<KnownNames> = LazyLock::new(|| {
    toml::from_str(include_str!("../../rules/names.toml")).expect("rules/names.toml is well-formed")
});

/// KnownNames of fields and betas that the API accepts.
#[derive(Deserialize)]
struct KnownNames {
    fields: Vec<String>,
    betas: Vec<String>,
    betas_of_the_cli: Vec<String>,
    betas_of_clients: Vec<String>,
}

/// Rejects unknown betas and fields, and values that no model accepts.
pub(crate) fn check(headers: &HeaderMap, body: &Value) -> Result<(), String> {
    check_betas(headers)?;
    for (name, _) in body.as_object().into_iter().flatten() {
        if !KNOWN_NAMES.fields.contains(name) {
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
    check_thinking_budget(body)
}

fn check_betas(headers: &HeaderMap) -> Result<(), String> {
    let values = headers
        .get_all("anthropic-beta")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let betas = values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|beta| !beta.is_empty());
    let unknown: Vec<_> = betas.filter(|beta| !KNOWN_NAMES.has_beta(beta)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "Unexpected value(s) `{}` for the `anthropic-beta` header. Please consult our documentation at \
         platform.claude.com/docs or try again without the header.",
        unknown.join("`, `")
    ))
}

impl KnownNames {
    fn has_beta(&self, name: &str) -> bool {
        [&self.betas, &self.betas_of_the_cli, &self.betas_of_clients]
            .into_iter()
            .flatten()
            .any(|beta| beta == name)
    }
}

/// Checks the thinking budget against its bounds and against other fields.
fn check_thinking_budget(body: &Value) -> Result<(), String> {
    let thinking = &body["thinking"];
    if thinking["type"] != "enabled" {
        return Ok(());
    }
    let Some(budget) = thinking["budget_tokens"].as_u64() else {
        return Err("thinking.enabled.budget_tokens: Field required".to_owned());
    };
    if budget < MIN_THINKING_BUDGET {
        let words = "thinking.enabled.budget_tokens: Input should be greater than or equal to";
        return Err(format!("{words} {MIN_THINKING_BUDGET}"));
    }
    if body["max_tokens"].as_u64().is_some_and(|max| max <= budget) {
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
