//! Matching of tool calls and their results.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;

use serde_json::json;

use super::DraftMessage;
use super::DraftPart;
use super::results;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Repair;
use crate::api::request_schema::printable;
use crate::api::request_schema::repair_characters;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolUse;

/// Results that belong after each message, by message index.
#[derive(Debug, Default)]
pub(super) struct HistoryResults(HashMap<usize, Vec<Part>>);

impl HistoryResults {
    /// Removes and returns the results that belong after this message.
    pub(super) fn take_results(&mut self, message: usize) -> Vec<Part> {
        self.0.remove(&message).unwrap_or_default()
    }
}

/// Moves all results out of `messages` to their calls, whose ids are replaced by valid unique ids.
/// Results without a call become text in place, and calls without a result get an error result.
pub(super) fn match_results(
    messages: &mut [DraftMessage],
    ignored: &mut RemarkCollector,
) -> Result<HistoryResults, InvalidRequest> {
    let mut pairing = Pairing::default();
    let mut unmatched_results = Vec::new();
    for (number, message) in messages.iter_mut().enumerate() {
        for (index, piece) in message.parts.iter_mut().enumerate() {
            if let Some(id) = results::call_id(&piece.part).map(str::to_owned) {
                match pairing.open.take_latest(&id) {
                    Some(call) => pairing.attach_result(call, piece, ignored)?,
                    None => unmatched_results.push((id, number, index)),
                }
            } else if message.role == Role::Assistant {
                pairing.current_message = Some(number);
                pairing.register_call(piece, number, ignored)?;
            } else if !matches!(piece.part, Part::Instruction(_)) {
                pairing.current_message = None;
            }
        }
    }
    for (id, number, index) in unmatched_results {
        let Some(piece) = messages
            .get_mut(number)
            .and_then(|message| message.parts.get_mut(index))
        else {
            continue;
        };
        match pairing.open.take_first(&id) {
            Some(call) => {
                // The result comes before its call.
                pairing.current_message = None;
                pairing.attach_result(call, piece, ignored)?;
            }
            None => report_stray_result(&id, piece, ignored)?,
        }
    }
    pairing.add_missing_results(ignored)?;
    for message in messages {
        let pieces = std::mem::take(&mut message.parts);
        message.parts = pieces
            .into_iter()
            .flat_map(results::unmatched_as_text)
            .collect();
    }
    Ok(pairing.answers)
}

#[derive(Debug, Default)]
struct Pairing {
    calls: Vec<HistoryCall>,
    open: OpenCalls,
    /// Index of the assistant message whose results are expected, until other content follows it.
    current_message: Option<usize>,
    answers: HistoryResults,
    /// Ids sent upstream: no two calls may share one.
    used_ids: HashSet<String>,
    /// Number of generated ids.
    generated_ids: usize,
}

#[derive(Debug)]
struct HistoryCall {
    upstream_id: String,
    message: usize,
    path: String,
    is_answered: bool,
}

impl Pairing {
    /// Registers the call in `piece`, if it is one.
    fn register_call(
        &mut self,
        piece: &mut DraftPart,
        message: usize,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let id = match &mut piece.part {
            Part::ToolUse(call) => {
                repair_arguments(call, &piece.path, ignored)?;
                call.id.clone()
            }
            Part::Native(NativeBlock {
                role: NativeRole::Call(id),
                ..
            }) => id.clone(),
            _ => return Ok(()),
        };
        if self.open.is_in_latest(&id, message) {
            let words = format!(
                "a call before it has the same id `{}`. Give each call its own.",
                printable(&id)
            );
            ignored.repair(Repair::CALL_IDS, piece.path.as_str(), &words)?;
        }
        let upstream_id = self.upstream_id(&id);
        results::set_call_id(&mut piece.part, &upstream_id);
        self.open.add(id, message, self.calls.len());
        self.calls.push(HistoryCall {
            upstream_id,
            message,
            path: piece.path.clone(),
            is_answered: false,
        });
        Ok(())
    }

