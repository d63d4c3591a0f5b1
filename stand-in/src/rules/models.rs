//! Restrictions and token limits of single models, from `rules/models.toml`.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::conversation::Conversation;

static TABLE: LazyLock<ModelTable> = LazyLock::new(|| {
    toml::from_str(include_str!("../../rules/models.toml"))
        .expect("rules/models.toml is well-formed")
});

#[derive(Deserialize)]
struct ModelTable {
    #[serde(rename = "refusal")]
    refusals: Vec<ModelRestriction>,
    #[serde(rename = "limit")]
    limits: Vec<ModelTokenLimits>,
}

/// Restriction of some models.
#[derive(Deserialize)]
struct ModelRestriction {
    of: RestrictedFeature,
    models: Vec<String>,
    /// Error message; `{}` stands for the parameter's name.
    message: String,
}

/// Maximum output and context tokens of some models.
#[derive(Deserialize)]
struct ModelTokenLimits {
    models: Vec<String>,
    output_tokens: u64,
    context_tokens: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RestrictedFeature {
    Sampling,
    TemperatureWithTopP,
    ForcedTool,
    ThinkingEnabled,
    ThinkingAdaptive,
    ThinkingDisabled,
    ThinkingBetweenTools,
    Prefill,
    SystemMessages,
}

/// Checks the restrictions and token limits of the request's model.
pub(crate) fn check(conversation: &Conversation<'_>) -> Result<(), String> {
    let model = conversation.model();
    let body = conversation.body();
    for refusal in TABLE
        .refusals
        .iter()
        .filter(|refusal| longest_prefix_length(&refusal.models, model) > 0)
    {
        if let Some(parameter) = refusal.of.parameter_in(body) {
            return Err(refusal.message.replace("{}", parameter));
        }
    }
    let limits = TABLE
        .limits
        .iter()
        .max_by_key(|limit| longest_prefix_length(&limit.models, model));
    match limits.filter(|limit| longest_prefix_length(&limit.models, model) > 0) {
        Some(limit) => limit.check(conversation),
        None => Ok(()),
    }
}

/// Returns the length of the longest prefix of `model` among `prefixes`; 0 if none matches.
fn longest_prefix_length(prefixes: &[String], model: &str) -> usize {
    let matching = prefixes
        .iter()
        .filter(|prefix| model.starts_with(prefix.as_str()));
    matching.map(String::len).max().unwrap_or(0)
}

impl ModelTokenLimits {
    fn check(&self, conversation: &Conversation<'_>) -> Result<(), String> {
        let requested = conversation.body()["max_tokens"].as_u64().unwrap_or(0);
        if requested > self.output_tokens {
            let max = self.output_tokens;
            let model = conversation.model();
            return Err(format!(
                "max_tokens: {requested} > {max}, which is the maximum allowed number of output tokens for {model}"
            ));
        }
        let tokens = conversation.estimated_tokens();
        let max = self.context_tokens;
        if tokens > max {
            return Err(format!(
                "prompt is too long: {tokens} tokens > {max} maximum"
            ));
        }
        Ok(())
    }
}

impl RestrictedFeature {
    /// Returns the parameter of `body` that uses this feature.
    fn parameter_in(self, body: &Value) -> Option<&'static str> {
        let thinks = |kind: &str| (body["thinking"]["type"] == kind).then_some("thinking");
        match self {
            Self::Sampling => sampling_parameter(body),
            Self::TemperatureWithTopP => {
                (body["temperature"].is_number() && body["top_p"].is_number()).then_some("top_p")
            }
            Self::ForcedTool => super::forces_tool(body).then_some("tool_choice"),
            Self::ThinkingEnabled => thinks("enabled"),
            Self::ThinkingAdaptive => thinks("adaptive"),
            Self::ThinkingDisabled => thinks("disabled"),
            Self::ThinkingBetweenTools => thinks("between_tools"),
            Self::Prefill => ends_with_prefill(body).then_some("messages"),
            Self::SystemMessages => has_system_message(body).then_some("messages"),
        }
    }
}

/// Returns the first sampling parameter with a value other than the default.
fn sampling_parameter(body: &Value) -> Option<&'static str> {
    let is_other = |name: &&str| {
        body[*name]
            .as_f64()
            .is_some_and(|value| (value - 1.0).abs() > f64::EPSILON)
    };
    ["temperature", "top_p"]
        .into_iter()
        .find(is_other)
        .or_else(|| body["top_k"].is_number().then_some("top_k"))
}

/// True if the conversation ends with an assistant message that is not a paused turn.
fn ends_with_prefill(body: &Value) -> bool {
    let last = body["messages"]
        .as_array()
        .and_then(|messages| messages.last());
    last.is_some_and(|message| {
        let mut blocks = message["content"].as_array().into_iter().flatten();
        message["role"] == "assistant" && !blocks.any(super::is_of_server_tool)
    })
}

/// True if a message has the role `system`.
fn has_system_message(body: &Value) -> bool {
    let mut messages = body["messages"].as_array().into_iter().flatten();
    messages.any(|message| message["role"] == "system")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_entry_names_its_sources() {
        let table: toml::Table = toml::from_str(include_str!("../../rules/models.toml")).unwrap();
        for entry in table
            .values()
            .flat_map(|entries| entries.as_array().unwrap())
        {
            assert!(!entry["sources"].as_array().unwrap().is_empty(), "{entry}");
        }
    }

    #[test]
    fn longest_matching_prefix_wins() {
        let prefixes = ["claude-opus-4-1".to_owned(), "claude".to_owned()];
        assert_eq!(
            longest_prefix_length(&prefixes, "claude-opus-4-1-20250805"),
            15
        );
        assert_eq!(longest_prefix_length(&prefixes, "other"), 0);
    }
}
