//! Circuit breaker of one hook: after some failures in a row it is not called for a while.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::error::HookFailure;

/// Failures in a row after which the circuit opens.
const MAX_FAILURES: u32 = 5;
/// Time for which an opened circuit stays open.
const OPEN_TIME: Duration = Duration::from_secs(10);

/// Circuit breaker. Once its time is over, one call probes the hook while others still fail at
/// once.
#[derive(Debug, Default)]
pub(super) struct HookCircuit(Mutex<HookCircuitState>);

#[derive(Debug, Default)]
struct HookCircuitState {
    failures: u32,
    open_until: Option<Instant>,
}

impl HookCircuit {
    /// Admits a call, or refuses it while the circuit is open.
    ///
    /// # Errors
    /// Fails while the circuit is open.
    pub(super) fn admit(&self) -> Result<(), HookFailure> {
        let mut state = self.lock();
        let Some(until) = state.open_until else {
            return Ok(());
        };
        let now = Instant::now();
        if now < until {
            let retry_after = until.duration_since(now);
            return Err(HookFailure::CircuitOpen { retry_after });
        }
        // This call is the probe. If it is cancelled, the next one follows after the same time.
        state.open_until = Some(now + OPEN_TIME);
        Ok(())
    }

    /// Records that a call was answered.
    pub(super) fn record_success(&self) {
        *self.lock() = HookCircuitState::default();
    }

    /// Records that a call failed by the fault of the hook.
    pub(super) fn record_failure(&self) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= MAX_FAILURES {
            state.open_until = Some(Instant::now() + OPEN_TIME);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HookCircuitState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn circuit_opens_after_failures_in_a_row_and_probes_with_one_call() {
        let circuit = HookCircuit::default();
        for _ in 0..MAX_FAILURES - 1 {
            circuit.record_failure();
        }
        circuit.record_success();
        for _ in 0..MAX_FAILURES {
            assert_eq!(circuit.admit(), Ok(()));
            circuit.record_failure();
        }
        tokio::time::advance(Duration::from_secs(4)).await;
        let retry_after = Duration::from_secs(6);
        assert_eq!(
            circuit.admit(),
            Err(HookFailure::CircuitOpen { retry_after })
        );
        tokio::time::advance(retry_after).await;
        assert_eq!(circuit.admit(), Ok(()));
        assert!(circuit.admit().is_err(), "one call probes");
        circuit.record_failure();
        assert!(circuit.admit().is_err());
        tokio::time::advance(OPEN_TIME).await;
        assert_eq!(circuit.admit(), Ok(()));
        circuit.record_success();
        assert_eq!(circuit.admit(), Ok(()));
        assert_eq!(circuit.admit(), Ok(()));
    }
}
