//! Cost of a hundred thousand keys: lookup time and memory.

use anyhow::Context as _;
use anyhow::ensure;
use claude_switchboard::accounts::auth::Credentials;
use claude_switchboard::accounts::auth::KeyChange;
use claude_switchboard::accounts::auth::Keys;
use claude_switchboard::accounts::auth::Permission;
use claude_switchboard::accounts::auth::Registry;
use claude_switchboard::storage::store;
use claude_switchboard::storage::store::Store;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::plan::Plan;
use crate::progress;
use crate::report::{Report, Table};
use crate::statistics::Sample;

/// Number of keys created concurrently.
const CONCURRENT: usize = 500;

pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let texts = create_keys(plan.keys, folder.path()).await?;
    // Reopened as at a server start, so that memory used to create the keys does not count.
    let before = resident_bytes()?;
    let begin = Instant::now();
    let tracker = TaskTracker::new();
    let registry = Registry::open(Store::open(
        folder.path(),
        store::Config::default(),
        tracker,
    )?)
    .await?;
    let opened = begin.elapsed();
    let grown = resident_bytes()?.saturating_sub(before) as f64 / 1e6;
    let keys = Keys::new([""; 0])?.with_stored(&registry);
    let mut sample = Sample::default();
    let begin = Instant::now();
    for text in &texts {
        let begin = Instant::now();
        let credentials = Credentials {
            api_key: Some(text),
            ..Credentials::default()
        };
        ensure!(
            keys.authenticate(&credentials, Some(Permission::Inference))
                .is_ok(),
            "a key is not known"
        );
        sample.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let rate = texts.len() as f64 / begin.elapsed().as_secs_f64();
    report.add(Table {
        title: "Keys",
        note: format!(
            "{} keys, each looked up by {} of them in turn, on one thread. Memory is what the process has grown by from \
             before the store was opened; sled keeps pages of its own in it.",
            plan.keys,
            texts.len()
        ),
        header: vec!["lookups/s", "p50 µs", "p99 µs", "opened in ms", "memory MB"],
        rows: vec![vec![
            format!("{rate:.0}"),
            format!("{:.2}", sample.p50()),
            format!("{:.2}", sample.percentile(99.0)),
            opened.as_millis().to_string(),
            format!("{grown:.1}"),
        ]],
    });
    Ok(())
}

/// Creates keys in `folder` and returns the texts of a fifth of them, unordered.
async fn create_keys(count: usize, folder: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let tracker = TaskTracker::new();
    let registry = Registry::open(Store::open(
        folder,
        store::Config::default(),
        tracker.clone(),
    )?)
    .await?;
    let mut texts = Vec::new();
    for created in (0..count).step_by(CONCURRENT) {
        let change = || KeyChange {
            name: Some("bench".to_owned()),
            ..KeyChange::default()
        };
        let making = (0..CONCURRENT).map(|_| registry.create_key("default".to_owned(), change()));
        for created in futures::future::try_join_all(making).await? {
            texts.push(created.1.reveal().to_owned());
        }
        if created.is_multiple_of(20_000) {
            progress(&format!("keys: {created} of {count}"));
        }
    }
    drop(registry);
    tracker.close();
    tracker.wait().await;
    texts.sort_unstable_by_key(|text| text.bytes().rev().collect::<Vec<_>>());
    Ok(texts.into_iter().step_by(5).collect())
}

/// Returns the resident memory of this process, in bytes.
fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
