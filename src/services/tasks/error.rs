//! How a request about tasks fails.

use std::time::Duration;

use super::live::Refusal;
use super::task::Task;
use super::workspace::BadWorkspace;
use crate::accounts::ledger;
use crate::accounts::rate_limit::Limited;
use crate::storage::store;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No root is configured, or there is nobody to run agents.
    #[error("tasks are off")]
    Off,
    /// The agent may not work there.
    #[error("`workspace`: {0}")]
    Workspace(#[from] BadWorkspace),
    /// The caller has no task with this session, or it was one of another workspace.
    #[error("no task in this workspace has the session {0}")]
    UnknownSession(String),
    /// A task works in the session.
    #[error("the task {0} works in this session")]
    SessionBusy(String),
    /// It asks for more time than a task may have.
    #[error("a task may run for {0:?}")]
    TooLong(Duration),
    /// Its webhook is on a host that none may be on.
    #[error("no webhook may be on this host")]
    WebhookHost,
    /// Too many tasks wait already.
    #[error("too many tasks wait already")]
    Full,
    /// So many of the caller's run or wait already.
    #[error("{0} tasks of the key run or wait already")]
    TooMany(usize),
    /// The server stops.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The caller has no task of this name.
    #[error("no task is called {0}")]
    NotFound(String),
    /// The caller has another task of the id that it has chosen.
    #[error("the task {} has this id", .0.id)]
    TaskExists(Box<Task>),
    /// The task does not ask this, or no longer.
    #[error("the task asks nothing called {0}")]
    UnknownQuestion(String),
    /// The task is over.
    #[error("the task is over")]
    Over,
    /// A limit of the caller does not let it in.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// A budget has no room.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Self::Full,
            Refusal::TooMany(most) => Self::TooMany(most),
            Refusal::SessionBusy(task) => Self::SessionBusy(task),
        }
    }
}
