//! Stores on a real Redis: two at once, lost answers, and faults of Redis.

mod replication;
mod sentinels;
mod tls;

use std::io::Read as _;
use std::io::Write as _;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use futures::future::join_all;
use tokio_util::task::TaskTracker;

use super::super::Store;
use super::super::StoreTable;
use super::super::Transaction;
use super::commit_call::MAX_COMPARED;
use super::testing::RedisServer;
use super::*;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::StoreMetrics;
use crate::telemetry::metrics::testing::assert_series;

const TABLE: StoreTable = StoreTable::new("t");

fn key(rest: &str) -> Vec<u8> {
    TABLE.key(rest)
}

fn open(config: &Config) -> Store {
    Store::open_shared(config, TaskTracker::new(), StoreMetrics::default()).unwrap()
}

fn count_at(transaction: &Transaction<'_>, place: &[u8]) -> Result<u64, Error> {
    let stored = transaction.get(place)?;
    Ok(stored.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap())))
}

/// Adds one to the number at `rest`.
async fn add_one(store: &Store, rest: &'static str) -> Result<(), Error> {
    store
        .transaction(move |transaction| {
            let count = count_at(transaction, &key(rest))?;
            transaction.put(key(rest), (count + 1).to_be_bytes().to_vec());
            Ok(())
        })
        .await
}

async fn number(store: &Store, rest: &str) -> u64 {
    let stored = store.get(key(rest)).await.unwrap();
    stored.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()))
}

fn commits(server: &RedisServer) -> u64 {
    server
        .run::<Option<u64>>("GET {test}:sequence")
        .unwrap_or(0)
}

/// Runs `work` in a transaction of `store`; another server makes `change` after its first run, before
/// it commits. Returns the result with the number of runs.
async fn race<T: Send + 'static>(
    server: &RedisServer,
    store: &Store,
    change: StoreChange,
    work: impl Fn(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
) -> (T, usize) {
    let other = RedisDatabase::open(&server.config()).unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let raced = store.transaction(move |transaction| {
        let result = work(transaction);
        if counted.fetch_add(1, SeqCst) == 0 {
            other.write(std::slice::from_ref(&change))?;
        }
        result
    });
    (raced.await.unwrap(), runs.load(SeqCst))
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_lose_no_change_of_one_record() {
    let server = RedisServer::start();
    let stores = [(); 2].map(|()| open(&server.config()));
    let changes = (0..400).map(|number| add_one(&stores[number % 2], "sum"));
    for changed in join_all(changes).await {
        changed.unwrap();
    }
    for store in &stores {
        assert_eq!(number(store, "sum").await, 400);
    }
}

/// Each server always has a change to make, so that without the seat some would never come through.
#[tokio::test(flavor = "multi_thread")]
async fn crowd_of_servers_that_change_one_record_comes_through() {
    let server = RedisServer::start();
    let stores: Vec<_> = (0..6).map(|_| open(&server.config())).collect();
    let changes = stores.iter().map(|store| async {
        for _ in 0..30 {
            add_one(store, "sum").await?;
        }
        Ok::<_, Error>(())
    });
    for changed in join_all(changes).await {
        changed.unwrap();
    }
    assert_eq!(number(&stores[0], "sum").await, 180);
}

#[tokio::test]
async fn record_that_another_server_changes_is_read_again() {
    let server = RedisServer::start();
    let store = open(&server.config());
    // The second read of the record is from memory, and out of date.
    add_one(&store, "a").await.unwrap();
    let theirs = (key("a"), Some(10_u64.to_be_bytes().to_vec()));
    let other = RedisDatabase::open(&server.config()).unwrap();
    other.write(&[theirs]).unwrap();
    add_one(&store, "a").await.unwrap();
    assert_eq!(number(&store, "a").await, 11);
    let theirs = (key("a"), None);
    let copy = |transaction: &mut Transaction<'_>| {
        let count = count_at(transaction, &key("a"))?;
        transaction.put(key("copy"), count.to_be_bytes().to_vec());
        Ok(count)
    };
    assert_eq!(race(&server, &store, theirs, copy).await, (0, 2));
}

