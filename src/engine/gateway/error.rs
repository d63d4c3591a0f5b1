//! Errors of the gateway, by the distinctions that a caller must make.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::accounts::ledger;
use crate::accounts::ledger::BudgetExceeded;
use crate::accounts::ledger::BudgetScope;
use crate::accounts::rate_limit::AdmitError;
use crate::accounts::rate_limit::LimitKind;
use crate::accounts::rate_limit::LimitScope;
use crate::accounts::rate_limit::RateLimited;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::hooks::HookNotes;
use crate::engine::hooks::HookStop;
use crate::engine::pool::BusyReason;

/// Retry-After when all workers are busy: long enough for a short answer to end.
const RETRY_WHEN_BUSY: Duration = Duration::from_secs(1);

/// Reason why a turn was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Every worker is busy, and the queue is full or the wait in it was too long.
    #[error("all {workers} workers are busy: {reason}")]
    Busy {
        /// Maximum number of workers.
        workers: usize,
        /// Reason why the request cannot wait for one.
        reason: BusyReason,
        /// Time after which a retry may succeed.
        retry_after: Duration,
    },
    /// Failure to start any worker.
    #[error("no worker can be started: {reason}")]
    Unavailable {
        /// Message of the last failed start, safe to show to clients.
        reason: String,
        /// Time until the next start is tried.
        retry_after: Duration,
    },
    /// The server has no sign-in for Claude.
    #[error("{0}")]
    NotSignedIn(String),
    /// Unknown model name.
    #[error("the model `{0}` does not exist")]
    UnknownModel(String),
    /// The model does not take a parameter of the turn.
    #[error("the model `{model}` takes no `{parameter}`")]
    Restricted {
        /// Name of the refused parameter.
        parameter: &'static str,
        /// Id of the model.
        model: String,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The operator cancelled the turn.
    #[error("the operator cancelled the turn")]
    CancelledByOperator,
    /// A rate limit of the caller is reached.
    #[error(transparent)]
    Limited(#[from] RateLimited),
    /// A budget of the caller has no room.
    #[error(transparent)]
    OverBudget(#[from] BudgetExceeded),
    /// The caller does not belong to the project that the request names.
    #[error("the key is of another project than the request names")]
    ForeignProject,
    /// The caller may not name this model.
    #[error("the key may not use the model `{0}`")]
    ForbiddenModel(String),
    /// The turn asks for web search, which is off for the caller or the server.
    #[error("the web may not be searched")]
    WebSearchOff {
        /// Set if the key lacks the permission.
        by_key: bool,
    },
    /// The turn asks for code execution or MCP servers, which are not available to it.
    #[error("code and MCP servers may not be had: {0}")]
    ServerToolsOff(ServerToolsOff),
    /// A file that the turn names cannot be part of it.
    #[error("the file at `{place}` cannot be used")]
    File {
        /// Path of the field that names the file.
        place: String,
        /// Reason why the file cannot be used.
        #[source]
        fault: FileFault,
    },
    /// The ledger cannot record costs, so no run may begin.
    #[error("the ledger cannot be used")]
    Ledger(#[source] SharedCause),
    /// A hook stopped the turn.
    #[error(transparent)]
    Hook(#[from] HookStop),
    /// The turn failed, and it had hooks.
    #[error(transparent)]
    Hooked(Box<HookedError>),
    /// The turn was refused after another one of its request had begun, which is charged.
    #[error(transparent)]
    AfterOthers(Box<Self>),
    /// The run failed.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Error of a turn that had hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookedError {
    /// Error of the turn.
    pub error: Error,
    /// Verdicts of the hooks that were called.
    pub notes: HookNotes,
    /// Message for the client, if a hook replaced it.
    pub message: Option<String>,
    /// Set if hooks were called with the error.
    pub is_reported: bool,
}

impl fmt::Display for HookedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl StdError for HookedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// Reason why Anthropic may not run code or call MCP servers for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerToolsOff {
    /// The caller's key lacks the permission.
    #[error("the key lacks the permission `server_tools`")]
    ByKey,
    /// The configuration has them off.
    #[error("`server_tools.enabled` is false")]
    BySetting,
    /// The CLI cannot read the calls of MCP servers.
    #[error("the CLI cannot read calls of MCP servers")]
    Unreadable,
    /// Calls upstream lack the beta that the tool requires.
    #[error("`claude.betas` lacks `{0}`")]
    WithoutBeta(&'static str),
}

/// Reason why a file cannot be part of a turn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// The caller's project has no such file.
    #[error("it is not there")]
    Missing {
        /// Id as the caller wrote it.
        id: String,
    },
    /// The model cannot read the file here; the text says why.
    #[error("{0}")]
    Unfit(String),
    /// The files of the turn exceed their size limit with this one.
    #[error("it is too large")]
    TooLarge {
        /// Size limit, in bytes of base64.
        limit: u64,
    },
    /// The file could not be read; the cause is for the log.
    #[error("it cannot be read")]
    Unreadable(#[source] SharedCause),
}

/// Cause of an error, kept for the log. Clones share it, and are equal to each other alone.
#[derive(Debug, Clone)]
pub struct SharedCause(Arc<dyn StdError + Send + Sync>);

impl SharedCause {
    /// Creates the cause of one error.
    pub fn new(cause: impl StdError + Send + Sync + 'static) -> Self {
        Self(Arc::new(cause))
    }
}

impl fmt::Display for SharedCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl StdError for SharedCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

impl PartialEq for SharedCause {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for SharedCause {}

impl Error {
    /// Creates the error of a turn for which none of the `workers` is free, nor a place to wait.
    pub fn busy(workers: usize, reason: BusyReason) -> Self {
        Self::Busy {
            workers,
            reason,
            retry_after: RETRY_WHEN_BUSY,
        }
    }

    /// True if a run failed for reasons of the one caller that began it: its budget, its share of
    /// the queue, or the sign-ins that its key may use. A caller that joined the run may then start its own. Rate limits are checked
    /// before a run.
    pub(super) fn concerns_only_its_caller(&self) -> bool {
        matches!(
            self,
            Self::OverBudget(_)
                | Self::NotSignedIn(_)
                | Self::Busy {
                    reason: BusyReason::OwnShare { .. },
                    ..
                }
        )
    }

    /// Returns the step that refused a turn, and whose limit or right it was, as metrics name them.
    pub fn refusal_labels(&self) -> (&'static str, &'static str) {
        (self.refused_by(), self.refusal_scope())
    }

    fn refusal_scope(&self) -> &'static str {
        let key = "key";
        let project = "project";
        let end_user = "end_user";
        let server = "server";
        match self {
            Self::Limited(limited) => match limited.scope {
                LimitScope::Key => key,
                LimitScope::Project => project,
                LimitScope::EndUser => end_user,
            },
            Self::OverBudget(over) => match over.scope {
                BudgetScope::Key => key,
                BudgetScope::Project => project,
                BudgetScope::EndUser => end_user,
            },
            Self::Busy {
                reason: BusyReason::OwnShare { .. },
                ..
            }
            | Self::ForeignProject
            | Self::ForbiddenModel(_)
            | Self::WebSearchOff { by_key: true }
            | Self::ServerToolsOff(ServerToolsOff::ByKey) => key,
            Self::Hooked(hooked) => hooked.error.refusal_scope(),
            Self::AfterOthers(refusal) => refusal.refusal_scope(),
            _ => server,
        }
    }

    /// Returns the step that refused a turn, as metrics name it.
    fn refused_by(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "queue",
            Self::Unavailable { .. } => "workers",
            Self::NotSignedIn(_) => "sign_in",
            Self::UnknownModel(_) | Self::Restricted { .. } => "model",
            Self::ShuttingDown => "shutdown",
            Self::CancelledByOperator => "operator",
            Self::Limited(limited) => match limited.kind {
                LimitKind::Requests => "requests",
                LimitKind::Tokens(_) => "tokens",
                LimitKind::ConcurrentRequests => "concurrency",
            },
            Self::OverBudget(_) => "budget",
            Self::ForeignProject
            | Self::ForbiddenModel(_)
            | Self::WebSearchOff { .. }
            | Self::ServerToolsOff(_) => "permission",
            Self::File { .. } => "file",
            Self::Ledger(_) => "ledger",
            Self::Hook(_) => "hook",
            Self::Hooked(hooked) => hooked.error.refused_by(),
            Self::AfterOthers(refusal) => refusal.refused_by(),
            Self::Failed(failure) if failure.is_workers_fault() => "workers",
            Self::Failed(_) => "upstream",
        }
    }

    /// True if the message may quote the request, so that it must not be logged: upstream quotes
    /// what it refuses.
    pub fn may_quote_the_request(&self) -> bool {
        match self {
            Self::Failed(failure) => failure.kind == FailureKind::InvalidRequest,
            Self::Hooked(hooked) => hooked.error.may_quote_the_request(),
            Self::AfterOthers(refusal) => refusal.may_quote_the_request(),
            _ => false,
        }
    }
}

impl From<AdmitError> for Error {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Limited(limited) => Self::Limited(limited),
            AdmitError::Store(error) => Self::Ledger(SharedCause::new(error)),
        }
    }
}

impl From<ledger::Error> for Error {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::BudgetExceeded(over) => Self::OverBudget(over),
            error => Self::Ledger(SharedCause::new(error)),
        }
    }
}
