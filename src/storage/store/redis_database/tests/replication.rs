//! Commits that wait for replicas.

use tokio_util::task::TaskTracker;

use super::super::super::Store;
use super::super::super::StoreTable;
use super::super::super::Transaction;
use super::super::replication_testing::FrozenLinks;
use super::super::replication_testing::RedisPair;
use super::super::replication_testing::SETTLE_TIMEOUT;
use super::super::replication_testing::TcpRedis;
use super::super::*;
use crate::telemetry::metrics::StoreMetrics;

const TABLE: StoreTable = StoreTable::new("t");
/// Wait for a replica that is known not to answer.
const SHORT_WAIT: Duration = Duration::from_millis(20);

fn open(config: &Config) -> Store {
    Store::open_shared(config, TaskTracker::new(), StoreMetrics::default()).unwrap()
}

async fn put(store: &Store, rest: &str) -> Result<(), Error> {
    let key = TABLE.key(rest);
    let work = move |transaction: &mut Transaction<'_>| {
        transaction.put(key.clone(), Vec::new());
        Ok(())
    };
    store.transaction(work).await
}

/// Looks for a record in a transaction, as a change does that is made already.
async fn find(store: &Store, rest: &str) -> Result<bool, Error> {
    let key = TABLE.key(rest);
    let work = move |transaction: &mut Transaction<'_>| Ok(transaction.get(&key)?.is_some());
    store.transaction(work).await
}

#[tokio::test(flavor = "multi_thread")]
async fn change_is_told_as_made_once_the_replica_has_it() {
    let redis = RedisPair::start();
    let store = open(&redis.config());
    for number in 1..20_u64 {
        put(&store, &number.to_string()).await.unwrap();
        let copied: u64 = redis.replica.run("GET {test}:sequence");
        assert_eq!(copied, number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn change_that_the_replica_does_not_have_is_refused_until_it_has() {
    let redis = RedisPair::start();
    let patient = open(&redis.config());
    let config = Config {
        wait_timeout: SHORT_WAIT,
        ..redis.config()
    };
    let store = open(&config);
    put(&patient, "first").await.unwrap();
    redis.links.freeze(FrozenLinks::Replicas);
    let refused = put(&store, "a").await.unwrap_err();
    let is_told = |error: &Error| {
        matches!(
            error,
            Error::NotReplicated {
                wanted: 1,
                confirmed: 0
            }
        )
    };
    assert!(is_told(&refused), "{refused:?}");
    assert!(refused.hint().unwrap().contains("replicas"));
    let stored = store.get(TABLE.key("a")).await.unwrap();
    assert!(stored.is_some(), "it is made at the primary");
    let again = find(&store, "a").await.unwrap_err();
    assert!(is_told(&again), "nothing to write, and not confirmed yet");
    redis.links.freeze(FrozenLinks::None);
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    while let Err(error) = find(&store, "a").await {
        assert!(is_told(&error) && Instant::now() < deadline, "{error:?}");
    }
    let copied: u64 = redis.replica.run("GET {test}:sequence");
    assert_eq!(copied, 2);
}

/// The primary may have been cut off, and another one have taken its place.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_closed_when_replicas_do_not_confirm() {
    let redis = RedisPair::start();
    let config = Config {
        wait_timeout: SHORT_WAIT,
        ..redis.config()
    };
    let database = RedisDatabase::open(&config).unwrap();
    redis.links.freeze(FrozenLinks::Replicas);
    let change = (TABLE.key("a"), Some(Vec::new()));
    let before: u64 = received(&redis.primary);
    for _ in 0..3 {
        let refused = database.write(std::slice::from_ref(&change));
        assert!(matches!(refused, Err(Error::NotReplicated { .. })));
    }
    // One more asks for the number.
    assert!(received(&redis.primary) >= before + 3);
}

/// Number of connections that a server has accepted.
fn received(redis: &TcpRedis) -> u64 {
    let info: String = redis.run("INFO stats");
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn store_that_waits_for_replicas_does_not_start_without_them() {
    let redis = TcpRedis::start();
    let config = Config {
        wait: 1,
        ..redis.config()
    };
    let refused = RedisDatabase::open(&config).unwrap_err();
    assert!(refused.hint().unwrap().contains("redis.wait"), "{refused}");
    assert!(RedisDatabase::open(&redis.config()).is_ok());
    let impatient = Config {
        response_timeout: SHORT_WAIT,
        ..config
    };
    let refused = RedisDatabase::open(&impatient).unwrap_err();
    assert!(
        refused.to_string().contains("redis.wait_timeout_ms"),
        "{refused}"
    );
}