#[tokio::test]
async fn range_that_another_server_changes_is_read_again() {
    let server = RedisServer::start();
    let store = open(&server.config());
    let other = RedisDatabase::open(&server.config()).unwrap();
    let value = || Some(b"1".to_vec());
    other
        .write(&[(key("b"), value()), (key("d"), value())])
        .unwrap();
    let claim_first = |transaction: &mut Transaction<'_>| {
        let first = transaction.first(&key(""))?;
        transaction.put(TABLE.key("~claims"), b"1".to_vec());
        Ok(first.map(|(found, _)| found))
    };
    let in_front = (key("a"), value());
    let (first, runs) = race(&server, &store, in_front, claim_first).await;
    assert_eq!((first, runs), (Some(key("a")), 2));
    let list = |transaction: &mut Transaction<'_>| {
        transaction.put(StoreTable::new("lists").key("1"), Vec::new());
        Ok(transaction.scan(&key(""))?.len())
    };
    for (change, expected) in [
        ((key("z"), value()), (5, 2)),
        ((key("b"), None), (4, 2)),
        ((StoreTable::new("other").key("1"), value()), (4, 1)),
    ] {
        assert_eq!(race(&server, &store, change, list).await, expected);
    }
}

/// The copy in memory is older than what the range has found.
#[tokio::test]
async fn record_that_a_range_has_found_is_not_read_from_an_older_copy() {
    let server = RedisServer::start();
    let store = open(&server.config());
    add_one(&store, "a").await.unwrap();
    let other = RedisDatabase::open(&server.config()).unwrap();
    let theirs = (key("a"), Some(10_u64.to_be_bytes().to_vec()));
    other.write(&[theirs]).unwrap();
    let added = store.transaction(|transaction| {
        let found = transaction.scan(&key(""))?.len();
        let count = count_at(transaction, &key("a"))?;
        transaction.put(key("a"), (count + 1).to_be_bytes().to_vec());
        Ok::<_, Error>(found)
    });
    assert_eq!(added.await.unwrap(), 1);
    assert_eq!(number(&store, "a").await, 11);
}

#[tokio::test]
async fn transaction_without_changes_sees_one_moment() {
    let server = RedisServer::start();
    let store = open(&server.config());
    let other = RedisDatabase::open(&server.config()).unwrap();
    let pair = |number: u64| {
        let value = Some(number.to_be_bytes().to_vec());
        [(key("a"), value.clone()), (key("b"), value)]
    };
    other.write(&pair(1)).unwrap();
    let runs = AtomicUsize::new(0);
    let read = store.transaction(move |transaction| {
        let first = count_at(transaction, &key("a"))?;
        if runs.fetch_add(1, SeqCst) == 0 {
            other.write(&pair(2))?;
        }
        Ok::<_, Error>((first, count_at(transaction, &key("b"))?))
    });
    assert_eq!(read.await.unwrap(), (2, 2));
}

#[tokio::test]
async fn snapshot_of_many_records_is_of_one_moment() {
    let server = RedisServer::start();
    let store = open(&server.config());
    let records = 0..=MAX_COMPARED as u64;
    let changes: Vec<StoreChange> = records
        .map(|number| (TABLE.key(number.to_be_bytes()), Some(Vec::new())))
        .collect();
    let count = changes.len();
    let other = RedisDatabase::open(&server.config()).unwrap();
    other.write(&changes).unwrap();
    let scan = |transaction: &mut Transaction<'_>| Ok(transaction.scan(&TABLE.key(""))?.len());
    let unrelated = (StoreTable::new("other").key("1"), Some(Vec::new()));
    assert_eq!(race(&server, &store, unrelated, scan).await, (count, 2));
    let removed = (TABLE.key(7_u64.to_be_bytes()), None);
    assert_eq!(race(&server, &store, removed, scan).await, (count - 1, 2));
    let read = store.get_all(vec![
        TABLE.key(8_u64.to_be_bytes()),
        TABLE.key(7_u64.to_be_bytes()),
    ]);
    assert_eq!(read.await.unwrap(), [Some(Vec::new()), None]);
    assert!(store.get_all(Vec::new()).await.unwrap().is_empty());
}

