//! How a request about tasks fails.

use super::workspace::BadWorkspace;
use crate::ledger;
use crate::store;

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
    /// Too many tasks wait already.
    #[error("too many tasks wait already")]
    Full,
    /// The caller has no task of this name.
    #[error("no task is called {0}")]
    NotFound(String),
    /// The task does not ask this, or no longer.
    #[error("the task asks nothing called {0}")]
    UnknownQuestion(String),
    /// The task is over.
    #[error("the task is over")]
    Over,
    /// A budget has no room.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}
