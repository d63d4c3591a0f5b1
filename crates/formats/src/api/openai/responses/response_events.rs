//! Builder of a response and its stream events from the events of a turn.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::client_call::ClientCall;
use super::client_tool::ToolNames;
use super::encrypted_content::EncryptedContent;
use super::events::ResponseErrorEvent;
use super::events::ResponseEvent;
use super::events::ResponseSnapshot;
use super::events::Sequence;
use super::item::OpenOutputItem;
use super::item::OutputItemKind;
use super::server_call::ServerCall;
use super::types::IncompleteDetails;
use super::types::Response;
use super::types::ResponseError;
use super::types::ResponseStatus;
use super::types::ResponseUsage;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::openai::REFUSAL;
use crate::domain::Citation;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ServerTool;
use crate::domain::ServerToolOutcome;
use crate::domain::TurnEvent;
use crate::domain::unix_now;

/// Builds one response.
///
/// The output is well-formed for any order of events: sequence numbers have no gaps, each item is
/// opened and closed once, and one event ends the stream.
#[derive(Debug)]
pub struct ResponseWriter {
    response: Response,
    names: ToolNames,
    shows_thinking: bool,
    sequence: Sequence,
    open: Option<OpenOutputItem>,
    /// Server tool calls that run in parallel to the open one. Clients expect one item at a time,
    /// so these are shown afterwards.
    pending_calls: VecDeque<ServerCall>,
    has_begun: bool,
}

