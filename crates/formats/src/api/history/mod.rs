//! Conversations in the form upstream accepts: faults are repaired and reported, or rejected under
//! the strict policy.
//!
//! Each API reads its messages into a [`HistoryDraft`] unchanged. [`HistoryDraft::finish`] enforces Anthropic's
//! rules: each tool call is answered at the start of the next user message, no result is without
//! its call, and no message is empty. Whether an assistant message may come last (prefill) depends
//! on the model, which is not known here.

mod calls;
#[cfg(test)]
mod properties;
mod results;
#[cfg(test)]
mod tests;

use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Repair;
use crate::api::request_schema::code;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;

use self::calls::HistoryResults;

/// Conversation without instructions, split into history and prompt.
#[derive(Debug, Default, PartialEq)]
pub struct RepairedConversation {
    /// Messages before the prompt.
    pub history: Vec<Message>,
    /// Last message of the user. Empty if the model continues its last answer.
    pub prompt: Vec<Part>,
}

/// Part of a message, with its path in the request.
#[derive(Debug)]
pub struct DraftPart {
    /// Content of the part. Ids of calls and results are the client's own, in any characters.
    pub part: Part,
    /// Path of the part in the request, for error messages.
    pub path: String,
}

/// Rules of an API for its messages.
#[derive(Debug, Clone, Copy)]
pub struct DraftRules {
    /// Field of the request that contains the messages.
    pub field: &'static str,
    /// Set if consecutive messages of one role are merged.
    pub merges: bool,
    /// True for a part that allows an assistant message to be last: upstream resumes that answer.
    pub is_paused: fn(&Part) -> bool,
}

/// Conversation as a client has written it.
#[derive(Debug)]
pub struct HistoryDraft {
    rules: DraftRules,
    messages: Vec<DraftMessage>,
}

#[derive(Debug)]
struct DraftMessage {
    role: Role,
    parts: Vec<DraftPart>,
    path: String,
}

impl HistoryDraft {
    /// Creates a conversation without messages.
    pub fn new(rules: DraftRules) -> Self {
        Self {
            rules,
            messages: Vec::new(),
        }
    }

    /// Adds a message; `path` is the path of its content.
    pub fn add_message(&mut self, role: Role, path: impl Into<String>, parts: Vec<DraftPart>) {
        let is_blank = |part: &Part| match part {
            Part::Text(text) | Part::Instruction(text) => text.trim().is_empty(),
            _ => false,
        };
        let is_said = |piece: &DraftPart| !is_blank(&piece.part);
        let pieces: Vec<_> = parts.into_iter().filter(is_said).collect();
        match self
            .messages
            .last_mut()
            .filter(|last| self.rules.merges && last.role == role)
        {
            Some(last) if !pieces.is_empty() && !last.parts.is_empty() => {
                last.parts.extend(pieces);
            }
            _ => self.messages.push(DraftMessage {
                role,
                parts: pieces,
                path: path.into(),
            }),
        }
    }

    /// True if no message was added so far, so that instructions apply to the whole conversation.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Appends to the last message if that is the assistant's; otherwise adds an assistant message.
    pub fn extend_answer(&mut self, path: impl Into<String>, parts: Vec<DraftPart>) {
        match self
            .messages
            .last_mut()
            .filter(|last| last.role == Role::Assistant)
        {
            Some(last) => last.parts.extend(parts),
            None => self.add_message(Role::Assistant, path, parts),
        }
    }

    /// Returns the repaired conversation. `instruction` removes and returns the last text of the
    /// instructions, if there is one.
    ///
    /// # Errors
    /// Fails if there is no message to answer, and under the strict policy if anything had to be
    /// repaired.
    pub fn finish(
        mut self,
        instruction: impl FnOnce() -> Option<String>,
        ignored: &mut RemarkCollector,
    ) -> Result<RepairedConversation, InvalidRequest> {
        self.remove_empty(ignored)?;
        let rules = self.rules;
        let answers = calls::match_results(&mut self.messages, ignored)?;
        let mut history = insert_results(self.messages, answers, rules.merges);
        let prompt = match history.pop() {
            Some(Message {
                role: Role::User,
                parts,
            }) => parts,
            Some(answer) if answer.parts.iter().any(rules.is_paused) => {
                history.push(answer);
                Vec::new()
            }
            Some(answer) => {
                history.push(answer);
                vec![Part::Continue]
            }
            None => vec![Part::Text(prompt_from_instruction(
                instruction(),
                rules.field,
                ignored,
            )?)],
        };
        Ok(RepairedConversation { history, prompt })
    }

    /// Removes empty messages. An empty answer was cut off before its first token, so it is dropped
    /// silently, like thinking at the end of an answer, which upstream rejects there.
    fn remove_empty(&mut self, ignored: &mut RemarkCollector) -> Result<(), InvalidRequest> {
        for answer in self
            .messages
            .iter_mut()
            .filter(|message| message.role == Role::Assistant)
        {
            let is_thought = |piece: &DraftPart| matches!(piece.part, Part::Thinking(_));
            while answer.parts.last().is_some_and(is_thought) {
                answer.parts.pop();
            }
        }
        for message in &self.messages {
            if message.parts.is_empty() && message.role == Role::User {
                report_empty(&message.path, ignored)?;
            }
        }
        self.messages.retain(|message| !message.parts.is_empty());
        Ok(())
    }
}

/// Records that the message whose content is at `path` is empty.
///
/// # Errors
/// Under the strict policy.
pub fn report_empty(path: &str, ignored: &mut RemarkCollector) -> Result<(), InvalidRequest> {
    let words =
        "is blank, and Claude takes no message without text. Write some, or remove the message.";
    ignored.repair(Repair::EMPTY_MESSAGES, path, words)
}

/// Inserts the results of its calls after each answer.
fn insert_results(
    messages: Vec<DraftMessage>,
    mut answers: HistoryResults,
    merges: bool,
) -> Vec<Message> {
    let mut arranged: Vec<Message> = Vec::new();
    let mut add = |role, parts: Vec<Part>| match arranged
        .last_mut()
        .filter(|last| merges && last.role == role)
    {
        Some(last) => last.parts.extend(parts),
        None if parts.is_empty() => {}
        None => arranged.push(Message { role, parts }),
    };
    for (index, message) in messages.into_iter().enumerate() {
        add(
            message.role,
            message.parts.into_iter().map(|piece| piece.part).collect(),
        );
        add(Role::User, answers.take_results(index));
    }
    arranged
}

fn prompt_from_instruction(
    instruction: Option<String>,
    field: &str,
    ignored: &mut RemarkCollector,
) -> Result<String, InvalidRequest> {
    let words = "has no message for Claude to answer. Add one with the role `user`.";
    let Some(text) = instruction else {
        return Err(InvalidRequest::at(
            field,
            code::VALUE,
            format!("`{field}` {words}"),
        ));
    };
    ignored.repair(Repair::NO_USER_MESSAGE, field, words)?;
    Ok(text)
}
