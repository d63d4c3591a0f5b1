//! Ten thousand records that are made, appended to and removed: the disk is given back.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use claude_switchboard::storage::store::{Config, Store, StoreTable, TtlLimits, TtlTable};
use tokio_util::task::TaskTracker;

use crate::Numbers;

/// Records that are there at a time.
const ALIVE: u64 = 200;
/// Records that are made and removed side by side.
const SIDE_BY_SIDE: u64 = 50;
/// The most bytes of disk that a store may take above 1.5 times its records.
const MAX_OVERHEAD: u64 = 64 << 20;

/// Makes and removes `count` records in a store, and compares what it takes of the disk with what is alive.
pub(crate) fn run(count: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let alive = runtime.block_on(churn(folder.path(), count));
    let taken = disk_use(folder.path());
    println!(
        "{count} makes and removals: {} KiB alive take {} KiB of the disk",
        alive / 1024,
        taken / 1024
    );
    assert!(
        taken <= alive * 3 / 2 + MAX_OVERHEAD,
        "the store takes {taken} bytes for {alive}"
    );
}

/// Returns the bytes of the records that are alive at the end.
async fn churn(folder: &Path, count: u64) -> u64 {
    let tracker = TaskTracker::new();
    let store = Store::open(folder, Config::default(), tracker.clone()).unwrap();
    let limits = TtlLimits {
        time_to_live: Duration::from_secs(86400),
        max_records: 1 << 30,
        max_bytes: 1 << 40,
    };
    let shelf = TtlTable::new(store, StoreTable::new("sessions"), limits);
    for first in (0..count).step_by(usize::try_from(SIDE_BY_SIDE).unwrap()) {
        let some = (first..first + SIDE_BY_SIDE).map(|number| make_and_remove(&shelf, number));
        futures::future::join_all(some).await;
    }
    let mut kept = 0;
    for number in count.saturating_sub(ALIVE)..count {
        let whole = shelf
            .get_with_parts("owner", &number.to_string())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            whole.parts[0].len() as u64,
            size_of(number),
            "record {number}"
        );
        kept += whole.record.len() + whole.parts[0].len();
    }
    drop(shelf);
    tracker.close();
    tracker.wait().await;
    kept as u64
}

async fn make_and_remove(shelf: &TtlTable, number: u64) {
    let text = vec![7; usize::try_from(size_of(number)).unwrap()];
    shelf
        .put("owner", &number.to_string(), text.clone())
        .await
        .unwrap();
    assert!(
        shelf
            .append("owner", &number.to_string(), vec![7; 10], text)
            .await
            .unwrap()
    );
    if let Some(old) = number.checked_sub(ALIVE) {
        assert!(shelf.remove("owner", &old.to_string()).await.unwrap());
    }
}

/// Most are small, some large, a few very large: from 100 bytes to 200 KB.
fn size_of(number: u64) -> u64 {
    let mut numbers = Numbers(number * 7919 + 1);
    numbers.below(100);
    match numbers.below(10) {
        0 => 200_000,
        1..=3 => 20_000,
        _ => 100 + numbers.below(2000),
    }
}

/// The bytes that all files in `folder` take of the disk.
fn disk_use(folder: &Path) -> u64 {
    let of = |entry: fs::DirEntry| {
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            disk_use(&entry.path())
        } else {
            about.blocks() * 512
        }
    };
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| of(entry.unwrap()))
        .sum()
}
