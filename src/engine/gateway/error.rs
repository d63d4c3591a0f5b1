//! The kinds of failure that a caller must tell apart.

use std::time::Duration;

use crate::accounts::ledger;
use crate::accounts::ledger::Over;
use crate::accounts::rate_limit::Limited;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::pool::BusyReason;

/// Why a turn was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// All workers are busy and the queue is full, or the wait in it was too long.
    #[error("all {workers} workers are busy: {reason}")]
    Busy {
        /// How many workers there may be.
        workers: usize,
        /// Why the request cannot wait for one.
        reason: BusyReason,
        /// When it may help to try again.
        retry_after: Duration,
    },
    /// No worker can be started.
    #[error("no worker can be started: {reason}")]
    Unavailable {
        /// What the last start failed with, safe to show.
        reason: String,
        /// When the next start is tried.
        retry_after: Duration,
    },
    /// The server has no sign-in for Claude.
    #[error("{0}")]
    NotSignedIn(String),
    /// No model has this name.
    #[error("the model `{0}` does not exist")]
    UnknownModel(String),
    /// The model does not take a parameter of the turn.
    #[error("the model `{model}` takes no `{parameter}`")]
    Restricted {
        /// The parameter.
        parameter: &'static str,
        /// The id of the model.
        model: String,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// A limit of the caller does not let it in.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// A budget of the caller has no room.
    #[error(transparent)]
    OverBudget(#[from] Over),
    /// The caller does not belong to the project that is to pay.
    #[error("the key is of another project than the request names")]
    ForeignProject,
    /// The caller may not name this model.
    #[error("the key may not use the model `{0}`")]
    ForbiddenModel(String),
    /// The turn may search the web, and its caller may not have that, or nobody here.
    #[error("the web may not be searched")]
    WebSearchOff {
        /// Whether it is the key that may not.
        by_key: bool,
    },
    /// The turn may have Anthropic run code or call MCP servers, and that may not be.
    #[error("code and MCP servers may not be had: {0}")]
    ServerToolsOff(ServerToolsOff),
    /// A file that the turn names cannot be part of it.
    #[error("the file at `{place}` cannot be used: {fault}")]
    File {
        /// The field that names it.
        place: String,
        /// Why.
        fault: FileFault,
    },
    /// The files of turns that are not under way yet take all the memory there is for them.
    #[error("files of turns that wait take all of {bytes} bytes")]
    FilesFull {
        /// How much there is.
        bytes: u64,
        /// When it may help to try again.
        retry_after: Duration,
    },
    /// What runs cost cannot be written down, so none may begin.
    #[error("the ledger cannot be used: {0}")]
    Ledger(String),
    /// The run failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Why Anthropic may not run code or call MCP servers for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerToolsOff {
    /// The caller's key lacks the permission.
    #[error("the key lacks the permission `server_tools`")]
    ByKey,
    /// Nobody here may.
    #[error("`server_tools.enabled` is false")]
    BySetting,
    /// The CLI cannot read the calls of MCP servers.
    #[error("the CLI cannot read calls of MCP servers")]
    Unreadable,
    /// Calls do not ask for the beta that it takes.
    #[error("`claude.betas` lacks `{0}`")]
    WithoutBeta(&'static str),
}

/// Why a file is no part of a turn that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// The caller's project has no such file.
    #[error("it is not there")]
    Missing {
        /// Its id, as the caller wrote it.
        id: String,
    },
    /// It is nothing that the model reads here, as the words say.
    #[error("{0}")]
    Unfit(String),
    /// With it the files of the turn are larger than they may be.
    #[error("it is too large")]
    TooLarge {
        /// How large they may be, in bytes of base64.
        limit: u64,
    },
    /// It could not be read; why is for the log.
    #[error("{0}")]
    Unreadable(String),
}

impl Error {
    /// Whether a run failed for the one caller alone that began it, so that another with the same question need not hear
    /// it: its budget, or its share of the queue. Limits are no matter of a run: they are asked before.
    pub(super) fn is_callers_own(&self) -> bool {
        matches!(
            self,
            Self::OverBudget(_)
                | Self::Busy {
                    reason: BusyReason::OwnShare { .. },
                    ..
                }
        )
    }

    /// Whether its words may quote the request, so that no log may have them: what upstream refuses, it quotes.
    pub fn may_quote_the_request(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.kind == FailureKind::InvalidRequest)
    }
}

impl From<ledger::Error> for Error {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::Over(over) => Self::OverBudget(over),
            error => Self::Ledger(error.to_string()),
        }
    }
}
