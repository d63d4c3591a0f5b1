//! One circuit of the breaker: while all its calls fail, turns are refused at once.
//!
//! Closed, it admits all turns. Consecutive failures open it, and turns are refused with the failure
//! that opened it. When the wait is over it is half open: one turn passes as the probe. If the
//! probe fails, the circuit opens again for twice as long (exponential backoff); if the model
//! begins to answer it, or any earlier turn, the circuit closes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Failure;
use crate::telemetry::metrics::BreakerState;

/// First wait; each failed probe doubles it.
const MIN_WAIT: Duration = Duration::from_secs(1);
/// Maximum wait by doubling.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Maximum wait at upstream's request. A limit may be announced for days, but also be lifted
/// earlier. `Retry-After` carries the full time.
const MAX_REQUESTED_WAIT: Duration = Duration::from_secs(300);
/// Maximum wait at upstream's request where another sign-in serves the turns meanwhile: more than the
/// week of a plan's longest window.
const LONGEST_LIMIT: Duration = Duration::from_secs(8 * 24 * 3600);

/// Maximum number of turns that probe together: at least as many as the largest request has.
const MAX_PROBES: u32 = 16;

/// State machine of one circuit; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Circuit(Arc<CircuitInner>);

#[derive(Debug)]
struct CircuitInner {
    /// Number of consecutive failures that opens the circuit; 0 for never.
    max_failures: u32,
    /// Maximum wait at upstream's request.
    max_requested_wait: Duration,
    state: Mutex<CircuitState>,
}

#[derive(Debug)]
enum CircuitState {
    /// Admits all turns; holds the number of consecutive failures.
    Closed(u32),
    Open(Outage),
    /// Half open: probes are under way, and this many more turns may join them.
    Probing(Outage, u32),
}

#[derive(Debug, Clone)]
struct Outage {
    failure: Failure,
    failures: u32,
    wait: Duration,
    next_try: Instant,
    /// Time that upstream has named for a retry, without a maximum.
    requested_until: Instant,
    /// Number of turns that may probe together: one, doubled each time that the probes ended
    /// without an outcome. A request of several turns fails when one of them is refused, which
    /// cancels the others and the probe with them.
    probes: u32,
}

/// Permission for one turn to go upstream. Dropped without an outcome, as when the client leaves,
/// it counts neither as a success nor as a failure.
#[derive(Debug)]
pub(super) struct CircuitPass {
    circuit: Circuit,
    is_probe: bool,
}

impl Circuit {
    /// Creates a closed circuit that opens after `most_failures` consecutive failures; with 0 it never
    /// opens.
    pub(super) fn new(most_failures: u32) -> Self {
        Self::build(most_failures, MAX_REQUESTED_WAIT)
    }

    /// Creates a closed circuit as [`new`](Self::new) does, which waits for as long as upstream asks.
    pub(super) fn with_requested_waits(most_failures: u32) -> Self {
        Self::build(most_failures, LONGEST_LIMIT)
    }

    fn build(most_failures: u32, max_requested_wait: Duration) -> Self {
        Self(Arc::new(CircuitInner {
            max_failures: most_failures,
            max_requested_wait,
            state: Mutex::new(CircuitState::Closed(0)),
        }))
    }

    /// Returns the failure that a turn is refused with now, if any.
    pub(super) fn refusal(&self) -> Option<Failure> {
        self.state().refusal()
    }

    /// Returns the state as metrics show it. An open circuit whose next try is due admits a probe, so
    /// it is half open.
    pub(super) fn level(&self) -> BreakerState {
        match &*self.state() {
            CircuitState::Closed(_) => BreakerState::Closed,
            CircuitState::Open(outage) if Instant::now() < outage.next_try => BreakerState::Open,
            CircuitState::Open(_) | CircuitState::Probing(..) => BreakerState::HalfOpen,
        }
    }

    /// Admits a turn, as the probe if one is due.
    ///
    /// # Errors
    /// The failure that the turn is refused with.
    pub(super) fn admit(&self) -> Result<CircuitPass, Failure> {
        let mut state = self.state();
        if let Some(refusal) = state.refusal() {
            return Err(refusal);
        }
        let is_probe = match &mut *state {
            CircuitState::Closed(_) => false,
            CircuitState::Open(outage) => {
                *state = CircuitState::Probing(outage.clone(), outage.probes - 1);
                true
            }
            CircuitState::Probing(_, more) => {
                *more -= 1;
                true
            }
        };
        Ok(CircuitPass {
            circuit: self.clone(),
            is_probe,
        })
    }