    /// Moves the result in `piece` to its call, leaving an empty text in its place.
    fn attach_result(
        &mut self,
        call: usize,
        piece: &mut DraftPart,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let Some(call) = self.calls.get_mut(call) else {
            return Ok(());
        };
        if self.current_message != Some(call.message) {
            let words = format!(
                "the result of the call at `{}` must directly follow its message. Move it there.",
                call.path
            );
            ignored.repair(Repair::RESULTS_MOVED, piece.path.as_str(), &words)?;
        }
        call.is_answered = true;
        let mut result = std::mem::replace(&mut piece.part, Part::Text(String::new()));
        results::set_call_id(&mut result, &call.upstream_id);
        self.answers.0.entry(call.message).or_default().push(result);
        Ok(())
    }

    /// Adds an error result to each call that has none.
    fn add_missing_results(&mut self, ignored: &mut RemarkCollector) -> Result<(), InvalidRequest> {
        for call in self.calls.iter().filter(|call| !call.is_answered) {
            let words = "the call has no result. Each call needs one that directly follows it.";
            ignored.repair(Repair::CALLS_WITHOUT_RESULTS, call.path.as_str(), words)?;
            let result = results::missing_result(&call.upstream_id);
            self.answers.0.entry(call.message).or_default().push(result);
        }
        Ok(())
    }

    /// Returns the id sent upstream for a call: the client's own, unless upstream rejects its
    /// characters or an earlier call has it. Some clients restart the numbers of calls in every answer.
    fn upstream_id(&mut self, id: &str) -> String {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !id.is_empty() && id.chars().all(is_fit) && self.used_ids.insert(id.to_owned()) {
            return id.to_owned();
        }
        loop {
            self.generated_ids += 1;
            let generated = format!("call-{}", self.generated_ids);
            if self.used_ids.insert(generated.clone()) {
                return generated;
            }
        }
    }
}

/// Indexes of the calls without a result, by id and, for each id, by message.
#[derive(Debug, Default)]
struct OpenCalls(HashMap<String, VecDeque<(usize, VecDeque<usize>)>>);

impl OpenCalls {
    fn add(&mut self, id: String, message: usize, call: usize) {
        let groups = self.0.entry(id).or_default();
        match groups.back_mut() {
            Some((last, calls)) if *last == message => calls.push_back(call),
            _ => groups.push_back((message, [call].into())),
        }
    }

    fn is_in_latest(&self, id: &str, message: usize) -> bool {
        self.0
            .get(id)
            .and_then(VecDeque::back)
            .is_some_and(|(last, _)| *last == message)
    }

    /// Takes the first open call with this id in the last message that has any.
    fn take_latest(&mut self, id: &str) -> Option<usize> {
        let groups = self.0.get_mut(id)?;
        let (_, calls) = groups.back_mut()?;
        let call = calls.pop_front();
        if calls.is_empty() {
            groups.pop_back();
        }
        call
    }

    /// Takes the first open call with this id in the conversation.
    fn take_first(&mut self, id: &str) -> Option<usize> {
        let groups = self.0.get_mut(id)?;
        let (_, calls) = groups.front_mut()?;
        let call = calls.pop_front();
        if calls.is_empty() {
            groups.pop_front();
        }
        call
    }
}

fn repair_arguments(
    call: &mut ToolUse,
    path: &str,
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    // The arguments are JSON inside a string, which the repair of the body does not reach.
    if let Cow::Owned(repaired) = repair_characters(call.input.as_bytes(), ignored)?
        && let Ok(repaired) = String::from_utf8(repaired)
    {
        call.input = repaired;
    }
    if call.has_valid_input() {
        return Ok(());
    }
    let words = "expected the arguments as a JSON object, such as `{\"city\": \"Paris\"}`.";
    ignored.repair(Repair::ARGUMENTS, path, words)?;
    call.input = json!({"arguments": call.input}).to_string();
    Ok(())
}

fn report_stray_result(
    id: &str,
    piece: &DraftPart,
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    let words = format!(
        "there is no call `{}` that waits for this result. Send the call before it, and each result once.",
        printable(id)
    );
    ignored.repair(Repair::RESULTS_WITHOUT_CALLS, piece.path.as_str(), &words)
}
