//! Client messages for errors of tasks.

use std::time::Duration;

use super::ApiError;
use super::ErrorKind;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::engine::gateway;
use crate::services::tasks::Error;

/// `Retry-After` when too many tasks run: a task may have ended by then.
const RETRY_AFTER_TASKS: Duration = Duration::from_secs(10);

impl ApiError {
    /// Error: the server runs no tasks.
    pub(in crate::http) fn tasks_off() -> Self {
        Self::new(
            ErrorKind::TasksOff,
            "This server runs no tasks. Its operator can allow them: `tasks.roots` in its configuration lists the folders in \
             which agents may work.",
        )
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
