//! Outcomes of a task, and the settlement of its budget hold.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::funds;
use super::spent::Spent;
use super::task::Status;
use super::task::Task;
use super::task::Tokens;
use super::task::Trouble;
use crate::accounts::ledger;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::Hold;
use crate::accounts::ledger::Outcome;
use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Money;
use crate::domain::Usage;
use crate::engine::agent::EndReason;
use crate::engine::agent::Ending;
use crate::storage::store;

const UNPAID: &str = "What the task costs cannot be written down.";

/// Reason for which the server stops a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Interrupted by the owner, or by the shutdown of the server.
    Asked,
    /// Timeout of the task.
    Late,
    /// Key revoked, expired or without the permission for tasks.
    Revoked,
    /// Budget without room for another model call.
    OverBudget,
    /// The ledger cannot be written.
    Unpaid,
}

/// Outcome of a task.
#[derive(Debug)]
pub(super) enum End {
    /// Cancelled while queued.
    NotBegun,
    /// The agent reported its end. The last field counts the prompt tokens of an abandoned call
    /// that the report leaves out, or 0.
    Told {
        ending: Ending,
        why: Option<Why>,
        left: u64,
    },
    /// The agent crashed or could not be started, or the server gave up on it.
    Lost {
        failure: Failure,
        why: Option<Why>,
        usage: Option<Usage>,
    },
    /// Ended by the server: the agent did not stop in time, or was not allowed to start.
    Killed { why: Why, usage: Option<Usage> },
}

type Settled = BoxFuture<'static, Result<Amount, ledger::Error>>;

impl End {
    /// Outcome of a task whose events cannot be stored. `usage` is what it had used, if that is
    /// known.
    pub(super) fn unkept(error: &store::Error, usage: Option<Usage>) -> Self {
        let error: &dyn std::error::Error = error;
        tracing::error!(error, "task ended: event cannot be stored");
        let failure = Failure::new(FailureKind::Crashed, "What the task tells cannot be kept.");
        Self::Lost {
            failure,
            why: None,
            usage,
        }
    }

    /// Outcome of a task that did not start, because the ledger cannot be written.
    pub(super) fn unpaid(error: &ledger::Error) -> Self {
        let error: &dyn std::error::Error = error;
        tracing::error!(error, "task not started: hold cannot be stored");
        let failure = Failure::new(FailureKind::Crashed, UNPAID);
        Self::Lost {
            failure,
            why: None,
            usage: None,
        }
    }

    /// Outcome of a task whose workspace changed while it was queued.
    pub(super) fn moved() -> Self {
        let failure = Failure::new(
            FailureKind::Crashed,
            "The workspace is not where it was, or may not be used any more.",
        );
        Self::Lost {
            failure,
            why: None,
            usage: None,
        }
    }

    /// Returns the total cost of the session, if the agent reported it.
    pub(super) fn session_cost(&self) -> Option<Money> {
        match self {
            Self::Told { ending, .. } => ending.session_cost,
            Self::NotBegun | Self::Lost { .. } | Self::Killed { .. } => None,
        }
    }

    /// Settles the hold of the task. The charge is the cost reported by the CLI, or else the price
    /// of the usage, each plus the price of an abandoned prompt. The whole hold is charged if the
    /// cost is unknown; it is released if the model was never called. The future ends once the
    /// ledger is on disk.
    pub(super) fn settle(&self, hold: Hold, task: &Task, spent: Spent, prices: &Prices) -> Settled {
        let (told, usage, left, outcome) = match self {
            Self::NotBegun => return hold.release().boxed(),
            Self::Told { ending, left, .. } => {
                let outcome = match ending.reason {
                    EndReason::Completed => Outcome::Answered,
                    EndReason::Interrupted => Outcome::Cancelled,
                    _ => Outcome::Failed,
                };
                let told = ending.session_cost.and_then(|total| spent.since(total));
                (told, Some(ending.usage), *left, outcome)
            }
            Self::Lost { usage, .. } => (None, *usage, 0, Outcome::Failed),
            Self::Killed { usage, .. } => (None, *usage, 0, Outcome::Cancelled),
        };
        if task.turns == 0 && left == 0 && !self.may_have_called() {
            return hold.release().boxed();
        }
        let price = |usage: &Usage| prices.cost(&task.model, usage);
        let left_prompt = funds::prompt(left);
        // A model without a price counts as the most expensive one, as it did in the hold.
        let left_cost = prices.amount(&task.model, &left_prompt).money;
        let money = told
            .or_else(|| price(&usage?))
            .map(|money| money + left_cost);
        let (model, usage) = (task.model.clone(), usage.unwrap_or_default() + left_prompt);
        hold.settle(Charge {
            model,
            usage,
            money,
            outcome,
        })
        .boxed()
    }

