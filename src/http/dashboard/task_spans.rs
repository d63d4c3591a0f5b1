//! Spans of a task: when its model answered, its tools ran and its agent waited.

use std::collections::VecDeque;

use serde_json::Value;
use serde_json::json;

use crate::domain::unix_now_ms;
use crate::http::error::ApiError;
use crate::http::v1::tasks::view::written_path;
use crate::services::tasks::OwnedTask;
use crate::services::tasks::Task;
use crate::services::tasks::TaskEvent;
use crate::services::tasks::TaskEventKind;
use crate::services::tasks::Tasks;

/// Maximum number of spans in an answer; the last ones count.
const MAX_SPANS: usize = 2000;
/// Maximum number of events that are read; the last ones count.
const MAX_EVENTS: u64 = 2 * MAX_SPANS as u64;
const MS_PER_SECOND: u64 = 1000;

/// Activity of an agent during a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TaskSpanKind {
    Queue,
    Turn,
    Tool,
    Wait,
}

/// Span of a task. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
struct TaskSpan {
    kind: TaskSpanKind,
    /// Tool that runs or is asked for.
    name: Option<String>,
    /// Id of the tool call or of the permission request.
    id: Option<String>,
    starts_at: u64,
    ends_at: Option<u64>,
    is_error: bool,
    /// File that the tool writes.
    path: Option<String>,
}

/// Spans so far, and what is still open.
#[derive(Debug, Default)]
struct TaskSpanList {
    done: VecDeque<TaskSpan>,
    open: Vec<TaskSpan>,
}

/// Reads the events of a task up to now and renders its spans.
///
/// # Errors
/// Fails when the store fails.
pub(super) async fn read_spans(tasks: &Tasks, found: &OwnedTask) -> Result<Value, ApiError> {
    let task = &found.task;
    let mut spans = TaskSpanList::of_task(task);
    for event in tasks.last_events(found, MAX_EVENTS).await? {
        spans.add(&event);
    }
    let rows = spans.into_rows(task);
    let now_ms = unix_now_ms();
    Ok(json!({"object": "list", "task_id": task.id, "now_ms": now_ms, "data": rows}))
}

impl TaskSpanList {
    /// Begins with the time in the queue, and the first turn if the task has started.
    fn of_task(task: &Task) -> Self {
        let mut list = Self::default();
        let queue = TaskSpan::new(TaskSpanKind::Queue, task.created_at * MS_PER_SECOND);
        match task.started_at {
            None => list.open.push(queue),
            Some(start) => {
                let start = start * MS_PER_SECOND;
                list.push_done(queue.ended(start, false));
                list.open.push(TaskSpan::new(TaskSpanKind::Turn, start));
            }
        }
        list
    }

    fn add(&mut self, event: &TaskEvent) {
        let at = event.unix_ms();
        match &event.kind {
            TaskEventKind::ToolUse { id, name, input } => {
                self.end(TaskSpanKind::Turn, None, at, false);
                self.open.push(TaskSpan {
                    name: Some(name.clone()),
                    id: Some(id.clone()),
                    path: written_path(name, input).map(str::to_owned),
                    ..TaskSpan::new(TaskSpanKind::Tool, at)
                });
            }
            TaskEventKind::ToolResult {
                tool_use_id,
                is_error,
                ..
            } => {
                self.end(TaskSpanKind::Tool, Some(tool_use_id), at, *is_error);
                self.begin_turn(at);
            }
            TaskEventKind::PermissionRequest {
                request_id, tool, ..
            } => self.open.push(TaskSpan {
                name: Some(tool.clone()),
                id: Some(request_id.clone()),
                ..TaskSpan::new(TaskSpanKind::Wait, at)
            }),
            TaskEventKind::PermissionResolved {
                request_id,
                decision,
            } => {
                let is_error = decision != "allow";
                self.end(TaskSpanKind::Wait, Some(request_id), at, is_error);
            }
            TaskEventKind::Complete { .. } => self.end_all(at, false),
            TaskEventKind::Error { .. } => self.end_all(at, true),
            _ => {}
        }
    }

    /// Ends the open span of this kind and id; a turn has none.
    fn end(&mut self, kind: TaskSpanKind, id: Option<&str>, at: u64, is_error: bool) {
        let is_meant = |span: &TaskSpan| span.kind == kind && span.id.as_deref() == id;
        if let Some(index) = self.open.iter().position(is_meant) {
            let span = self.open.remove(index);
            self.push_done(span.ended(at, is_error));
        }
    }

    /// Begins the next turn once no tool runs.
    fn begin_turn(&mut self, at: u64) {
        if self.open.is_empty() {
            self.open.push(TaskSpan::new(TaskSpanKind::Turn, at));
        }
    }

    fn end_all(&mut self, at: u64, is_error: bool) {
        for span in std::mem::take(&mut self.open) {
            self.push_done(span.ended(at, is_error));
        }
    }

