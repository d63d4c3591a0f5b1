//! Filter over the events of an answer, with a window on its text.
//!
//! All text of an answer counts as one: clients of some APIs join it, whatever is in between.
//! Inputs of tools are filtered as whole JSON, without their escapes, once the call is complete.

use std::collections::VecDeque;
use std::sync::Arc;

use super::filter::Filter;
use super::filter::FilterRefusal;
use super::filter::block_form;
use super::json_text::JsonForm;
use super::window::ReleasedPiece;
use super::window::TextWindow;
use crate::domain::BlockDelta;
use crate::domain::Citation;
use crate::domain::ServerBlock;
use crate::domain::TurnEvent;

/// Filter of one answer.
#[derive(Debug)]
pub(super) struct AnswerFilter {
    filter: Arc<Filter>,
    text: TextWindow,
    /// Bytes of text received so far.
    received: usize,
    /// Bytes of the received text that are released.
    released: usize,
    /// Events behind text that is held back, each with the number of text bytes before it.
    waiting: VecDeque<(usize, TurnEvent)>,
    thinking: TextWindow,
    has_changed_thinking: bool,
    /// Input of the current tool call, as far as it is received.
    tool_input: String,
    /// Input of the current server tool, in the pieces in which it is received.
    server_input: Vec<BlockDelta>,
    ready: Vec<TurnEvent>,
    has_changed: bool,
}

impl AnswerFilter {
    pub(super) fn new(filter: Arc<Filter>) -> Self {
        Self {
            filter,
            text: TextWindow::default(),
            received: 0,
            released: 0,
            waiting: VecDeque::new(),
            thinking: TextWindow::default(),
            has_changed_thinking: false,
            tool_input: String::new(),
            server_input: Vec::new(),
            ready: Vec::new(),
            has_changed: false,
        }
    }

    /// True if something was replaced so far.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Adds an event, and returns those that can be sent.
    ///
    /// # Errors
    /// Fails if the filter refuses the answer.
    pub(super) fn push(&mut self, event: TurnEvent) -> Result<Vec<TurnEvent>, FilterRefusal> {
        self.close_blocks(&event)?;
        match event {
            TurnEvent::Text(piece) => {
                self.received += piece.len();
                let pieces = self.text.push(&self.filter, &piece)?;
                self.release_text(pieces);
            }
            TurnEvent::Thinking(piece) => {
                if !self.thinking.is_holding() {
                    self.has_changed_thinking = false;
                }
                let pieces = self.thinking.push(&self.filter, &piece)?;
                self.release_thinking(pieces);
            }
            TurnEvent::ThinkingSignature(_) if self.has_changed_thinking => {
                // The signature does not fit the changed text.
            }
            TurnEvent::ToolInput(piece) => self.tool_input.push_str(&piece),
            TurnEvent::BlockDelta(delta) if delta.input.is_some() => self.server_input.push(delta),
            TurnEvent::Finished(_) => {
                let pieces = self.text.finish(&self.filter)?;
                self.release_text(pieces);
                self.emit(event);
            }
            event => {
                let event = self.filtered_json(event)?;
                self.emit(event);
            }
        }
        Ok(std::mem::take(&mut self.ready))
    }

    /// Completes the blocks that `next` ends.
    fn close_blocks(&mut self, next: &TurnEvent) -> Result<(), FilterRefusal> {
        if !matches!(next, TurnEvent::Thinking(_)) && self.thinking.is_holding() {
            let pieces = self.thinking.finish(&self.filter)?;
            self.release_thinking(pieces);
        }
        if !matches!(next, TurnEvent::ToolInput(_)) && !self.tool_input.is_empty() {
            let mut input = std::mem::take(&mut self.tool_input);
            self.has_changed |= self.filter.apply_to_json(&mut input, JsonForm::Free)?;
            self.emit(TurnEvent::ToolInput(input));
        }
        let continues_input = matches!(next, TurnEvent::BlockDelta(delta) if delta.input.is_some());
        if !continues_input && !self.server_input.is_empty() {
            self.close_server_input()?;
        }
        Ok(())
    }

    fn close_server_input(&mut self) -> Result<(), FilterRefusal> {
        let deltas = std::mem::take(&mut self.server_input);
        let pieces = deltas.iter().filter_map(|delta| delta.input.as_deref());
        let mut input: String = pieces.collect();
        if !self.filter.apply_to_json(&mut input, JsonForm::Free)? {
            for delta in deltas {
                self.emit(TurnEvent::BlockDelta(delta));
            }
            return Ok(());
        }
        self.has_changed = true;
        let json = serde_json::json!({"type": "input_json_delta", "partial_json": input});
        self.emit(TurnEvent::BlockDelta(BlockDelta {
            json: json.to_string(),
            input: Some(input),
        }));
        Ok(())
    }

    /// Filters the JSON of blocks that only Anthropic's API has.
    fn filtered_json(&mut self, mut event: TurnEvent) -> Result<TurnEvent, FilterRefusal> {
        let filter = &self.filter;
        let has_changed = match &mut event {
            TurnEvent::ServerBlock(ServerBlock { json, .. })
            | TurnEvent::BlockDelta(BlockDelta { json, .. }) => {
                let form = block_form(json);
                filter.apply_to_json(json, form)?
            }
            TurnEvent::Citation(Citation { json, url, title }) => {
                let form = block_form(json);
                let mut has_changed = filter.apply_to_json(json, form)?;
                for text in [url, title].into_iter().flatten() {
                    has_changed |= filter.apply_to_text(text)?;
                }
                has_changed
            }
            _ => false,
        };
        self.has_changed |= has_changed;
        Ok(event)
    }

    /// Sends an event behind all text that came before it.
    fn emit(&mut self, event: TurnEvent) {
        if self.released < self.received {
            self.waiting.push_back((self.received, event));
        } else {
            self.ready.push(event);
        }
    }

    fn release_text(&mut self, pieces: Vec<ReleasedPiece>) {
        for piece in pieces {
            self.has_changed |= piece.is_replacement;
            let end = self.released + piece.original_bytes;
            if piece.is_replacement {
                self.send_text(piece.text);
                self.send_waiting(end);
            } else {
                self.send_plain(&piece.text, end);
            }
            self.released = end;
        }
        self.send_waiting(self.released);
    }

    /// Sends text as it came, with the events that came within it.
    fn send_plain(&mut self, text: &str, end: usize) {
        let start = end - text.len();
        let mut sent = start;
        while let Some((position, _)) = self.waiting.front()
            && *position < end
        {
            let position = *position;
            self.send_text(text[sent - start..position - start].to_owned());
            sent = position;
            self.send_waiting(position);
        }
        self.send_text(text[sent - start..].to_owned());
        self.send_waiting(end);
    }

    fn send_text(&mut self, text: String) {
        if !text.is_empty() {
            self.ready.push(TurnEvent::Text(text));
        }
    }

    /// Sends the events that came before the byte `position` of the text.
    fn send_waiting(&mut self, position: usize) {
        while self.waiting.front().is_some_and(|(at, _)| *at <= position) {
            let event = self.waiting.pop_front().map(|(_, event)| event);
            self.ready.extend(event);
        }
    }

    fn release_thinking(&mut self, pieces: Vec<ReleasedPiece>) {
        for piece in pieces {
            self.has_changed |= piece.is_replacement;
            self.has_changed_thinking |= piece.is_replacement;
            if !piece.text.is_empty() {
                self.emit(TurnEvent::Thinking(piece.text));
            }
        }
    }
}

#[cfg(test)]
#[path = "answer_filter_tests.rs"]
mod tests;
