//! Thinking settings, in the form that each model takes.

use serde_json::Value;
use serde_json::json;

use crate::domain::Effort;
use crate::domain::Turn;

/// Maximum thinking budget, in tokens, that becomes a low effort.
const LOW_BUDGET: u32 = 4096;
/// Maximum thinking budget, in tokens, that becomes a medium effort.
const MEDIUM_BUDGET: u32 = 16384;
/// Maximum output limit, in tokens, that leaves no room for thinking.
const SMALL_LIMIT: u32 = 1024;

/// Field name in Anthropic's API.
const FIELD: &str = "thinking";

/// Turns thinking off if the output limit is so small that thinking would use it up, and the
/// request does not mention thinking.
pub(super) fn disable_for_small_limit(turn: &mut Turn) {
    let sampling = &mut turn.sampling;
    let is_asked = sampling.effort.is_some() || sampling.thinking_budget.is_some();
    if !is_asked && is_small(sampling.max_output_tokens) && !turn.native.has_field(FIELD) {
        sampling.effort = Some(Effort::NotRequested);
    }
}

/// Returns the parameter by which `turn` asks for no thinking, if it does.
pub(super) fn disabling_parameter(turn: &Turn) -> Option<&'static str> {
    let field = if turn.native.has_field(FIELD) {
        FIELD
    } else {
        "reasoning_effort"
    };
    (turn.sampling.effort == Some(Effort::None)).then_some(field)
}

/// True if thinking is off in `turn`, whether asked for or not.
pub(super) fn is_off(turn: &Turn) -> bool {
    matches!(
        turn.sampling.effort,
        Some(Effort::None | Effort::NotRequested)
    )
}

/// Asks for minimal thinking, for a model that always thinks.
pub(super) fn as_low_effort(turn: &mut Turn) {
    if !is_off(turn) {
        return;
    }
    turn.native.fields.retain(|(name, _)| name != FIELD);
    turn.sampling.effort = is_wanted_off(turn).then_some(Effort::Low);
}

/// Asks for no thinking before the answer, for a model that refuses `disabled` and has another
/// value for it.
pub(super) fn as_between_tools(turn: &mut Turn) {
    if !is_off(turn) {
        return;
    }
    turn.native.fields.retain(|(name, _)| name != FIELD);
    if is_wanted_off(turn) {
        turn.native.fields.push((
            FIELD.to_owned(),
            json!({"type": "between_tools"}).to_string(),
        ));
    } else {
        turn.sampling.effort = None;
    }
}

/// Replaces the thinking budget by an effort.
pub(super) fn budget_as_effort(turn: &mut Turn) {
    let Some(budget) = turn.sampling.thinking_budget.take() else {
        return;
    };
    for (_, written) in turn
        .native
        .fields
        .iter_mut()
        .filter(|(name, _)| name == FIELD)
    {
        let display = serde_json::from_str::<Value>(written).unwrap_or_default()["display"].take();
        // Default display of thinking with a budget.
        let display = display.as_str().unwrap_or("summarized");
        *written = json!({"type": "adaptive", "display": display}).to_string();
    }
    let effort = if budget <= LOW_BUDGET {
        Effort::Low
    } else if budget <= MEDIUM_BUDGET {
        Effort::Medium
    } else {
        Effort::High
    };
    turn.sampling.effort.get_or_insert(effort);
}

fn is_small(limit: Option<u32>) -> bool {
    limit.is_some_and(|limit| limit <= SMALL_LIMIT)
}

/// True if thinking must be turned off explicitly, since the model would think by default.
fn is_wanted_off(turn: &Turn) -> bool {
    turn.sampling.effort == Some(Effort::None) || is_small(turn.sampling.max_output_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gateway::testing::turn;

    fn with(effort: Option<Effort>, limit: Option<u32>) -> Turn {
        let mut turn = turn("m");
        turn.sampling.effort = effort;
        turn.sampling.max_output_tokens = limit;
        turn
    }

    fn written(turn: &Turn) -> Vec<&str> {
        turn.native
            .fields
            .iter()
            .map(|(_, json)| json.as_str())
            .collect()
    }

    #[test]
    fn small_output_limit_turns_unrequested_thinking_off() {
        let spared = |effort, limit| {
            let mut turn = with(effort, limit);
            disable_for_small_limit(&mut turn);
            turn.sampling.effort
        };
        assert_eq!(spared(None, Some(1024)), Some(Effort::NotRequested));
        assert_eq!(spared(None, Some(1025)), None);
        assert_eq!(spared(None, None), None);
        assert_eq!(spared(Some(Effort::High), Some(16)), Some(Effort::High));
    }

    #[test]
    fn always_thinking_model_gets_low_effort() {
        for (effort, limit, expected) in [
            (Some(Effort::None), None, Some(Effort::Low)),
            (Some(Effort::NotRequested), Some(16), Some(Effort::Low)),
            (Some(Effort::NotRequested), None, None),
            (Some(Effort::High), Some(16), Some(Effort::High)),
        ] {
            let mut turn = with(effort, limit);
            as_low_effort(&mut turn);
            assert_eq!(turn.sampling.effort, expected);
        }
        let mut turn = with(Some(Effort::None), None);
        turn.native
            .fields
            .push((FIELD.to_owned(), r#"{"type":"disabled"}"#.to_owned()));
        assert_eq!(disabling_parameter(&turn), Some("thinking"));
        as_low_effort(&mut turn);
        assert_eq!(
            (disabling_parameter(&turn), written(&turn)),
            (None, Vec::new())
        );
    }

    #[test]
    fn disabled_thinking_is_sent_as_between_tools() {
        for (effort, limit, expected) in [
            (
                Some(Effort::None),
                None,
                &[r#"{"type":"between_tools"}"#][..],
            ),
            (
                Some(Effort::NotRequested),
                Some(16),
                &[r#"{"type":"between_tools"}"#],
            ),
            (Some(Effort::NotRequested), None, &[]),
            (Some(Effort::Low), Some(16), &[]),
        ] {
            let mut turn = with(effort, limit);
            as_between_tools(&mut turn);
            assert_eq!(written(&turn), expected);
        }
    }
}
