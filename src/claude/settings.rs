//! What of a turn becomes settings of the process.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::Turn;

use super::SignIn;

/// The first block of every system prompt, as the CLI itself sends it; Anthropic expects it of the CLI's sign-ins.
pub(super) const IDENTITY: &str = "You are a Claude agent, built on Anthropic's Claude Agent SDK.";

const MAX_OUTPUT_TOKENS: &str = "CLAUDE_CODE_MAX_OUTPUT_TOKENS";
const EXTRA_BODY: &str = "CLAUDE_CODE_EXTRA_BODY";
const DISABLE_THINKING: &str = "CLAUDE_CODE_DISABLE_THINKING";
const BASE_URL: &str = "ANTHROPIC_BASE_URL";

/// Nothing listens on the discard port of the loopback interface: a call that goes there fails at once.
const NOWHERE: &str = "http://127.0.0.1:9";

/// Variables that the CLI reads anew for each turn, with `None` for those that are unset.
pub(super) type Variables = BTreeMap<&'static str, Option<String>>;

#[derive(Serialize)]
struct ExtraBody<'a> {
    system: Vec<SystemBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

#[derive(Serialize)]
struct SystemBlock<'a> {
    r#type: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize, Clone, Copy)]
struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

/// The variables a fresh process has.
pub(super) fn at_start(base_url: Option<&String>) -> Variables {
    [(MAX_OUTPUT_TOKENS, None), (EXTRA_BODY, None), (DISABLE_THINKING, None), (BASE_URL, base_url.cloned())]
        .into()
}

/// The variables `turn` needs.
pub(super) fn for_turn(turn: &Turn, sign_in: SignIn, base_url: Option<&String>) -> Variables {
    let sampling = &turn.sampling;
    // The Messages API refuses sampling parameters while the model thinks.
    let is_sampled = sampling.temperature.is_some() || sampling.top_p.is_some();
    [
        (MAX_OUTPUT_TOKENS, sampling.max_output_tokens.map(|tokens| tokens.to_string())),
        (EXTRA_BODY, extra_body(turn, sign_in)),
        (DISABLE_THINKING, is_sampled.then(|| "1".to_owned())),
        (BASE_URL, base_url.cloned()),
    ]
    .into()
}

/// What keeps the CLI from calling the model once more in the turn that runs: a call that is under way goes on, the
/// next one finds nobody. A turn that meets its limit of tokens would otherwise be continued, and billed, by the CLI.
pub(super) fn fence() -> Variables {
    [(BASE_URL, Some(NOWHERE.to_owned()))].into()
}

/// What differs in `wanted` from `applied`.
pub(super) fn changes(applied: &Variables, wanted: &Variables) -> Variables {
    let differs = |(name, value): &(&&'static str, &Option<String>)| applied.get(**name) != Some(*value);
    wanted.iter().filter(differs).map(|(name, value)| (*name, value.clone())).collect()
}

fn extra_body(turn: &Turn, sign_in: SignIn) -> Option<String> {
    // The CLI marks the conversation for an hour under a subscription and for five minutes otherwise, and upstream
    // wants the longer time first.
    let ttl = (!sign_in.is_bare()).then_some("1h");
    let cache_control = CacheControl { r#type: "ephemeral", ttl };
    let mut system: Vec<_> = std::iter::once(IDENTITY)
        .chain(turn.system.iter().map(String::as_str))
        .map(|text| SystemBlock { r#type: "text", text, cache_control: None })
        .collect();
    if let Some(last) = system.last_mut() {
        last.cache_control = Some(cache_control);
    }
    let body = ExtraBody {
        system,
        temperature: turn.sampling.temperature,
        top_p: turn.sampling.top_p,
        stop_sequences: &turn.sampling.stop,
    };
    serde_json::to_string(&body).ok()
}

#[cfg(test)]
mod tests {
    use super::{at_start, changes, for_turn};
    use crate::claude::SignIn;
    use crate::claude::testing::turn;

    #[test]
    fn parameters_become_variables() {
        let mut turn = turn("hi");
        turn.system = vec!["be brief".to_owned()];
        turn.sampling.max_output_tokens = Some(7);
        turn.sampling.temperature = Some(0.5);
        turn.sampling.stop = vec!["END".to_owned()];
        insta::assert_debug_snapshot!(for_turn(&turn, SignIn::ApiKey, None), @r#"
        {
            "ANTHROPIC_BASE_URL": None,
            "CLAUDE_CODE_DISABLE_THINKING": Some(
                "1",
            ),
            "CLAUDE_CODE_EXTRA_BODY": Some(
                "{\"system\":[{\"type\":\"text\",\"text\":\"You are a Claude agent, built on Anthropic's Claude Agent SDK.\"},{\"type\":\"text\",\"text\":\"be brief\",\"cache_control\":{\"type\":\"ephemeral\"}}],\"temperature\":0.5,\"stop_sequences\":[\"END\"]}",
            ),
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": Some(
                "7",
            ),
        }
        "#);
    }

    #[test]
    fn only_changes_are_sent() {
        let fresh = at_start(None);
        let mut limited = turn("hi");
        let plain = for_turn(&limited, SignIn::ApiKey, None);
        assert_eq!(changes(&fresh, &plain).keys().copied().collect::<Vec<_>>(), ["CLAUDE_CODE_EXTRA_BODY"]);
        assert!(changes(&plain, &plain).is_empty());
        limited.sampling.max_output_tokens = Some(1);
        let limited = for_turn(&limited, SignIn::ApiKey, None);
        let back = changes(&limited, &plain);
        assert_eq!(back, [("CLAUDE_CODE_MAX_OUTPUT_TOKENS", None)].into());
    }
}
