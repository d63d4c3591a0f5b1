//! A token bucket (GCRA) whose past debits can be corrected once the real amount is known.
//!
//! A bucket holds one minute's worth and is stored as one number: `full_at`, the time when it is
//! full again if nothing more is taken. The bucket is full while `full_at` lies in the past. A
//! debit is the function `full_at -> max(full_at + weight, now + weight)`, where the weight is the
//! time in which the amount refills.
//!
//! Subtracting the weight of an unused amount would refund too much, because the bucket may have
//! been full in the meantime without that debit. Debits whose amount may still change are therefore
//! kept in order. A correction changes one of them and replays those after it, so the bucket ends
//! up exactly as if the right amount had been taken in the first place. Neighbouring settled debits
//! merge into one, because the composition of two such functions is again such a function. Hence at
//! most twice as many debits are kept as there are requests in flight.

use std::num::NonZeroU32;
use std::time::Duration;

use super::state::LimitLevel;

/// Time in which a whole limit refills, in nanoseconds.
const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// Token bucket of one limit. Times are nanoseconds since the limits were created; weights are
/// durations in nanoseconds.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: NonZeroU32,
    /// Value of `full_at` before all of `debits`.
    settled_full_at: u64,
    /// Debits from the first unsettled one on, in the order in which they were taken.
    debits: Vec<Debit>,
    /// Time when the bucket is full again: `settled_full_at` with all of `debits` applied.
    full_at: u64,
}

/// Id of a debit within one scope; later ids are greater. Ids stay valid when the buckets of the
/// scope are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DebitId(u64);

impl DebitId {
    /// Lower bound: smaller than the id of any debit.
    pub(super) const FIRST: Self = Self(0);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Debit from a bucket: the function `full_at -> max(full_at + weight, min_full_at)`.
#[derive(Debug, Clone, Copy)]
struct Debit {
    id: DebitId,
    weight: u64,
    min_full_at: u64,
    is_settled: bool,
}

/// Reason why an amount cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// Enough will have refilled after this time.
    Temporary(Duration),
    /// Even a full bucket does not hold the amount.
    Permanent,
}

impl Bucket {
    /// Creates a full bucket for `limit` per minute.
    pub(super) fn new(limit: NonZeroU32) -> Self {
        Self {
            limit,
            settled_full_at: 0,
            debits: Vec::new(),
            full_at: 0,
        }
    }

    /// Creates a bucket for `limit` per minute that was empty when the limits were created.
    pub(super) fn used_up(limit: NonZeroU32) -> Self {
        let full = Self::new(limit);
        let full_at = full.weight(limit.get().into());
        Self {
            settled_full_at: full_at,
            full_at,
            ..full
        }
    }

    /// Changes the limit and keeps the amount that is taken. Earlier debits can no longer be
    /// corrected.
    pub(super) fn set_limit(&mut self, limit: NonZeroU32, now: u64) {
        if self.limit == limit {
            return;
        }
        let used = self.backlog(now).div_ceil(self.weight(1));
        self.limit = limit;
        // The debt is kept in units, not in time: one unit has another weight under the new limit.
        self.full_at = now.saturating_add(self.weight(used));
        self.settled_full_at = self.full_at;
        self.debits.clear();
    }

    /// Checks if `amount` can be taken now; returns the shortage if not. Takes nothing.
    pub(super) fn shortage(&self, amount: u64, now: u64) -> Option<Shortage> {
        let limit = u64::from(self.limit.get());
        if amount > limit {
            return Some(Shortage::Permanent);
        }
        // Zero counts as one: a request without tokens waits too while the bucket is in debt.
        let needed = self.backlog(now).saturating_add(self.weight(amount.max(1)));
        let wait = needed.saturating_sub(self.weight(limit));
        (wait > 0).then(|| Shortage::Temporary(Duration::from_nanos(wait)))
    }

