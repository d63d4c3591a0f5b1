//! Disk use of a store in which ten thousand records are created, appended to and removed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use claude_switchboard::storage::store::{Config, Store, StoreTable, TtlLimits, TtlTable};
use tokio_util::task::TaskTracker;

use crate::PseudoRandom;

/// Number of live records at a time.
const LIVE_RECORDS: u64 = 200;
/// Number of records that are created and removed concurrently.
const CONCURRENCY: u64 = 50;
/// Maximum disk use above 1.5 times the live bytes.
const MAX_OVERHEAD: u64 = 64 << 20;

/// Creates and removes `count` records, and asserts that disk use is in proportion to the live
/// bytes.
pub(crate) fn run(count: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let live_bytes = runtime.block_on(churn(folder.path(), count));
    let disk_bytes = disk_use(folder.path());
    println!(
        "{count} creations and removals: {} KiB of live records take {} KiB of the disk",
        live_bytes / 1024,
        disk_bytes / 1024
    );
    assert!(
        disk_bytes <= live_bytes * 3 / 2 + MAX_OVERHEAD,
        "the store takes {disk_bytes} bytes for {live_bytes} live ones"
    );
}

/// Returns the bytes of the records that are live at the end.
async fn churn(folder: &Path, count: u64) -> u64 {
    let tracker = TaskTracker::new();
    let store = Store::open(folder, Config::default(), tracker.clone()).unwrap();
    let limits = TtlLimits {
        time_to_live: Duration::from_secs(86400),
        max_records: 1 << 30,
        max_bytes: 1 << 40,
    };
    let records = TtlTable::new(store, StoreTable::new("sessions"), limits);
    for first in (0..count).step_by(usize::try_from(CONCURRENCY).unwrap()) {
        let changes =
            (first..first + CONCURRENCY).map(|number| create_and_remove(&records, number));
        futures::future::join_all(changes).await;
    }
    let mut bytes = 0;
    for number in count.saturating_sub(LIVE_RECORDS)..count {
        let whole = records
            .get_with_parts("owner", &number.to_string())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            whole.parts[0].len() as u64,
            size_of(number),
            "record {number}"
        );
        bytes += whole.record.len() + whole.parts[0].len();
    }
    drop(records);
    tracker.close();
    tracker.wait().await;
    bytes as u64
}

async fn create_and_remove(records: &TtlTable, number: u64) {
    let text = vec![7; usize::try_from(size_of(number)).unwrap()];
    records
        .put("owner", &number.to_string(), text.clone())
        .await
        .unwrap();
    assert!(
        records
            .append("owner", &number.to_string(), vec![7; 10], text)
            .await
            .unwrap()
    );
    if let Some(old) = number.checked_sub(LIVE_RECORDS) {
        assert!(records.remove("owner", &old.to_string()).await.unwrap());
    }
}

/// Returns the size of a record, from 100 bytes to 200 kB: most are small, a few very large.
fn size_of(number: u64) -> u64 {
    let mut numbers = PseudoRandom(number * 7919 + 1);
    numbers.below(100);
    match numbers.below(10) {
        0 => 200_000,
        1..=3 => 20_000,
        _ => 100 + numbers.below(2000),
    }
}

/// Returns the disk space that the files in `folder` take, in bytes.
fn disk_use(folder: &Path) -> u64 {
    let size = |entry: fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() {
            disk_use(&entry.path())
        } else {
            metadata.blocks() * 512
        }
    };
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| size(entry.unwrap()))
        .sum()
}