/// A server that was silent for longer than its lease.
#[tokio::test]
async fn server_without_a_lease_is_refused_once_and_goes_on_as_another_writer() {
    let server = RedisServer::start();
    let store = open(&server.config());
    add_one(&store, "a").await.unwrap();
    for writer in server.run::<Vec<String>>("KEYS {test}:writer:*") {
        server.run::<()>(&format!("DEL {writer}"));
    }
    let refused = add_one(&store, "a").await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    assert_eq!(number(&store, "a").await, 1, "nothing is written");
    add_one(&store, "a").await.unwrap();
    assert_eq!(number(&store, "a").await, 2);
    let leases: Vec<String> = server.run("KEYS {test}:writer:*");
    assert_eq!(leases.len(), 1);
    let left: i64 = server.run(&format!("PTTL {}", leases[0]));
    assert!(left > 0, "the lease ends by itself");
}

/// Redis comes back with what it had saved, as a replica does that was behind.
#[tokio::test]
async fn facts_that_redis_has_lost_are_made_again_before_the_next_commit() {
    let mut server = RedisServer::start_with(&[]);
    let metrics = Metrics::new();
    let store =
        Store::open_shared(&server.config(), TaskTracker::new(), metrics.store.clone()).unwrap();
    add_one(&store, "saved").await.unwrap();
    server.run::<()>("SAVE");
    let fact = |transaction: &mut Transaction<'_>| {
        transaction.put(key("fact"), 7_u64.to_be_bytes().to_vec());
        transaction.remember(key("fact"), |transaction| {
            let is_missing = transaction.get(&key("fact"))?.is_none();
            if is_missing {
                transaction.put(key("fact"), 7_u64.to_be_bytes().to_vec());
            }
            Ok(is_missing)
        });
        Ok::<_, Error>(())
    };
    store.transaction(fact).await.unwrap();
    add_one(&store, "claim").await.unwrap();
    server.kill();
    server.restart();
    // On a slow machine the lease is over, too.
    while let Err(error) = add_one(&store, "next").await {
        assert!(matches!(error, Error::Fenced), "{error}");
    }
    for (name, expected) in [("saved", 1), ("fact", 7), ("claim", 0), ("next", 1)] {
        assert_eq!(number(&store, name).await, expected, "{name}");
    }
    add_one(&store, "claim").await.unwrap();
    assert_eq!(number(&store, "claim").await, 1, "its copy is dropped");
    assert_series(
        &metrics,
        &[
            "switchboard_store_lost_commits_total 2",
            "switchboard_store_restored_facts_total 1",
        ],
    );
}

/// Redis was started again without its data.
#[tokio::test]
async fn server_does_not_go_on_with_a_redis_that_has_lost_its_records() {
    let server = RedisServer::start();
    let store = open(&server.config());
    add_one(&store, "a").await.unwrap();
    server.run::<()>("FLUSHALL");
    let another = open(&server.config());
    for _ in 0..2 {
        let refused = add_one(&store, "a").await.unwrap_err();
        assert!(refused.hint().unwrap().contains("data"), "{refused}");
    }
    add_one(&another, "a").await.unwrap();
    assert_eq!(number(&another, "a").await, 1);
}

#[tokio::test(start_paused = true)]
async fn idle_server_renews_its_lease() {
    let server = RedisServer::start();
    let database = RedisDatabase::open(&server.config()).unwrap();
    let writers = || server.run::<Vec<String>>("KEYS {test}:writer:*");
    let name = writers().remove(0);
    server.run::<()>(&format!("PEXPIRE {name} 100000"));
    database.send_heartbeat();
    let left = || server.run::<i64>(&format!("PTTL {name}"));
    assert!(left() > 15_000, "it is not due yet");
    tokio::time::advance(HEARTBEAT_INTERVAL).await;
    database.send_heartbeat();
    assert!(left() <= 15_000);
    server.run::<()>(&format!("DEL {name}"));
    tokio::time::advance(HEARTBEAT_INTERVAL).await;
    database.send_heartbeat();
    assert_eq!(writers().len(), 1, "it is registered again");
    database.write(&[(key("a"), Some(Vec::new()))]).unwrap();
}

