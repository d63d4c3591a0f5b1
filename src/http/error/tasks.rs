//! Client messages for errors of tasks.

use std::time::Duration;

use super::ApiError;
use super::ErrorKind;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::engine::gateway;
use crate::services::tasks::Error;
use crate::services::tasks::FamilyError;

/// `Retry-After` when too many tasks run: a task may have ended by then.
const RETRY_AFTER_TASKS: Duration = Duration::from_secs(10);
/// `Retry-After` while another server begins a task.
const RETRY_AFTER_BEGIN: Duration = Duration::from_secs(1);

impl ApiError {
    /// Error: the server runs no tasks.
    pub(in crate::http) fn tasks_off() -> Self {
        Self::new(
            ErrorKind::TasksOff,
            "This server runs no tasks. Its operator can allow them: `tasks.roots` in its configuration lists the folders in \
             which agents may work.",
        )
    }

    /// Error: another server has taken the task from the queue at this moment.
    fn taken_elsewhere() -> Self {
        let message = "Another server begins this task now. Try again, then it is asked.";
        Self::new(ErrorKind::NodeUnreachable, message).retry_after(RETRY_AFTER_BEGIN)
    }

    /// Error: a task cannot be created below another one.
    fn of_family(error: &FamilyError) -> Self {
        match error {
            FamilyError::ParentNotFound(id) => {
                let message = format!(
                    "No such task: '{}'. `parent_task_id` names a task of this key that was not deleted and has not expired.",
                    printable(id)
                );
                Self::new(ErrorKind::UnknownTask, message).at("parent_task_id")
            }
            FamilyError::TooDeep(most) => {
                let words =
                    format!("a task has at most {most} tasks above it. Name one further up.");
                refused("parent_task_id", &words)
            }
            FamilyError::Full(most) => {
                let words = format!(
                    "a family has at most {most} tasks below its first, deleted ones included. Create a task without a parent."
                );
                refused("parent_task_id", &words)
            }
            FamilyError::OverBudget { limit, left } => {
                let message = format!(
                    "The tasks of this family share a budget of {limit}, of which {left} are left: the rest is spent or reserved. \
                     Ask for less in `max_budget_usd`, wait for the end of a task, or create one without a parent."
                );
                Self::new(ErrorKind::OverBudget, message).at("max_budget_usd")
            }
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Disabled => Self::tasks_off(),
            Error::Workspace(bad) => refused("workspace", &format!("{bad}.")),
            Error::TimeoutTooLong(most) => {
                refused("timeout_seconds", &format!("a task of this server may run for {} s.", most.as_secs()))
            }
            Error::WebhookHost => refused(
                "webhook.url",
                "no webhook may be on this host. Its operator can allow it: `tasks.webhook_hosts`.",
            ),
            Error::UnknownSession(_) => Self::new(
                ErrorKind::UnknownSession,
                "No task of this key has worked in this workspace with that `session_id`. Use the one of an earlier task \
                 and its workspace, or leave it out.",
            )
            .at("session_id"),
            Error::SessionBusy(task) => Self::new(
                ErrorKind::SessionBusy,
                format!("The task {task} works in this session. Create the next one when it has ended."),
            )
            .at("session_id"),
            Error::QueueFull => Self::new(
                ErrorKind::TooManyTasks,
                "The queue of tasks is full. Try again when one of them has ended.",
            )
            .retry_after(RETRY_AFTER_TASKS),
            Error::TooManyForKey(most) => Self::new(
                ErrorKind::TooManyTasks,
                format!("{most} tasks of this key run or wait, and no more may. Try again when one of them has ended."),
            )
            .retry_after(RETRY_AFTER_TASKS),
            Error::ShuttingDown => Self::shutting_down(),
            Error::NotFound(id) => {
                let message = format!(
                    "No such task: '{}'. It was never created by this key, or deleted, or has expired.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownTask, message)
            }
            Error::TaskExists(task) => Self::new(
                ErrorKind::TaskExists,
                format!(
                    "The task {} of this key has this `task_id`, and was created by another request. Choose another one, \
                     or delete that task first; the same request again is answered with the task.",
                    task.id
                ),
            )
            .at("task_id"),
            Error::IdInUse => Self::new(
                ErrorKind::TaskExists,
                "A task of this key with this `task_id` has not ended. Choose another one, or wait for its end.",
            )
            .at("task_id"),
            Error::UnknownPermissionRequest(id) => {
                let message = format!(
                    "The task has no open permission request '{}': each is answered once, and denied after a timeout.",
                    printable(&id)
                );
                Self::new(ErrorKind::UnknownPermissionRequest, message)
            }
            Error::TaskEnded => Self::new(ErrorKind::TaskOver, "The task has ended already."),
            Error::TakenElsewhere => Self::taken_elsewhere(),
            Error::TaskNotEnded => Self::new(
                ErrorKind::TaskNotOver,
                "The task has not ended. Wait for its end, or interrupt it, before it is handed over.",
            ),
            Error::Family(error) => Self::of_family(&error),
            Error::Hook(stop) => gateway::Error::from(stop).into(),
            Error::Limited(limited) => gateway::Error::from(limited).into(),
            Error::Ledger(error) => gateway::Error::from(error).into(),
            Error::Store(error) => Self::of_store(error),
        }
    }
}

fn refused(field: &str, words: &str) -> ApiError {
    InvalidRequest::at(field, code::VALUE, format!("`{field}`: {words}")).into()
}
