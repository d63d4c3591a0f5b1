//! Backups: consistency, detection of damage, restore, retention.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use tokio_util::task::TaskTracker;

use super::*;
use crate::storage::store::Config;
use crate::storage::store::Error;
use crate::storage::store::FreeSpaceFloor;
use crate::storage::store::RedisServer;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;
use crate::storage::store::backend::Backend as _;
use crate::storage::store::sled_database::SledDatabase;

const TABLE: StoreTable = StoreTable::new("t");

fn verify(folder: &Path) -> Result<BackupContents, Error> {
    verify_backup(folder, &mut |_, _| {})
}

fn open(folder: &Path) -> Store {
    Store::open(folder, Config::default(), TaskTracker::new()).unwrap()
}

async fn put(store: &Store, values: &'static [(&'static str, usize)], byte: u8) {
    let work = move |transaction: &mut Transaction<'_>| {
        for (key, size) in values {
            transaction.put(TABLE.key(key), vec![byte; *size]);
        }
        Ok::<_, Error>(())
    };
    store.transaction(work).await.unwrap();
}

fn backups(store: &Store, folder: &Path, beside: &Path, daily: usize) -> Backups {
    Backups::new(
        store.clone(),
        folder.to_owned(),
        vec![beside.to_owned()],
        daily,
    )
}

/// Returns the names in `folder`, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn restored_backup_equals_the_store_at_backup_time() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("backups");
    let files = data.path().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("file_1"), b"of a client").unwrap();
    let store = open(&data.path().join("store"));
    put(&store, &[("a", 10), ("b", 10_000), ("c", 20_000)], 1).await;
    let Backup { path, contents } = backups(&store, &folder, &files, 3).create().await.unwrap();
    assert_eq!(
        contents,
        BackupContents {
            records: 3,
            large_values: 2,
            large_bytes: 30_000
        }
    );
    let mut reports = Vec::new();
    let verified = verify_backup(&path, &mut |done, total| reports.push((done, total)));
    assert_eq!(verified.unwrap(), contents);
    let records = std::fs::metadata(path.join("records")).unwrap().len();
    assert_eq!(reports, [(records, records)]);
    put(&store, &[("b", 6000), ("c", 1), ("d", 1)], 2).await;
    let restored = data.path().join("restored");
    assert_eq!(
        restore_backup(&path, &restored, &mut |_, _| {}).unwrap(),
        contents
    );
    let restored = open(&restored);
    let found = restored.scan(TABLE.key("")).await.unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|(_, value)| (value.len(), value[0]))
        .collect();
    assert_eq!(found, [(10, 1), (10_000, 1), (20_000, 1)]);
    assert_eq!(
        std::fs::read(path.join("files/file_1")).unwrap(),
        b"of a client"
    );
    // The backup is unaffected by the removal of a file it shares with the store.
    assert_eq!(verify(&path).unwrap(), contents);
}

/// An earlier version kept large values in the database, which never reclaimed their space.
#[tokio::test]
async fn restore_moves_large_values_out_of_the_database() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("store");
    let database = SledDatabase::open(&folder, FreeSpaceFloor::new(&folder, 0)).unwrap();
    database
        .write(&[(TABLE.key("old"), Some(vec![1; 10_000]))])
        .unwrap();
    drop(database);
    let store = open(&folder);
    let files = data.path().join("files");
    let path = backups(&store, &data.path().join("backups"), &files, 3)
        .create()
        .await
        .unwrap()
        .path;
    let restored = data.path().join("restored");
    restore_backup(&path, &restored, &mut |_, _| {}).unwrap();
    assert_eq!(names(&restored.join("large")).len(), 1);
    assert_eq!(
        open(&restored).get(TABLE.key("old")).await.unwrap(),
        Some(vec![1; 10_000])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_is_consistent_during_concurrent_writes() {
    const PAIR: &[(&str, usize)] = &[("a", 5000), ("m", 10), ("z", 5000)];
    let data = tempfile::tempdir().unwrap();
    let store = open(&data.path().join("store"));
    put(&store, PAIR, 0).await;
    let is_over = AtomicBool::new(false);
    let write = async {
        for byte in (0..=u8::MAX).cycle() {
            put(&store, PAIR, byte).await;
            if is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    };
    let backups = backups(
        &store,
        &data.path().join("backups"),
        &data.path().join("files"),
        3,
    );
    let back_up = async {
        for number in 0..8 {
            let path = backups.create().await.unwrap().path;
            let restored = data.path().join(format!("restored-{number}"));
            restore_backup(&path, &restored, &mut |_, _| {}).unwrap();
            let found = open(&restored).scan(TABLE.key("")).await.unwrap();
            assert!(
                found.iter().all(|(_, value)| value[0] == found[0].1[0]),
                "all of one transaction"
            );
            assert_eq!(found.len(), 3);
        }
        is_over.store(true, Ordering::Relaxed);
    };
    futures::join!(write, back_up);
    assert_eq!(
        names(&data.path().join("store/large")).len(),
        2,
        "replaced files are gone when the backups are made"
    );
}

#[tokio::test]
async fn changed_or_missing_bytes_fail_verification() {
    let data = tempfile::tempdir().unwrap();
    let store = open(&data.path().join("store"));
    put(&store, &[("a", 10), ("b", 5000)], 1).await;
    let backups = backups(
        &store,
        &data.path().join("backups"),
        &data.path().join("files"),
        3,
    );
    let path = backups.create().await.unwrap().path;
    let records = path.join("records");
    let good = std::fs::read(&records).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 4;
        std::fs::write(&records, &bad).unwrap();
        assert!(matches!(verify(&path), Err(Error::Damaged(_))), "{place}");
        std::fs::write(&records, &good[..place]).unwrap();
        assert!(matches!(verify(&path), Err(Error::Damaged(_))), "{place}");
    }
    std::fs::write(&records, [&good[..], b"x"].concat()).unwrap();
    assert!(matches!(verify(&path), Err(Error::Damaged(_))));
    let restored = data.path().join("restored");
    assert!(restore_backup(&path, &restored, &mut |_, _| {}).is_err());
    assert!(
        !data.path().join("restored").exists(),
        "nothing is made of a damaged backup"
    );
    std::fs::write(&records, &good).unwrap();
    let large = path.join("large").join(&names(&path.join("large"))[0]);
    let list = path.join("files.list");
    for file in [large, list] {
        let whole = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(verify(&path), Err(Error::Damaged(_))), "{file:?}");
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(verify(&path), Err(Error::Damaged(_))), "{file:?}");
        std::fs::write(&file, whole).unwrap();
    }
    verify(&path).unwrap();
}

