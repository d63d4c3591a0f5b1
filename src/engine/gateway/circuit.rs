//! One circuit of the breaker: when all calls on it fail, turns are refused at once instead of each trying for itself.
//!
//! Closed, it lets all turns pass. A row of failures opens it, and
//! turns are refused with the failure that opened it. When the wait is over, one turn passes as the probe: if it fails,
//! the breaker opens again for twice as long; if the model begins to answer it, or any turn from before, it closes.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Failure;

/// The first wait; each failed probe doubles it.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that comes of doubling.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait on upstream's word. A limit may be known to hold for days, but also be raised before. Callers are told the
/// whole of it.
const LONGEST_ON_REQUEST: Duration = Duration::from_secs(300);

/// The most turns that are the probe together: at least those of the largest request.
const MOST_PROBES: u32 = 16;

/// Lets turns pass or not. Clones are the same breaker.
#[derive(Debug, Clone)]
pub(super) struct Circuit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The length of the row of failures that opens it; 0 for never.
    most_failures: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// So many turns in a row have failed.
    Closed(u32),
    Open(Outage),
    /// A turn is under way to see whether the outage is over, and so many more may join it.
    Probing(Outage, u32),
}

#[derive(Debug, Clone)]
struct Outage {
    /// The failure of the last turn.
    failure: Failure,
    failures: u32,
    wait: Duration,
    next_try: Instant,
    /// The time that upstream has named, however far ahead.
    named: Instant,
    /// How many turns may be the probe together: one, and twice as many each time that it ended without telling. A request
    /// of several turns fails when one of them is refused, and takes the others with it, the probe too.
    probes: u32,
}

/// A turn that may go upstream. Dropped without a word on how it went, as when its client leaves, it counts neither way.
#[derive(Debug)]
pub(super) struct CircuitPass {
    circuit: Circuit,
    is_probe: bool,
}

impl Circuit {
    /// A closed circuit that `most_failures` in a row open; with 0 nothing does.
    pub(super) fn new(most_failures: u32) -> Self {
        Self(Arc::new(Shared {
            most_failures,
            state: Mutex::new(State::Closed(0)),
        }))
    }

    /// What a turn would be refused with now.
    pub(super) fn refusal(&self) -> Option<Failure> {
        self.state().refusal()
    }

    /// Lets a turn pass, as the probe when it is time for one.
    ///
    /// # Errors
    /// What the turn is refused with.
    pub(super) fn pass(&self) -> Result<CircuitPass, Failure> {
        let mut state = self.state();
        if let Some(refusal) = state.refusal() {
            return Err(refusal);
        }
        let is_probe = match &mut *state {
            State::Closed(_) => false,
            State::Open(outage) => {
                *state = State::Probing(outage.clone(), outage.probes - 1);
                true
            }
            State::Probing(_, more) => {
                *more -= 1;
                true
            }
        };
        Ok(CircuitPass {
            circuit: self.clone(),
            is_probe,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self) -> Option<Failure> {
        let now = Instant::now();
        match self {
            Self::Open(outage) if now < outage.next_try => {
                Some(outage.refusal(outage.next_try - now))
            }
            Self::Probing(outage, 0) => Some(outage.refusal(SHORTEST_WAIT)),
            Self::Closed(_) | Self::Open(_) | Self::Probing(..) => None,
        }
    }
}

impl CircuitPass {
    /// The model has begun to answer.
    pub(super) fn succeeded(mut self) {
        self.is_probe = false;
        let before = std::mem::replace(&mut *self.circuit.state(), State::Closed(0));
        if !matches!(before, State::Closed(_)) {
            tracing::info!("calls to Anthropic succeed again");
        }
    }

    /// Upstream has answered, though not with what was asked for. That ends an outage if it is the probe, and says nothing otherwise.
    pub(super) fn answered(self) {
        if self.is_probe {
            self.succeeded();
        }
    }

    /// The turn failed before the model began to answer.
    pub(super) fn failed(mut self, failure: &Failure) {
        let is_probe = std::mem::take(&mut self.is_probe);
        let most_failures = self.circuit.0.most_failures;
        let mut state = self.circuit.state();
        match &*state {
            State::Closed(failures) if most_failures == 0 || failures + 1 < most_failures => {
                *state = State::Closed(failures.saturating_add(1));
            }
            State::Closed(_) => {
                let outage = Outage::new(failure, most_failures, SHORTEST_WAIT);
                let seconds = outage.wait.as_secs();
                tracing::warn!(%failure, failures = most_failures, seconds, "calls to Anthropic are held back");
                *state = State::Open(outage);
            }
            State::Probing(outage, _) if is_probe => {
                let wait = (outage.wait * 2).min(LONGEST_WAIT);
                *state = State::Open(Outage::new(
                    failure,
                    outage.failures.saturating_add(1),
                    wait,
                ));
            }
            // A turn from before, which says nothing new.
            State::Open(_) | State::Probing(..) => {}
        }
    }
}

impl Drop for CircuitPass {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        // The time of the next try is past, so the next turn is the probe.
        let mut state = self.circuit.state();
        if let State::Probing(outage, _) = &*state {
            let probes = (outage.probes * 2).min(MOST_PROBES);
            *state = State::Open(Outage {
                probes,
                ..outage.clone()
            });
        }
    }
}

impl Outage {
    fn new(failure: &Failure, failures: u32, wait: Duration) -> Self {
        let (now, asked) = (Instant::now(), failure.retry_after.unwrap_or_default());
        let next_try = now + wait.max(asked.min(LONGEST_ON_REQUEST));
        let named = now.checked_add(asked).unwrap_or(next_try);
        Self {
            failure: failure.clone(),
            failures,
            wait,
            next_try,
            named,
            probes: 1,
        }
    }

    fn refusal(&self, wait: Duration) -> Failure {
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        let message = format!(
            "{} After {} failures in a row this server holds calls back; the next try is in {seconds} s.",
            self.failure.message, self.failures
        );
        let retry_after = wait.max(self.named.saturating_duration_since(Instant::now()));
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
