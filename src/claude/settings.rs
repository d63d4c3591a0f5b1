//! What of a turn becomes settings of the process.

use std::collections::BTreeMap;

use crate::domain::Effort;
use crate::domain::Turn;

use super::SignIn;
use super::extra_body::{extra_body, level, may_think};
use super::protocol::FlagSettings;

const MAX_OUTPUT_TOKENS: &str = "CLAUDE_CODE_MAX_OUTPUT_TOKENS";
const EXTRA_BODY: &str = "CLAUDE_CODE_EXTRA_BODY";
const DISABLE_THINKING: &str = "CLAUDE_CODE_DISABLE_THINKING";
pub(super) const BASE_URL: &str = "ANTHROPIC_BASE_URL";
const MAX_RETRIES: &str = "CLAUDE_CODE_MAX_RETRIES";

/// Nothing listens on the discard port of the loopback interface: a call that goes there fails at once. By https, so
/// that even a proxy in between would be shown no key.
const NOWHERE: &str = "https://127.0.0.1:9";

/// Variables that the CLI reads anew for each turn, with `None` for those that are unset.
pub(super) type Variables = BTreeMap<&'static str, Option<String>>;

/// What is, or should be, in force in a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// `None` for the model that the CLI chose by itself.
    model: Option<String>,
    effort: Option<&'static str>,
    variables: Variables,
}

impl Settings {
    /// Those of a fresh process.
    pub(super) fn at_start(base_url: Option<&String>) -> Self {
        let unset = [MAX_OUTPUT_TOKENS, EXTRA_BODY, DISABLE_THINKING].map(|name| (name, None));
        let variables = unset.into_iter().chain([(BASE_URL, base_url.cloned())]).collect();
        Self { model: None, effort: None, variables }
    }

    /// Those `turn` needs.
    pub(super) fn for_turn(turn: &Turn, sign_in: SignIn, base_url: Option<&String>) -> Self {
        let sampling = &turn.sampling;
        let thinks = may_think(turn) && sampling.effort != Some(Effort::None);
        let effort = sampling.effort.and_then(level);
        let variables = [
            (MAX_OUTPUT_TOKENS, sampling.max_output_tokens.map(|tokens| tokens.to_string())),
            (EXTRA_BODY, extra_body(turn, sign_in)),
            (DISABLE_THINKING, (!thinks).then(|| "1".to_owned())),
            (BASE_URL, base_url.cloned()),
        ];
        Self { model: Some(turn.model.to_string()), effort, variables: variables.into() }
    }

    /// What must change for `wanted` to be in force.
    pub(super) fn changes_to<'a>(&self, wanted: &'a Self) -> FlagSettings<'a> {
        let differs =
            |(name, value): &(&&'static str, &Option<String>)| self.variables.get(**name) != Some(*value);
        FlagSettings {
            model: wanted.model.as_deref().filter(|model| self.model.as_deref() != Some(model)),
            effort: (self.effort != wanted.effort).then_some(wanted.effort),
            env: wanted
                .variables
                .iter()
                .filter(differs)
                .map(|(name, value)| (*name, value.clone()))
                .collect(),
        }
    }

    /// Notes variables that were set beside a turn's own.
    pub(super) fn note(&mut self, variables: Variables) {
        self.variables.extend(variables);
    }
}

/// What a call that is to find nobody needs, and what undoes it.
pub(super) fn rehearsal(base_url: Option<&String>, max_retries: u32) -> (Variables, Variables) {
    let away = fence().into_iter().chain([(MAX_RETRIES, Some("0".to_owned()))]).collect();
    let back = [(BASE_URL, base_url.cloned()), (MAX_RETRIES, Some(max_retries.to_string()))];
    (away, back.into())
}

/// What keeps the CLI from calling the model once more in the turn that runs: a call that is under way goes on, the
/// next one finds nobody. A turn that meets its limit of tokens would otherwise be continued, and billed, by the CLI.
pub(super) fn fence() -> Variables {
    [(BASE_URL, Some(NOWHERE.to_owned()))].into()
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::claude::SignIn;
    use crate::claude::testing::turn;
    use crate::domain::Effort;
    use crate::domain::Format;
    use crate::domain::Turn;

    fn for_turn(turn: &Turn) -> Settings {
        Settings::for_turn(turn, SignIn::ApiKey, None)
    }

    #[test]
    fn parameters_become_settings() {
        let mut turn = turn("hi");
        turn.system = vec!["be brief".to_owned()];
        turn.sampling.max_output_tokens = Some(7);
        turn.sampling.temperature = Some(0.5);
        turn.sampling.stop = vec!["END".to_owned()];
        turn.sampling.effort = Some(Effort::High);
        turn.sampling.format = Format::Schema(r#"{"type":"object"}"#.to_owned());
        let settings = serde_json::to_value(Settings::at_start(None).changes_to(&for_turn(&turn))).unwrap();
        insta::assert_snapshot!(settings.to_string());
    }

    #[test]
    fn only_changes_are_sent() {
        let mut limited = turn("hi");
        let plain = for_turn(&limited);
        let fresh = Settings::at_start(None);
        let first = fresh.changes_to(&plain);
        assert_eq!(first.env.keys().copied().collect::<Vec<_>>(), ["CLAUDE_CODE_EXTRA_BODY"]);
        assert!(first.model.is_some() && first.effort.is_none());
        assert!(plain.changes_to(&plain).is_empty());
        limited.sampling.max_output_tokens = Some(1);
        limited.sampling.effort = Some(Effort::Low);
        let limited = for_turn(&limited);
        let back = limited.changes_to(&plain);
        assert_eq!(back.env, [("CLAUDE_CODE_MAX_OUTPUT_TOKENS", None)].into());
        assert_eq!(back.effort, Some(None), "the effort goes back with its turn");
    }

    #[test]
    fn a_model_that_must_not_think_does_not() {
        let mut turn = turn("hi");
        turn.sampling.effort = Some(Effort::None);
        let changes = serde_json::to_value(Settings::at_start(None).changes_to(&for_turn(&turn))).unwrap();
        assert_eq!(changes["env"]["CLAUDE_CODE_DISABLE_THINKING"], "1");
    }
}
