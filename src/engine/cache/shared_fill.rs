//! Search for an answer that other servers have or make, and the claim to make it for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

use crate::domain::TurnEvent;
use crate::runtime::compute::in_place;
use crate::storage::shared_cache::AnswerLookup;
use crate::storage::shared_cache::Error as SharedCacheError;
use crate::storage::shared_cache::FlightClaim;
use crate::storage::shared_cache::LookupMode;
use crate::storage::shared_cache::SharedAnswerState;

use super::SharedLevel;
use super::cached_answer::CachedAnswer;
use super::stored_answer::decode_answer;

/// Bounds of the pause between two looks at what another server makes.
const MIN_POLL_PAUSE: Duration = Duration::from_millis(10);
const MAX_POLL_PAUSE: Duration = Duration::from_millis(250);

/// Claim to make an answer. Dropping it ends the flight; the next server may claim it, unless the
/// claim was [finished](Self::finish) with an outcome.
pub(super) struct SharedFill {
    level: SharedLevel,
    claim: FlightClaim,
    generation: Option<Vec<u8>>,
    /// Set while other servers may see the claim.
    may_be_claimed: bool,
    /// Ends the renewal of the lease.
    renewal: Option<DropGuard>,
    outcome: Option<FillOutcome>,
}

/// End of an answer that was made.
pub(super) enum FillOutcome {
    /// The answer is for all servers.
    Answer(Arc<CachedAnswer>),
    /// The answer is for its own readers alone.
    Unshared,
}

/// Result of a search.
pub(super) enum SharedSearch {
    /// Another server has made the answer.
    Found {
        /// Events of the answer.
        events: Vec<TurnEvent>,
        /// Moment at which the answer expires for all servers.
        ends_at: Instant,
    },
    /// The turn has to be run, and its answer to be passed to the claim; `None` where the level failed.
    Missing(Option<SharedFill>),
}

impl SharedFill {
    pub(super) fn new(level: SharedLevel, claim: FlightClaim) -> Self {
        Self {
            level,
            claim,
            generation: None,
            may_be_claimed: false,
            renewal: None,
            outcome: None,
        }
    }

    /// Searches the answer, and waits for it while another server makes it, up to the bound of the level.
    pub(super) async fn find(mut self, mode: LookupMode) -> SharedSearch {
        let deadline = Instant::now() + self.level.max_wait();
        let mut pause = MIN_POLL_PAUSE;
        let mut has_waited = false;
        loop {
            let Ok(state) = self.look_up(mode).await else {
                return SharedSearch::Missing(None);
            };
            match state {
                SharedAnswerState::Found { bytes, remaining } => {
                    let ends_at = Instant::now() + remaining;
                    return match self.decode(&bytes) {
                        Some(events) => SharedSearch::Found { events, ends_at },
                        None => SharedSearch::Missing(Some(self)),
                    };
                }
                SharedAnswerState::Claimed | SharedAnswerState::Unclaimed => {
                    return SharedSearch::Missing(Some(self));
                }
                SharedAnswerState::Taken => {}
            }
            let now = Instant::now();
            if now >= deadline {
                return SharedSearch::Missing(Some(self));
            }
            if !has_waited {
                has_waited = true;
                self.level.count_wait();
            }
            tokio::time::sleep_until(deadline.min(now + pause)).await;
            pause = MAX_POLL_PAUSE.min(2 * pause);
        }
    }

    /// Ends the claim with `outcome`.
    pub(super) fn finish(mut self, outcome: FillOutcome) {
        self.outcome = Some(outcome);
    }

    async fn look_up(&mut self, mode: LookupMode) -> Result<SharedAnswerState, SharedCacheError> {
        // Before the call: its answer may be lost, or the caller be gone before it comes.
        self.may_be_claimed = mode == LookupMode::Claim;
        let AnswerLookup { generation, state } =
            self.level.look_up(self.claim.clone(), mode).await?;
        self.generation = Some(generation);
        self.may_be_claimed = state == SharedAnswerState::Claimed;
        if self.may_be_claimed {
            self.start_renewal();
        }
        Ok(state)
    }

    fn start_renewal(&mut self) {
        let stop = CancellationToken::new();
        self.renewal = Some(stop.clone().drop_guard());
        let level = self.level.clone();
        let claim = self.claim.clone();
        self.level.spawn(async move {
            let renewing = level.keep_claimed(claim);
            let _ = stop.run_until_cancelled(renewing).await;
        });
    }

    fn decode(&self, bytes: &[u8]) -> Option<Vec<TurnEvent>> {
        let name = &self.claim.name;
        let events = in_place(bytes.len(), || {
            decode_answer(&name.answer, &name.project, bytes)
        });
        if events.is_none() {
            tracing::warn!("shared answer unreadable, made anew");
        }
        events
    }
}

impl Drop for SharedFill {
    fn drop(&mut self) {
        drop(self.renewal.take());
        let outcome = self.outcome.take();
        let is_answer = matches!(outcome, Some(FillOutcome::Answer(_)));
        if self.may_be_claimed || is_answer {
            let generation = self.generation.take().unwrap_or_default();
            self.level.end(self.claim.clone(), generation, outcome);
        }
    }
}
