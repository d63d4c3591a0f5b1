//! Answers whose beginning the caller has written, for Claude to go on with.

use serde_json::Value;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Part;
use crate::domain::ToolChoice;
use crate::domain::Turn;

/// The name under which callers are told of the [`ask`].
pub(super) const NAME: &str = "assistant_last";

/// What the user is made to say after an answer that is to be continued.
const GO_ON: &str = "Your last message was cut off. Go on exactly where it stopped, as if it had not been. Repeat nothing of \
                     it, and say nothing about this request.";

/// Whether Anthropic goes on with the answer of `turn` where the model takes one: not while it thinks, nor where the answer is
/// bound to a form or has to call a tool.
pub(super) fn is_possible(turn: &Turn) -> bool {
    let sampling = &turn.sampling;
    let is_free = matches!(turn.tools.choice, ToolChoice::Auto | ToolChoice::None);
    let thinks = match sampling.effort {
        Some(Effort::None | Effort::Unasked) => sampling.thinking_budget.is_some(),
        Some(_) => true,
        None => sampling.thinking_budget.is_some() || turn.native.has_field("thinking"),
    };
    is_free && !thinks && sampling.format == Format::Text
}

/// Makes the answer one that Anthropic goes on with: it takes none that ends with white space.
pub(super) fn trim(turn: &mut Turn) {
    let parts = turn.history.last_mut().map(|answer| &mut answer.parts);
    match parts.and_then(|parts| parts.last_mut()) {
        Some(Part::Text(text)) => text.truncate(text.trim_end().len()),
        Some(Part::Native(block)) => trim_written(&mut block.json),
        _ => {}
    }
}

/// The same for a block that goes upstream as it was written, as one does that has a mark for the prompt cache.
fn trim_written(json: &mut String) {
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

/// Asks the model in words to go on with the answer.
pub(super) fn ask(turn: &mut Turn) {
    turn.prompt = vec![Part::text(GO_ON)];
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
        let begun = Message {
            role: Role::Assistant,
            parts: vec![Part::text("Once \n")],
        };
        turn.history = vec![
            Message {
                role: Role::User,
                parts: std::mem::take(&mut turn.prompt),
            },
            begun,
        ];
        turn.prompt = vec![Part::GoOn];
        turn
    }

    #[test]
    fn white_space_at_the_end_is_cut() {
        let mut turn = prefilled();
        trim(&mut turn);
        assert_eq!(turn.history[1].parts, [Part::text("Once")]);
        assert!(turn.goes_on());
        ask(&mut turn);
        assert!(!turn.goes_on());
    }

    #[test]
    fn white_space_is_cut_in_a_block_that_goes_as_it_was_written() {
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
        trim(&mut turn);
        assert_eq!(turn.history[1].parts, [written("Once")]);
    }

    #[test]
    fn a_model_that_thinks_or_is_bound_does_not_go_on() {
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