    /// Takes `amount` unconditionally; the bucket may go into debt. The caller checks
    /// [`shortage`](Self::shortage) first.
    pub(super) fn take(&mut self, id: DebitId, amount: u64, now: u64, is_settled: bool) {
        let weight = self.weight(amount);
        let debit = Debit {
            id,
            weight,
            min_full_at: now.saturating_add(weight),
            is_settled,
        };
        self.full_at = debit.apply(self.full_at);
        self.debits.push(debit);
        self.merge_settled();
    }

    /// Settles the debit `id` at `amount`, or at its present amount if `None`. This is final: the
    /// caller must not change a settled debit again.
    pub(super) fn settle(&mut self, id: DebitId, amount: Option<u64>) {
        self.change(id, amount, true);
    }

    /// Changes the amount of the debit `id`, which stays unsettled. If a change of the limit has
    /// dropped the debit, takes the amount again.
    pub(super) fn amend(&mut self, id: DebitId, amount: u64, now: u64) {
        if self.debits.iter().any(|debit| debit.id == id) {
            self.change(id, Some(amount), false);
        } else {
            self.take(id, amount, now, false);
        }
    }

    fn change(&mut self, id: DebitId, amount: Option<u64>, is_settled: bool) {
        // Not a binary search: a debit that was taken again is out of id order.
        let Some(position) = self.debits.iter().position(|debit| debit.id == id) else {
            return;
        };
        let weight = amount.map_or(self.debits[position].weight, |amount| self.weight(amount));
        let debit = &mut self.debits[position];
        // `min_full_at - weight` is the time of the debit, so the corrected debit is dated as before.
        debit.min_full_at = (debit.min_full_at - debit.weight).saturating_add(weight);
        debit.weight = weight;
        debit.is_settled |= is_settled;
        self.merge_settled();
        // Replay: debits after the corrected one see the corrected state.
        self.full_at = self
            .debits
            .iter()
            .fold(self.settled_full_at, |full_at, debit| debit.apply(full_at));
    }

    pub(super) fn level(&self, now: u64) -> LimitLevel {
        let used = self.backlog(now).div_ceil(self.weight(1));
        LimitLevel {
            limit: self.limit.get(),
            remaining: u32::try_from(used).map_or(0, |used| self.limit.get().saturating_sub(used)),
            reset: Duration::from_nanos(self.backlog(now)),
        }
    }

    /// True if the bucket equals a new one: full, and without unsettled debits.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.debits.is_empty() && self.backlog(now) == 0
    }

    /// Number of stored debits.
    #[cfg(test)]
    pub(super) fn take_count(&self) -> usize {
        self.debits.len()
    }

    /// Time until the bucket is full, in nanoseconds.
    fn backlog(&self, now: u64) -> u64 {
        self.full_at.saturating_sub(now)
    }

    /// Time in which `amount` refills, in nanoseconds.
    fn weight(&self, amount: u64) -> u64 {
        // Never zero: a minute has more nanoseconds than a `u32` limit has units.
        (NANOS_PER_MINUTE / u64::from(self.limit.get())).saturating_mul(amount)
    }

    /// Merges neighbouring settled debits, and folds a settled first debit into `settled_full_at`.
    fn merge_settled(&mut self) {
        // Applying `first`, then `next`, is one debit with the summed weight and
        // `next(first.min_full_at)`.
        self.debits.dedup_by(|next, first| {
            let are_settled = first.is_settled && next.is_settled;
            if are_settled {
                first.min_full_at = next.apply(first.min_full_at);
                first.weight = first.weight.saturating_add(next.weight);
            }
            are_settled
        });
        if let Some(first) = self.debits.first().filter(|first| first.is_settled) {
            self.settled_full_at = first.apply(self.settled_full_at);
            self.debits.remove(0);
        }
    }
}

impl Debit {
    fn apply(&self, full_at: u64) -> u64 {
        full_at.saturating_add(self.weight).max(self.min_full_at)
    }
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
