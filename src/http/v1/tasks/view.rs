//! JSON of tasks and their events.

use serde_json::Value;
use serde_json::json;

use crate::domain::Money;
use crate::engine::agent::PermissionDecision;
use crate::engine::agent::PermissionRequest;
use crate::services::tasks::FamilyBudget;
use crate::services::tasks::Task;
use crate::services::tasks::TaskEvent;
use crate::services::tasks::TaskEventKind;
use crate::services::tasks::TaskTokens;

/// Renders a task.
pub(in crate::http) fn task(task: &Task) -> Value {
    let error = task
        .error
        .as_ref()
        .map(|error| json!({"code": error.code, "message": error.message}));
    json!({
        "id": task.id,
        "task_id": task.task_id(),
        "object": "task",
        "parent_task_id": task.parent_id(),
        "child_task_ids": task.children,
        "family": task.family_budget.as_ref().map(family),
        "status": task.status.as_str(),
        "created_at": task.created_at,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "project_id": task.project,
        "prompt": task.prompt,
        "workspace": task.workspace,
        "model": task.model,
        "system_prompt": task.system_prompt,
        "tools": task.tools,
        "permission_mode": task.permission_mode.as_str(),
        "max_turns": task.max_turns,
        "max_budget_usd": task.max_budget().dollars(),
        "timeout_seconds": task.timeout_seconds,
        "session_id": task.session_id,
        "webhook": task.webhook.as_ref().map(|webhook| json!({"url": webhook.url.reveal()})),
        "progress": {
            "turns": task.turns,
            "events": task.event_count(),
            "tools": task.running_tools.iter().map(|(_, name)| name).collect::<Vec<_>>(),
        },
        "permission_requests": task.questions.iter().map(question).collect::<Vec<_>>(),
        "usage": usage(task.tokens),
        "cost_usd": task.cost().map(Money::dollars),
        "files": {"created": task.files_created, "modified": task.files_modified},
        "result": task.result,
        "error": error,
    })
}

/// Renders a new task with the secret of its webhook, which is shown this once.
pub(super) fn created(new: &Task) -> Value {
    let mut value = task(new);
    if let Some(webhook) = &new.webhook {
        value["webhook"]["secret"] = webhook.secret.reveal().into();
    }
    value
}

/// Renders the confirmation of a deletion.
pub(super) fn deleted(removed: &Task) -> Value {
    json!({"id": removed.id, "task_id": removed.task_id(), "object": "task.deleted", "deleted": true})
}

/// Renders the confirmation of an answer to a permission request.
pub(in crate::http) fn answered(question: &str, answer: &PermissionDecision) -> Value {
    let decision = if *answer == PermissionDecision::Allow {
        "allow"
    } else {
        "deny"
    };
    json!({"object": "task.permission", "request_id": question, "decision": decision})
}

/// Renders an event, in the same way for server-sent events and for the WebSocket.
pub(super) fn event(id: &str, event: &TaskEvent) -> String {
    let mut value = event_content(&event.kind);
    value["type"] = event.kind.name().into();
    value["task_id"] = id.into();
    value["sequence_number"] = event.sequence_number.into();
    value["created_at"] = event.created_at.into();
    value["created_at_ms"] = event.unix_ms().into();
    value.to_string()
}

fn event_content(event: &TaskEventKind) -> Value {
    match event {
        TaskEventKind::Message { text } => json!({"text": text}),
        TaskEventKind::ToolUse { id, name, input } => {
            json!({"id": id, "name": name, "input": input, "path": written_path(name, input)})
        }
        TaskEventKind::ToolResult {
            tool_use_id,
            content,
            is_error,
        } => json!({"tool_use_id": tool_use_id, "content": content, "is_error": is_error}),
        TaskEventKind::PermissionRequest {
            request_id,
            tool,
            tool_use_id,
            input,
            reason,
        } => json!({
            "request_id": request_id,
            "tool": tool,
            "tool_use_id": tool_use_id,
            "input": input,
            "reason": reason,
        }),
        TaskEventKind::PermissionResolved {
            request_id,
            decision,
        } => json!({"request_id": request_id, "decision": decision}),
        TaskEventKind::Progress {
            status,
            turns,
            tokens,
        } => json!({"status": status.as_str(), "turns": turns, "usage": usage(*tokens)}),
        TaskEventKind::Complete { status, result } => {
            json!({"status": status.as_str(), "result": result})
        }
        TaskEventKind::Error { code, message } => json!({"code": code, "message": message}),
        TaskEventKind::HandedOver { to_task_id } => json!({"to_task_id": to_task_id}),
    }
}

/// Returns the path of the file that a call of a tool writes, as the agent has written it.
pub(in crate::http) fn written_path<'input>(
    tool: &str,
    input: &'input Value,
) -> Option<&'input str> {
    let field = match tool {
        "Write" | "Edit" => "file_path",
        "NotebookEdit" => "notebook_path",
        _ => return None,
    };
    input[field].as_str()
}

fn family(budget: &FamilyBudget) -> Value {
    json!({
        "root_task_id": budget.root,
        "max_budget_usd": budget.limit.dollars(),
        "left_usd": budget.left.dollars(),
    })
}

fn question(question: &PermissionRequest) -> Value {
    json!({
        "request_id": question.id,
        "tool": question.tool,
        "tool_use_id": question.tool_use_id,
        "input": serde_json::from_str::<Value>(&question.input).unwrap_or_default(),
        "reason": question.reason,
    })
}

fn usage(tokens: TaskTokens) -> Value {
    let input = tokens.input + tokens.cache_write + tokens.cache_read;
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.output,
        "total_tokens": input + tokens.output,
    })
}
