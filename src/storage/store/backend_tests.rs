//! Contract tests that every backend must pass.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use proptest::prelude::*;

use super::super::testing::BlockingBackend;
use super::super::testing::FREE_SPACE_BYTES;
use super::super::testing::FaultyBackend;
use super::super::testing::SharedBackend;
use super::super::*;

const TABLE: StoreTable = StoreTable::new("t");
const OTHER: StoreTable = StoreTable::new("t2");

fn key(rest: &str) -> Vec<u8> {
    TABLE.key(rest)
}

async fn put(store: &Store, rest: &'static str, value: &'static str) {
    let work = move |transaction: &mut Transaction<'_>| {
        transaction.put(key(rest), value.into());
        Ok::<_, Error>(())
    };
    store.transaction(work).await.unwrap();
}

async fn text(store: &Store, rest: &str) -> Option<String> {
    store
        .get(key(rest))
        .await
        .unwrap()
        .map(|value| String::from_utf8(value).unwrap())
}

/// Folder and Redis of the stores of a test, dropped after them.
struct StorePlaces {
    _folder: tempfile::TempDir,
    _redis: RedisServer,
}

/// Returns a store on each backend, the in-memory one also without a writer thread, and the places
/// that must outlive them.
fn stores() -> (Vec<Store>, StorePlaces) {
    let folder = tempfile::tempdir().unwrap();
    let redis = RedisServer::start();
    let tracker = TaskTracker::new();
    let sled = Store::open(folder.path(), Config::default(), tracker.clone()).unwrap();
    let threaded = Store::new(Arc::new(MemoryBackend::default()), tracker.clone()).unwrap();
    let shared = redis.store(tracker.clone());
    let places = StorePlaces {
        _folder: folder,
        _redis: redis,
    };
    let stores = vec![Store::in_memory(tracker), threaded, sled, shared];
    (stores, places)
}

#[tokio::test]
async fn failed_transaction_writes_nothing() {
    let (stores, _places) = stores();
    for store in stores {
        put(&store, "a", "1").await;
        let refused: Result<(), Error> = store
            .transaction(|transaction| {
                transaction.put(key("a"), b"2".to_vec());
                transaction.put(key("b"), b"2".to_vec());
                assert_eq!(
                    transaction.get(&key("a"))?.as_deref(),
                    Some(&b"2"[..]),
                    "it sees its own changes"
                );
                Err(Error::Closed)
            })
            .await;
        assert!(refused.is_err());
        assert_eq!(
            (text(&store, "a").await.as_deref(), text(&store, "b").await),
            (Some("1"), None)
        );
    }
}

