//! Enforcement of stop sequences that Anthropic refuses: those without a visible character.
//!
//! The answer is searched for them instead. Text is buffered only while it may be the beginning of
//! a stop sequence; the first complete one ends the answer before it. Thinking and the arguments of
//! tool calls are not searched.

use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use super::usage_counter::UsageCounter;

/// Filter that searches an answer for stop sequences.
#[derive(Debug, Default)]
pub(super) struct StopSequenceFilter {
    texts: Vec<String>,
    /// End of the text so far, while it may be the beginning of a stop sequence.
    held: String,
    has_ended: bool,
}

impl StopSequenceFilter {
    /// Moves the stop sequences that Anthropic refuses from `turn` into a new filter.
    pub(super) fn take_from(turn: &mut Turn) -> Self {
        let texts = turn
            .sampling
            .stop
            .extract_if(.., |text| is_refused(text))
            .collect();
        Self {
            texts,
            ..Self::default()
        }
    }

    /// True if a stop sequence has ended the answer in the middle of its run.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Resets the filter for a repeated answer.
    pub(super) fn reset(&mut self) {
        self.held.clear();
        self.has_ended = false;
    }

    /// Takes the next event, and returns the events that may be sent now. A stop sequence ends the
    /// answer, with the tokens that `tally` has counted so far.
    pub(super) fn filter(&mut self, event: TurnEvent, tally: &UsageCounter) -> Vec<TurnEvent> {
        if self.texts.is_empty() {
            return vec![event];
        }
        let TurnEvent::Text(piece) = event else {
            return as_text(std::mem::take(&mut self.held))
                .into_iter()
                .chain([event])
                .collect();
        };
        let mut text = std::mem::take(&mut self.held);
        text.push_str(&piece);
        if let Some((start, stop)) = first_match(&text, &self.texts) {
            self.has_ended = true;
            let stop_sequence = Some(stop.to_owned());
            text.truncate(start);
            let finish = Finish {
                stop_sequence,
                ..Finish::new(FinishReason::Stop, tally.usage())
            };
            return as_text(text)
                .into_iter()
                .chain([TurnEvent::Finished(finish)])
                .collect();
        }
        self.held = text.split_off(held_from(&text, &self.texts));
        as_text(text).into_iter().collect()
    }
}

/// True if Anthropic refuses `stop`.
fn is_refused(stop: &str) -> bool {
    stop.chars()
        .all(|character| character.is_whitespace() || character.is_control())
}

fn as_text(text: String) -> Option<TurnEvent> {
    (!text.is_empty()).then_some(TurnEvent::Text(text))
}

/// Returns the stop sequence that is complete first, and its start; of several that end at the same
/// place, the longest.
fn first_match<'a>(text: &str, stops: &'a [String]) -> Option<(usize, &'a str)> {
    let found = stops
        .iter()
        .filter_map(|stop| text.find(stop.as_str()).map(|start| (start, stop.as_str())));
    found.min_by_key(|(start, stop)| (start + stop.len(), *start))
}

/// Returns the start of the longest suffix of `text` that is a prefix of a stop sequence.
fn held_from(text: &str, stops: &[String]) -> usize {
    let longest = stops.iter().map(String::len).max().unwrap_or(0);
    let nearest = text.len().saturating_sub(longest.saturating_sub(1));
    let mut starts = text
        .char_indices()
        .map(|(start, _)| start)
        .skip_while(|start| *start < nearest);
    let is_begun = |start: &usize| stops.iter().any(|stop| stop.starts_with(&text[*start..]));
    starts.find(is_begun).unwrap_or(text.len())
}

#[cfg(test)]
#[path = "stop_sequences_tests.rs"]
mod tests;