/// Forwards connections to a socket. Drops the next answer with its connection after
/// [`cut`](Self::cut).
struct CuttingProxy {
    address: String,
    cuts: Arc<AtomicBool>,
}

impl CuttingProxy {
    fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cuts = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&cuts);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let redis = UnixStream::connect(&socket).unwrap();
                forward(client.unwrap(), redis, &shared);
            }
        });
        Self { address, cuts }
    }

    fn cut(&self) {
        self.cuts.store(true, SeqCst);
    }
}

fn forward(client: TcpStream, redis: UnixStream, cuts: &Arc<AtomicBool>) {
    let cuts = Arc::clone(cuts);
    let (mut to_redis, mut from_client) = (redis.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        drop(std::io::copy(&mut from_client, &mut to_redis));
        drop(to_redis.shutdown(Shutdown::Both));
    });
    let (mut from_redis, mut to_client) = (redis, client);
    std::thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = from_redis.read(&mut buffer) {
            if cuts.swap(false, SeqCst) || to_client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
    });
}

#[tokio::test]
async fn commit_whose_answer_is_lost_is_made_once() {
    let server = RedisServer::start();
    let proxy = CuttingProxy::start(server.socket());
    let config = Config {
        url: format!("redis://{}", proxy.address),
        ..server.config()
    };
    let store = open(&config);
    add_one(&store, "a").await.unwrap();
    for expected in 2..12 {
        proxy.cut();
        // Writes without a read, so that nothing but the number of the commit can tell.
        let work = move |transaction: &mut Transaction<'_>| {
            transaction.put(key("a"), u64::to_be_bytes(expected).to_vec());
            Ok::<_, Error>(())
        };
        store.transaction(work).await.unwrap();
        assert_eq!(commits(&server), expected);
    }
}

#[tokio::test]
async fn commit_that_redis_answers_late_is_made_once() {
    let server = RedisServer::start();
    let config = Config {
        response_timeout: Duration::from_secs(2),
        ..server.config()
    };
    let store = open(&config);
    server.run::<()>("CLIENT PAUSE 2500 WRITE");
    add_one(&store, "a").await.unwrap();
    assert_eq!(number(&store, "a").await, 1);
    assert_eq!(commits(&server), 1);
}

/// Redis was away when the commit was sent, and finds it in the connection later.
#[tokio::test]
async fn commit_that_arrives_after_its_writer_went_on_is_not_made() {
    let server = RedisServer::start();
    let database = RedisDatabase::open(&server.config()).unwrap();
    let mut writer = database.lock_writer();
    let version = writer.lease.next_version();
    let late = CommitCall::new(&CommitRequest {
        names: &database.names,
        writer: &writer.lease.name,
        number: writer.lease.number,
        version: &version,
        head: &writer.head,
        lease: WRITER_LEASE,
        seat: Duration::ZERO,
        confirmed: 0,
        sequence: 0,
        reads: &ReadSet::default(),
        changes: &[(key("a"), Some(b"late".to_vec()))],
    });
    writer.lease.mark_unsettled();
    drop(writer);
    let mut reads = ReadSet::default();
    let read = database.get_tracked(&key("a"), &mut reads).unwrap();
    assert_eq!(read, None);
    database.commit(&reads, &[]).unwrap();
    let arrived = database
        .writing
        .run(|connection| late.script.run::<redis::Value>(connection));
    arrived.unwrap();
    assert_eq!(database.get(&key("a")).unwrap(), None);
    let change = (key("a"), Some(b"next".to_vec()));
    database.write(&[change]).unwrap();
    assert_eq!(
        database.get(&key("a")).unwrap().as_deref(),
        Some(&b"next"[..])
    );
}

#[tokio::test]
async fn flushed_scripts_are_sent_again() {
    let server = RedisServer::start();
    let store = open(&server.config());
    for expected in 1..4 {
        server.run::<()>("SCRIPT FLUSH");
        add_one(&store, "a").await.unwrap();
        assert_eq!(store.scan(key("")).await.unwrap().len(), 1);
        assert_eq!(number(&store, "a").await, expected);
    }
}

