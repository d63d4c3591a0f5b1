//! Trace of a task: its events as spans.

use std::fmt;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use super::task::Task;
use super::task_event::TaskEventKind;
use crate::domain::Caller;
use crate::domain::Usage;
use crate::engine::agent::AgentTraceContext;
use crate::telemetry::traces::AgentSpan;
use crate::telemetry::traces::Tracer;

/// Span of a task, until its end; empty while traces are off.
#[derive(Default)]
pub(super) struct TaskTrace {
    /// Held for a few instructions at a time and never across an await.
    span: Mutex<Option<AgentSpan>>,
}

impl TaskTrace {
    /// Begins the span of `task`, in the trace of the request that creates it.
    pub(super) fn begin(caller: &Caller, task: &Task) -> Self {
        let Task {
            id,
            model,
            session_id,
            ..
        } = task;
        Self {
            span: Mutex::new(AgentSpan::begin(&caller.trace, id, model, session_id)),
        }
    }

    /// Begins the span of `task`, which has waited in the queue of several servers, with a link to the
    /// request that has created it.
    pub(super) fn begin_waiting(tracer: &Tracer, caller: &Caller, task: &Task) -> Self {
        let Task {
            id,
            model,
            session_id,
            ..
        } = task;
        let trace = &caller.trace;
        Self {
            span: Mutex::new(AgentSpan::begin_waiting(
                tracer, trace, id, model, session_id,
            )),
        }
    }

    /// Returns the position that the agent continues.
    pub(super) fn context(&self) -> Option<AgentTraceContext> {
        let context = self.span().as_ref()?.context();
        Some(AgentTraceContext {
            traceparent: context.traceparent(),
            tracestate: context.tracestate().map(str::to_owned),
        })
    }

    /// Records an event: begins or ends the span of a tool call or of a permission request. The
    /// content of the event is not recorded.
    pub(super) fn record_event(&self, event: &TaskEventKind) {
        let mut span = self.span();
        let Some(span) = span.as_mut() else {
            return;
        };
        match event {
            TaskEventKind::ToolUse { id, name, .. } => span.begin_tool(id, name),
            TaskEventKind::ToolResult {
                tool_use_id,
                is_error,
                ..
            } => span.end_tool(tool_use_id, *is_error),
            TaskEventKind::PermissionRequest {
                request_id,
                tool,
                tool_use_id,
                ..
            } => span.begin_permission(request_id, tool_use_id, tool),
            TaskEventKind::PermissionResolved {
                request_id,
                decision,
            } => span.end_permission(request_id, decision),
            TaskEventKind::Message { .. }
            | TaskEventKind::Progress { .. }
            | TaskEventKind::Complete { .. }
            | TaskEventKind::Error { .. }
            | TaskEventKind::HandedOver { .. } => {}
        }
    }

    /// Ends the trace with the end of `task`.
    pub(super) fn end(&self, task: &Task) {
        let Some(span) = self.span().take() else {
            return;
        };
        let usage = Usage {
            cost: task.cost(),
            ..Usage::from(task.tokens)
        };
        let error_code = task.error.as_ref().map(|error| error.code.as_str());
        let status = task.status.as_str();
        span.end(status, error_code, &task.model, task.turns, &usage);
    }

    fn span(&self) -> MutexGuard<'_, Option<AgentSpan>> {
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for TaskTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TaskTrace").finish_non_exhaustive()
    }
}
