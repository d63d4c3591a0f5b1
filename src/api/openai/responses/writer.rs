//! Builder of a response and its stream events from the events of a turn.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::client_call::ClientCall;
use super::client_tool::ToolNames;
use super::events::Event;
use super::events::Failure;
use super::events::Sequence;
use super::events::Whole;
use super::item::Kind;
use super::item::Open;
use super::sealed::Sealed;
use super::server_call::ServerCall;
use super::types::Fault;
use super::types::Incomplete;
use super::types::Response;
use super::types::Status;
use super::types::Usage;
use crate::api::openai::Envelope;
use crate::api::openai::REFUSAL;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::Outcome;
use crate::domain::ServerTool;
use crate::domain::TurnEvent;
use crate::domain::unix_now;

/// Builds one response.
///
/// The output is well-formed for any order of events: sequence numbers have no gaps, each item is
/// opened and closed once, and one event ends the stream.
#[derive(Debug)]
pub struct Writer {
    response: Response,
    names: ToolNames,
    shows_thinking: bool,
    sequence: Sequence,
    open: Option<Open>,
    /// Server tool calls that run in parallel to the open one. Clients expect one item at a time,
    /// so these are shown afterwards.
    waiting: VecDeque<ServerCall>,
    has_begun: bool,
}

impl Writer {
    /// Creates a writer for `response`, which must be empty; `names` are the tools as the client
    /// knows them.
    pub fn new(response: Response, names: ToolNames, shows_thinking: bool) -> Self {
        let waiting = VecDeque::new();
        Self {
            response,
            names,
            shows_thinking,
            sequence: Sequence::default(),
            open: None,
            waiting,
            has_begun: false,
        }
    }

    /// Returns the response built so far.
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// True if the final event was returned.
    pub fn is_over(&self) -> bool {
        self.response.status.is_final()
    }

