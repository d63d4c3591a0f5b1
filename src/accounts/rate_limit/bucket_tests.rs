//! Buckets against a model that records every debit and replays all of them each time.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use super::Bucket;
use super::DebitId;
use super::Shortage;

const SECOND: u64 = 1_000_000_000;
const FIRST: DebitId = DebitId::FIRST;

fn bucket(limit: u32) -> Bucket {
    Bucket::new(NonZeroU32::new(limit).unwrap())
}

#[derive(Debug, Clone)]
enum Step {
    /// Time passes.
    Wait(u64),
    /// Takes an amount.
    Take(u64),
    /// Settles one of the open debits, at an amount or at what was asked for.
    Settle(prop::sample::Index, Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40 * SECOND).prop_map(Step::Wait),
        (0_u64..150).prop_map(Step::Take),
        (any::<prop::sample::Index>(), prop::option::of(0_u64..300))
            .prop_map(|(index, amount)| Step::Settle(index, amount)),
    ]
}

/// Time when a bucket of 60 a minute is full again after these debits.
fn full_at(debits: &[(u64, u64)]) -> u64 {
    debits.iter().fold(0, |full_at: u64, (at, amount)| {
        full_at.max(*at) + amount * SECOND
    })
}

proptest! {
    /// A late correction leaves the bucket as if the amount had been known at once.
    #[test]
    fn settled_bucket_equals_bucket_with_final_amounts(steps in prop::collection::vec(step(), 0..60)) {
        let mut now = 0;
        let mut bucket = bucket(60);
        let mut debits = Vec::new();
        let mut open = Vec::new();
        let mut id = FIRST;
        for step in steps {
            match step {
                Step::Wait(time) => now += time,
                Step::Take(amount) => {
                    id = id.next();
                    bucket.take(id, amount, now, false);
                    open.push((debits.len(), id));
                    debits.push((now, amount));
                }
                Step::Settle(..) if open.is_empty() => {}
                Step::Settle(index, amount) => {
                    let (position, id) = open.remove(index.index(open.len()));
                    debits[position].1 = amount.unwrap_or(debits[position].1);
                    bucket.settle(id, amount);
                }
            }
            let backlog = full_at(&debits).saturating_sub(now);
            prop_assert_eq!(bucket.level(now).reset, Duration::from_nanos(backlog));
            prop_assert!(bucket.take_count() <= 2 * open.len());
        }
    }

    /// Within any interval, no more passes than a full bucket and what refills meanwhile.
    #[test]
    fn bucket_never_admits_more_than_capacity_plus_refill(asks in prop::collection::vec((0..20 * SECOND, 1_u64..70), 1..80)) {
        let mut now = 0;
        let mut bucket = bucket(60);
        let mut passed = Vec::new();
        for (wait, amount) in asks {
            now += wait;
            if bucket.shortage(amount, now).is_none() {
                bucket.take(FIRST, amount, now, true);
                passed.push((now, amount));
            }
        }
        for (first, (begin, _)) in passed.iter().enumerate() {
            let mut sum = 0;
            for (at, amount) in &passed[first..] {
                sum += amount;
                prop_assert!(sum * SECOND <= 60 * SECOND + (at - begin));
            }
        }
    }

    /// A request passes after the reported wait, and not one nanosecond earlier.
    #[test]
    fn bucket_reports_exact_wait(used in 0_u64..200, amount in 1_u64..=60) {
        let mut bucket = bucket(60);
        bucket.take(FIRST, used, 0, true);
        match bucket.shortage(amount, 0) {
            None => prop_assert!(used + amount <= 60),
            Some(Shortage::Permanent) => prop_assert!(false, "it fits into a full bucket"),
            Some(Shortage::Temporary(wait)) => {
                let wait = u64::try_from(wait.as_nanos()).unwrap();
                prop_assert_eq!(wait, (used + amount - 60) * SECOND);
                prop_assert!(bucket.shortage(amount, wait - 1).is_some());
                prop_assert_eq!(bucket.shortage(amount, wait), None);
            }
        }
    }
}

#[test]
fn refund_does_not_add_to_elapsed_refill() {
    let mut bucket = bucket(60);
    bucket.take(FIRST, 60, 0, false);
    bucket.take(FIRST.next(), 50, 59 * SECOND, true);
    bucket.settle(FIRST, Some(0));
    assert_eq!(bucket.level(59 * SECOND).remaining, 10);
}

#[test]
fn bucket_may_go_into_debt() {
    let mut bucket = bucket(60);
    bucket.take(FIRST, 10, 0, false);
    bucket.settle(FIRST, Some(100));
    assert_eq!(bucket.level(0).remaining, 0);
    assert_eq!(
        bucket.shortage(0, 0),
        Some(Shortage::Temporary(Duration::from_secs(41)))
    );
    assert_eq!(bucket.level(70 * SECOND).remaining, 30);
}

#[test]
fn amount_above_capacity_never_fits() {
    for amount in [61, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(
            bucket(60).shortage(amount, 0),
            Some(Shortage::Permanent),
            "{amount}"
        );
    }
    assert_eq!(bucket(60).shortage(60, 0), None);
    let mut bucket = bucket(u32::MAX);
    assert_eq!(bucket.shortage(u64::from(u32::MAX), 0), None);
    bucket.take(FIRST, u64::MAX, 0, true);
    assert!(matches!(
        bucket.shortage(u64::from(u32::MAX), 0),
        Some(Shortage::Temporary(_))
    ));
}

#[test]
fn changed_limit_keeps_taken_amount() {
    let mut bucket = bucket(60);
    bucket.take(FIRST, 45, 0, false);
    bucket.set_limit(NonZeroU32::new(120).unwrap(), 0);
    assert_eq!(bucket.level(0).remaining, 75);
    bucket.set_limit(NonZeroU32::new(30).unwrap(), 0);
    assert_eq!(bucket.level(0).remaining, 0);
    bucket.set_limit(NonZeroU32::new(60).unwrap(), 0);
    assert_eq!(bucket.level(0).remaining, 15);
}
