//! Prefill: the caller supplies the beginning of the answer, which Claude continues.

use serde_json::Value;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Part;
use crate::domain::ToolChoice;
use crate::domain::Turn;

/// Name of this repair in `x-switchboard-repaired`.
pub(super) const REPAIR_NAME: &str = "assistant_last";

/// Text of the user that asks the model to continue a cut-off answer.
const CONTINUE_INSTRUCTION: &str = "Your last message was cut off. Go on exactly where it stopped, as if it had not been. Repeat nothing of \
                     it, and say nothing about this request.";

/// True if Anthropic can continue the answer of `turn` by prefill, on a model that takes one: not
/// with thinking, a bound format or a demanded tool call.
pub(super) fn is_possible(turn: &Turn) -> bool {
    let sampling = &turn.sampling;
    let is_free = matches!(turn.tools.choice, ToolChoice::Auto | ToolChoice::None);
    let thinks = match sampling.effort {
        Some(Effort::None | Effort::NotRequested) => sampling.thinking_budget.is_some(),
        Some(_) => true,
        None => sampling.thinking_budget.is_some() || turn.native.has_field("thinking"),
    };
    is_free && !thinks && sampling.format == Format::Text
}

/// Trims trailing white space from the prefill, which Anthropic refuses.
pub(super) fn trim_end(turn: &mut Turn) {
    let parts = turn.history.last_mut().map(|answer| &mut answer.parts);
    match parts.and_then(|parts| parts.last_mut()) {
        Some(Part::Text(text)) => text.truncate(text.trim_end().len()),
        Some(Part::Native(block)) => trim_native(&mut block.json),
        _ => {}
    }
}

/// Trims a natively written block, such as one with a prompt cache mark.
fn trim_native(json: &mut String) {
    let Ok(mut block) = serde_json::from_str::<Value>(json) else {
        return;
    };
    let Some(text) = block["text"]
        .as_str()
        .map(|text| text.trim_end().to_owned())
    else {
        return;
    };
    if block["type"] == "text" && block["text"] != text.as_str() {
        block["text"] = text.into();
        *json = block.to_string();
    }
}

/// Replaces the prefill by an instruction to continue the answer.
pub(super) fn replace_by_instruction(turn: &mut Turn) {
    turn.prompt = vec![Part::text(CONTINUE_INSTRUCTION)];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Message;
    use crate::domain::NativeBlock;
    use crate::domain::NativeRole;
    use crate::domain::Role;
    use crate::engine::gateway::testing::turn;

    fn prefilled() -> Turn {
        let mut turn = turn("m");
        let partial = Message {
            role: Role::Assistant,
            parts: vec![Part::text("Once \n")],
        };
        turn.history = vec![
            Message {
                role: Role::User,
                parts: std::mem::take(&mut turn.prompt),
            },
            partial,
        ];
        turn.prompt = vec![Part::Continue];
        turn
    }

    #[test]
    fn trim_removes_trailing_white_space() {
        let mut turn = prefilled();
        trim_end(&mut turn);
        assert_eq!(turn.history[1].parts, [Part::text("Once")]);
        assert!(turn.is_continuation());
        replace_by_instruction(&mut turn);
        assert!(!turn.is_continuation());
    }

    #[test]
    fn trim_removes_trailing_white_space_of_native_blocks() {
        let written = |text: &str| {
            let json = format!(
                r#"{{"cache_control":{{"type":"ephemeral"}},"text":"{text}","type":"text"}}"#
            );
            Part::Native(NativeBlock {
                json,
                role: NativeRole::Other,
            })
        };
        let mut turn = prefilled();
        turn.history[1].parts = vec![written(r"Once \n")];
        trim_end(&mut turn);
        assert_eq!(turn.history[1].parts, [written("Once")]);
    }

    #[test]
    fn prefill_is_impossible_with_thinking_format_or_forced_call() {
        assert!(is_possible(&prefilled()));
        let changes: [fn(&mut Turn); 4] = [
            |turn| turn.sampling.effort = Some(Effort::Low),
            |turn| turn.sampling.thinking_budget = Some(2000),
            |turn| turn.sampling.format = Format::JsonObject,
            |turn| turn.tools.choice = ToolChoice::Required,
        ];
        for change in changes {
            let mut turn = prefilled();
            change(&mut turn);
            assert!(!is_possible(&turn));
        }
    }
}
