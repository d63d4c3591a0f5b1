//! A bucket that holds a minute's worth, and in which it can be corrected later what was taken from it.
//!
//! A bucket is one number: when it will be full again if nobody takes anything more. It is full as long as that time lies in
//! the past. To take is the function `full_at -> max(full_at + weight, now + weight)`, where the weight is the time in which
//! what was taken fills up again. Just to subtract the weight of what was not needed would give too much back, since in the
//! meantime the bucket may have been full without it. So those takes are kept whose amount may still change, in their order;
//! a correction changes the one and goes through those after it again. The bucket is then exactly as if the right amount had
//! been taken in the first place. Takes that are settled and stand side by side become one: such functions, one after the
//! other, are such a function. So there are never more than twice as many as requests that run.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::NotKeyed;
use governor::state::StateStore;

use super::state::Level;

/// Times are nanoseconds since the limits began; so are weights, which are lengths of time.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: NonZeroU32,
    /// When it would be full again without what `takes` holds.
    settled: u64,
    /// What was taken since the first that is not settled, that one included.
    takes: Vec<Take>,
    /// When it is full again.
    full_at: u64,
}

/// Names a take of one scope, whose buckets may come and go. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TakeId(u64);

impl TakeId {
    /// Less than any other.
    pub(super) const FIRST: Self = Self(0);

    pub(super) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The function `full_at -> max(full_at + weight, least)`.
#[derive(Debug, Clone, Copy)]
struct Take {
    id: TakeId,
    weight: u64,
    least: u64,
    is_settled: bool,
}

/// Why nothing can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// There will be enough after so long.
    For(Duration),
    /// A full bucket does not hold as much.
    Forever,
}

impl Bucket {
    /// A full bucket of `limit`.
    pub(super) fn new(limit: NonZeroU32) -> Self {
        Self {
            limit,
            settled: 0,
            takes: Vec::new(),
            full_at: 0,
        }
    }

    /// Makes it one of `limit`, from which as much is taken as before. What runs can no longer be corrected.
    pub(super) fn set(&mut self, limit: NonZeroU32, now: u64) {
        if self.limit == limit {
            return;
        }
        let taken = self.backlog(now).div_ceil(self.weight(1));
        self.limit = limit;
        self.full_at = now.saturating_add(self.weight(taken));
        self.settled = self.full_at;
        self.takes.clear();
    }

    /// Why `amount` cannot be taken now.
    pub(super) fn shortage(&self, amount: u64, now: u64) -> Option<Shortage> {
        let Ok(amount) = u32::try_from(amount) else {
            return Some(Shortage::Forever);
        };
        // Whoever takes nothing must wait as well while others have taken too much.
        let amount = NonZeroU32::new(amount).unwrap_or(NonZeroU32::MIN);
        let question = Question {
            backlog: self.backlog(now),
        };
        let limiter =
            RateLimiter::<_, _, _, NoOpMiddleware<Nanos>>::new(self.quota(), question, Stopped);
        match limiter.check_n(amount) {
            Ok(Ok(())) => None,
            Ok(Err(refusal)) => Some(Shortage::For(refusal.wait_time_from(Stopped.now()))),
            Err(_) => Some(Shortage::Forever),
        }
    }

    /// Takes `amount`, whether it is there or not.
    pub(super) fn take(&mut self, id: TakeId, amount: u64, now: u64, is_settled: bool) {
        let weight = self.weight(amount);
        let take = Take {
            id,
            weight,
            least: now.saturating_add(weight),
            is_settled,
        };
        self.full_at = take.apply(self.full_at);
        self.takes.push(take);
        self.fold();
    }

    /// Makes it `amount` that was taken as `id`, or leaves it at what it was. It cannot be changed after that.
    pub(super) fn settle(&mut self, id: TakeId, amount: Option<u64>) {
        self.change(id, amount, true);
    }

    /// Changes the amount of the take `id`; a later `settle` may still change it. If a new limit has cleared the takes, the amount is
    /// taken anew.
    pub(super) fn amend(&mut self, id: TakeId, amount: u64, now: u64) {
        if self.takes.iter().any(|take| take.id == id) {
            self.change(id, Some(amount), false);
        } else {
            self.take(id, amount, now, false);
        }
    }

    fn change(&mut self, id: TakeId, amount: Option<u64>, is_settled: bool) {
        // Not in the order of ids: one may have been taken anew.
        let Some(position) = self.takes.iter().position(|take| take.id == id) else {
            return;
        };
        let weight = amount.map_or(self.takes[position].weight, |amount| self.weight(amount));
        let take = &mut self.takes[position];
        take.least = (take.least - take.weight).saturating_add(weight);
        take.weight = weight;
        take.is_settled |= is_settled;
        self.fold();
        self.full_at = self
            .takes
            .iter()
            .fold(self.settled, |full_at, take| take.apply(full_at));
    }

    pub(super) fn level(&self, now: u64) -> Level {
        let taken = self.backlog(now).div_ceil(self.weight(1));
        Level {
            limit: self.limit.get(),
            remaining: u32::try_from(taken)
                .map_or(0, |taken| self.limit.get().saturating_sub(taken)),
            reset: Duration::from_nanos(self.backlog(now)),
        }
    }

    /// Whether it is as good as a new one.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.takes.is_empty() && self.backlog(now) == 0
    }

    /// How many takes are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.takes.len()
    }

    fn quota(&self) -> Quota {
        Quota::per_minute(self.limit)
    }

    /// How long it takes until it is full.
    fn backlog(&self, now: u64) -> u64 {
        self.full_at.saturating_sub(now)
    }

    /// How long it takes until `amount` has filled up again.
    fn weight(&self, amount: u64) -> u64 {
        // Never nothing: a minute has more nanoseconds than a limit can have tokens.
        let one = u64::try_from(self.quota().replenish_interval().as_nanos()).unwrap_or(u64::MAX);
        one.saturating_mul(amount)
    }

    /// Makes one of settled takes that stand side by side, and none of those before which all is settled.
    fn fold(&mut self) {
        self.takes.dedup_by(|next, first| {
            let are_settled = first.is_settled && next.is_settled;
            if are_settled {
                first.least = next.apply(first.least);
                first.weight = first.weight.saturating_add(next.weight);
            }
            are_settled
        });
        if let Some(first) = self.takes.first().filter(|first| first.is_settled) {
            self.settled = first.apply(self.settled);
            self.takes.remove(0);
        }
    }
}

impl Take {
    fn apply(&self, full_at: u64) -> u64 {
        full_at.saturating_add(self.weight).max(self.least)
    }
}

/// The state of a bucket as governor is asked about it: it is now, and so long from now the bucket is full. Nothing that
/// governor would have changed is kept; [`Bucket::take`] does that.
struct Question {
    backlog: u64,
}

impl StateStore for Question {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // Governor adds to it without a look at where numbers end; nobody waits for a century.
        decide(Some(self.backlog.min(u64::MAX / 4).into())).map(|(outcome, _)| outcome)
    }
}

/// Time does not go on while a question is answered.
#[derive(Debug, Clone, Copy)]
struct Stopped;

impl Clock for Stopped {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::default()
    }
}
