//! Queue of the requests that wait for a worker.

use super::BusyReason;
use super::claim::Claim;
use super::claim::Class;
use crate::runtime::fair_queue::FairQueue;

/// Number of consecutive live requests after which a waiting background request is served.
const MAX_LIVE_IN_A_ROW: u32 = 15;

/// Fair queue of requests: live ones first, and in each class the tenants by round robin.
#[derive(Debug)]
pub(super) struct Queue<T> {
    live: FairQueue<T>,
    background: FairQueue<T>,
    /// Consecutive live requests served while background ones wait.
    passed: u32,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            live: FairQueue::default(),
            background: FairQueue::default(),
            passed: 0,
        }
    }

    /// Queues `item` in its class; each class has room for `capacity` items. When it is full, the
    /// newest item of the tenant that holds the most is evicted, and returned with the reason. So a
    /// tenant is never refused while another one holds at least two places more.
    ///
    /// # Errors
    /// The reason why there is no place.
    pub(super) fn push(
        &mut self,
        claim: &Claim,
        capacity: usize,
        item: T,
    ) -> Result<Option<(T, BusyReason)>, BusyReason> {
        self.check_place(claim, capacity)?;
        let rounds = self.rounds_of(claim.class);
        let waiting = rounds.len();
        let mut sent_away = None;
        if waiting >= capacity {
            let own = rounds.longest();
            let reason = BusyReason::OwnShare { own, waiting };
            sent_away = rounds
                .pop_newest_of_longest()
                .map(|newest| (newest, reason));
        }
        rounds.push(&claim.tenant, item);
        Ok(sent_away)
    }

    /// Checks that [`push`](Self::push) would take an item now.
    ///
    /// # Errors
    /// The reason why there is no place.
    pub(super) fn check_place(&self, claim: &Claim, capacity: usize) -> Result<(), BusyReason> {
        let rounds = match claim.class {
            Class::Live => &self.live,
            Class::Background => &self.background,
        };
        let own = rounds.len_of(&claim.tenant);
        let waiting = rounds.len();
        // With a smaller lead, evicting would only swap items of one tenant, or take the single
        // place of another.
        if waiting < capacity || rounds.longest() >= own + 2 {
            return Ok(());
        }
        Err(match own {
            0 => BusyReason::QueueFull,
            own => BusyReason::OwnShare { own, waiting },
        })
    }

    /// Removes the next item to be served.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.background.is_empty() {
            self.passed = 0;
            return self.live.pop();
        }
        if self.live.is_empty() || self.passed >= MAX_LIVE_IN_A_ROW {
            self.passed = 0;
            return self.background.pop();
        }
        self.passed += 1;
        self.live.pop()
    }

    /// Charges the tenant for a worker it got without waiting.
    pub(super) fn charge_turn(&mut self, claim: &Claim) {
        self.rounds_of(claim.class).record_turn(&claim.tenant);
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

    /// Removes all items.
    pub(super) fn drain(&mut self) -> Vec<T> {
        let mut all = self.live.drain();
        all.extend(self.background.drain());
        all
    }

    fn rounds_of(&mut self, class: Class) -> &mut FairQueue<T> {
        match class {
            Class::Live => &mut self.live,
            Class::Background => &mut self.background,
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
