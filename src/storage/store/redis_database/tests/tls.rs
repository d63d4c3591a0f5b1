//! TLS to a real Redis, with certificates of an authority made up for these tests.

use std::path::PathBuf;

use tokio_util::task::TaskTracker;

use super::super::super::Store;
use super::super::super::StoreTable;
use super::super::super::Transaction;
use super::super::replication_testing::TcpRedis;
use super::super::replication_testing::config_at;
use super::super::*;
use crate::telemetry::metrics::StoreMetrics;

const TABLE: StoreTable = StoreTable::new("tls");

fn fixture(name: &str) -> PathBuf {
    let folder = "src/storage/store/redis_database/tests/fixtures";
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_kept_behind_tls_whose_authority_is_named() {
    let path = |name: &str| fixture(name).display().to_string();
    let (certificate, key) = (path("server.pem"), path("server.key"));
    let server = TcpRedis::start_tls(&certificate, &key);
    let config = Config {
        ca_file: fixture("authority.pem"),
        ..config_at(format!("rediss://localhost:{}", server.tls_port()))
    };
    let store = Store::open_shared(&config, TaskTracker::new(), StoreMetrics::default()).unwrap();
    let put = |transaction: &mut Transaction<'_>| {
        transaction.put(TABLE.key("one"), b"record".to_vec());
        Ok::<_, Error>(())
    };
    store.transaction(put).await.unwrap();
    let kept: Option<String> = server.try_run("GET {test}:head").ok();
    assert!(kept.is_some(), "the commit is there");
    let found = store.get(TABLE.key("one")).await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"record"[..]));
    // The authority is made up, so no system knows it.
    let unknown = Config {
        ca_file: PathBuf::new(),
        ..config
    };
    assert!(RedisDatabase::open(&unknown).is_err());
}
