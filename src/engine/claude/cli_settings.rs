//! Settings of a process for a turn.

use std::collections::BTreeMap;

use crate::domain::Effort;
use crate::domain::Turn;

use super::SignIn;
use super::body::{effort_level, may_think};
use super::command::MAX_OUTPUT_TOKENS;
use super::protocol::FlagSettings;

const EXTRA_BODY: &str = "CLAUDE_CODE_EXTRA_BODY";
const DISABLE_THINKING: &str = "CLAUDE_CODE_DISABLE_THINKING";
pub(super) const BASE_URL: &str = "ANTHROPIC_BASE_URL";
const MAX_RETRIES: &str = "CLAUDE_CODE_MAX_RETRIES";
const BLOCKING_LIMIT: &str = "CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE";

/// Token limit of the CLI's own transcript, from which on it makes no call. A prompt of the server
/// has 22 tokens; after an answer, even an empty one, the CLI's request to continue makes it 50 or
/// more. A limit between the two allows exactly one call for each prompt.
const BARE_CALL_LIMIT: &str = "36";

/// The same limit without `--bare`, where the CLI puts some 350 tokens of its own before the
/// prompt. It would allow a further call after a short answer, so [`NO_CALL_LIMIT`] replaces it as soon
/// as the first call is under way.
const FIRST_CALL_LIMIT: &str = "1024";

/// Limit with which the CLI makes no call at all.
const NO_CALL_LIMIT: &str = "1";

/// Environment variables that the CLI reads again in each turn; `None` unsets one.
type ProcessVariables = BTreeMap<&'static str, Option<String>>;

/// Settings in force, or to be put in force, in a process. The body of the call is not among them,
/// because it is sent with every turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessSettings {
    model: String,
    effort: Option<&'static str>,
    variables: ProcessVariables,
}

impl ProcessSettings {
    /// Returns the settings that `turn` needs under `sign_in`.
    pub(super) fn for_turn(turn: &Turn, sign_in: SignIn) -> Self {
        let sampling = &turn.sampling;
        let is_off = matches!(sampling.effort, Some(Effort::None | Effort::NotRequested));
        let thinks = may_think(turn) && !is_off;
        let variables = [
            // The body contains this limit too. Here it keeps the CLI from giving an older model a
            // thinking budget larger than its answer.
            (
                MAX_OUTPUT_TOKENS,
                sampling.max_output_tokens.map(|tokens| tokens.to_string()),
            ),
            (DISABLE_THINKING, (!thinks).then(|| "1".to_owned())),
            (BLOCKING_LIMIT, Some(call_limit(sign_in).to_owned())),
        ];
        Self {
            model: turn.model.to_string(),
            effort: sampling.effort.and_then(effort_level),
            variables: variables.into(),
        }
    }

    /// Returns the change that prevents a further call once the call of the turn is under way;
    /// `None` if no call can follow.
    pub(super) fn forbid_further_calls(&mut self) -> Option<FlagSettings<'static>> {
        let limit = self.variables.get_mut(BLOCKING_LIMIT)?;
        (limit.as_deref() == Some(FIRST_CALL_LIMIT)).then(|| {
            *limit = Some(NO_CALL_LIMIT.to_owned());
            blocking_limit(NO_CALL_LIMIT)
        })
    }

    /// Returns the changes from `before` to these settings, with `body` for the next call. `None`
    /// for `before` means unknown: everything is sent.
    pub(super) fn changes_from<'a>(
        &'a self,
        before: Option<&Self>,
        body: String,
    ) -> FlagSettings<'a> {
        let differs = |(name, value): &(&&'static str, &Option<String>)| {
            before.is_none_or(|before| before.variables.get(**name) != Some(*value))
        };
        let changed = self
            .variables
            .iter()
            .filter(differs)
            .map(|(name, value)| (*name, value.clone()));
        FlagSettings {
            model: before
                .is_none_or(|before| before.model != self.model)
                .then_some(&*self.model),
            effort: before
                .is_none_or(|before| before.effort != self.effort)
                .then_some(self.effort),
            env: changed.chain([(EXTRA_BODY, Some(body))]).collect(),
        }
    }
}

/// Redirects the next calls to `address`, without retries, with `body`.
pub(super) fn start_check_settings(address: &str, body: &str) -> FlagSettings<'static> {
    variable_settings([
        (BASE_URL, Some(address.to_owned())),
        (MAX_RETRIES, Some("0".to_owned())),
        (EXTRA_BODY, Some(body.to_owned())),
    ])
}

/// Returns the call limit of a turn under `sign_in` at the time of its call.
pub(super) fn call_limit_settings(sign_in: SignIn) -> FlagSettings<'static> {
    blocking_limit(call_limit(sign_in))
}

