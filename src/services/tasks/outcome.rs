//! Outcomes of a task, and the settlement of its budget hold.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::prior_session_cost::PriorSessionCost;
use super::task::Task;
use super::task::TaskError;
use super::task::TaskStatus;
use super::task::TaskTokens;
use super::task_hold;
use super::task_hold::CallsUsage;
use crate::accounts::ledger;
use crate::accounts::ledger::BudgetHold;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::ChargeOutcome;
use crate::accounts::pricing::Prices;
use crate::domain::Amount;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Money;
use crate::engine::agent::AgentReport;
use crate::engine::agent::AgentStop;
use crate::storage::store;
use crate::telemetry::logs::ErrorChain;

const LEDGER_FAILED: &str = "What the task costs cannot be written down.";

/// Reason for which the server stops a running task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaskStopReason {
    /// Interrupted by the owner, or by the shutdown of the server.
    Requested,
    /// Timeout of the task.
    TimedOut,
    /// Key revoked, expired or without the permission for tasks.
    KeyRevoked,
    /// Budget without room for another model call.
    OverBudget,
    /// Budget of the family spent or reserved by the tasks below this one.
    FamilyOverBudget,
    /// The ledger cannot be written.
    LedgerFailed,
}

/// Outcome of a task.
#[derive(Debug)]
pub(super) enum TaskOutcome {
    /// Cancelled while queued.
    CancelledInQueue,
    /// The agent reported its end. The last field counts the prompt tokens of an abandoned call
    /// that the report leaves out, or 0.
    Reported {
        report: AgentReport,
        why: Option<TaskStopReason>,
        unreported_tokens: u64,
    },
    /// The agent crashed or could not be started, or the server gave up on it.
    AgentFailed {
        failure: Failure,
        why: Option<TaskStopReason>,
        usage: Option<CallsUsage>,
    },
    /// Ended by the server: the agent did not stop in time, or was not allowed to start.
    Killed {
        why: TaskStopReason,
        usage: Option<CallsUsage>,
    },
}

type SettleFuture = BoxFuture<'static, Result<Amount, ledger::Error>>;

impl TaskOutcome {
    /// Outcome of a task whose events cannot be stored. `usage` is what it had used, if that is
    /// known.
    pub(super) fn event_not_stored(error: &store::Error, usage: Option<CallsUsage>) -> Self {
        tracing::error!(error = %ErrorChain(error), "task ended, event not stored");
        let failure = Failure::new(
            FailureKind::Crashed,
            "The events of the task cannot be stored.",
        );
        Self::AgentFailed {
            failure,
            why: None,
            usage,
        }
    }

    /// Outcome of a task that did not start, because the ledger cannot be written.
    pub(super) fn hold_not_stored(error: &ledger::Error) -> Self {
        tracing::error!(error = %ErrorChain(error), "task not started, hold not stored");
        let failure = Failure::new(FailureKind::Crashed, LEDGER_FAILED);
        Self::AgentFailed {
            failure,
            why: None,
            usage: None,
        }
    }

    /// Outcome of a task whose workspace changed while it was queued.
    pub(super) fn workspace_changed() -> Self {
        let failure = Failure::new(
            FailureKind::Crashed,
            "The workspace is not where it was, or may not be used any more.",
        );
        Self::AgentFailed {
            failure,
            why: None,
            usage: None,
        }
    }

    /// Returns the total cost of the session, if the agent reported it.
    pub(super) fn session_cost(&self) -> Option<Money> {
        match self {
            Self::Reported { report: ending, .. } => ending.session_cost,
            Self::CancelledInQueue | Self::AgentFailed { .. } | Self::Killed { .. } => None,
        }
    }

    /// Settles the hold of the task. The charge is the cost reported by the CLI, or else the price
    /// of the usage, each plus the price of an abandoned prompt. The whole hold is charged if the
    /// cost is unknown; it is released if the model was never called. The future ends once the
    /// ledger is on disk.
    pub(super) fn settle_hold(
        &self,
        hold: BudgetHold,
        task: &Task,
        spent: PriorSessionCost,
        prices: &Prices,
    ) -> SettleFuture {
        let (reported, counted, left, outcome) = match self {
            Self::CancelledInQueue => return hold.release().boxed(),
            Self::Reported {
                report: ending,
                unreported_tokens: left,
                ..
            } => {
                let outcome = match ending.reason {
                    AgentStop::Completed => ChargeOutcome::Answered,
                    AgentStop::Interrupted => ChargeOutcome::Cancelled,
                    _ => ChargeOutcome::Failed,
                };
                let reported = ending
                    .session_cost
                    .and_then(|total| spent.cost_of_run(total));
                let counted = CallsUsage {
                    usage: ending.usage,
                    calls: task.counted_calls(),
                };
                (reported, Some(counted), *left, outcome)
            }
            Self::AgentFailed { usage, .. } => (None, *usage, 0, ChargeOutcome::Failed),
            Self::Killed { usage, .. } => (None, *usage, 0, ChargeOutcome::Cancelled),
        };
        if task.turns == 0 && left == 0 && !self.may_have_called_model() {
            return hold.release().boxed();
        }
        let price = |CallsUsage { usage, calls }| prices.cost_of_calls(&task.model, &usage, calls);
        let left_prompt = task_hold::prompt_usage(left);
        // A model without a price counts as the most expensive one, as it did in the hold.
        let left_cost = prices.amount(&task.model, &left_prompt).money;
        let money = reported
            .or_else(|| price(counted?))
            .map(|money| money + left_cost);
        let left_calls = u64::from(left > 0);
        let baseline = counted.and_then(|CallsUsage { usage, calls }| {
            let usage = usage + left_prompt;
            prices.compare_with_baseline(&task.model, &usage, calls + left_calls)
        });
        // An answer was cut off before it was counted: the whole hold is charged.
        let estimated_tokens = counted.map_or(hold.amount().tokens, |_| left);
        hold.settle(Charge {
            model: task.model.clone(),
            usage: counted.unwrap_or_default().usage,
            estimated_tokens,
            money,
            outcome,
            baseline,
            sign_in: None,
            fallback: None,
        })
        .boxed()
    }