#[tokio::test]
async fn redis_without_memory_refuses_changes_and_keeps_removals() {
    let server = RedisServer::start();
    let store = open(&server.config());
    add_one(&store, "a").await.unwrap();
    server.run::<()>("CONFIG SET maxmemory 1");
    let refused = add_one(&store, "a").await;
    assert!(matches!(refused, Err(Error::OutOfMemory(_))), "{refused:?}");
    assert_eq!(number(&store, "a").await, 1);
    let remove = |transaction: &mut Transaction<'_>| {
        transaction.remove(key("a"));
        Ok::<_, Error>(())
    };
    store.transaction(remove).await.unwrap();
    assert_eq!(number(&store, "a").await, 0);
    server.run::<()>("CONFIG SET maxmemory 0");
    add_one(&store, "a").await.unwrap();
    assert_eq!(number(&store, "a").await, 1);
}

/// A server that was silent for too long has to come back to make room.
#[tokio::test]
async fn server_without_a_lease_removes_records_while_redis_has_no_memory() {
    let server = RedisServer::start();
    let store = open(&server.config());
    add_one(&store, "a").await.unwrap();
    for writer in server.run::<Vec<String>>("KEYS {test}:writer:*") {
        server.run::<()>(&format!("DEL {writer}"));
    }
    server.run::<()>("CONFIG SET maxmemory 1");
    let remove = |transaction: &mut Transaction<'_>| {
        transaction.remove(key("a"));
        Ok::<_, Error>(())
    };
    let refused = store.transaction(remove).await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    store.transaction(remove).await.unwrap();
    assert_eq!(number(&store, "a").await, 0);
    let refused = add_one(&store, "a").await;
    assert!(matches!(refused, Err(Error::OutOfMemory(_))), "{refused:?}");
}

#[tokio::test]
async fn store_fails_at_once_while_redis_is_away_and_works_when_it_is_back() {
    let mut server = RedisServer::start();
    let config = Config {
        response_timeout: Duration::from_millis(500),
        ..server.config()
    };
    let store = open(&config);
    add_one(&store, "a").await.unwrap();
    store.check_writable().unwrap();
    server.kill();
    let refused = add_one(&store, "a").await;
    assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
    assert!(store.get(key("a")).await.is_err());
    assert!(matches!(store.check_writable(), Err(Error::Unreachable(_))));
    server.restart();
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = add_one(&store, "a").await {
        assert!(Instant::now() < deadline, "{error}");
    }
    store.check_writable().unwrap();
    assert_eq!(number(&store, "a").await, 2);
}

#[tokio::test]
async fn unsuitable_redis_ends_the_start_with_a_hint() {
    let evicting =
        RedisServer::start_with(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let refused = RedisDatabase::open(&evicting.config()).unwrap_err();
    assert!(refused.hint().unwrap().contains("noeviction"), "{refused}");
    let closed = RedisServer::start_with(&["--requirepass", "secret"]);
    let refused = RedisDatabase::open(&closed.config()).unwrap_err();
    assert!(
        refused.hint().unwrap().contains("password_file"),
        "{refused}"
    );
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    let config = Config {
        password_file: password_file.clone(),
        ..closed.config()
    };
    for (password, is_right) in [("wrong\n", false), ("secret\n", true)] {
        std::fs::write(&password_file, password).unwrap();
        assert_eq!(RedisDatabase::open(&config).is_ok(), is_right, "{password}");
    }
    let later = RedisServer::start();
    later.run::<()>("SET {test}:layout 2");
    let refused = RedisDatabase::open(&later.config()).unwrap_err();
    assert!(refused.to_string().contains("layout 2"), "{refused}");
    let denied = RedisServer::start();
    denied.run::<()>("ACL SETUSER default -@scripting");
    let refused = RedisDatabase::open(&denied.config()).unwrap_err();
    assert!(refused.hint().unwrap().contains("EVAL"), "{refused}");
    let gone = Config {
        url: "redis://127.0.0.1:1".to_owned(),
        ..denied.config()
    };
    let refused = RedisDatabase::open(&gone).unwrap_err();
    assert!(refused.hint().unwrap().contains("redis.url"), "{refused}");
}
