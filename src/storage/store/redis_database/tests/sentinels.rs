//! Fail-over by sentinels, with servers at work.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use tokio_util::task::TaskTracker;

use super::super::super::Store;
use super::super::super::StoreTable;
use super::super::super::Transaction;
use super::super::replication_testing::FrozenLinks;
use super::super::replication_testing::PRIMARY_NAME;
use super::super::replication_testing::RedisPair;
use super::super::replication_testing::SETTLE_TIMEOUT;
use super::super::replication_testing::TcpRedis;
use super::super::replication_testing::config_at;
use super::super::replication_testing::wait_for;
use super::super::sentinels::RECHECK_INTERVAL;
use super::super::*;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::StoreMetrics;
use crate::telemetry::metrics::testing::assert_series;

const TABLE: StoreTable = StoreTable::new("t");
/// Number of changes that are told as made before the primary is killed, and after.
const CHANGES: u64 = 30;

/// Three sentinels of one primary.
struct TestSentinels([TcpRedis; 3]);

impl TestSentinels {
    /// Starts sentinels of the primary at `port`, and waits until they know each other and its `replicas`.
    fn start(port: u16, replicas: usize) -> Self {
        let sentinels = [(); 3].map(|()| TcpRedis::sentinel_of(port));
        for sentinel in &sentinels {
            wait_for("the other sentinels and the replicas", || {
                let fields = fields_at(sentinel);
                let count = |name: &str| {
                    let place = fields.iter().position(|field| field == name);
                    place.and_then(|place| fields.get(place + 1)?.parse::<usize>().ok())
                };
                count("num-other-sentinels") == Some(2) && count("num-slaves") == Some(replicas)
            });
        }
        Self(sentinels)
    }

    fn config(&self) -> Config {
        let ports = self.0.each_ref().map(|sentinel| sentinel.port());
        let hosts = ports.map(|port| format!("127.0.0.1:{port}")).join(",");
        config_at(format!("redis+sentinel://{hosts}/{PRIMARY_NAME}"))
    }

    /// Returns the port that all of them name.
    fn primary(&self) -> Option<u16> {
        let command = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {PRIMARY_NAME}");
        let ports = self.0.each_ref().map(|sentinel| {
            let address: Vec<String> = sentinel.try_run(&command).ok()?;
            address.get(1)?.parse::<u16>().ok()
        });
        ports[0].filter(|_| ports.iter().all(|port| *port == ports[0]))
    }
}

fn fields_at(sentinel: &TcpRedis) -> Vec<String> {
    let command = format!("SENTINEL MASTER {PRIMARY_NAME}");
    sentinel.try_run(&command).unwrap_or_default()
}

/// URL of a primary that one sentinel watches.
fn url_of(sentinel: &TcpRedis, name: &str) -> String {
    format!("redis+sentinel://127.0.0.1:{}/{name}", sentinel.port())
}

fn open(config: &Config) -> Store {
    Store::open_shared(config, TaskTracker::new(), StoreMetrics::default()).unwrap()
}

async fn put(store: &Store, name: &str) -> Result<(), Error> {
    let key = TABLE.key(name);
    let work = move |transaction: &mut Transaction<'_>| {
        transaction.put(key.clone(), Vec::new());
        Ok(())
    };
    store.transaction(work).await
}

/// Makes changes until `is_enough`, and returns the names of those that were told as made.
async fn put_until(
    store: &Store,
    prefix: &str,
    is_enough: impl Fn(&[String]) -> bool,
) -> Vec<String> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    let mut told = Vec::new();
    for number in 0_u64.. {
        if is_enough(&told) {
            break;
        }
        assert!(Instant::now() < deadline, "{} told", told.len());
        let name = format!("{prefix}{number}");
        if put(store, &name).await.is_ok() {
            told.push(name);
        }
    }
    told
}