#[tokio::test]
async fn daily_backups_beyond_the_retention_are_removed() {
    let data = tempfile::tempdir().unwrap();
    let store = open(&data.path().join("store"));
    put(&store, &[("a", 10)], 1).await;
    let folder = data.path().join("backups");
    let daily = [
        "daily-2026-01-01T00-00-00-000Z",
        "daily-2026-01-02T00-00-00-000Z",
    ];
    let unfinished = "daily-2026-01-03T00-00-00-000Z.partial";
    let others = [
        "2026-01-01T00-00-00-000Z",
        "before-upgrade",
        "daily-2999",
        "lost+found",
    ];
    for name in daily.iter().chain(&others).chain([&unfinished]) {
        std::fs::create_dir_all(folder.join(name)).unwrap();
    }
    let backups = backups(&store, &folder, &data.path().join("files"), 2);
    for _ in 0..2 {
        backups.blocking(|inner| inner.make_daily()).await.unwrap();
    }
    let names_left = names(&folder);
    let new_backups: Vec<_> = names_left
        .iter()
        .filter(|name| !others.contains(&name.as_str()) && *name != daily[1])
        .collect();
    assert_eq!(
        (names_left.len(), new_backups.len()),
        (6, 1),
        "one was made, once: {names_left:?}"
    );
    assert_eq!(verify(&folder.join(new_backups[0])).unwrap().records, 1);
}

#[tokio::test]
async fn daily_backup_of_a_shared_store_is_made_by_one_server() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let servers = ["one", "other"].map(|name| {
        let folder = data.path().join(name);
        let store = server.store(TaskTracker::new());
        (
            backups(&store, &folder, &data.path().join("files"), 2),
            folder,
        )
    });
    put(&server.store(TaskTracker::new()), &[("a", 10)], 1).await;
    for (backups, _) in servers.iter().rev().chain(&servers) {
        backups.blocking(|inner| inner.make_daily()).await.unwrap();
    }
    assert!(!servers[0].1.exists(), "the other one was first");
    assert_eq!(names(&servers[1].1).len(), 1);
    let left: i64 = server.run("PTTL {test}:daily-backup");
    assert!(left > 80_000_000, "{left}");
    // A backup that fails is left to another server.
    server.run::<u64>("DEL {test}:daily-backup");
    server.run::<u64>("HSET {test}:snapshot name other");
    let failed = servers[0].0.blocking(|inner| inner.make_daily()).await;
    assert!(failed.is_err());
    let left: i64 = server.run("PTTL {test}:daily-backup");
    assert!(left <= 1, "{left}");
}

#[derive(Debug, Clone)]
enum Step {
    Read,
    Change(u8, Option<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (0..6_u8, any::<Option<u8>>()).prop_map(|(key, value)| Step::Change(key, value));
    proptest::collection::vec(prop_oneof![Just(Step::Read), change], 0..40)
}

proptest! {
    /// With any changes between two reads, the snapshot reads as it was at its start.
    #[test]
    fn frozen_records_read_as_of_the_snapshot(
        mut live in proptest::collection::btree_map(0..6_u8, any::<u8>(), 0..6),
        steps in steps(),
    ) {
        let expected: Vec<_> = live.iter().map(|(key, value)| (vec![*key], vec![*value])).collect();
        let mut frozen = SnapshotRecords::default();
        let mut found = Vec::new();
        let mut last = None::<Vec<u8>>;
        let mut is_over = false;
        // The rest is read without further changes.
        for step in steps.into_iter().chain(std::iter::repeat_n(Step::Read, 20)) {
            match step {
                Step::Change(key, value) => {
                    frozen.record_old_value(&[key], live.get(&key).map(|value| vec![*value]).as_ref());
                    match value {
                        Some(value) => live.insert(key, value),
                        None => live.remove(&key),
                    };
                }
                Step::Read if is_over => {}
                Step::Read => {
                    let next = next(&live, last.as_deref());
                    match frozen.next(last.as_deref(), next) {
                        NextRecord::Found(record) => {
                            last = Some(record.0.clone());
                            found.push(record);
                        }
                        NextRecord::CreatedLater(key) => last = Some(key),
                        NextRecord::End => is_over = true,
                    }
                }
            }
        }
        prop_assert_eq!(found, expected);
    }
}

fn next(live: &BTreeMap<u8, u8>, last: Option<&[u8]>) -> Option<(Vec<u8>, Vec<u8>)> {
    let found = live
        .iter()
        .find(|(key, _)| last.is_none_or(|last| [**key].as_slice() > last));
    found.map(|(key, value)| (vec![*key], vec![*value]))
}