#[tokio::test]
async fn panicking_transaction_fails_alone() {
    let (stores, _places) = stores();
    for store in stores {
        let broken: Result<(), Error> = store
            .transaction(|transaction| {
                transaction.put(key("a"), b"1".to_vec());
                panic!("scripted")
            })
            .await;
        assert!(matches!(broken, Err(Error::Closed)));
        put(&store, "b", "1").await;
        assert_eq!(
            (text(&store, "a").await, text(&store, "b").await.as_deref()),
            (None, Some("1"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_transactions_are_serialized() {
    let (stores, _places) = stores();
    for store in stores {
        let add = || {
            store.transaction(|transaction| {
                let sum = transaction.get(&key("sum"))?.map_or(0, |value| value.len());
                transaction.put(key("sum"), vec![0; sum + 1]);
                Ok::<_, Error>(sum)
            })
        };
        let mut seen: Vec<usize> = join_all((0..300).map(|_| add()))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        seen.sort_unstable();
        assert_eq!(
            seen,
            (0..300).collect::<Vec<_>>(),
            "no two saw the same sum"
        );
    }
}

#[tokio::test]
async fn scan_lists_one_table_in_key_order() {
    let (stores, _places) = stores();
    for store in stores {
        for rest in ["b", "a", "c"] {
            put(&store, rest, "1").await;
        }
        let other = |transaction: &mut Transaction<'_>| {
            transaction.put(OTHER.key("a"), b"2".to_vec());
            Ok::<_, Error>(())
        };
        store.transaction(other).await.unwrap();
        let names: Vec<_> = store
            .scan(key(""))
            .await
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(names, [key("a"), key("b"), key("c")]);
        let found = store.transaction(|transaction| {
            transaction.remove(key("a"));
            transaction.put(key("b2"), Vec::new());
            let first = transaction.first(&key(""))?.unwrap().0;
            let next = transaction.range(&key(""), Some(&first), 1)?.remove(0).0;
            let last = transaction.range(&key(""), Some(&key("c")), 1)?.pop();
            Ok::<_, Error>((first, next, last))
        });
        assert_eq!(
            found.await.unwrap(),
            (key("b"), key("b2"), None),
            "with its own changes"
        );
        assert_eq!(TABLE.key_suffix(&key("b")), b"b");
    }
}

#[tokio::test]
async fn transaction_runs_after_its_future_is_dropped() {
    let (stores, _places) = stores();
    for store in stores {
        let work = |transaction: &mut Transaction<'_>| {
            transaction.put(key("a"), b"1".to_vec());
            Ok::<_, Error>(())
        };
        drop(store.transaction(work));
        put(&store, "b", "1").await;
        assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn afterwards_callback_runs_after_the_future_is_dropped() {
    let backend = Arc::new(FaultyBackend::default());
    let store = Store::new(Arc::clone(&backend) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    let (sender, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    let work = |result: Result<(), Error>| {
        let sender = sender.clone();
        move |transaction: &mut Transaction<'_>| {
            let sender = sender.clone();
            transaction.put(key("a"), b"1".to_vec());
            transaction.after_write(move |is_made| sender.send(is_made).unwrap());
            result.clone()
        }
    };
    drop(store.transaction(work(Ok(()))));
    assert_eq!(outcomes.recv().await, Some(true));
    drop(store.transaction(work(Err(Error::Closed))));
    assert_eq!(outcomes.recv().await, Some(false));
    backend.fill(true);
    drop(store.transaction(work(Ok(()))));
    assert_eq!(outcomes.recv().await, Some(false));
}

#[tokio::test]
async fn store_accepts_writes_again_after_failures() {
    let backend = Arc::new(FaultyBackend::default());
    let store = Store::new(Arc::clone(&backend) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    let add = || {
        store.transaction(|transaction| {
            transaction.put(key("a"), b"1".to_vec());
            Ok::<_, Error>(())
        })
    };
    backend.fill(true);
    for _ in 0..2 {
        assert!(add().await.is_err());
        assert_eq!(text(&store, "a").await, None);
    }
    backend.fill(false);
    add().await.unwrap();
    assert_eq!(text(&store, "a").await.as_deref(), Some("1"));
}

/// Space is checked per transaction: one that does not fit fails without the others of its group.
#[tokio::test]
async fn transaction_without_disk_space_fails_alone_in_its_group() {
    let backend = Arc::new(BlockingBackend::default());
    let store = Store::new(Arc::clone(&backend) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    let add = |rest: &'static str, size: u64| {
        store.transaction(move |transaction| {
            transaction.put(key(rest), vec![1; usize::try_from(size).unwrap()]);
            Ok::<_, Error>(())
        })
    };
    backend.close();
    let first = add("first", 1);
    let group = join_all([
        add("a", 10),
        add("b", FREE_SPACE_BYTES),
        add("c", 10),
        add("d", FREE_SPACE_BYTES / 2),
    ]);
    backend.open();
    first.await.unwrap();
    let made: Vec<bool> = group.await.iter().map(Result::is_ok).collect();
    assert_eq!(made, [true, false, true, true]);
    assert_eq!(
        (
            text(&store, "b").await,
            text(&store, "c").await.map(|value| value.len())
        ),
        (None, Some(10))
    );
}

#[tokio::test]
async fn range_is_read_page_by_page() {
    let (stores, _places) = stores();
    for store in stores {
        let fill = |transaction: &mut Transaction<'_>| {
            for number in 0..600 {
                // Every hundredth value is too large for the database.
                let bytes = if number % 100 == 0 { 5000 } else { 1 };
                transaction.put(key(&format!("{number:03}")), vec![b'x'; bytes]);
            }
            transaction.put(OTHER.key(""), Vec::new());
            Ok::<_, Error>(())
        };
        store.transaction(fill).await.unwrap();
        let names: Vec<Vec<u8>> = (0..600)
            .map(|number| key(&format!("{number:03}")))
            .collect();
        let scanned = store.scan(key("")).await.unwrap();
        assert!(scanned.iter().map(|(key, _)| key).eq(&names));
        let pages = |transaction: &mut Transaction<'_>| {
            let mut found = Vec::new();
            let mut after = None::<Vec<u8>>;
            loop {
                let page = transaction.range(&key(""), after.as_deref(), 7)?;
                assert!(page.len() <= 7);
                let Some((last, _)) = page.last() else {
                    return Ok::<_, Error>(found);
                };
                after = Some(last.clone());
                found.extend(page);
            }
        };
        assert_eq!(store.transaction(pages).await.unwrap(), scanned);
    }
}

/// Engines that several servers share find that another one has changed what a transaction read.
#[tokio::test]
async fn transaction_runs_again_after_a_conflict() {
    let backend = Arc::new(SharedBackend::default());
    let store = Store::new(Arc::clone(&backend) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    put(&store, "a", "mine").await;
    backend.add_conflict((key("a"), Some(b"theirs".to_vec())));
    let (sender, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    let runs = Arc::new(AtomicUsize::new(0));
    let lock = Arc::new(());
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let held = Arc::clone(&lock);
    let guards = Arc::clone(&made);
    let copy = move |transaction: &mut Transaction<'_>| {
        let _ = &held;
        counted.fetch_add(1, Ordering::Relaxed);
        let value = transaction.get(&key("a"))?.unwrap();
        transaction.put(key("b"), value.clone());
        let sender = sender.clone();
        transaction.after_write(move |is_made| sender.send(is_made).unwrap());
        Ok::<_, Error>(value)
    };
    let guard = move |value| (value, guards.fetch_add(1, Ordering::Relaxed));
    let (value, _) = store.transaction_then(copy, guard).await.unwrap();
    assert_eq!(
        (value, text(&store, "b").await.as_deref()),
        (b"theirs".to_vec(), Some("theirs"))
    );
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(made.load(Ordering::Relaxed), 1, "only the last run counts");
    assert_eq!(
        (outcomes.recv().await, outcomes.recv().await),
        (Some(true), None)
    );
    assert_eq!(Arc::strong_count(&lock), 1, "released before the caller");
}

/// Changes of a failed write may be on disk nevertheless, and the drop of the guard undoes them.
#[tokio::test]
async fn guard_is_made_and_dropped_when_the_write_fails() {
    let backend = Arc::new(FaultyBackend::default());
    let store = Store::new(Arc::clone(&backend) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    let (guard, dropped) = tokio::sync::oneshot::channel::<()>();
    backend.fill(true);
    let write = |transaction: &mut Transaction<'_>| {
        transaction.put(key("a"), b"1".to_vec());
        Ok::<_, Error>(())
    };
    let made = store.transaction_then(write, move |()| guard).await;
    assert!(matches!(made, Err(Error::DiskFull { .. })));
    assert!(dropped.await.is_err());
}

#[tokio::test]
async fn transaction_that_always_conflicts_fails_and_writes_nothing() {
    let backend = Arc::new(SharedBackend::default());
    let store = Store::new(Arc::clone(&backend) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    for _ in 0..8 {
        backend.add_conflict((key("a"), Some(b"theirs".to_vec())));
    }
    let write = |transaction: &mut Transaction<'_>| {
        transaction.put(key("b"), b"mine".to_vec());
        Ok::<_, Error>(())
    };
    assert!(matches!(
        store.transaction(write).await,
        Err(Error::Conflict)
    ));
    assert_eq!(text(&store, "b").await, None);
    store.transaction(write).await.unwrap();
    assert_eq!(text(&store, "b").await.as_deref(), Some("mine"));
}

#[tokio::test]
async fn lease_is_held_by_one_of_two_servers() {
    let backend = Arc::new(SharedBackend::default());
    let open = || Store::new(Arc::clone(&backend) as Arc<dyn Backend>, TaskTracker::new()).unwrap();
    let claim = |store: &Store, name: &'static str| {
        store.transaction(move |transaction| {
            let is_free = transaction.get(&key("lease"))?.is_none();
            if is_free {
                transaction.put(key("lease"), name.into());
            }
            Ok::<_, Error>(is_free)
        })
    };
    let first = open();
    let second = open();
    assert!(first.is_shared());
    assert!(claim(&first, "first").await.unwrap());
    assert!(!claim(&second, "second").await.unwrap());
    put(&second, "other", "1").await;
    assert_eq!(text(&first, "other").await.as_deref(), Some("1"));
    backend.write(&[(key("lease"), None)]).unwrap();
    backend.add_conflict((key("lease"), Some(b"second".to_vec())));
    assert!(
        !claim(&first, "first").await.unwrap(),
        "the other was faster"
    );
    assert_eq!(text(&first, "lease").await.as_deref(), Some("second"));
}

proptest! {
    /// A transaction reads like a map, with any mix of written and unwritten changes.
    #[test]
    fn transaction_reads_like_a_map(
        written in proptest::collection::btree_map("[ab]{0,3}", any::<bool>(), 0..8),
        changed in proptest::collection::btree_map("[ab]{0,3}", any::<Option<bool>>(), 0..8),
        limit in 1_usize..5,
    ) {
        let value = |is_set: bool| vec![u8::from(is_set)];
        let backend = MemoryBackend::default();
        let changes: Vec<StoreChange> = written.iter().map(|(rest, is_set)| (key(rest), Some(value(*is_set)))).collect();
        backend.write(&changes).unwrap();
        let mut expected = written.clone();
        let group = changed.iter().map(|(rest, change)| (key(rest), change.map(value))).collect();
        for (rest, change) in changed {
            match change {
                Some(is_set) => expected.insert(rest, is_set),
                None => expected.remove(&rest),
            };
        }
        let reads = std::cell::RefCell::default();
        let transaction = Transaction::new(&backend, &group, &reads);
        let mut found = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = transaction.range(&key(""), after.as_deref(), limit).unwrap();
            let is_last = page.len() < limit;
            after = page.last().map(|(place, _)| place.clone());
            found.extend(page.into_iter().map(|(place, value)| {
                (String::from_utf8(TABLE.key_suffix(&place).to_vec()).unwrap(), value == [1])
            }));
            if is_last {
                break;
            }
        }
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}
