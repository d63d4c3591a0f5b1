//! Answer of a turn in the wire format, and back to the events of a turn.

use serde_json::Value;
use uuid::Uuid;

use super::conversation::input_value;
use super::error::HookFailure;
use super::wire::MAX_BODY_BYTES;
use super::wire::WireAnswer;
use super::wire::WireToolCall;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ToolUse;
use crate::domain::TurnEvent;

/// Answer so far, collected from its events as they pass.
#[derive(Debug, Default)]
pub(super) struct CollectedAnswer {
    text: String,
    calls: Vec<ToolUse>,
    bytes: usize,
}

impl CollectedAnswer {
    /// Adds the content of an event. Content beyond the maximum size of an input is dropped.
    pub(super) fn record(&mut self, event: &TurnEvent) {
        if self.is_too_large() {
            return;
        }
        match event {
            TurnEvent::Text(piece) => {
                self.bytes += piece.len();
                self.text.push_str(piece);
            }
            TurnEvent::ToolCall { id, name, .. } => {
                self.bytes += id.len() + name.len();
                self.calls.push(ToolUse {
                    id: id.clone(),
                    name: name.clone(),
                    input: String::new(),
                });
            }
            TurnEvent::ToolInput(piece) => {
                self.bytes += piece.len();
                if let Some(call) = self.calls.last_mut() {
                    call.input.push_str(piece);
                }
            }
            _ => {}
        }
    }

    /// True if the answer is larger than a hook may get.
    pub(super) fn is_too_large(&self) -> bool {
        self.bytes > MAX_BODY_BYTES
    }

    /// Returns the whole answer, which ended with `finish`.
    pub(super) fn into_wire(self, finish: &Finish) -> WireAnswer {
        let calls = self.calls.into_iter().map(|call| WireToolCall {
            input: input_value(&call.input),
            id: call.id,
            name: call.name,
        });
        WireAnswer {
            text: self.text,
            tool_calls: calls.collect(),
            finish_reason: Some(finish_word(finish.reason).to_owned()),
        }
    }
}

/// Replaces the answer of `events`, which the hook got as `answered`, by `answer`. Thinking and
/// citations, which belong to the old text, are left out. Returns true if that changes something;
/// an equal answer does not.
///
/// # Errors
/// Fails when the answer has an input that is no object, or an unknown reason. The events are
/// unchanged then.
pub(super) fn replace_answer(
    events: &mut Vec<TurnEvent>,
    answered: &WireAnswer,
    answer: WireAnswer,
) -> Result<bool, HookFailure> {
    let is_same_end =
        answer.finish_reason.is_none() || answer.finish_reason == answered.finish_reason;
    let is_same_text = answer.text == answered.text && answer.tool_calls == answered.tool_calls;
    if is_same_end && is_same_text {
        return Ok(false);
    }
    let has_calls = !answer.tool_calls.is_empty();
    let mut replaced = Vec::new();
    let mut end = None;
    for event in events.iter() {
        match event {
            TurnEvent::Started { .. } => replaced.push(event.clone()),
            TurnEvent::Finished(finish) => end = Some(finish.clone()),
            _ => {}
        }
    }
    if !answer.text.is_empty() {
        replaced.push(TurnEvent::Text(answer.text));
    }
    for call in answer.tool_calls {
        // An input that was cut off is a text, which can only be given back.
        let is_same = answered.tool_calls.contains(&call);
        let input = match call.input {
            Value::Object(input) => Value::Object(input).to_string(),
            Value::String(input) if is_same => input,
            _ => {
                return Err(HookFailure::InvalidAnswer(
                    "a call has an input that is no object",
                ));
            }
        };
        let id = if call.id.is_empty() {
            format!("toolu_{}", Uuid::new_v4().simple())
        } else {
            call.id
        };
        replaced.push(TurnEvent::tool_call(id, call.name));
        replaced.push(TurnEvent::ToolInput(input));
    }
    if let Some(finish) = end {
        let reason = finish_reason(answer.finish_reason.as_deref(), finish.reason, has_calls)?;
        replaced.push(TurnEvent::Finished(changed_finish(finish, reason)));
    }
    let has_changed = replaced != *events;
    *events = replaced;
    Ok(has_changed)
}

fn finish_word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Paused => "paused",
    }
}