    fn state(&self) -> MutexGuard<'_, CircuitState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CircuitState {
    fn refusal(&self) -> Option<Failure> {
        let now = Instant::now();
        match self {
            Self::Open(outage) if now < outage.next_try => {
                Some(outage.refusal(outage.next_try - now))
            }
            Self::Probing(outage, 0) => Some(outage.refusal(MIN_WAIT)),
            Self::Closed(_) | Self::Open(_) | Self::Probing(..) => None,
        }
    }
}

impl CircuitPass {
    /// Records that the model has begun to answer, which closes the circuit.
    pub(super) fn succeeded(mut self) {
        // Disarms the drop guard.
        self.is_probe = false;
        let before = std::mem::replace(&mut *self.circuit.state(), CircuitState::Closed(0));
        if !matches!(before, CircuitState::Closed(_)) {
            tracing::info!("circuit breaker closed");
        }
    }

    /// Records that upstream responded with something other than an answer. Closes the circuit if
    /// this is the probe, and counts neither way otherwise.
    pub(super) fn responded(self) {
        if self.is_probe {
            self.succeeded();
        }
    }

    /// Records that the turn failed before the model began to answer.
    pub(super) fn failed(self, failure: &Failure) {
        let most_failures = self.circuit.0.max_failures;
        self.fail(failure, most_failures);
    }

    /// Records that the turn failed before the model began to answer, for a reason that the next
    /// turn would meet as well: the circuit opens at once.
    pub(super) fn failed_for_all(self, failure: &Failure) {
        let most_failures = self.circuit.0.max_failures.min(1);
        self.fail(failure, most_failures);
    }

    /// Records the failure, and opens the circuit if it is one of `most_failures` in a row.
    fn fail(mut self, failure: &Failure, most_failures: u32) {
        // Disarms the drop guard.
        let is_probe = std::mem::take(&mut self.is_probe);
        let longest_wait = self.circuit.0.max_requested_wait;
        let open = |failures, wait| Outage::new(failure, failures, wait, longest_wait);
        let mut state = self.circuit.state();
        match &*state {
            CircuitState::Closed(failures)
                if most_failures == 0 || failures + 1 < most_failures =>
            {
                *state = CircuitState::Closed(failures.saturating_add(1));
            }
            CircuitState::Closed(_) => {
                let outage = open(most_failures, MIN_WAIT);
                let wait_ms = outage.wait.as_millis();
                tracing::warn!(error = %failure, failures = most_failures, wait_ms, "circuit breaker opened");
                *state = CircuitState::Open(outage);
            }
            CircuitState::Probing(outage, _) if is_probe => {
                let wait = (outage.wait * 2).min(MAX_WAIT);
                let failures = outage.failures.saturating_add(1);
                *state = CircuitState::Open(open(failures, wait));
            }
            // An earlier turn, admitted before the circuit opened: no new information.
            CircuitState::Open(_) | CircuitState::Probing(..) => {}
        }
    }
}

impl Drop for CircuitPass {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        // Drop guard: a probe that was cancelled must not leave the circuit half open for ever. The
        // next try is due, so the next turn is the probe.
        let mut state = self.circuit.state();
        if let CircuitState::Probing(outage, _) = &*state {
            let probes = (outage.probes * 2).min(MAX_PROBES);
            *state = CircuitState::Open(Outage {
                probes,
                ..outage.clone()
            });
        }
    }
}

impl Outage {
    fn new(failure: &Failure, failures: u32, wait: Duration, longest_wait: Duration) -> Self {
        let now = Instant::now();
        let requested_wait = failure.retry_after.unwrap_or_default();
        let next_try = now + wait.max(requested_wait.min(longest_wait));
        let named = now.checked_add(requested_wait).unwrap_or(next_try);
        Self {
            failure: failure.clone(),
            failures,
            wait,
            next_try,
            requested_until: named,
            probes: 1,
        }
    }

    fn refusal(&self, wait: Duration) -> Failure {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let failures = match self.failures {
            1 => "a failure".to_owned(),
            failures => format!("{failures} failures in a row"),
        };
        let message = format!(
            "{} After {failures} this server holds calls back; the next try is in {seconds} s.",
            self.failure.message
        );
        let retry_after = wait.max(
            self.requested_until
                .saturating_duration_since(Instant::now()),
        );
        Failure {
            message,
            retry_after: Some(retry_after),
            ..self.failure.clone()
        }
    }
}

#[cfg(test)]
#[path = "circuit_tests.rs"]
mod tests;
