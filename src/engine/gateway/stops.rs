//! Stop texts that Anthropic refuses: those without a visible character.
//!
//! They are watched for in the answer instead. A text is held only as far as it may be the beginning of one; with the first that is
//! whole the answer ends before it. Thoughts and the arguments of calls are not looked at.

use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use super::tally::Tally;

/// Watches an answer for stop texts.
#[derive(Debug, Default)]
pub(super) struct Stops {
    texts: Vec<String>,
    /// The end of the text so far, as long as it may be the beginning of a stop text.
    held: String,
    /// Whether one of them has ended the answer.
    has_ended: bool,
}

impl Stops {
    /// Takes out of `turn` the stop texts that Anthropic refuses, to watch for them.
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

    /// Whether a stop text has ended the answer, in the middle of its run.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Forgets the answer, of which another one takes the place.
    pub(super) fn forget(&mut self) {
        self.held.clear();
        self.has_ended = false;
    }

    /// Takes the next step of the answer, and gives what may be told by now. With a stop text that is the end of the answer, with
    /// the tokens that `tally` has counted so far.
    pub(super) fn take(&mut self, event: TurnEvent, tally: &Tally) -> Vec<TurnEvent> {
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
        if let Some((start, stop)) = first(&text, &self.texts) {
            self.has_ended = true;
            let stop_text = Some(stop.to_owned());
            text.truncate(start);
            let finish = Finish {
                stop_text,
                ..Finish::new(FinishReason::Stop, tally.usage())
            };
            return as_text(text)
                .into_iter()
                .chain([TurnEvent::Finished(finish)])
                .collect();
        }
        self.held = text.split_off(beginning(&text, &self.texts));
        as_text(text).into_iter().collect()
    }
}

/// Whether Anthropic refuses `stop`.
fn is_refused(stop: &str) -> bool {
    stop.chars()
        .all(|character| character.is_whitespace() || character.is_control())
}

fn as_text(text: String) -> Option<TurnEvent> {
    (!text.is_empty()).then_some(TurnEvent::Text(text))
}

/// The stop text that is whole first, and where it begins: of several that end at one place the longest.
fn first<'a>(text: &str, stops: &'a [String]) -> Option<(usize, &'a str)> {
    let found = stops
        .iter()
        .filter_map(|stop| text.find(stop.as_str()).map(|start| (start, stop.as_str())));
    found.min_by_key(|(start, stop)| (start + stop.len(), *start))
}

/// Where the longest end of `text` begins that is the beginning of a stop text.
fn beginning(text: &str, stops: &[String]) -> usize {
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
#[path = "stops_tests.rs"]
mod tests;