/// Returns the finish reason that a hook names, or by default the one that fits its answer.
fn finish_reason(
    word: Option<&str>,
    before: FinishReason,
    has_calls: bool,
) -> Result<FinishReason, HookFailure> {
    let known = [
        FinishReason::Stop,
        FinishReason::Length,
        FinishReason::ToolCalls,
        FinishReason::ContentFilter,
        FinishReason::Paused,
    ];
    match word {
        Some(word) => known
            .into_iter()
            .find(|reason| finish_word(*reason) == word)
            .ok_or(HookFailure::InvalidAnswer(
                "its `finish_reason` is not known",
            )),
        None if has_calls => Ok(FinishReason::ToolCalls),
        None if before == FinishReason::ToolCalls => Ok(FinishReason::Stop),
        None => Ok(before),
    }
}

fn changed_finish(mut finish: Finish, reason: FinishReason) -> Finish {
    if finish.reason != reason {
        finish.reason = reason;
        finish.stop_sequence = None;
        finish.native.stop_reason = None;
    }
    finish
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Usage;

    fn events() -> Vec<TurnEvent> {
        vec![
            TurnEvent::started("m", Usage::default()),
            TurnEvent::Thinking("hm".to_owned()),
            TurnEvent::Text("Hel".to_owned()),
            TurnEvent::Text("lo".to_owned()),
            TurnEvent::tool_call("c1", "look"),
            TurnEvent::ToolInput("{\"a\":".to_owned()),
            TurnEvent::ToolInput("1}".to_owned()),
            TurnEvent::Finished(Finish::new(FinishReason::ToolCalls, Usage::default())),
        ]
    }

    fn wire() -> WireAnswer {
        let mut collected = CollectedAnswer::default();
        events().iter().for_each(|event| collected.record(event));
        collected.into_wire(&Finish::new(FinishReason::ToolCalls, Usage::default()))
    }

    #[test]
    fn answer_is_collected_and_given_back_unchanged() {
        let answer = wire();
        let expected = json!({
            "text": "Hello", "finish_reason": "tool_calls",
            "tool_calls": [{"id": "c1", "name": "look", "input": {"a": 1}}],
        });
        assert_eq!(serde_json::to_value(&answer).unwrap(), expected);
        let mut same = events();
        let has_changed = replace_answer(&mut same, &answer, answer.clone());
        assert_eq!(has_changed, Ok(false));
        assert_eq!(same, events());
    }

    #[test]
    fn replaced_answer_has_no_thinking_and_a_fitting_end() {
        let new = WireAnswer {
            text: "Bye".to_owned(),
            ..WireAnswer::default()
        };
        let mut replaced = events();
        let has_changed = replace_answer(&mut replaced, &wire(), new);
        assert_eq!(has_changed, Ok(true));
        let expected = [
            TurnEvent::started("m", Usage::default()),
            TurnEvent::Text("Bye".to_owned()),
            TurnEvent::Finished(Finish::new(FinishReason::Stop, Usage::default())),
        ];
        assert_eq!(replaced, expected);
        let mut calls = wire();
        calls.tool_calls[0].input = json!({"a": 2});
        let mut replaced = events();
        replace_answer(&mut replaced, &wire(), calls).unwrap();
        assert_eq!(replaced[3], TurnEvent::ToolInput("{\"a\":2}".to_owned()));
    }

    #[test]
    fn input_that_is_cut_off_survives_a_replaced_text() {
        let mut events = events();
        events.remove(6);
        let mut collected = CollectedAnswer::default();
        events.iter().for_each(|event| collected.record(event));
        let answered = collected.into_wire(&Finish::new(FinishReason::Length, Usage::default()));
        let mut answer = answered.clone();
        answer.text = "Bye".to_owned();
        replace_answer(&mut events, &answered, answer).unwrap();
        assert_eq!(events[1], TurnEvent::Text("Bye".to_owned()));
        assert_eq!(events[3], TurnEvent::ToolInput("{\"a\":".to_owned()));
    }

    #[test]
    fn answer_larger_than_a_hook_may_get_is_not_kept() {
        let mut collected = CollectedAnswer::default();
        let piece = TurnEvent::Text("x".repeat(MAX_BODY_BYTES / 2 + 1));
        for _ in 0..4 {
            collected.record(&piece);
        }
        assert!(collected.is_too_large());
        assert_eq!(collected.text.len(), MAX_BODY_BYTES + 2);
    }

    #[test]
    fn answer_that_cannot_be_sent_is_a_failure() {
        let mut text = wire();
        text.tool_calls[0].input = "x".into();
        let mut end = wire();
        end.finish_reason = Some("bored".to_owned());
        for answer in [text, end] {
            let mut unchanged = events();
            let refused = replace_answer(&mut unchanged, &wire(), answer);
            assert!(matches!(refused, Err(HookFailure::InvalidAnswer(_))));
            assert_eq!(unchanged, events());
        }
    }
}
