//! Figures that other parts keep, as read at a scrape.

/// Gauges and totals as read at one scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsSnapshot {
    /// Turns answered from the cache.
    pub cache_hits: u64,
    /// Turns among them that joined the run of an equal turn.
    pub cache_joined: u64,
    /// Turns among them whose answer another server has made.
    pub cache_shared_hits: u64,
    /// Waits for answers that another server was making.
    pub cache_shared_waits: u64,
    /// Failures to reach the answers that servers share.
    pub cache_shared_errors: u64,
    /// Cached answers that were removed for their age or to make room.
    pub cache_evicted: u64,
    /// Cacheable turns that were run.
    pub cache_misses: u64,
    /// Turns that are not cacheable.
    pub cache_bypassed: u64,
    /// Number of cached answers.
    pub cache_entries: u64,
    /// Memory of the cached answers, in bytes.
    pub cache_bytes: u64,
    /// Number of workers by state.
    pub workers: Vec<(&'static str, usize)>,
    /// Maximum number of workers.
    pub max_workers: usize,
    /// Number of requests that wait for a worker.
    pub waiting: usize,
    /// Number of unfinished tasks by state.
    pub tasks: Vec<(&'static str, usize)>,
    /// Number of unfinished batches by state.
    pub batches: Vec<(&'static str, usize)>,
    /// Circuits of the circuit breaker.
    pub circuits: Vec<CircuitLevel>,
    /// Budgets of projects and keys, if they are shown.
    pub budgets: Vec<BudgetLevel>,
    /// Windows of the sign-ins' plans.
    pub plan_windows: Vec<PlanWindowLevel>,
    /// Sign-ins, and whether turns can use them now.
    pub sign_ins: Vec<SignInStateLevel>,
    /// True if requests can be served.
    pub is_ready: bool,
    /// Reasons why requests cannot be served, with advice for an operator; empty when ready.
    pub problems: Vec<String>,
}

/// State of a circuit of the circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitLevel {
    /// Model that the circuit is for; `None` for the circuit that all models share.
    pub model: Option<String>,
    /// State of the circuit.
    pub state: BreakerState,
}

/// Remaining dollars of one budget.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetLevel {
    /// Owner of the budget: `key` or `project`.
    pub scope: &'static str,
    /// Id of the key or the project.
    pub id: String,
    /// Time window of the budget: `daily` or `monthly`.
    pub window: &'static str,
    /// Cap minus what is spent and held, in dollars; below zero if more was spent.
    pub remaining: f64,
}

/// Whether turns can use a sign-in now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInStateLevel {
    /// Name of the sign-in.
    pub sign_in: String,
    /// False while its breaker is open, or its workers do not start.
    pub is_ready: bool,
}

/// Use of one window of a sign-in's plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanWindowLevel {
    /// Name of the sign-in.
    pub sign_in: String,
    /// Name of the window.
    pub window: &'static str,
    /// Used share of the window; above 1 if more than its limit was used.
    pub used_ratio: f64,
    /// End of the window, in seconds of Unix time.
    pub resets_at: u64,
}

/// State of a circuit, by what it admits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// Circuit that admits all turns.
    #[default]
    Closed,
    /// Circuit that admits a probe.
    HalfOpen,
    /// Circuit that admits no turn.
    Open,
}

impl BreakerState {
    /// Returns the name of the state in the dashboard's API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }

    pub(super) fn value(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}