async fn assert_present(store: &Store, told: &[String]) {
    let keys = told.iter().map(|name| TABLE.key(name)).collect();
    let found = store.get_all(keys).await.unwrap();
    let pairs = told.iter().zip(&found);
    let lost: Vec<_> = pairs.filter(|(_, value)| value.is_none()).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_that_a_replica_has_confirmed_is_lost_with_the_primary() {
    let mut primary = TcpRedis::start();
    let replicas = [(); 2].map(|()| TcpRedis::replica_of(primary.port()));
    let sentinels = TestSentinels::start(primary.port(), replicas.len());
    let config = Config {
        wait: 1,
        ..sentinels.config()
    };
    let stores = [(); 2].map(|()| open(&config));
    let is_killed = AtomicBool::new(false);
    let is_early = |told: &[String]| told.len() as u64 >= CHANGES;
    let writers = async {
        // The second one is at work when the primary is killed.
        let until_killed = |_: &[String]| is_killed.load(SeqCst);
        let busy = put_until(&stores[1], "busy-", until_killed);
        let early = async {
            let told = put_until(&stores[0], "early-", is_early).await;
            primary.kill();
            is_killed.store(true, SeqCst);
            told
        };
        let (busy, early) = tokio::join!(busy, early);
        [busy, early].concat()
    };
    let mut told = writers.await;
    for (store, prefix) in stores.iter().zip(["a-", "b-"]) {
        told.extend(put_until(store, prefix, is_early).await);
    }
    assert_present(&stores[0], &told).await;
    assert_present(&open(&config), &told).await;
    wait_for("the sentinels to agree", || {
        let promoted = sentinels.primary();
        promoted.is_some_and(|port| port != primary.port())
    });
}

/// Without `wait`, the replica that takes over lacks what the primary has confirmed.
#[tokio::test(flavor = "multi_thread")]
async fn facts_that_the_new_primary_lacks_are_made_again() {
    let mut redis = RedisPair::start();
    let sentinels = TestSentinels::start(redis.links.port(), 1);
    let metrics = Metrics::new();
    let config = sentinels.config();
    let store = Store::open_shared(&config, TaskTracker::new(), metrics.store.clone()).unwrap();
    put(&store, "copied").await.unwrap();
    wait_for("the copy", || {
        redis.replica.run::<Option<u64>>("GET {test}:sequence") == Some(1)
    });
    redis.links.freeze(FrozenLinks::Replicas);
    let fact = |transaction: &mut Transaction<'_>| {
        transaction.put(TABLE.key("fact"), Vec::new());
        transaction.remember(TABLE.key("fact"), |transaction| {
            let is_missing = transaction.get(&TABLE.key("fact"))?.is_none();
            if is_missing {
                transaction.put(TABLE.key("fact"), Vec::new());
            }
            Ok(is_missing)
        });
        Ok::<_, Error>(())
    };
    store.transaction(fact).await.unwrap();
    put(&store, "claim").await.unwrap();
    redis.primary.kill();
    let told = put_until(&store, "next-", |told| !told.is_empty()).await;
    let present = [&["copied".to_owned(), "fact".to_owned()][..], &told].concat();
    assert_present(&store, &present).await;
    let claim = store.get(TABLE.key("claim")).await.unwrap();
    assert!(claim.is_none(), "another server may have made it since");
    assert_series(&metrics, &["switchboard_store_restored_facts_total 1"]);
}

/// One server is cut off together with the primary, and another one goes on with the replica.
#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_cut_off_with_the_old_primary_is_told_of_no_change() {
    let redis = RedisPair::start();
    let sentinels = TestSentinels::start(redis.links.port(), 1);
    let cut_off = open(&Config {
        wait: 1,
        wait_timeout: Duration::from_millis(100),
        response_timeout: Duration::from_secs(4),
        ..redis.config()
    });
    let other = open(&Config {
        response_timeout: Duration::from_secs(4),
        ..sentinels.config()
    });
    put_until(&cut_off, "before-", |told| !told.is_empty()).await;
    redis.links.freeze(FrozenLinks::All);
    let refused = put(&cut_off, "lost").await;
    assert!(
        matches!(refused, Err(Error::NotReplicated { .. })),
        "{refused:?}"
    );
    let is_over = AtomicBool::new(false);
    let meanwhile = async {
        let told = put_until(&cut_off, "cut-off-", |_| is_over.load(SeqCst)).await;
        assert_eq!(told, [""; 0]);
    };
    let fail_over = async {
        let told = put_until(&other, "other-", |told| told.len() as u64 >= CHANGES).await;
        is_over.store(true, SeqCst);
        told
    };
    let ((), told) = tokio::join!(meanwhile, fail_over);
    wait_for("the sentinels to agree", || {
        sentinels.primary() == Some(redis.replica.port())
    });
    redis.links.freeze(FrozenLinks::None);
    wait_for("the old primary as a replica", || {
        let info: String = redis.primary.run("INFO replication");
        info.contains("role:slave") && info.contains("master_link_status:up")
    });
    assert_present(&other, &told).await;
    let lost = other.get(TABLE.key("lost")).await.unwrap();
    assert!(lost.is_none(), "its caller was told so");
    assert!(put(&cut_off, "late").await.is_err(), "a replica refuses");
}

