//! System instructions in the middle of a conversation.
//!
//! Their position is kept, so that the prefix stays equal and the prompt cache keeps its hits. A model that takes messages with the role `system` wants them at the end of each user
//! turn. For any other model they become text of the user.

use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Turn;

/// Moves the instructions of `turn` behind everything else in the same user turn. In a user turn of
/// instructions alone they become text.
pub(super) fn move_to_turn_end(turn: &mut Turn) {
    if !has_any(turn) {
        return;
    }
    turn.history.push(Message {
        role: Role::User,
        parts: std::mem::take(&mut turn.prompt),
    });
    for messages in turn.history.chunk_by_mut(|one, next| one.role == next.role) {
        if messages
            .first()
            .is_some_and(|message| message.role == Role::User)
        {
            move_in_messages(messages);
        }
    }
    turn.prompt = turn
        .history
        .pop()
        .map(|prompt| prompt.parts)
        .unwrap_or_default();
    turn.history.retain(|message| !message.parts.is_empty());
}

/// Turns the instructions of `turn` into text of the user, at their positions.
pub(super) fn convert_to_text(turn: &mut Turn) {
    let messages = turn
        .history
        .iter_mut()
        .map(|message| &mut message.parts)
        .chain([&mut turn.prompt]);
    messages.for_each(make_text);
}

/// True if the messages of `turn` contain instructions.
pub(super) fn has_any(turn: &Turn) -> bool {
    let parts = turn
        .history
        .iter()
        .flat_map(|message| &message.parts)
        .chain(&turn.prompt);
    parts
        .into_iter()
        .any(|part| matches!(part, Part::Instruction(_)))
}

/// Arranges consecutive messages of the user.
fn move_in_messages(messages: &mut [Message]) {
    let mut instructions = Vec::new();
    for message in messages.iter_mut() {
        let mut is_instruction = false;
        let moved = message.parts.extract_if(.., |part| {
            // A cache mark belongs to the part before it.
            is_instruction = match part {
                Part::Instruction(_) => true,
                Part::CacheBreakpoint(_) => is_instruction,
                _ => false,
            };
            is_instruction
        });
        instructions.extend(moved);
    }
    if messages.iter().all(|message| message.parts.is_empty()) {
        make_text(&mut instructions);
    }
    if let Some(last) = messages.last_mut() {
        last.parts.extend(instructions);
    }
}

fn make_text(parts: &mut Vec<Part>) {
    for part in parts {
        if let Part::Instruction(text) = part {
            *part = Part::instruction_as_text(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gateway::testing::turn;

    fn message(role: Role, parts: &[Part]) -> Message {
        Message {
            role,
            parts: parts.to_vec(),
        }
    }

    fn instruction(text: &str) -> Part {
        Part::Instruction(text.to_owned())
    }

    /// Renders each message as `u` or `a` and its parts.
    fn render(turn: &Turn) -> String {
        let prompt = message(Role::User, &turn.prompt);
        let part = |part: &Part| match part {
            Part::Text(text) if text.starts_with("<system>") => "<words>".to_owned(),
            Part::Text(text) => text.clone(),
            Part::Instruction(text) => format!("[{text}]"),
            Part::CacheBreakpoint(_) => "!".to_owned(),
            part => panic!("{part:?}"),
        };
        let line = |message: &Message| {
            let side = if message.role == Role::User { "u" } else { "a" };
            format!(
                "{side} {}",
                message.parts.iter().map(part).collect::<Vec<_>>().join(" ")
            )
        };
        turn.history
            .iter()
            .chain([&prompt])
            .map(line)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn conversation(messages: Vec<Message>) -> Turn {
        let mut turn = turn("m");
        turn.history = messages;
        turn.prompt = turn.history.pop().unwrap().parts;
        turn
    }

    #[test]
    fn instructions_are_moved_to_the_end_of_the_user_turn() {
        let user = Role::User;
        let answer = Role::Assistant;
        let text = Part::text;
        let mark = Part::CacheBreakpoint("{}".to_owned());
        for (messages, arranged) in [
            (
                vec![
                    message(user, &[text("a")]),
                    message(user, &[instruction("x")]),
                ],
                "u a, u [x]",
            ),
            (
                vec![message(user, &[instruction("x"), mark, text("a")])],
                "u a [x] !",
            ),
            (
                vec![
                    message(user, &[text("a")]),
                    message(answer, &[text("b")]),
                    message(user, &[instruction("x")]),
                    message(user, &[text("c")]),
                    message(user, &[instruction("y")]),
                ],
                "u a, a b, u c, u [x] [y]",
            ),
            (
                vec![
                    message(user, &[text("a")]),
                    message(user, &[instruction("x")]),
                    message(answer, &[text("b")]),
                    message(user, &[instruction("y")]),
                ],
                "u a, u [x], a b, u <words>",
            ),
        ] {
            let mut turn = conversation(messages);
            move_to_turn_end(&mut turn);
            assert_eq!(render(&turn), arranged);
        }
    }

    #[test]
    fn instruction_becomes_text_at_its_position() {
        let mut turn = conversation(vec![message(
            Role::User,
            &[instruction("x"), Part::text("a")],
        )]);
        convert_to_text(&mut turn);
        assert_eq!(render(&turn), "u <words> a");
        assert!(!has_any(&turn));
    }
}