    /// True if an agent that ended without a report may have called the model, although no answer
    /// started.
    fn may_have_called_model(&self) -> bool {
        match self {
            Self::AgentFailed { usage, .. } | Self::Killed { usage, .. } => {
                usage.is_some_and(|counted| counted.usage.total_tokens() > 0)
            }
            Self::CancelledInQueue | Self::Reported { .. } => false,
        }
    }

    /// Writes the outcome to the task.
    pub(super) fn apply_to(self, task: &mut Task, cost: Option<Money>) {
        task.cost_nanos = cost.map(Money::nanos);
        if let Self::Reported { report: ending, .. } = &self {
            task.tokens = TaskTokens::from(ending.usage);
        }
        task.status = match &self {
            Self::CancelledInQueue => TaskStatus::Cancelled,
            Self::Reported {
                report:
                    AgentReport {
                        reason: AgentStop::Completed,
                        ..
                    },
                ..
            } => TaskStatus::Completed,
            Self::Reported {
                why: Some(TaskStopReason::Requested),
                ..
            }
            | Self::Reported {
                report:
                    AgentReport {
                        reason: AgentStop::Interrupted,
                        ..
                    },
                why: None,
                ..
            }
            | Self::AgentFailed {
                why: Some(TaskStopReason::Requested),
                ..
            }
            | Self::Killed {
                why: TaskStopReason::Requested,
                ..
            } => TaskStatus::Interrupted,
            _ => TaskStatus::Failed,
        };
        if task.status == TaskStatus::Failed {
            task.error = Some(self.into_task_error());
        } else if let Self::Reported { report: ending, .. } = self
            && task.status == TaskStatus::Completed
        {
            task.result = Some(ending.result);
        }
    }

    /// Returns the error of a failed task, by its outcome.
    fn into_task_error(self) -> TaskError {
        const LATE: &str = "The task did not end in the time it had.";
        const REVOKED: &str =
            "The key of this task was revoked, has expired, or may have no tasks any more.";
        const OVER_BUDGET: &str =
            "A budget of the key or of its project has no room for one more call of the model.";
        const FAMILY_OVER_BUDGET: &str =
            "The tasks below this one have spent or reserved what it might still have spent.";
        let why = match &self {
            Self::Reported { why, .. } | Self::AgentFailed { why, .. } => *why,
            Self::Killed { why, .. } => Some(*why),
            Self::CancelledInQueue => None,
        };
        let stopped = match why {
            Some(TaskStopReason::KeyRevoked) => Some(("key_revoked", REVOKED)),
            Some(TaskStopReason::OverBudget) => Some(("insufficient_quota", OVER_BUDGET)),
            Some(TaskStopReason::FamilyOverBudget) => Some(("max_budget", FAMILY_OVER_BUDGET)),
            Some(TaskStopReason::LedgerFailed) => Some(("agent_failed", LEDGER_FAILED)),
            Some(TaskStopReason::TimedOut) => Some(("timeout", LATE)),
            Some(TaskStopReason::Requested) | None => None,
        };
        if let Some((code, message)) = stopped {
            return TaskError {
                code: code.to_owned(),
                message: message.to_owned(),
            };
        }
        let (code, message) = match self {
            Self::Killed { .. } => ("timeout", LATE.to_owned()),
            Self::Reported { report: ending, .. } => match ending.reason {
                AgentStop::MaxTurns => (
                    "max_turns",
                    "The agent has had all the turns it may have.".to_owned(),
                ),
                AgentStop::MaxBudget => (
                    "max_budget",
                    "The agent has spent what it may spend.".to_owned(),
                ),
                AgentStop::NoSession => (
                    "session_not_found",
                    "The session of this task was not stored, or is gone.".to_owned(),
                ),
                AgentStop::Failed(kind) => (failure_code(kind), ending.result),
                AgentStop::Completed | AgentStop::Interrupted => ("failed", ending.result),
            },
            Self::AgentFailed { failure, .. } => ("agent_failed", failure.message),
            Self::CancelledInQueue => ("cancelled", "The task was called off.".to_owned()),
        };
        TaskError {
            code: code.to_owned(),
            message,
        }
    }
}

/// Returns the error code of a failed model call, the same as in a chat response.
fn failure_code(kind: FailureKind) -> &'static str {
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
