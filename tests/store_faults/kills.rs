//! kill -9, half of the times while the child starts and half of the times while it writes.

use std::time::Duration;
use tokio::time::Instant;

use crate::Numbers;
use crate::keeper::{Expected, Keeper};

/// Changes that are sent at once before a kill.
const CHANGES: u64 = 24;
/// Each record is removed after so many more.
const LIFE: u64 = 200;

/// Kills children `kills` times.
pub(crate) fn run(kills: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (mut numbers, mut expected, mut next) = (Numbers(0x5eed), Expected::default(), 0);
    let mut start_time = Duration::ZERO;
    for kill in 0..kills {
        let started = Instant::now();
        let mut keeper = Keeper::start(folder.path(), 0);
        if kill % 2 == 1 {
            // Aimed at every step of a start: at any part of the time that the last one took, and a bit beyond.
            let after = start_time.mul_f64(numbers.below(1_200) as f64 / 1_000.0);
            while started.elapsed() < after {
                std::hint::spin_loop();
            }
            keeper.kill();
            continue;
        }
        assert_eq!(keeper.answer(), "open", "start {kill}");
        start_time = started.elapsed();
        expected.check_newest(&mut keeper, 5);
        let changes: Vec<(u64, i64)> = (0..CHANGES)
            .map(|_| change(&mut numbers, &mut next))
            .collect();
        for (number, size) in &changes {
            expected.begin(*number);
            let line = if *size < 0 {
                format!("remove {number}")
            } else {
                format!("put {number} {size}")
            };
            keeper.send(&line);
        }
        for (number, size) in &changes[..numbers.below(CHANGES) as usize] {
            assert_eq!(keeper.answer(), "done");
            expected.confirm(*number, *size);
        }
        keeper.kill();
    }
    let mut keeper = Keeper::open(folder.path(), 0);
    let records = expected.check_all(&mut keeper);
    keeper.close();
    println!("kills: {kills}, records checked: {records}, starts that failed: 0, records lost: 0");
}

/// The next change: a new record, small or large, or the end of an old one.
fn change(numbers: &mut Numbers, next: &mut u64) -> (u64, i64) {
    *next += 1;
    match numbers.below(4) {
        0 if *next > LIFE => (*next - LIFE, -1),
        1 => (*next, 20_000 + numbers.below(100_000) as i64),
        _ => (*next, numbers.below(2_000) as i64),
    }
}
