//! Waits of a batch for a store that is away.
//!
//! An answer that could not be written would be made, and paid for, again. So the lines that run outlast
//! the time in which the store cannot be used.

use std::time::Duration;

use tokio::time::sleep;

use super::Error;
use crate::runtime::backoff::Backoff;
use crate::storage::store;
use crate::telemetry::logs::ErrorChain;

/// Delays between the attempts.
const STORE_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));

/// Repeats `ask`, about the batch `id`, until the store can be used. Waits without end, so the caller
/// drops it when the batch is cancelled or expires.
///
/// # Errors
/// Fails with the first error that does not pass by itself.
pub(super) async fn ask_until_reachable<T, F>(id: &str, ask: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut failures = 0;
    loop {
        match ask().await {
            Err(Error::Store(error)) if is_passing(&error) => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!(
                        batch.id = id,
                        error = %ErrorChain(&error),
                        "line of a batch waits for the store"
                    );
                }
                sleep(STORE_BACKOFF.delay(failures)).await;
            }
            answer => return answer,
        }
    }
}

/// Returns true if the same request may succeed later.
fn is_passing(error: &store::Error) -> bool {
    matches!(
        error,
        store::Error::Unreachable(_)
            | store::Error::OutOfMemory(_)
            | store::Error::Suspended(_)
            | store::Error::NotReplicated { .. }
            | store::Error::Conflict
            | store::Error::Fenced
            | store::Error::DiskFull { .. }
            | store::Error::Recovering
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn store_that_is_away_is_asked_again_and_a_damaged_one_is_not() {
        let asked = Cell::new(0);
        let ask = |last: fn() -> Result<u32, Error>| {
            asked.set(asked.get() + 1);
            let is_away = asked.get() < 4;
            async move {
                if is_away {
                    Err(store::Error::Recovering.into())
                } else {
                    last()
                }
            }
        };
        let answer = ask_until_reachable("b", || ask(|| Ok(7))).await;
        assert_eq!((answer.unwrap(), asked.replace(3)), (7, 4));
        let answer = ask_until_reachable("b", || ask(|| Err(store::Error::Closed.into()))).await;
        assert!(matches!(answer, Err(Error::Store(store::Error::Closed))));
        assert_eq!(asked.get(), 4);
    }
}
