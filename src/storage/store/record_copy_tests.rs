//! Copies between a folder and a Redis, and restores into a Redis.

use std::time::Duration;

use super::*;
use crate::storage::store::Backups;
use crate::storage::store::Config;
use crate::storage::store::RedisServer;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;
use crate::telemetry::metrics::StoreMetrics;

const TABLE: StoreTable = StoreTable::new("t");
const OTHER: StoreTable = StoreTable::new("other");

fn in_folder(folder: &Path) -> Store {
    Store::open_marked(folder, TaskTracker::new()).unwrap()
}

fn in_redis(server: &RedisServer) -> Store {
    Store::open_shared_marked(&server.config(), TaskTracker::new()).unwrap()
}

/// Writes records of two tables, among them large and empty ones.
async fn fill(store: &Store) {
    let write = |transaction: &mut Transaction<'_>| {
        for number in 0..2500_usize {
            let size = if number % 500 == 0 {
                20_000
            } else {
                number % 7
            };
            transaction.put(TABLE.key(format!("{number:05}")), vec![b'v'; size]);
        }
        transaction.put(OTHER.key("looks large"), b"\0large value 1\0d".to_vec());
        Ok::<_, Error>(())
    };
    store.transaction(write).await.unwrap();
}

fn summarize(store: &Store) -> RecordSummary {
    summarize_records(store, &mut |_, _| {}).unwrap()
}

fn copy(source: &Store, target: &Store) -> Result<RecordSummary, Error> {
    claim_target(target, false)?;
    let summary = copy_records(source, target, &mut |_, _| {})?;
    target.set_mark(None)?;
    Ok(summary)
}

#[tokio::test]
async fn records_are_equal_after_a_round_trip_through_redis() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let first = in_folder(&data.path().join("first"));
    fill(&first).await;
    let expected = summarize(&first);
    assert_eq!(expected.records(), 2501);
    let redis = in_redis(&server);
    let mut reports = Vec::new();
    claim_target(&redis, false).unwrap();
    let copied = copy_records(&first, &redis, &mut |done, total| {
        reports.push((done, total));
    });
    assert_eq!(copied.unwrap(), expected);
    assert!(reports.is_sorted() && reports.iter().all(|(done, total)| done <= total));
    assert!(reports.len() > 2, "{reports:?}");
    redis.set_mark(None).unwrap();
    assert_eq!(summarize(&redis), expected);
    let last = in_folder(&data.path().join("last"));
    assert_eq!(copy(&redis, &last).unwrap(), expected);
    assert_eq!(summarize(&last), expected);
    assert_eq!(
        last.scan(Vec::new()).await.unwrap(),
        first.scan(Vec::new()).await.unwrap()
    );
}

#[tokio::test]
async fn copied_records_keep_their_time_to_live() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let folder = in_folder(data.path());
    let limits = TtlLimits {
        time_to_live: Duration::from_secs(3600),
        max_records: 10,
        max_bytes: 1000,
    };
    let table = TtlTable::new(folder.clone(), OTHER, limits);
    table.put("owner", "id", b"text".to_vec()).await.unwrap();
    let redis = in_redis(&server);
    copy(&folder, &redis).unwrap();
    let others = TtlTable::new(redis, OTHER, limits);
    let found = others.get("owner", "id").await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"text"[..]));
}

#[tokio::test]
async fn target_with_records_is_refused_unless_they_are_marked() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let source = in_folder(&data.path().join("source"));
    fill(&source).await;
    let redis = in_redis(&server);
    copy(&source, &redis).unwrap();
    let refusal = copy(&source, &redis).unwrap_err();
    assert!(refusal.to_string().contains("2501 records"), "{refusal}");
    assert!(refusal.hint().is_some());
    assert_eq!(redis.mark().unwrap(), None, "it is as it was");
    // Records that were moved away are replaced.
    let moved = StoreMark::MovedTo("elsewhere".to_owned());
    redis.set_mark(Some(&moved)).unwrap();
    copy(&source, &redis).unwrap();
}

#[tokio::test]
async fn interrupted_copy_leaves_a_mark_and_is_begun_anew() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let source = in_folder(&data.path().join("source"));
    fill(&source).await;
    let expected = summarize(&source);
    let target = in_folder(&data.path().join("target"));
    for target in [&in_redis(&server), &target] {
        claim_target(target, false).unwrap();
        let left = vec![(TABLE.key("left"), Some(b"by the first run".to_vec()))];
        target.backend.write(&left).unwrap();
        assert_eq!(target.mark().unwrap(), Some(StoreMark::Incomplete));
        assert_eq!(copy(&source, target).unwrap(), expected);
        assert_eq!(summarize(target), expected);
    }
}

