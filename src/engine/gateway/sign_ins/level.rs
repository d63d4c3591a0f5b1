//! State of a sign-in, as the operator sees it.

use crate::domain::PlanUsage;
use crate::domain::PlanWindow;
use crate::engine::gateway::WorkerCounts;
use crate::telemetry::metrics::CircuitLevel;

/// Facts about a sign-in, and what its workers report about its plan.
#[derive(Debug, Clone, Default)]
pub struct SignInFacts {
    /// Name of the sign-in, which is not secret.
    pub name: String,
    /// Kind of the sign-in, as the setting `kind` names it.
    pub kind: &'static str,
    /// Use of the sign-in's plan.
    pub plan: PlanUsage,
}

/// State of a sign-in at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignInLevel {
    /// Name of the sign-in.
    pub name: String,
    /// Kind of the sign-in, as the setting `kind` names it.
    pub kind: &'static str,
    /// Problems, each a sentence with advice for an operator; empty when turns can be served.
    pub problems: Vec<String>,
    /// Numbers of workers by state.
    pub workers: WorkerCounts,
    /// Requests that wait for a worker of this sign-in.
    pub waiting: usize,
    /// Circuits of its circuit breaker.
    pub circuits: Vec<CircuitLevel>,
    /// Time until which Anthropic refuses its calls for a limit of its plan, in seconds of Unix time;
    /// `None` if it does not.
    pub refused_until: Option<u64>,
    /// Windows of its plan that have not ended; empty for a sign-in without a plan.
    pub windows: Vec<PlanWindow>,
}
