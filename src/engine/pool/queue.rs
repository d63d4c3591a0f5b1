//! Those who wait for a worker.

use super::BusyReason;
use super::claim::Claim;
use super::claim::Class;
use crate::runtime::fair_queue::Rounds;

/// After so many live requests in a row a background one has its turn, if one waits.
const LIVE_IN_A_ROW: u32 = 15;

/// Requests in the order in which they get a worker: the live ones first, and among each class the tenants in turn.
#[derive(Debug)]
pub(super) struct Queue<T> {
    live: Rounds<T>,
    background: Rounds<T>,
    /// How many live ones have passed the background ones that wait.
    passed: u32,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            live: Rounds::default(),
            background: Rounds::default(),
            passed: 0,
        }
    }

    /// Puts `item` into the queue, in which each class may have so many `places`. Where all are taken, the newest of the tenant who
    /// has most of them has to go, and is returned with the reason. So nobody is refused for what another has put there, as
    /// long as that other has more places.
    ///
    /// # Errors
    /// Why there is no place.
    pub(super) fn push(
        &mut self,
        claim: &Claim,
        places: usize,
        item: T,
    ) -> Result<Option<(T, BusyReason)>, BusyReason> {
        let rounds = self.of(claim.class);
        let taken = rounds.len();
        let mut sent_away = None;
        if taken >= places {
            let (own, most) = (rounds.len_of(&claim.tenant), rounds.longest());
            if most < own + 2 {
                // One of its own would have to go, or the only one of another.
                return Err(match own {
                    0 => BusyReason::QueueFull,
                    own => BusyReason::OwnShare { own, taken },
                });
            }
            let reason = BusyReason::OwnShare { own: most, taken };
            sent_away = rounds
                .pop_newest_of_longest()
                .map(|newest| (newest, reason));
        }
        rounds.push(&claim.tenant, item);
        Ok(sent_away)
    }

    /// Whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.background.is_empty() {
            self.passed = 0;
            return self.live.pop();
        }
        if self.live.is_empty() || self.passed >= LIVE_IN_A_ROW {
            self.passed = 0;
            return self.background.pop();
        }
        self.passed += 1;
        self.live.pop()
    }

    /// Counts a worker that was had without waiting.
    pub(super) fn note_turn(&mut self, claim: &Claim) {
        self.of(claim.class).note_turn(&claim.tenant);
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.live.retain(&keep);
        self.background.retain(&keep);
    }

    pub(super) fn len(&self) -> usize {
        self.live.len() + self.background.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.live.iter().chain(self.background.iter())
    }

    /// Takes all that wait.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let mut all = self.live.drain();
        all.extend(self.background.drain());
        all
    }

    fn of(&mut self, class: Class) -> &mut Rounds<T> {
        match class {
            Class::Live => &mut self.live,
            Class::Background => &mut self.background,
        }
    }
}
