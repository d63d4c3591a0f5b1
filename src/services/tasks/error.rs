//! Errors of requests about tasks.

use std::time::Duration;

use super::active::TaskAdmitError;
use super::family::FamilyError;
use super::task::Task;
use super::workspace::WorkspaceError;
use crate::accounts::ledger;
use crate::accounts::rate_limit::AdmitError;
use crate::accounts::rate_limit::RateLimited;
use crate::engine::hooks::HookStop;
use crate::storage::store;

/// Error of a request about tasks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tasks are disabled: no root is configured, or there is no agent runner.
    #[error("tasks are off")]
    Disabled,
    /// The agent may not work in this folder.
    #[error("`workspace`: {0}")]
    Workspace(#[from] WorkspaceError),
    /// The caller has no task with this session, or only in another workspace.
    #[error("no task in this workspace has the session {0}")]
    UnknownSession(String),
    /// Another task is running in the session.
    #[error("the task {0} works in this session")]
    SessionBusy(String),
    /// The requested timeout exceeds this maximum.
    #[error("a task may run for {0:?}")]
    TimeoutTooLong(Duration),
    /// The host of the task's webhook is not in the list of allowed hosts.
    #[error("no webhook may be on this host")]
    WebhookHost,
    /// The task queue is full.
    #[error("too many tasks wait already")]
    QueueFull,
    /// The key has reached its maximum number of running and queued tasks.
    #[error("{0} tasks of the key run or wait already")]
    TooManyForKey(usize),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The caller has no task with this id.
    #[error("no task is called {0}")]
    NotFound(String),
    /// The chosen id belongs to another task of the caller.
    #[error("the task {} has this id", .0.id)]
    TaskExists(Box<Task>),
    /// An active task of the caller has the same id.
    #[error("an active task has this id")]
    IdInUse,
    /// The task has no open permission request with this id.
    #[error("the task asks nothing called {0}")]
    UnknownPermissionRequest(String),
    /// The task has already ended.
    #[error("the task is over")]
    TaskEnded,
    /// Another server has taken the task from the queue just now.
    #[error("another server begins the task")]
    TakenElsewhere,
    /// The task has not ended, so it cannot be handed over.
    #[error("the task is not over")]
    TaskNotEnded,
    /// The task cannot be created below the requested parent.
    #[error(transparent)]
    Family(#[from] FamilyError),
    /// A hook stopped the task before it was created.
    #[error(transparent)]
    Hook(#[from] HookStop),
    /// A rate limit of the caller was reached.
    #[error(transparent)]
    Limited(#[from] RateLimited),
    /// A budget has no room, or the ledger failed.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<AdmitError> for Error {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Limited(limited) => Self::Limited(limited),
            AdmitError::Store(error) => Self::Store(error),
        }
    }
}

impl From<TaskAdmitError> for Error {
    fn from(refusal: TaskAdmitError) -> Self {
        match refusal {
            TaskAdmitError::QueueFull => Self::QueueFull,
            TaskAdmitError::TooManyForOwner(most) => Self::TooManyForKey(most),
            TaskAdmitError::SessionBusy(task) => Self::SessionBusy(task),
            TaskAdmitError::IdInUse => Self::IdInUse,
        }
    }
}
