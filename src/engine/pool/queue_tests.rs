//! The fair queue by itself.

use proptest::prelude::*;

use super::super::BusyReason;
use super::super::claim::{Claim, Class};
use super::Queue;
use crate::runtime::fair_queue::Tenant;

const CAPACITY: usize = 8;

fn claim(tenant: usize) -> Claim {
    Claim {
        tenant: Tenant::new(&tenant.to_string(), 1),
        class: Class::Live,
        span: None,
    }
}

#[test]
fn newest_item_of_the_largest_tenant_is_evicted() {
    let mut queue = Queue::new();
    for number in 0..8 {
        assert_eq!(queue.push(&claim(0), CAPACITY, number), Ok(None));
    }
    let share = |own| BusyReason::OwnShare { own, waiting: 8 };
    assert_eq!(queue.push(&claim(0), CAPACITY, 8), Err(share(8)));
    for (number, left) in [(9, 7), (10, 6), (11, 5), (12, 4)] {
        assert_eq!(
            queue.push(&claim(1), CAPACITY, number),
            Ok(Some((left, share(left + 1))))
        );
    }
    assert_eq!(
        queue.push(&claim(1), CAPACITY, 13),
        Err(share(4)),
        "they have as many"
    );
    assert_eq!(queue.len(), 8);
}

#[test]
fn queue_is_full_when_each_slot_has_another_tenant() {
    let mut queue = Queue::new();
    for tenant in 0..8 {
        assert_eq!(queue.push(&claim(tenant), CAPACITY, tenant), Ok(None));
    }
    assert_eq!(
        queue.push(&claim(8), CAPACITY, 8),
        Err(BusyReason::QueueFull)
    );
    let background = Claim {
        class: Class::Background,
        ..claim(8)
    };
    assert_eq!(
        queue.push(&background, CAPACITY, 8),
        Ok(None),
        "which has places of its own"
    );
    assert_eq!(
        queue.push(&claim(0), 0, 9),
        Err(BusyReason::OwnShare { own: 1, waiting: 8 })
    );
}

proptest! {
    /// A tenant without a place is refused only if every place belongs to another tenant.
    #[test]
    fn no_tenant_fills_the_queue_for_others(steps in prop::collection::vec(prop::option::of(0..12_usize), 1..200)) {
        let mut queue = Queue::new();
        let mut held = [0_usize; 12];
        for step in steps {
            let Some(tenant) = step else {
                if let Some(served) = queue.pop() {
                    held[served] -= 1_usize;
                }
                continue;
            };
            let longest = held.iter().copied().max().unwrap_or_default();
            match queue.push(&claim(tenant), CAPACITY, tenant) {
                Ok(None) => held[tenant] += 1,
                Ok(Some((other, _))) => {
                    prop_assert_eq!(held[other], longest);
                    held[other] -= 1;
                    held[tenant] += 1;
                }
                Err(_) => prop_assert!(longest <= held[tenant] + 1),
            }
            prop_assert!(queue.len() <= CAPACITY);
            prop_assert_eq!(queue.len(), held.iter().sum::<usize>());
        }
    }
}