    /// Returns the first events of the stream; empty after the first call.
    pub fn begin(&mut self) -> Vec<Event> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Vec::new();
        }
        let mut events = vec![self.whole("response.created")];
        if self.response.status == Status::Queued {
            events.push(self.whole("response.queued"));
            self.response.status = Status::InProgress;
        }
        events.push(self.whole("response.in_progress"));
        events
    }

    /// Returns the stream events for `event`; none once the response is over.
    pub fn event(&mut self, event: &TurnEvent) -> Vec<Event> {
        if self.is_over() {
            return Vec::new();
        }
        let mut events = self.begin();
        match event {
            TurnEvent::Started { .. } | TurnEvent::NextText => {}
            TurnEvent::ServerBlock(block) => self.server_block(&block.tool, &mut events),
            TurnEvent::BlockDelta(delta) => {
                if let Some(piece) = &delta.input {
                    self.server_input(piece, &mut events);
                }
            }
            TurnEvent::Citation(citation) => {
                if let Some(open) = self.open.as_mut().filter(|open| open.takes(&Kind::Message)) {
                    open.cite(citation, &mut self.sequence, &mut events);
                }
            }
            TurnEvent::Thinking(piece) => self.piece(self.thinking(None), piece, &mut events),
            TurnEvent::ThinkingSealed(signature) => {
                if self.open.as_mut().is_some_and(|open| open.seal(signature)) {
                    self.close(Status::Completed, &mut events);
                }
            }
            TurnEvent::ThinkingRedacted(data) => {
                self.open(
                    self.thinking(Some(Sealed::Redacted(data.clone()))),
                    &mut events,
                );
                self.close(Status::Completed, &mut events);
            }
            TurnEvent::Text(piece) => self.piece(Kind::Message, piece, &mut events),
            TurnEvent::ToolCall { id, name, .. } => {
                self.open(
                    Kind::Call(ClientCall::new(id, self.names.find(name))),
                    &mut events,
                );
            }
            TurnEvent::ToolInput(piece) => {
                if let Some(open) = self.open.as_mut().filter(|open| open.is_call()) {
                    open.push_input(piece, &mut self.sequence, &mut events);
                }
            }
            TurnEvent::Finished(finish) => self.finish(finish, &mut events),
        }
        // Last, so that an item opened by this event counts its text.
        if let Some(open) = &mut self.open {
            open.follow(event);
        }
        events
    }

    fn server_block(&mut self, tool: &ServerTool, events: &mut Vec<Event>) {
        match tool {
            ServerTool::Call { id, tool } => {
                let call = ServerCall::new(id, tool);
                if self
                    .open
                    .as_mut()
                    .is_some_and(|open| open.server_call().is_some())
                {
                    self.waiting.push_back(call);
                } else {
                    self.open(Kind::Server(call), events);
                }
            }
            ServerTool::Result { id, outcome } => self.server_result(id, outcome, events),
            // OpenAI has no form for it.
            ServerTool::Other => self.close(Status::Completed, events),
        }
    }

    /// Adds a piece of the input of the last server tool call.
    fn server_input(&mut self, piece: &str, events: &mut Vec<Event>) {
        match (self.waiting.back_mut(), &mut self.open) {
            (Some(call), _) => call.keep(piece),
            (None, Some(open)) => open.push_input(piece, &mut self.sequence, events),
            (None, None) => {}
        }
    }

    fn server_result(&mut self, id: &str, outcome: &Outcome, events: &mut Vec<Event>) {
        let open = self.open.as_mut().and_then(Open::server_call);
        let mut calls = open.into_iter().chain(&mut self.waiting);
        let Some(call) = calls.find(|call| call.id == id) else {
            return;
        };
        call.outcome = Some(outcome.clone());
        // Results may arrive out of order; items are closed in the order of their calls.
        while self
            .open
            .as_mut()
            .and_then(Open::server_call)
            .is_some_and(|call| call.outcome.is_some())
        {
            self.close_one(Status::Completed, events);
            if let Some(next) = self.waiting.pop_front() {
                self.begin_item(Kind::Server(next), events);
            }
        }
    }

    /// Fails the response; returns the final events, none once the response is over.
    pub fn fail(&mut self, envelope: &Envelope) -> Vec<Event> {
        if self.is_over() {
            return Vec::new();
        }
        let mut events = self.begin();
        self.close(Status::Incomplete, &mut events);
        self.response.status = Status::Failed;
        self.response.error = Some(fault(envelope));
        let failure = Failure {
            code: envelope.code,
            message: &envelope.message,
            param: envelope.param.as_deref(),
        };
        // Some clients know only the first event, some only the second.
        events.push(self.sequence.event("error", &failure));
        events.push(self.whole("response.failed"));
        events
    }

    /// Replaces the final event, which was not sent because the response could not be stored;
    /// returns the events of the failure.
    pub fn fail_at_the_end(&mut self, envelope: &Envelope) -> Vec<Event> {
        // The number must be reused, so that the stream has no gap.
        self.sequence.take_back();
        self.response.status = Status::InProgress;
        self.response.completed_at = None;
        self.response.incomplete_details = None;
        self.fail(envelope)
    }

    /// Sets `store` to false, because the response could not be stored, and renders the final event
    /// again, which was not sent.
    pub fn mark_unstored(&mut self, events: &mut Vec<Event>) {
        self.response.store = false;
        let Some(last) = events.pop() else { return };
        // The number must be reused, so that the stream has no gap.
        self.sequence.take_back();
        events.push(self.whole(last.name));
    }

    /// Cancels the response; returns the final events, none once the response is over.
    pub fn cancel(&mut self) -> Vec<Event> {
        if self.is_over() {
            return Vec::new();
        }
        let mut events = self.begin();
        self.close(Status::Incomplete, &mut events);
        self.response.status = Status::Cancelled;
        // OpenAI has no event for it; this one ends the stream in every client.
        events.push(self.whole("response.incomplete"));
        events
    }

    fn thinking(&self, seal: Option<Sealed>) -> Kind {
        // Thinking that only Anthropic can read is not shown.
        Kind::Thinking {
            is_shown: self.shows_thinking && seal.is_none(),
            seal,
        }
    }

    fn piece(&mut self, kind: Kind, piece: &str, events: &mut Vec<Event>) {
        if !self.open.as_ref().is_some_and(|open| open.takes(&kind)) {
            self.open(kind, events);
        }
        if let Some(open) = &mut self.open {
            open.push(piece, &mut self.sequence, events);
        }
    }

    fn open(&mut self, kind: Kind, events: &mut Vec<Event>) {
        self.close(Status::Completed, events);
        self.begin_item(kind, events);
    }

    fn begin_item(&mut self, kind: Kind, events: &mut Vec<Event>) {
        let index = self.response.output.len();
        self.open = Some(Open::new(
            kind,
            &self.response.id,
            index,
            &mut self.sequence,
            events,
        ));
    }

    /// Closes the open item and all pending server tool calls.
    fn close(&mut self, status: Status, events: &mut Vec<Event>) {
        self.close_one(status, events);
        while let Some(call) = self.waiting.pop_front() {
            self.begin_item(Kind::Server(call), events);
            self.close_one(status, events);
        }
    }

    fn close_one(&mut self, status: Status, events: &mut Vec<Event>) {
        let closed = self
            .open
            .take()
            .map(|open| open.close(status, &mut self.sequence, events));
        self.response.output.extend(closed);
    }

    fn finish(&mut self, finish: &Finish, events: &mut Vec<Event>) {
        let missing = match finish.reason {
            FinishReason::Stop | FinishReason::ToolCalls => None,
            // OpenAI has no value for an answer that Anthropic paused; this one tells clients that
            // it is incomplete.
            FinishReason::Length | FinishReason::Paused => Some("max_output_tokens"),
            FinishReason::ContentFilter => Some("content_filter"),
        };
        let status = if missing.is_none() {
            Status::Completed
        } else {
            Status::Incomplete
        };
        self.close(status, events);
        if finish.reason == FinishReason::ContentFilter {
            self.piece(Kind::Refusal, REFUSAL, events);
            self.close(Status::Completed, events);
        }
        self.response.status = status;
        self.response.incomplete_details = missing.map(|reason| Incomplete {
            reason: reason.to_owned(),
        });
        self.response.usage = Some(Usage::from(&finish.usage));
        self.response.completed_at = missing.is_none().then(unix_now);
        events.push(self.whole(if missing.is_none() {
            "response.completed"
        } else {
            "response.incomplete"
        }));
    }

    fn whole(&mut self, name: impl Into<Cow<'static, str>>) -> Event {
        self.sequence.event(
            name,
            &Whole {
                response: &self.response,
            },
        )
    }
}

/// Converts an error to one of the few codes that `OpenAI` has for failed responses.
fn fault(envelope: &Envelope) -> Fault {
    let code = match envelope.r#type {
        "invalid_request_error" => "invalid_prompt",
        "rate_limit_error" => "rate_limit_exceeded",
        _ => "server_error",
    };
    Fault {
        code: code.to_owned(),
        message: envelope.message.clone(),
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