impl ResponseWriter {
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
            pending_calls: waiting,
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
    pub fn begin(&mut self) -> Vec<ResponseEvent> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Vec::new();
        }
        let mut events = vec![self.snapshot_event("response.created")];
        if self.response.status == ResponseStatus::Queued {
            events.push(self.snapshot_event("response.queued"));
            self.response.status = ResponseStatus::InProgress;
        }
        events.push(self.snapshot_event("response.in_progress"));
        events
    }

    /// Returns the stream events for `event`; none once the response is over.
    pub fn event(&mut self, event: &TurnEvent) -> Vec<ResponseEvent> {
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
            TurnEvent::Citation(citation) => self.citation(citation, &mut events),
            TurnEvent::Thinking(piece) => {
                self.add_piece(self.thinking_kind(None), piece, &mut events);
            }
            TurnEvent::ThinkingSignature(signature) => self.signature(signature, &mut events),
            TurnEvent::ThinkingRedacted(data) => {
                self.open_item(
                    self.thinking_kind(Some(EncryptedContent::Redacted(data.clone()))),
                    &mut events,
                );
                self.close_all(ResponseStatus::Completed, &mut events);
            }
            TurnEvent::Text(piece) => self.add_piece(OutputItemKind::Message, piece, &mut events),
            TurnEvent::ToolCall { id, name, .. } => {
                self.open_item(
                    OutputItemKind::Call(ClientCall::new(id, self.names.find(name))),
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
            open.track_event(event);
        }
        events
    }

    /// Adds a citation to the open message; dropped if none is open.
    fn citation(&mut self, citation: &Citation, events: &mut Vec<ResponseEvent>) {
        if let Some(open) = self
            .open
            .as_mut()
            .filter(|open| open.accepts(&OutputItemKind::Message))
        {
            open.add_citation(citation, &mut self.sequence, events);
        }
    }

    /// Attaches a signature to the open thinking, and closes it.
    fn signature(&mut self, signature: &str, events: &mut Vec<ResponseEvent>) {
        if self
            .open
            .as_mut()
            .is_some_and(|open| open.attach_signature(signature))
        {
            self.close_all(ResponseStatus::Completed, events);
        }
    }

    fn server_block(&mut self, tool: &ServerTool, events: &mut Vec<ResponseEvent>) {
        match tool {
            ServerTool::Call { id, tool } => {
                let call = ServerCall::new(id, tool);
                if self
                    .open
                    .as_mut()
                    .is_some_and(|open| open.server_call().is_some())
                {
                    self.pending_calls.push_back(call);
                } else {
                    self.open_item(OutputItemKind::Server(call), events);
                }
            }
            ServerTool::Result { id, outcome } => self.server_result(id, outcome, events),
            // OpenAI has no form for it.
            ServerTool::Other => self.close_all(ResponseStatus::Completed, events),
        }
    }

    /// Adds a piece of the input of the last server tool call.
    fn server_input(&mut self, piece: &str, events: &mut Vec<ResponseEvent>) {
        match (self.pending_calls.back_mut(), &mut self.open) {
            (Some(call), _) => call.buffer_input(piece),
            (None, Some(open)) => open.push_input(piece, &mut self.sequence, events),
            (None, None) => {}
        }
    }

    fn server_result(
        &mut self,
        id: &str,
        outcome: &ServerToolOutcome,
        events: &mut Vec<ResponseEvent>,
    ) {
        let open = self.open.as_mut().and_then(OpenOutputItem::server_call);
        let mut calls = open.into_iter().chain(&mut self.pending_calls);
        let Some(call) = calls.find(|call| call.id == id) else {
            return;
        };
        call.outcome = Some(outcome.clone());
        // Results may arrive out of order; items are closed in the order of their calls.
        while self
            .open
            .as_mut()
            .and_then(OpenOutputItem::server_call)
            .is_some_and(|call| call.outcome.is_some())
        {
            self.close_open_item(ResponseStatus::Completed, events);
            if let Some(next) = self.pending_calls.pop_front() {
                self.begin_item(OutputItemKind::Server(next), events);
            }
        }
    }

    /// Fails the response; returns the final events, none once the response is over.
    pub fn fail(&mut self, envelope: &OpenAiErrorEnvelope) -> Vec<ResponseEvent> {
        if self.is_over() {
            return Vec::new();
        }
        let mut events = self.begin();
        self.close_all(ResponseStatus::Incomplete, &mut events);
        self.response.status = ResponseStatus::Failed;
        self.response.error = Some(ResponseError::from(envelope));
        let failure = ResponseErrorEvent {
            code: envelope.code,
            message: &envelope.message,
            param: envelope.param.as_deref(),
        };
        // Some clients know only the first event, some only the second.
        events.push(self.sequence.event("error", &failure));
        events.push(self.snapshot_event("response.failed"));
        events
    }

    /// Replaces the final event, which was not sent because the response could not be stored;
    /// returns the events of the failure.
    pub fn fail_unstored(&mut self, envelope: &OpenAiErrorEnvelope) -> Vec<ResponseEvent> {
        // The number must be reused, so that the stream has no gap.
        self.sequence.reuse_last_number();
        self.response.status = ResponseStatus::InProgress;
        self.response.completed_at = None;
        self.response.incomplete_details = None;
        self.fail(envelope)
    }

    /// Sets `store` to false, because the response could not be stored, and renders the final event
    /// again, which was not sent.
    pub fn mark_unstored(&mut self, events: &mut Vec<ResponseEvent>) {
        self.response.store = false;
        let Some(last) = events.pop() else { return };
        // The number must be reused, so that the stream has no gap.
        self.sequence.reuse_last_number();
        events.push(self.snapshot_event(last.name));
    }

    /// Cancels the response; returns the final events, none once the response is over.
    pub fn cancel(&mut self) -> Vec<ResponseEvent> {
        if self.is_over() {
            return Vec::new();
        }
        let mut events = self.begin();
        self.close_all(ResponseStatus::Incomplete, &mut events);
        self.response.status = ResponseStatus::Cancelled;
        // OpenAI has no event for it; this one ends the stream in every client.
        events.push(self.snapshot_event("response.incomplete"));
        events
    }

    fn thinking_kind(&self, encrypted_content: Option<EncryptedContent>) -> OutputItemKind {
        // Thinking that only Anthropic can read is not shown.
        OutputItemKind::Thinking {
            is_shown: self.shows_thinking && encrypted_content.is_none(),
            encrypted_content,
        }
    }

    fn add_piece(&mut self, kind: OutputItemKind, piece: &str, events: &mut Vec<ResponseEvent>) {
        if !self.open.as_ref().is_some_and(|open| open.accepts(&kind)) {
            self.open_item(kind, events);
        }
        if let Some(open) = &mut self.open {
            open.push(piece, &mut self.sequence, events);
        }
    }

    fn open_item(&mut self, kind: OutputItemKind, events: &mut Vec<ResponseEvent>) {
        self.close_all(ResponseStatus::Completed, events);
        self.begin_item(kind, events);
    }

    fn begin_item(&mut self, kind: OutputItemKind, events: &mut Vec<ResponseEvent>) {
        let index = self.response.output.len();
        self.open = Some(OpenOutputItem::new(
            kind,
            &self.response.id,
            index,
            &mut self.sequence,
            events,
        ));
    }

    /// Closes the open item and all pending server tool calls.
    fn close_all(&mut self, status: ResponseStatus, events: &mut Vec<ResponseEvent>) {
        self.close_open_item(status, events);
        while let Some(call) = self.pending_calls.pop_front() {
            self.begin_item(OutputItemKind::Server(call), events);
            self.close_open_item(status, events);
        }
    }

    fn close_open_item(&mut self, status: ResponseStatus, events: &mut Vec<ResponseEvent>) {
        let closed = self
            .open
            .take()
            .map(|open| open.close(status, &mut self.sequence, events));
        self.response.output.extend(closed);
    }

    fn finish(&mut self, finish: &Finish, events: &mut Vec<ResponseEvent>) {
        let missing = match finish.reason {
            FinishReason::Stop | FinishReason::ToolCalls => None,
            // OpenAI has no value for an answer that Anthropic paused; this one shows clients that
            // it is incomplete.
            FinishReason::Length | FinishReason::Paused => Some("max_output_tokens"),
            FinishReason::ContentFilter => Some("content_filter"),
        };
        let status = if missing.is_none() {
            ResponseStatus::Completed
        } else {
            ResponseStatus::Incomplete
        };
        self.close_all(status, events);
        if finish.reason == FinishReason::ContentFilter {
            self.add_piece(OutputItemKind::Refusal, REFUSAL, events);
            self.close_all(ResponseStatus::Completed, events);
        }
        self.response.status = status;
        self.response.incomplete_details = missing.map(|reason| IncompleteDetails {
            reason: reason.to_owned(),
        });
        self.response.usage = Some(ResponseUsage::from(&finish.usage));
        self.response.completed_at = missing.is_none().then(unix_now);
        events.push(self.snapshot_event(if missing.is_none() {
            "response.completed"
        } else {
            "response.incomplete"
        }));
    }

    fn snapshot_event(&mut self, name: impl Into<Cow<'static, str>>) -> ResponseEvent {
        self.sequence.event(
            name,
            &ResponseSnapshot {
                response: &self.response,
            },
        )
    }
}

/// Converts an error to one of the few codes that `OpenAI` has for failed responses.
impl From<&OpenAiErrorEnvelope> for ResponseError {
    fn from(envelope: &OpenAiErrorEnvelope) -> Self {
        let code = match envelope.r#type {
            "invalid_request_error" => "invalid_prompt",
            "rate_limit_error" => "rate_limit_exceeded",
            _ => "server_error",
        };
        Self {
            code: code.to_owned(),
            message: envelope.message.clone(),
        }
    }
}

#[cfg(test)]
#[path = "response_events_tests.rs"]
mod tests;