/// Both primaries take writes, as when the earlier one was cut off from the others alone.
#[tokio::test(start_paused = true)]
async fn open_connections_are_left_when_sentinels_name_another_primary() {
    let primaries = [(); 2].map(|()| TcpRedis::start());
    let sentinel = TcpRedis::sentinel_of(primaries[0].port());
    let config = config_at(url_of(&sentinel, PRIMARY_NAME));
    let client = start_checks::client(&config).unwrap();
    let connections = Connections::new(client, config.response_timeout);
    let connected_port = || {
        let mut command = redis::cmd("INFO");
        command.arg("server");
        let info: String = connections.run(|to| command.query(to)).unwrap();
        let port = start_checks::field(&info, "tcp_port").unwrap();
        port.parse::<u16>().unwrap()
    };
    assert_eq!(connected_port(), primaries[0].port());
    let [_, other] = &primaries;
    sentinel.run::<()>(&format!("SENTINEL REMOVE {PRIMARY_NAME}"));
    let monitor = format!(
        "SENTINEL MONITOR {PRIMARY_NAME} 127.0.0.1 {} 1",
        other.port()
    );
    sentinel.run::<()>(&monitor);
    assert_eq!(connected_port(), primaries[0].port(), "not asked yet");
    tokio::time::advance(RECHECK_INTERVAL).await;
    assert_eq!(connected_port(), other.port());
}

#[tokio::test(flavor = "multi_thread")]
async fn store_follows_a_fail_over_that_an_operator_asks_for() {
    let primary = TcpRedis::start();
    let replica = TcpRedis::replica_of(primary.port());
    let sentinels = TestSentinels::start(primary.port(), 1);
    let store = open(&sentinels.config());
    let told = put_until(&store, "before-", |told| !told.is_empty()).await;
    wait_for("the replica has it", || count_commits(&replica) == Some(1));
    let command = format!("SENTINEL FAILOVER {PRIMARY_NAME}");
    wait_for("a replica to choose", || {
        sentinels.0[0].try_run::<String>(&command).is_ok()
    });
    wait_for("the fail-over", || {
        sentinels.primary() == Some(replica.port())
    });
    // The old primary takes changes, which are lost, until it is told.
    put_until(&store, "after-", |_| count_commits(&replica) > Some(1)).await;
    assert_present(&store, &told).await;
}

/// Returns the number of commits that `server` has.
fn count_commits(server: &TcpRedis) -> Option<u64> {
    server.try_run("GET {test}:sequence").ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn known_primary_is_used_while_all_sentinels_are_away() {
    let primary = TcpRedis::start();
    let mut sentinel = TcpRedis::sentinel_of(primary.port());
    let config = config_at(url_of(&sentinel, PRIMARY_NAME));
    let database = RedisDatabase::open(&config).unwrap();
    sentinel.kill();
    let change = |name: &str| -> [StoreChange; 1] { [(TABLE.key(name), Some(Vec::new()))] };
    database.write(&change("on an open connection")).unwrap();
    database.writing.close_idle();
    database.write(&change("on a new one")).unwrap();
    let refused = RedisDatabase::open(&config).unwrap_err();
    assert!(matches!(refused, Error::Unreachable(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_of_sentinels_end_the_start_with_a_hint() {
    let primary = TcpRedis::start();
    let sentinel = TcpRedis::sentinel_of(primary.port());
    let warnings = check_redis(&config_at(url_of(&sentinel, PRIMARY_NAME))).unwrap();
    let alone = "1 sentinels";
    assert!(
        warnings.iter().any(|found| found.problem.contains(alone)),
        "{warnings:?}"
    );
    let refused = check_redis(&config_at(url_of(&sentinel, "other"))).unwrap_err();
    let hint = refused.hint().unwrap();
    assert!(hint.contains("sentinel monitor"), "{refused}");
    let no_sentinel = check_redis(&config_at(url_of(&primary, PRIMARY_NAME))).unwrap_err();
    assert!(
        matches!(no_sentinel, Error::Unreachable(_)),
        "{no_sentinel:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_with_a_password_need_their_own() {
    let primary = TcpRedis::start();
    let sentinel = TcpRedis::sentinel_with(primary.port(), "requirepass secret\n");
    let config = config_at(url_of(&sentinel, PRIMARY_NAME));
    let refused = check_redis(&config).unwrap_err();
    let hint = refused.hint().unwrap();
    assert!(hint.contains("redis.sentinel_password_file"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let sentinel_password_file = folder.path().join("password");
    std::fs::write(&sentinel_password_file, "secret\n").unwrap();
    let config = Config {
        sentinel_password_file,
        ..config
    };
    check_redis(&config).unwrap();
}
