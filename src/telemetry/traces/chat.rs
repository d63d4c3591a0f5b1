//! Span of a turn: a call to the model, with the time until its first token.

use super::keys;
use super::segment::OpenSpan;
use super::segment::SpanScope;
use super::semconv::GenAiConventions;
use super::semconv::finish_reason;
use super::span::SpanKind;
use super::tracer::BatchTraceLink;
use super::tracer::Tracer;
use crate::domain::Caller;
use crate::domain::Effort;
use crate::domain::Finish;
use crate::domain::RequestTrace;
use crate::domain::Turn;

const OPERATION: &str = "chat";
/// Error code of a turn that its client has left.
const CLIENT_GONE: &str = "client_gone";

/// Span of a turn. Dropping it records a turn whose client has left.
#[derive(Debug)]
pub struct ChatSpan {
    /// Span of the time between the acceptance of the turn and its first token. Before `span`, so
    /// that it ends first.
    first_token: Option<OpenSpan>,
    span: OpenSpan,
    is_over: bool,
}

impl Tracer {
    /// Begins the span of `turn` below the span of its request. A background turn, which outlives
    /// the request, has a segment of its own. `None` while traces are off.
    pub fn begin_chat(&self, caller: &Caller, turn: &Turn) -> Option<ChatSpan> {
        let tracer = self.0.as_ref()?;
        let name = format!("{OPERATION} {}", turn.model);
        let kind = SpanKind::Client;
        let mut span = match SpanScope::from_trace(&caller.trace) {
            Some(scope) if caller.in_background => scope.detached(name, kind),
            Some(scope) => scope.child_or_detached(name, kind),
            None => OpenSpan::begin_first(tracer, None, None, name, kind),
        };
        if let Some(link) = caller.trace.get::<BatchTraceLink>() {
            span.link(link.cause().clone());
        }
        set_request(&mut span, caller, turn);
        Some(ChatSpan {
            first_token: None,
            span,
            is_over: false,
        })
    }
}

impl ChatSpan {
    /// Returns the place below this span, for the steps of the turn.
    pub fn request_trace(&self) -> RequestTrace {
        self.span.request_trace()
    }

    /// Records that `model` has accepted the turn, and what the response cache had for it.
    pub fn accept(&mut self, model: &str, cache: Option<&'static str>) {
        if !model.is_empty() {
            self.span.set(keys::RESPONSE_MODEL, model);
        }
        self.span.set_if_some(keys::CACHE, cache);
        self.first_token = Some(self.span.child("first token", SpanKind::Internal));
    }

    /// Records the model that answers, as upstream has named it.
    pub fn set_model(&mut self, model: &str) {
        self.span.set(keys::RESPONSE_MODEL, model);
    }

    /// Records that the first piece of the answer is here.
    pub fn end_first_token(&mut self) {
        if self.first_token.take().is_some() {
            let seconds = self.span.elapsed().as_secs_f64();
            let conventions = self.conventions();
            conventions.set_time_to_first_chunk(&mut self.span, seconds);
        }
    }

    /// Ends the span of a whole answer.
    pub fn finish(mut self, finish: &Finish) {
        let reasons = [finish_reason(finish.reason)];
        self.span.set(keys::FINISH_REASONS, &reasons[..]);
        let conventions = self.conventions();
        conventions.set_usage(&mut self.span, &finish.usage);
        self.is_over = true;
    }

    /// Ends the span of a turn that failed after it was accepted.
    pub fn fail(mut self, error_code: &str) {
        self.span.fail(error_code);
        self.is_over = true;
    }

    /// Ends the span of a turn that was refused.
    pub fn refuse(mut self, error_code: &str) {
        self.span.refuse(error_code);
        self.is_over = true;
    }

    fn conventions(&self) -> GenAiConventions {
        self.span.tracer().options.conventions
    }
}

impl Drop for ChatSpan {
    fn drop(&mut self) {
        if !self.is_over {
            self.span.refuse(CLIENT_GONE);
        }
    }
}

/// Sets what the request asks for: parameters, and nothing of its content.
fn set_request(span: &mut OpenSpan, caller: &Caller, turn: &Turn) {
    let options = span.tracer().options.clone();
    let sampling = &turn.sampling;
    options.conventions.set_operation(span, OPERATION);
    options
        .conventions
        .set_reasoning_level(span, sampling.effort.and_then(effort));
    span.set_if_some(keys::SERVER_ADDRESS, options.upstream.address);
    span.set_if_some(keys::SERVER_PORT, options.upstream.port);
    span.set(keys::REQUEST_MODEL, turn.model.as_str());
    span.set_if_some(keys::REQUEST_MAX_TOKENS, sampling.max_output_tokens);
    span.set_if_some(keys::REQUEST_TEMPERATURE, sampling.temperature);
    span.set_if_some(keys::REQUEST_TOP_P, sampling.top_p);
    span.set_if_some(keys::REQUEST_TOP_K, sampling.top_k);
    span.set_if_some(keys::REQUEST_SEED, sampling.seed);
    span.set(keys::KEY, caller.name.as_str());
    span.set(keys::PROJECT, caller.project.as_str());
    span.set_if_some(keys::WORK, caller.idempotency_key.as_deref());
    if sampling.choice_index > 0 {
        span.set(keys::CHOICE, sampling.choice_index as u64);
    }
}

/// Returns the name of a requested effort.
fn effort(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::None => Some("none"),
        Effort::NotRequested => None,
        Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::XHigh => Some("xhigh"),
    }
}