/// Returns the change that a turn under `sign_in` makes when its call is under way, see
/// [`ProcessSettings::forbid_further_calls`].
pub(super) fn no_further_call_settings(sign_in: SignIn) -> Option<FlagSettings<'static>> {
    (call_limit(sign_in) == FIRST_CALL_LIMIT).then(|| blocking_limit(NO_CALL_LIMIT))
}

fn blocking_limit(tokens: &str) -> FlagSettings<'static> {
    variable_settings([(BLOCKING_LIMIT, Some(tokens.to_owned()))])
}

fn call_limit(sign_in: SignIn) -> &'static str {
    if sign_in.is_bare() {
        BARE_CALL_LIMIT
    } else {
        FIRST_CALL_LIMIT
    }
}

/// Directs calls to the upstream API again, after [`start_check_settings`].
pub(super) fn upstream_settings(
    base_url: Option<&String>,
    max_retries: u32,
) -> FlagSettings<'static> {
    variable_settings([
        (BASE_URL, base_url.cloned()),
        (MAX_RETRIES, Some(max_retries.to_string())),
        (EXTRA_BODY, None),
    ])
}

/// Removes the body of the last call from the process.
pub(super) fn no_body_settings() -> FlagSettings<'static> {
    variable_settings([(EXTRA_BODY, None)])
}

fn variable_settings<const N: usize>(
    variables: [(&'static str, Option<String>); N],
) -> FlagSettings<'static> {
    FlagSettings {
        env: variables.into(),
        ..FlagSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessSettings;
    use crate::domain::Effort;
    use crate::engine::claude::SignIn;
    use crate::engine::claude::testing::turn;

    fn changes(before: Option<&ProcessSettings>, wanted: &ProcessSettings) -> String {
        serde_json::to_string(&wanted.changes_from(before, "{}".to_owned())).unwrap()
    }

    #[test]
    fn settings_send_only_changes_but_always_the_body() {
        let mut limited = turn("hi");
        let plain = ProcessSettings::for_turn(&limited, SignIn::ApiKey);
        insta::assert_snapshot!(changes(None, &plain), @r#"{"model":"claude-haiku-5-5","effortLevel":null,"env":{"CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE":"36","CLAUDE_CODE_DISABLE_THINKING":null,"CLAUDE_CODE_EXTRA_BODY":"{}","CLAUDE_CODE_MAX_OUTPUT_TOKENS":null}}"#);
        insta::assert_snapshot!(changes(Some(&plain), &plain), @r#"{"env":{"CLAUDE_CODE_EXTRA_BODY":"{}"}}"#);
        limited.sampling.max_output_tokens = Some(1);
        limited.sampling.effort = Some(Effort::Low);
        let limited = ProcessSettings::for_turn(&limited, SignIn::ApiKey);
        insta::assert_snapshot!(changes(Some(&plain), &limited), @r#"{"effortLevel":"low","env":{"CLAUDE_CODE_EXTRA_BODY":"{}","CLAUDE_CODE_MAX_OUTPUT_TOKENS":"1"}}"#);
        insta::assert_snapshot!(changes(Some(&limited), &plain), @r#"{"effortLevel":null,"env":{"CLAUDE_CODE_EXTRA_BODY":"{}","CLAUDE_CODE_MAX_OUTPUT_TOKENS":null}}"#);
    }

    #[test]
    fn further_call_is_forbidden_until_the_next_turn() {
        let plain = ProcessSettings::for_turn(&turn("hi"), SignIn::OauthToken);
        let mut running = plain.clone();
        let settings_json =
            serde_json::to_string(&running.forbid_further_calls().unwrap()).unwrap();
        insta::assert_snapshot!(settings_json, @r#"{"env":{"CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE":"1"}}"#);
        assert_eq!(running.forbid_further_calls(), None, "once is enough");
        insta::assert_snapshot!(changes(Some(&running), &plain), @r#"{"env":{"CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE":"1024","CLAUDE_CODE_EXTRA_BODY":"{}"}}"#);
        assert_eq!(
            ProcessSettings::for_turn(&turn("hi"), SignIn::ApiKey).forbid_further_calls(),
            None
        );
    }

    #[test]
    fn effort_none_disables_thinking() {
        let mut turn = turn("hi");
        turn.sampling.effort = Some(Effort::None);
        let text = changes(None, &ProcessSettings::for_turn(&turn, SignIn::ApiKey));
        assert!(
            text.contains(r#""CLAUDE_CODE_DISABLE_THINKING":"1""#),
            "{text}"
        );
    }
}