    fn push_done(&mut self, span: TaskSpan) {
        if self.done.len() >= MAX_SPANS {
            self.done.pop_front();
        }
        self.done.push_back(span);
    }

    /// Renders the spans by their start. What is left open ends with the task, if it has ended.
    fn into_rows(mut self, task: &Task) -> Vec<Value> {
        if let Some(end) = task.ended_at {
            self.end_all(end * MS_PER_SECOND, false);
        }
        let mut all: Vec<TaskSpan> = self.done.into_iter().chain(self.open).collect();
        all.sort_by_key(|span| span.starts_at);
        all.iter().map(TaskSpan::to_json).collect()
    }
}

impl TaskSpan {
    fn new(kind: TaskSpanKind, starts_at: u64) -> Self {
        Self {
            kind,
            name: None,
            id: None,
            starts_at,
            ends_at: None,
            is_error: false,
            path: None,
        }
    }

    fn ended(self, at: u64, is_error: bool) -> Self {
        Self {
            // Start and end of a task are whole seconds, its events are not.
            ends_at: Some(at.max(self.starts_at)),
            is_error,
            ..self
        }
    }

    fn to_json(&self) -> Value {
        let kind = match self.kind {
            TaskSpanKind::Queue => "queue",
            TaskSpanKind::Turn => "turn",
            TaskSpanKind::Tool => "tool",
            TaskSpanKind::Wait => "wait",
        };
        json!({
            "kind": kind,
            "name": self.name,
            "id": self.id,
            "starts_at_ms": self.starts_at,
            "ends_at_ms": self.ends_at,
            "is_error": self.is_error,
            "path": self.path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64, kind: TaskEventKind) -> TaskEvent {
        TaskEvent {
            sequence_number: at_ms,
            created_at: at_ms / MS_PER_SECOND,
            created_at_ms: Some(at_ms),
            kind,
        }
    }

    fn tool_use(at: u64, id: &str) -> TaskEvent {
        let input = json!({"file_path": "/srv/a.rs"});
        let name = "Edit".to_owned();
        let id = id.to_owned();
        event(at, TaskEventKind::ToolUse { id, name, input })
    }

    fn tool_result(at: u64, id: &str) -> TaskEvent {
        let kind = TaskEventKind::ToolResult {
            tool_use_id: id.to_owned(),
            content: String::new(),
            is_error: true,
        };
        event(at, kind)
    }

    /// Kinds with starts and ends.
    fn shown(list: &TaskSpanList) -> Vec<(TaskSpanKind, u64, Option<u64>)> {
        let all = list.done.iter().chain(&list.open);
        all.map(|span| (span.kind, span.starts_at, span.ends_at))
            .collect()
    }

    #[test]
    fn turns_and_tools_follow_each_other() {
        let mut list = TaskSpanList::default();
        list.begin_turn(1);
        list.add(&tool_use(3, "a"));
        list.add(&tool_use(3, "b"));
        list.add(&tool_result(4, "b"));
        list.add(&tool_result(6, "a"));
        assert_eq!(
            shown(&list),
            [
                (TaskSpanKind::Turn, 1, Some(3)),
                (TaskSpanKind::Tool, 3, Some(4)),
                (TaskSpanKind::Tool, 3, Some(6)),
                (TaskSpanKind::Turn, 6, None),
            ]
        );
        let tool = list.done[1].to_json();
        assert_eq!(
            (&tool["path"], &tool["is_error"]),
            (&json!("/srv/a.rs"), &json!(true))
        );
        list.end_all(9, false);
        assert_eq!(shown(&list)[3], (TaskSpanKind::Turn, 6, Some(9)));
    }

    #[test]
    fn wait_for_a_permission_is_within_its_tool() {
        let mut list = TaskSpanList::default();
        list.begin_turn(1);
        list.add(&tool_use(2, "a"));
        let asked = TaskEventKind::PermissionRequest {
            request_id: "p".to_owned(),
            tool: "Edit".to_owned(),
            tool_use_id: "a".to_owned(),
            input: json!({}),
            reason: None,
        };
        list.add(&event(2, asked));
        assert_eq!(shown(&list)[2], (TaskSpanKind::Wait, 2, None));
        let resolved = TaskEventKind::PermissionResolved {
            request_id: "p".to_owned(),
            decision: "deny".to_owned(),
        };
        list.add(&event(5, resolved));
        list.add(&tool_result(5, "a"));
        assert_eq!(shown(&list)[1], (TaskSpanKind::Wait, 2, Some(5)));
        assert!(list.done[1].is_error && list.done[2].is_error);
    }

    #[test]
    fn spans_are_bounded() {
        let mut list = TaskSpanList::default();
        for at in 0..2 * MAX_SPANS as u64 {
            list.push_done(TaskSpan::new(TaskSpanKind::Turn, at));
        }
        assert_eq!(list.done.len(), MAX_SPANS);
        assert_eq!(list.done[0].starts_at, MAX_SPANS as u64);
    }
}
