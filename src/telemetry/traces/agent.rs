//! Span of a task: an agent's work, with the tools that it runs and the permissions that it waits
//! for.

use std::collections::HashMap;

use super::context::TraceContext;
use super::keys;
use super::segment::OpenSpan;
use super::segment::SpanScope;
use super::span::SpanKind;
use super::tracer::BatchTraceLink;
use super::tracer::Tracer;
use crate::domain::RequestTrace;
use crate::domain::Usage;

/// Name of the agent, which is always the same program.
const AGENT_PROGRAM: &str = "claude-code";
const INVOKE_AGENT: &str = "invoke_agent";
const EXECUTE_TOOL: &str = "execute_tool";
const PERMISSION: &str = "permission";
/// Error code of a task whose run ended without a status, because it was never begun or the server
/// was killed.
const NOT_RUN: &str = "not_run";
/// Error code of a tool call that failed or was denied.
const TOOL_FAILED: &str = "tool_error";
/// Maximum number of tool calls and of permission requests that are open at once. Further ones get
/// no span.
const MAX_OPEN_SPANS: usize = 64;

/// Span of a task, with the spans of its open tool calls and permission requests.
#[derive(Debug)]
pub struct AgentSpan {
    /// Open permission requests by id. The first field, because its spans must end first.
    permissions: HashMap<String, OpenSpan>,
    /// Open tool calls by id.
    tools: HashMap<String, OpenSpan>,
    span: OpenSpan,
    is_over: bool,
}

impl AgentSpan {
    /// Begins the span of `task`, which outlives the request that has created it; `None` while
    /// traces are off. `session` is the conversation in which the agent works.
    pub fn begin(trace: &RequestTrace, task: &str, model: &str, session: &str) -> Option<Self> {
        let scope = SpanScope::from_trace(trace)?;
        let span = scope.detached(span_name(), SpanKind::Internal);
        Some(Self::over(span, task, model, session))
    }

    /// Begins the span of `task`, which has waited in the queue of several servers, in a trace of its own.
    /// It is linked to the request that has created the task, which `trace` names. `None` while traces are
    /// off.
    pub fn begin_waiting(
        tracer: &Tracer,
        trace: &RequestTrace,
        task: &str,
        model: &str,
        session: &str,
    ) -> Option<Self> {
        let tracer = tracer.0.as_ref()?;
        let kind = SpanKind::Internal;
        let mut span = OpenSpan::begin_first(tracer, None, None, span_name(), kind);
        if let Some(link) = trace.get::<BatchTraceLink>() {
            span.link(link.cause().clone());
        }
        Some(Self::over(span, task, model, session))
    }

    /// Makes `span` that of `task`.
    fn over(mut span: OpenSpan, task: &str, model: &str, session: &str) -> Self {
        let conventions = span.tracer().options.conventions;
        conventions.set_operation(&mut span, INVOKE_AGENT);
        span.set(keys::AGENT_NAME, AGENT_PROGRAM);
        span.set(keys::REQUEST_MODEL, model);
        span.set(keys::CONVERSATION, session);
        span.set(keys::TASK, task);
        Self {
            permissions: HashMap::new(),
            tools: HashMap::new(),
            span,
            is_over: false,
        }
    }

    /// Returns the trace context that the agent and its tools continue.
    pub fn context(&self) -> TraceContext {
        self.span.context()
    }

    /// Begins the span of the tool call `id`.
    pub fn begin_tool(&mut self, id: &str, tool: &str) {
        if self.tools.len() >= MAX_OPEN_SPANS {
            return;
        }
        let name = format!("{EXECUTE_TOOL} {tool}");
        let mut span = self.span.child(name, SpanKind::Internal);
        span.set(keys::OPERATION, EXECUTE_TOOL);
        span.set(keys::TOOL_NAME, tool);
        span.set(keys::TOOL_CALL, id);
        span.set(keys::TOOL_TYPE, "function");
        self.tools.insert(id.to_owned(), span);
    }

    /// Ends the span of the tool call `id`.
    pub fn end_tool(&mut self, id: &str, is_error: bool) {
        if let (Some(mut span), true) = (self.tools.remove(id), is_error) {
            span.fail(TOOL_FAILED);
        }
    }

    /// Begins the span of the wait for the permission `id`, below the span of its tool call.
    pub fn begin_permission(&mut self, id: &str, tool_call: &str, tool: &str) {
        if self.permissions.len() >= MAX_OPEN_SPANS {
            return;
        }
        let above = self.tools.get(tool_call).unwrap_or(&self.span);
        let mut span = above.child(PERMISSION, SpanKind::Internal);
        span.set(keys::TOOL_NAME, tool);
        self.permissions.insert(id.to_owned(), span);
    }

    /// Ends the wait for the permission `id` with a `decision`, a word of a finite set.
    pub fn end_permission(&mut self, id: &str, decision: &str) {
        if let Some(mut span) = self.permissions.remove(id) {
            span.set(keys::DECISION, decision);
        }
    }

    /// Ends the span of the task and the spans that are still open below it. A failed task has an
    /// `error_code`.
    pub fn end(
        mut self,
        status: &'static str,
        error_code: Option<&str>,
        model: &str,
        turns: u32,
        usage: &Usage,
    ) {
        self.is_over = true;
        self.span.set(keys::TASK_STATUS, status);
        self.span.set(keys::TASK_TURNS, turns);
        if turns > 0 {
            self.span.set(keys::RESPONSE_MODEL, model);
        }
        let conventions = self.span.tracer().options.conventions;
        conventions.set_usage(&mut self.span, usage);
        if let Some(code) = error_code {
            self.span.fail(code);
        }
    }
}

fn span_name() -> String {
    format!("{INVOKE_AGENT} {AGENT_PROGRAM}")
}

impl Drop for AgentSpan {
    fn drop(&mut self) {
        if !self.is_over {
            self.span.refuse(NOT_RUN);
        }
    }
}
