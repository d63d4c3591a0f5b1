//! Snapshots and backups of records in Redis, while others write.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio_util::task::TaskTracker;

use super::super::super::Backups;
use super::super::super::Config as StoreConfig;
use super::super::super::Store;
use super::super::super::StoreTable;
use super::super::super::Transaction;
use super::super::super::backend::Backend as _;
use super::super::super::backend::StoreChange;
use super::super::super::restore_backup;
use super::super::RedisDatabase;
use super::super::testing::RedisServer;
use super::*;

const TABLE: StoreTable = StoreTable::new("t");
/// More than two pages.
const RECORDS: usize = 700;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn place(number: usize) -> Vec<u8> {
    TABLE.key(format!("{number:04}"))
}

fn database(server: &RedisServer) -> RedisDatabase {
    RedisDatabase::open(&server.config()).unwrap()
}

/// Writes `RECORDS` records with even numbers, and returns them.
fn fill(database: &RedisDatabase) -> Records {
    let records: Records = (0..RECORDS)
        .map(|number| (place(2 * number), vec![b'0'; number % 5]))
        .collect();
    let changes: Vec<StoreChange> = records
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())))
        .collect();
    database.write(&changes).unwrap();
    records
}

#[test]
fn snapshot_has_the_records_of_its_begin_whatever_changes_meanwhile() {
    let server = RedisServer::start_with(&[]);
    let database = database(&server);
    let expected = fill(&database);
    let mut found = Records::new();
    let mut writes = 0;
    let mut generator = fastrand::Rng::with_seed(7);
    let commits = database
        .visit_snapshot(&mut |(key, value)| {
            assert_eq!(found.insert(key, value), None, "each once");
            if found.len().is_multiple_of(9) {
                // Changed, removed and new ones, before and after the present page.
                let changes: Vec<StoreChange> = (0..4)
                    .map(|_| {
                        let value = generator.bool().then(|| vec![b'1'; 3]);
                        (place(generator.usize(..2 * RECORDS)), value)
                    })
                    .collect::<BTreeMap<_, _>>()
                    .into_iter()
                    .collect();
                database.write(&changes)?;
                writes += 1;
            }
            Ok(())
        })
        .unwrap();
    assert!(writes > 70, "{writes}");
    assert_eq!(commits, writes);
    assert_eq!(found, expected);
    assert_eq!(server.run::<u64>("EXISTS {test}:snapshot"), 0);
}

