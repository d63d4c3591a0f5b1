//! What single models refuse, and how much they take, by the table `rules/models.toml`.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

use crate::conversation::Conversation;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../rules/models.toml"))
        .expect("the table of models is well-formed")
});

#[derive(Deserialize)]
struct Table {
    #[serde(rename = "refusal")]
    refusals: Vec<Refusal>,
    #[serde(rename = "limit")]
    limits: Vec<Limit>,
}

/// A part of a request which some models refuse.
#[derive(Deserialize)]
struct Refusal {
    of: Subject,
    models: Vec<String>,
    /// The error; `{}` stands for the parameter's name.
    message: String,
}

/// The most tokens which some models give and hold.
#[derive(Deserialize)]
struct Limit {
    models: Vec<String>,
    output_tokens: u64,
    context_tokens: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Subject {
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

/// Refuses what the model of the request does not take.
pub(crate) fn check(conversation: &Conversation<'_>) -> Result<(), String> {
    let (model, body) = (conversation.model(), conversation.body());
    for refusal in TABLE
        .refusals
        .iter()
        .filter(|refusal| length_of_match(&refusal.models, model) > 0)
    {
        if let Some(parameter) = refusal.of.parameter_in(body) {
            return Err(refusal.message.replace("{}", parameter));
        }
    }
    let limits = TABLE
        .limits
        .iter()
        .max_by_key(|limit| length_of_match(&limit.models, model));
    match limits.filter(|limit| length_of_match(&limit.models, model) > 0) {
        Some(limit) => limit.check(conversation),
        None => Ok(()),
    }
}

/// The length of the longest of `beginnings` with which `model` begins; 0 if there is none.
fn length_of_match(beginnings: &[String], model: &str) -> usize {
    let matching = beginnings
        .iter()
        .filter(|beginning| model.starts_with(beginning.as_str()));
    matching.map(String::len).max().unwrap_or(0)
}

impl Limit {
    fn check(&self, conversation: &Conversation<'_>) -> Result<(), String> {
        let asked = conversation.body()["max_tokens"].as_u64().unwrap_or(0);
        if asked > self.output_tokens {
            let (most, model) = (self.output_tokens, conversation.model());
            return Err(format!(
                "max_tokens: {asked} > {most}, which is the maximum allowed number of output tokens for {model}"
            ));
        }
        let (tokens, most) = (conversation.estimated_tokens(), self.context_tokens);
        if tokens > most {
            return Err(format!(
                "prompt is too long: {tokens} tokens > {most} maximum"
            ));
        }
        Ok(())
    }
}

impl Subject {
    /// The parameter of `body` by which it is asked for, if it is.
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

/// The first sampling parameter which is not as by default.
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

/// Whether the conversation ends with a message of the assistant which is no paused answer.
fn ends_with_prefill(body: &Value) -> bool {
    let last = body["messages"]
        .as_array()
        .and_then(|messages| messages.last());
    last.is_some_and(|message| {
        let mut blocks = message["content"].as_array().into_iter().flatten();
        message["role"] == "assistant" && !blocks.any(super::is_of_server_tool)
    })
}

/// Whether a message has the role `system`.
fn has_system_message(body: &Value) -> bool {
    let mut messages = body["messages"].as_array().into_iter().flatten();
    messages.any(|message| message["role"] == "system")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_names_its_sources() {
        let table: toml::Table = toml::from_str(include_str!("../../rules/models.toml")).unwrap();
        for entry in table
            .values()
            .flat_map(|entries| entries.as_array().unwrap())
        {
            assert!(!entry["sources"].as_array().unwrap().is_empty(), "{entry}");
        }
    }

    #[test]
    fn the_longest_beginning_counts() {
        let beginnings = ["claude-opus-4-1".to_owned(), "claude".to_owned()];
        assert_eq!(length_of_match(&beginnings, "claude-opus-4-1-20250805"), 15);
        assert_eq!(length_of_match(&beginnings, "other"), 0);
    }
}
