//! SIGKILL, half of the times while the child starts and half of the times while it writes.

use std::time::Duration;
use tokio::time::Instant;

use crate::PseudoRandom;
use crate::store_child::{ExpectedRecords, StoreChild};

/// Number of changes that are sent together before a kill.
const CHANGES: u64 = 24;
/// Number of later changes after which a record may be removed.
const LIFETIME: u64 = 200;

/// Kills a child `kills` times, and checks the records.
pub(crate) fn run(kills: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut numbers = PseudoRandom(0x5eed);
    let mut expected = ExpectedRecords::default();
    let mut next = 0;
    let mut start_time = Duration::ZERO;
    for kill in 0..kills {
        let started = Instant::now();
        let mut child = StoreChild::start(folder.path(), 0);
        if kill % 2 == 1 {
            // Any moment of a start: up to 1.2 times the duration of the last one.
            let after = start_time.mul_f64(numbers.below(1_200) as f64 / 1_000.0);
            while started.elapsed() < after {
                std::hint::spin_loop();
            }
            child.kill();
            continue;
        }
        assert_eq!(child.answer(), "open", "start {kill}");
        start_time = started.elapsed();
        expected.check_newest(&mut child, 5);
        let changes: Vec<(u64, i64)> = (0..CHANGES)
            .map(|_| next_change(&mut numbers, &mut next))
            .collect();
        for (number, size) in &changes {
            expected.mark_pending(*number);
            let line = if *size < 0 {
                format!("remove {number}")
            } else {
                format!("put {number} {size}")
            };
            child.send(&line);
        }
        for (number, size) in &changes[..numbers.below(CHANGES) as usize] {
            assert_eq!(child.answer(), "done");
            expected.confirm(*number, *size);
        }
        child.kill();
    }
    let mut child = StoreChild::open(folder.path(), 0);
    let records = expected.check_all(&mut child);
    child.close();
    println!("kills: {kills}, records checked: {records}, starts that failed: 0, records lost: 0");
}

/// Returns the next change: a new record, small or large, or the removal of an old one.
fn next_change(numbers: &mut PseudoRandom, next: &mut u64) -> (u64, i64) {
    *next += 1;
    match numbers.below(4) {
        0 if *next > LIFETIME => (*next - LIFETIME, -1),
        1 => (*next, 20_000 + numbers.below(100_000) as i64),
        _ => (*next, numbers.below(2_000) as i64),
    }
}
