//! Copies between places that settings name, while servers run or not.

use super::*;
use crate::accounts::ledger::Clock;
use crate::accounts::ledger::Config;
use crate::accounts::ledger::Ledger;
use crate::app::exclusive_use::RecordsInUse;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::domain::unix_now;
use crate::storage::store::RedisServer;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;

const TABLE: StoreTable = StoreTable::new("t");

/// Settings whose records are in the data directory `folder`.
fn settings(folder: &Path) -> Settings {
    let environment: Environment = [("HOME", "/home/me")].into_iter().collect();
    let flags = CommandLineFlags::default();
    let mut settings = Settings::load(None, &environment, &flags).unwrap();
    settings.server.data_dir = folder.to_owned();
    settings
}

/// Writes a record to the place of `settings`.
async fn fill(settings: &Settings) {
    let tracker = TaskTracker::new();
    let store = records::open_store(settings, &tracker).unwrap();
    let write = |transaction: &mut Transaction<'_>| {
        transaction.put(TABLE.key("a"), b"1".to_vec());
        Ok::<_, store::Error>(())
    };
    store.transaction(write).await.unwrap();
    drop(store);
    tracker.close();
    tracker.wait().await;
}

async fn copy(settings: &Settings, source: &str, target: &str) -> anyhow::Result<CopiedStore> {
    let request = CopyRequest {
        source,
        target,
        is_dry_run: false,
        keeps_source: false,
    };
    copy_store(settings, request, &mut |_| {}).await
}

/// Returns all causes of `error` in a line.
fn words(error: &anyhow::Error) -> String {
    format!("{error:#}")
}

#[tokio::test]
async fn records_go_to_redis_and_back_and_servers_start_at_the_last_place_alone() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(&data.path().join("one"));
    settings.redis = server.config();
    fill(&settings).await;
    let url = settings.redis.url.clone();
    let dry_run = CopyRequest {
        source: "config",
        target: &url,
        is_dry_run: true,
        keeps_source: false,
    };
    let counted = copy_store(&settings, dry_run, &mut |_| {}).await.unwrap();
    assert_eq!(counted.summary.records(), 1);
    assert_eq!(server.run::<u64>("ZCARD {test}:index"), 0);

    let copied = copy(&settings, "config", &url).await.unwrap();
    assert_eq!(copied.summary, counted.summary);
    assert!(copied.files.contains("one/files"), "{}", copied.files);
    let tracker = TaskTracker::new();
    let refusal = records::open_store(&settings, &tracker).unwrap_err();
    assert!(
        refusal.hint().contains("copy the records back"),
        "{}",
        refusal.hint()
    );

    let back = format!("sled:{}", settings.server.data_dir.display());
    let returned = copy(&settings, &url, &back).await.unwrap();
    assert_eq!(returned.summary, counted.summary);
    let previous = returned.previous.unwrap();
    assert!(previous.join("store/mark").exists(), "{previous:?}");
    fill(&settings).await;
    settings.store.backend = StoreEngine::Redis;
    assert!(records::open_store(&settings, &tracker).is_err());
}

#[tokio::test]
async fn copy_between_folders_takes_uploaded_files_along() {
    let data = tempfile::tempdir().unwrap();
    let settings = settings(&data.path().join("one"));
    fill(&settings).await;
    let files = settings.server.data_dir.join("files");
    fs::create_dir(&files).unwrap();
    fs::write(files.join("file_1"), "content").unwrap();
    let target = data.path().join("other");
    let place = format!("sled:{}", target.display());
    copy(&settings, "config", &place).await.unwrap();
    assert_eq!(
        fs::read_to_string(target.join("files/file_1")).unwrap(),
        "content"
    );
}

#[tokio::test]
async fn places_that_cannot_be_copied_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(&data.path().join("one"));
    for (source, target, reason) in [
        ("config", "config", "source and target are both"),
        ("config", "elsewhere", "`elsewhere` is no place"),
        ("sled:", "config", "is no place"),
        ("config", "http://other", "the URL of Redis is refused"),
        ("config", "sled:/nonexistent/other", "there are no records"),
    ] {
        let refusal = copy(&settings, source, target).await.unwrap_err();
        assert!(words(&refusal).contains(reason), "{refusal:#}");
    }
    settings.store.backend = StoreEngine::Memory;
    let refusal = copy(&settings, "config", "sled:/other").await.unwrap_err();
    assert!(words(&refusal).contains("in memory"), "{refusal:#}");
}

#[tokio::test]
async fn target_with_records_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let (one, other) = (
        settings(&data.path().join("one")),
        settings(&data.path().join("other")),
    );
    fill(&one).await;
    fill(&other).await;
    let place = format!("sled:{}", other.server.data_dir.display());
    let refusal = copy(&one, "config", &place).await.unwrap_err();
    assert!(
        words(&refusal).contains("has 1 records already"),
        "{refusal:#}"
    );
    fill(&other).await;
}

#[tokio::test]
async fn records_of_a_running_server_are_not_copied() {
    let server = RedisServer::start_with(&[]);
    let data = tempfile::tempdir().unwrap();
    let mut settings = settings(data.path());
    settings.redis = server.config();
    settings.store.backend = StoreEngine::Redis;
    let tracker = TaskTracker::new();
    let shared = records::open_store(&settings, &tracker).unwrap();
    let config = Config {
        keep_charges_days: 92,
        node: "running".to_owned(),
    };
    let running = Ledger::open(shared, Clock::new(unix_now), config);
    let running = running.await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    running.ledger.spawn_cleanup(&tracker, stop.clone());
    let target = format!("sled:{}", data.path().join("other").display());
    let refusal = copy(&settings, "config", &target).await.unwrap_err();
    assert!(
        refusal.downcast_ref::<RecordsInUse>().is_some(),
        "{refusal:#}"
    );
    stop.cancel();
}