#[test]
fn snapshot_does_not_end_while_its_old_values_are_read() {
    let server = RedisServer::start_with(&[]);
    let database = database(&server);
    fill(&database);
    let mut visited = 0;
    let mut remaining_ms = 0;
    database
        .visit_snapshot(&mut |_| {
            visited += 1;
            if visited == 1 {
                // Of the last page, so they follow at the end.
                let last = [RECORDS - 2, RECORDS - 1];
                let changes: [StoreChange; 2] = last.map(|number| (place(2 * number), None));
                database.write(&changes)?;
            } else if visited == RECORDS - 1 {
                server.run::<u64>("PEXPIRE {test}:snapshot 20000");
            } else if visited == RECORDS {
                remaining_ms = server.run::<u64>("PTTL {test}:snapshot");
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(visited, RECORDS);
    assert!(remaining_ms > 20_000, "{remaining_ms}");
}

#[test]
fn snapshot_of_no_records_is_empty() {
    let server = RedisServer::start_with(&[]);
    let visited = database(&server).visit_snapshot(&mut |_| panic!("there is none"));
    assert_eq!(visited.unwrap(), 0);
}

#[test]
fn second_snapshot_at_the_same_time_is_refused() {
    let server = RedisServer::start_with(&[]);
    let (database, other) = (database(&server), database(&server));
    fill(&database);
    let mut refusal = None;
    database
        .visit_snapshot(&mut |_| {
            if refusal.is_none() {
                refusal = other.visit_snapshot(&mut |_| Ok(())).err();
            }
            Ok(())
        })
        .unwrap();
    let refusal = refusal.unwrap();
    assert!(refusal.to_string().contains("another server"), "{refusal}");
    assert!(refusal.hint().is_some());
    other.visit_snapshot(&mut |_| Ok(())).unwrap();
}

#[test]
fn lost_snapshot_is_noticed() {
    let server = RedisServer::start_with(&[]);
    let database = database(&server);
    fill(&database);
    for (at, command) in [
        (1, "DEL {test}:snapshot"),
        (RECORDS, "DEL {test}:snapshot"),
        // A commit that keeps no old values, as that of an earlier program.
        (RECORDS / 2, "INCR {test}:sequence"),
    ] {
        let mut visited = 0;
        let outcome = database.visit_snapshot(&mut |_| {
            visited += 1;
            if visited == at {
                server.run::<u64>(command);
            }
            Ok(())
        });
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("was lost"), "{error}");
    }
}

#[test]
fn full_memory_ends_the_snapshot_and_refuses_no_removal() {
    let server = RedisServer::start_with(&[]);
    let database = database(&server);
    fill(&database);
    let mut is_first = true;
    let outcome = database.visit_snapshot(&mut |_| {
        if std::mem::take(&mut is_first) {
            server.run::<String>("CONFIG SET maxmemory 1");
            database.write(&[(place(0), None)])?;
            server.run::<String>("CONFIG SET maxmemory 0");
        }
        Ok(())
    });
    let error = outcome.unwrap_err();
    assert!(error.to_string().contains("was lost"), "{error}");
    assert_eq!(database.get(&place(0)).unwrap(), None);
}

#[test]
fn kept_value_is_read_with_its_number() {
    assert_eq!(parse_kept(b"12:a:b".to_vec()), Some((12, b"a:b".to_vec())));
    assert_eq!(parse_kept(b"0:".to_vec()), Some((0, Vec::new())));
    assert_eq!(parse_kept(b"12".to_vec()), None);
    assert_eq!(parse_kept(b"x:1".to_vec()), None);
}

#[tokio::test]
async fn backup_of_redis_restores_into_a_folder() {
    let server = RedisServer::start_with(&[]);
    let store = server.store(TaskTracker::new());
    let sizes = [("a", 10_usize), ("b", 10_000), ("c", 5_000_000)];
    let write = move |transaction: &mut Transaction<'_>| {
        for (rest, size) in sizes {
            transaction.put(TABLE.key(rest), vec![1; size]);
        }
        // Looks like a reference to a file.
        transaction.put(TABLE.key("d"), b"\0large value 1\0d".to_vec());
        Ok::<_, Error>(())
    };
    store.transaction(write).await.unwrap();
    let expected = store.scan(TABLE.key("")).await.unwrap();
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("backups");
    let backups = Backups::new(store, folder, Vec::new(), 0);
    let backup = backups.create().await.unwrap();
    assert_eq!(backup.contents.records, 4);
    assert_eq!(backup.contents.large_values, 3);
    let restored = data.path().join("restored");
    restore_backup(&backup.path, &restored, &mut |_, _| {}).unwrap();
    let restored = Store::open(&restored, StoreConfig::default(), TaskTracker::new()).unwrap();
    assert_eq!(restored.scan(TABLE.key("")).await.unwrap(), expected);
}

/// Two servers move amounts between records; the sum of a backup is that of each moment.
#[tokio::test(flavor = "multi_thread")]
async fn backup_during_writes_of_two_servers_is_of_one_moment() {
    const ACCOUNTS: usize = 400;
    let server = RedisServer::start_with(&[]);
    let stores = [(); 2].map(|()| server.store(TaskTracker::new()));
    let changes = (0..ACCOUNTS).map(|number| (place(number), Some(vec![100])));
    let changes: Vec<StoreChange> = changes.collect();
    database(&server).write(&changes).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let moves = stores
        .clone()
        .into_iter()
        .enumerate()
        .map(|(writer, store)| {
            let is_over = Arc::clone(&is_over);
            async move {
                let mut round = writer;
                while !is_over.load(Relaxed) {
                    round += 7;
                    let (from, to) = (round % ACCOUNTS, (round * 31 + 1) % ACCOUNTS);
                    let work = move |transaction: &mut Transaction<'_>| {
                        let read = |number| transaction.get(&place(number));
                        let (Some(source), Some(target)) = (read(from)?, read(to)?) else {
                            return Ok(());
                        };
                        if from != to && source[0] > 0 && target[0] < 200 {
                            transaction.put(place(from), vec![source[0] - 1]);
                            transaction.put(place(to), vec![target[0] + 1]);
                        }
                        Ok::<_, Error>(())
                    };
                    store.transaction(work).await.unwrap();
                }
            }
        });
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("backups");
    let backups = Backups::new(stores[0].clone(), folder, Vec::new(), 0);
    let back_up = async {
        for number in 0..5 {
            let path = backups.create().await.unwrap().path;
            let restored = data.path().join(format!("restored-{number}"));
            restore_backup(&path, &restored, &mut |_, _| {}).unwrap();
            let config = StoreConfig::default();
            let restored = Store::open(&restored, config, TaskTracker::new()).unwrap();
            let found = restored.scan(TABLE.key("")).await.unwrap();
            let sum: usize = found.iter().map(|(_, value)| usize::from(value[0])).sum();
            assert_eq!((found.len(), sum), (ACCOUNTS, 100 * ACCOUNTS));
        }
        is_over.store(true, Relaxed);
    };
    futures::join!(futures::future::join_all(moves), back_up);
}