#[tokio::test]
async fn server_does_not_start_on_marked_records() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let open_redis = || {
        Store::open_shared(
            &server.config(),
            TaskTracker::new(),
            StoreMetrics::default(),
        )
    };
    for mark in [
        StoreMark::Incomplete,
        StoreMark::MovedTo("elsewhere".to_owned()),
    ] {
        let folder = data.path().join(mark.to_text());
        let tracker = TaskTracker::new();
        let marked = Store::open_marked(&folder, tracker.clone()).unwrap();
        marked.set_mark(Some(&mark)).unwrap();
        drop(marked);
        tracker.close();
        tracker.wait().await;
        let refusal = Store::open(&folder, Config::default(), TaskTracker::new()).unwrap_err();
        assert_eq!(refusal.to_string(), mark.refusal().to_string());
        let marked = in_redis(&server);
        marked.set_mark(Some(&mark)).unwrap();
        let refusal = open_redis().unwrap_err();
        assert_eq!(refusal.to_string(), mark.refusal().to_string());
        assert!(super::super::count_redis_records(&server.config()).is_err());
        marked.set_mark(None).unwrap();
    }
    open_redis().unwrap();
    assert_eq!(
        super::super::count_redis_records(&server.config()).unwrap(),
        0
    );
}

#[tokio::test]
async fn two_copies_into_one_place_do_not_both_end() {
    let server = RedisServer::start_with(&[]);
    let (first, second) = (in_redis(&server), in_redis(&server));
    claim_target(&first, false).unwrap();
    claim_target(&second, false).unwrap();
    let refusal = first.set_mark(None).unwrap_err();
    assert!(refusal.to_string().contains("no longer"), "{refusal}");
    assert_eq!(first.mark().unwrap(), Some(StoreMark::Incomplete));
    second.set_mark(None).unwrap();
    assert_eq!(second.mark().unwrap(), None);
}

/// The copy sends no heartbeat for longer than its lease: its process is paused, or Redis restarts.
#[tokio::test]
async fn copy_that_was_silent_goes_on_with_its_mark() {
    let server = RedisServer::start_with(&[]);
    let target = in_redis(&server);
    claim_target(&target, false).unwrap();
    let writer: String = server.run::<Vec<String>>("KEYS {test}:writer:*").remove(0);
    server.run::<u64>(&format!("DEL {writer}"));
    let change = [(TABLE.key("a"), Some(b"1".to_vec()))];
    // Refused, unless a sign of life comes before it.
    drop(target.backend.write(&change));
    target.backend.write(&change).unwrap();
    target.set_mark(None).unwrap();
}

#[tokio::test]
async fn change_of_the_source_meanwhile_fails_the_copy() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let (source, other) = (in_redis(&server), in_redis(&server));
    fill(&source).await;
    let target = in_folder(data.path());
    claim_target(&target, false).unwrap();
    let mut is_first = true;
    let copied = copy_records(&source, &target, &mut |_, _| {
        if std::mem::take(&mut is_first) {
            let change = (TABLE.key("later"), Some(b"1".to_vec()));
            other.backend.write(&[change]).unwrap();
        }
    });
    let refusal = copied.unwrap_err();
    assert!(refusal.to_string().contains("changed 1 times"), "{refusal}");
    assert_eq!(target.mark().unwrap(), Some(StoreMark::Incomplete));
}

#[tokio::test]
async fn change_of_the_source_during_the_comparison_fails_the_copy() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let (source, other) = (in_redis(&server), in_redis(&server));
    fill(&source).await;
    let target = in_folder(data.path());
    claim_target(&target, false).unwrap();
    let copied = copy_records(&source, &target, &mut |done, total| {
        // Of 2501 records, each of which is counted twice.
        if done > total / 2 && other.count().unwrap() == total / 2 {
            let change = (TABLE.key("later"), Some(b"1".to_vec()));
            other.backend.write(&[change]).unwrap();
        }
    });
    let refusal = copied.unwrap_err();
    assert!(refusal.to_string().contains("changed 1 times"), "{refusal}");
    assert_eq!(target.mark().unwrap(), Some(StoreMark::Incomplete));
}

#[tokio::test]
async fn foreign_record_in_the_target_fails_the_copy() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let source = in_folder(data.path());
    fill(&source).await;
    let (target, other) = (in_redis(&server), in_redis(&server));
    claim_target(&target, false).unwrap();
    let mut is_first = true;
    let copied = copy_records(&source, &target, &mut |_, _| {
        if std::mem::take(&mut is_first) {
            let change = (OTHER.key("foreign"), Some(b"1".to_vec()));
            other.backend.write(&[change]).unwrap();
        }
    });
    let refusal = copied.unwrap_err();
    assert!(
        refusal.to_string().contains("table other differ"),
        "{refusal}"
    );
}

#[tokio::test]
async fn backup_of_a_folder_replaces_the_records_of_redis() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let source = in_folder(&data.path().join("store"));
    fill(&source).await;
    let expected = summarize(&source);
    let backups = Backups::new(source, data.path().join("backups"), Vec::new(), 0);
    let backup = backups.create().await.unwrap();
    let redis = in_redis(&server);
    let present = vec![(TABLE.key("present"), Some(b"1".to_vec()))];
    redis.backend.write(&present).unwrap();
    claim_target(&redis, true).unwrap();
    let restored = restore_records(&redis, &backup.path, &mut |_, _| {}).unwrap();
    redis.set_mark(None).unwrap();
    assert_eq!(restored, backup.contents);
    assert_eq!(summarize(&redis), expected);
}
