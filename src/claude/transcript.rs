//! What a process holds of a conversation.

use crate::conversations::Errand;
use crate::conversations::Memory;
use crate::domain::FinishReason;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;

use super::extra_body::answer_tool;
use super::translate::Translator;

/// The longest result, in bytes of all its texts, that goes to a waiting process. The CLI shows the model only the
/// beginning of a longer one; replayed, it stays whole.
const LONGEST_LIVE_RESULT: usize = 40_000;

/// The conversation in a process, and the turn that runs in it or ran last.
#[derive(Debug)]
pub(super) struct Transcript {
    pub(super) translator: Translator,
    pub(super) memory: Memory,
    /// The first user message. None when an answer came before it, which no rewind reaches.
    pub(super) first: Option<String>,
    /// The last user message.
    pub(super) last: String,
    /// The ids of the calls that wait for their results.
    parked: Vec<String>,
}

/// What becomes of a process after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aftermath {
    /// The CLI ends the turn by itself, and the conversation can go on.
    Whole,
    /// The CLI waits for the results of the tools.
    Parked,
    /// The turn must be interrupted, and the conversation cannot go on here.
    Cut,
}

impl Transcript {
    /// That of an empty process which is to serve `errand`.
    pub(super) fn new(errand: &Errand) -> Self {
        Self {
            translator: Translator::new(String::new(), None),
            memory: Memory::new(&errand.trail),
            first: None,
            last: String::new(),
            parked: Vec::new(),
        }
    }

    /// Notes a message that the process now holds under the name `uuid`.
    pub(super) fn push(&mut self, message: &Message, uuid: &str) {
        // The CLI does not cut between a call and its result.
        let is_result = message.parts.iter().any(|part| matches!(part, Part::ToolResult(_)));
        let can_cut = message.role == Role::User && !is_result;
        if message.role == Role::User && self.memory.is_empty() {
            self.first = Some(uuid.to_owned());
        }
        self.memory.push(message, can_cut.then(|| uuid.to_owned()));
    }

    /// Notes the prompt, whose answer is now to come.
    pub(super) fn begin(&mut self, errand: &Errand, uuid: &str) {
        self.push(&prompt(errand), uuid);
        uuid.clone_into(&mut self.last);
        self.translator = Translator::new(uuid.to_owned(), answer_tool(&errand.turn));
    }

    /// Notes the results of the calls that waited, whose answer is now to come in the same run.
    pub(super) fn resume(&mut self, errand: &Errand) {
        self.memory.push(&prompt(errand), None);
        self.parked.clear();
        self.translator = Translator::resumed(self.last.clone(), answer_tool(&errand.turn));
    }

    /// Notes that the answer ended for `reason`, and says what becomes of the process. Of the caller's tools, `offered`
    /// are those that can be waited for.
    pub(super) fn finish(&mut self, reason: FinishReason, offered: impl Fn(&str) -> bool) -> Aftermath {
        let answer = self.translator.answer();
        let aftermath = match reason {
            FinishReason::ToolCalls
                if answer.calls.iter().all(|call| call.is_sound() && offered(&call.name)) =>
            {
                Aftermath::Parked
            }
            FinishReason::Stop if !self.translator.would_continue(reason) => Aftermath::Whole,
            FinishReason::Stop
            | FinishReason::ToolCalls
            | FinishReason::Length
            | FinishReason::ContentFilter => return Aftermath::Cut,
        };
        let message = answer.message();
        self.parked = answer.calls.into_iter().map(|call| call.id).collect();
        self.memory.push(&message, None);
        aftermath
    }

    /// Whether `errand` brings just what the calls of this conversation wait for, in a form that reaches the model as it
    /// is.
    pub(super) fn awaits(&self, errand: &Errand) -> bool {
        let results = results(errand);
        self.memory.is(&errand.trail)
            && results.len() == errand.turn.prompt.len()
            && results.len() == self.parked.len()
            && self.parked.iter().all(|id| results.iter().any(|result| result.id == *id && is_plain(result)))
    }
}

/// The results in the prompt of `errand`.
pub(super) fn results(errand: &Errand) -> Vec<&ToolResult> {
    errand.turn.prompt.iter().filter_map(result).collect()
}

fn result(part: &Part) -> Option<&ToolResult> {
    match part {
        Part::ToolResult(result) => Some(result),
        _ => None,
    }
}

fn prompt(errand: &Errand) -> Message {
    Message { role: Role::User, parts: errand.turn.prompt.clone() }
}

/// Whether the CLI hands a result on as it is. It writes a note in place of an empty one, and words of its own around a
/// failure.
fn is_plain(result: &ToolResult) -> bool {
    let length = |part: &Part| match part {
        Part::Text(text) if !text.trim().is_empty() => Some(text.len()),
        _ => None,
    };
    let lengths: Option<Vec<usize>> = result.parts.iter().map(length).collect();
    let total = lengths.map(|lengths| lengths.iter().sum::<usize>());
    !result.is_error && total.is_some_and(|total| (1..=LONGEST_LIVE_RESULT).contains(&total))
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;