    /// True if an agent that ended without a report may have called the model, although no answer
    /// started.
    fn may_have_called(&self) -> bool {
        match self {
            Self::Lost { usage, .. } | Self::Killed { usage, .. } => {
                usage.is_some_and(|usage| usage.total_tokens() > 0)
            }
            Self::NotBegun | Self::Told { .. } => false,
        }
    }

    /// Writes the outcome to the task.
    pub(super) fn mark(self, task: &mut Task, cost: Option<Money>) {
        task.cost_nanos = cost.map(Money::nanos);
        if let Self::Told { ending, .. } = &self {
            task.tokens = Tokens::from(ending.usage);
        }
        task.status = match &self {
            Self::NotBegun => Status::Cancelled,
            Self::Told {
                ending:
                    Ending {
                        reason: EndReason::Completed,
                        ..
                    },
                ..
            } => Status::Completed,
            Self::Told {
                why: Some(Why::Asked),
                ..
            }
            | Self::Told {
                ending:
                    Ending {
                        reason: EndReason::Interrupted,
                        ..
                    },
                why: None,
                ..
            }
            | Self::Lost {
                why: Some(Why::Asked),
                ..
            }
            | Self::Killed {
                why: Why::Asked, ..
            } => Status::Interrupted,
            _ => Status::Failed,
        };
        if task.status == Status::Failed {
            task.error = Some(self.trouble());
        } else if let Self::Told { ending, .. } = self
            && task.status == Status::Completed
        {
            task.result = Some(ending.result);
        }
    }

    /// Returns the error of a failed task, by its outcome.
    fn trouble(self) -> Trouble {
        const LATE: &str = "The task did not end in the time it had.";
        const REVOKED: &str =
            "The key of this task was revoked, has expired, or may have no tasks any more.";
        const OVER_BUDGET: &str =
            "A budget of the key or of its project has no room for one more call of the model.";
        let why = match &self {
            Self::Told { why, .. } | Self::Lost { why, .. } => *why,
            Self::Killed { why, .. } => Some(*why),
            Self::NotBegun => None,
        };
        let stopped = match why {
            Some(Why::Revoked) => Some(("key_revoked", REVOKED)),
            Some(Why::OverBudget) => Some(("insufficient_quota", OVER_BUDGET)),
            Some(Why::Unpaid) => Some(("agent_failed", UNPAID)),
            Some(Why::Late) => Some(("timeout", LATE)),
            Some(Why::Asked) | None => None,
        };
        if let Some((code, message)) = stopped {
            return Trouble {
                code: code.to_owned(),
                message: message.to_owned(),
            };
        }
        let (code, message) = match self {
            Self::Killed { .. } => ("timeout", LATE.to_owned()),
            Self::Told { ending, .. } => match ending.reason {
                EndReason::MaxTurns => (
                    "max_turns",
                    "The agent has had all the turns it may have.".to_owned(),
                ),
                EndReason::MaxBudget => (
                    "max_budget",
                    "The agent has spent what it may spend.".to_owned(),
                ),
                EndReason::NoSession => (
                    "session_not_found",
                    "The session of this task was not stored, or is gone.".to_owned(),
                ),
                EndReason::Failed(kind) => (code_of(kind), ending.result),
                EndReason::Completed | EndReason::Interrupted => ("failed", ending.result),
            },
            Self::Lost { failure, .. } => ("agent_failed", failure.message),
            Self::NotBegun => ("cancelled", "The task was called off.".to_owned()),
        };
        Trouble {
            code: code.to_owned(),
            message,
        }
    }
}

/// Returns the error code of a failed model call, the same as in a chat response.
fn code_of(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::SignIn => "sign_in_failed",
        FailureKind::RateLimited => "rate_limit_exceeded",
        FailureKind::Overloaded => "overloaded",
        FailureKind::ContextTooLong => "context_length_exceeded",
        FailureKind::UnknownModel => "model_not_found",
        FailureKind::InvalidRequest => "failed",
        FailureKind::TimedOut => "timeout",
        FailureKind::Crashed => "agent_failed",
        FailureKind::Upstream => "upstream_error",
    }
}
