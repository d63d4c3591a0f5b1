//! Hooks that are called, and the bounds of their calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::circuit::HookCircuit;
use super::error::HookFailure;
use super::reply::HookReply;
use super::wire::HookInput;

/// Hook that decides about turns, or is notified of them.
pub trait Hook: fmt::Debug + Send + Sync {
    /// Calls the hook. Dropping the future cancels the call.
    ///
    /// # Errors
    /// Fails when the hook gives no usable answer.
    fn call<'a>(&'a self, input: &'a HookInput) -> BoxFuture<'a, Result<HookReply, HookFailure>>;
}

/// Hook with the bounds of its calls.
#[derive(Debug)]
pub(super) struct CalledHook {
    hook: Arc<dyn Hook>,
    timeout: Duration,
    places: Semaphore,
    circuit: HookCircuit,
}

impl CalledHook {
    /// Bounds the calls of `hook`: each by `timeout`, and their number by `max_in_flight`.
    pub(super) fn new(hook: Arc<dyn Hook>, timeout: Duration, max_in_flight: usize) -> Self {
        Self {
            hook,
            timeout,
            places: Semaphore::new(max_in_flight),
            circuit: HookCircuit::default(),
        }
    }

    /// Returns the same hook with bounds of its own, for one call at a time.
    pub(super) fn for_single_calls(&self) -> Self {
        Self::new(Arc::clone(&self.hook), self.timeout, 1)
    }

    /// Calls the hook within its bounds. A cancelled call counts neither as success nor as failure.
    ///
    /// # Errors
    /// Fails when the hook fails, its circuit is open, or too many of its calls run.
    pub(super) async fn call(&self, input: &HookInput) -> Result<HookReply, HookFailure> {
        let _place = self.places.try_acquire().map_err(|_| HookFailure::Busy)?;
        self.circuit.admit()?;
        let answered = timeout(self.timeout, self.hook.call(input)).await;
        let answered = answered.unwrap_or(Err(HookFailure::TimedOut));
        match &answered {
            Ok(_) => self.circuit.record_success(),
            Err(failure) if failure.is_hooks_fault() => self.circuit.record_failure(),
            Err(_) => {}
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::engine::hooks::testing::notice;

    /// Hook that answers after some time.
    #[derive(Debug)]
    struct SlowHook(Duration);

    impl Hook for SlowHook {
        fn call<'a>(&'a self, _: &'a HookInput) -> BoxFuture<'a, Result<HookReply, HookFailure>> {
            let wait = self.0;
            let answer = async move {
                tokio::time::sleep(wait).await;
                Ok(HookReply::pass())
            };
            answer.boxed()
        }
    }

    fn slow(wait: Duration, max_in_flight: usize) -> CalledHook {
        CalledHook::new(
            Arc::new(SlowHook(wait)),
            Duration::from_millis(500),
            max_in_flight,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn slow_hook_times_out_and_then_fails_at_once() {
        let hook = slow(Duration::from_secs(1), 64);
        for _ in 0..5 {
            assert_eq!(hook.call(&notice()).await, Err(HookFailure::TimedOut));
        }
        let failed = hook.call(&notice()).now_or_never();
        assert!(matches!(failed, Some(Err(HookFailure::CircuitOpen { .. }))));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_beyond_the_maximum_fail_and_do_not_count_against_the_hook() {
        let hook = slow(Duration::from_millis(100), 2);
        let input = notice();
        let calls = (0..10).map(|_| hook.call(&input));
        let answers = futures::future::join_all(calls).await;
        let answered = answers.iter().filter(|answer| answer.is_ok()).count();
        let busy = answers
            .iter()
            .filter(|answer| **answer == Err(HookFailure::Busy));
        assert_eq!((answered, busy.count()), (2, 8));
        assert!(hook.call(&input).await.is_ok());
    }
}
