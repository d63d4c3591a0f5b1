//! Budgets that a scrape shows, and what it reads for them.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::*;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::ProjectChange;
use crate::accounts::ledger::Clock;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::Money;
use crate::engine::gateway::testing::cache;
use crate::storage::store::Store;
use crate::storage::store::testing::BlockingBackend;
use crate::telemetry::metrics::Metrics;

/// Registry on a store whose writes can be blocked, and a reader of its ledger.
async fn open() -> (Registry, LedgerReader, Arc<BlockingBackend>) {
    let gate = Arc::new(BlockingBackend::default());
    let store = Store::new(Arc::clone(&gate) as _, TaskTracker::new()).unwrap();
    let registry = Registry::open(store.clone()).await.unwrap();
    (registry, LedgerReader::new(store, Clock::system()), gate)
}

fn sources(registry: &Registry, labels: &[OwnerLabel], max_owners: usize) -> MetricsSources {
    let owners = OwnerConfig {
        labels: labels.to_vec(),
        max_owners,
    };
    MetricsSources {
        process: Metrics::by_owner(owners),
        cache: cache(),
        registry: Some(registry.clone()),
    }
}

/// Daily cap in dollars.
fn daily(dollars: &str) -> FieldChange<Budget> {
    FieldChange::Set(Budget {
        daily: Cap {
            tokens: None,
            money: Money::from_decimal(dollars),
        },
        ..Budget::default()
    })
}

async fn create_key(registry: &Registry, budget: FieldChange<Budget>) -> String {
    let change = KeyChange {
        budget,
        ..KeyChange::default()
    };
    let made = registry.create_key(DEFAULT_PROJECT.to_owned(), change);
    made.await.unwrap().0.id()
}

/// Scopes, ids and remaining dollars of the budgets that a scrape shows.
async fn shown(
    sources: &MetricsSources,
    ledger: &LedgerReader,
) -> Vec<(&'static str, String, f64)> {
    // A scrape that waits for the writer of the store would not end while its gate is closed.
    let read = tokio::time::timeout(Duration::from_secs(10), read_budgets(sources, ledger));
    let levels = read.await.unwrap().unwrap().into_iter();
    levels
        .map(|level| (level.scope, level.id, level.remaining))
        .collect()
}

#[tokio::test]
async fn scrape_shows_budgets_of_the_first_owners_and_does_not_wait_for_writes() {
    let (registry, ledger, gate) = open().await;
    let mut keys = Vec::new();
    for (dollars, left) in [("1", 1.0), ("2", 2.0), ("3", 3.0)] {
        keys.push((create_key(&registry, daily(dollars)).await, left));
    }
    // Keys that are made within the same moment are in no certain order.
    keys.sort_by(|(one, _), (other, _)| one.cmp(other));
    let revoked = create_key(&registry, daily("4")).await;
    registry.revoke_key(&revoked).await.unwrap();
    create_key(&registry, FieldChange::Keep).await;
    let project = ProjectChange {
        budget: daily("9"),
        ..ProjectChange::default()
    };
    let project = registry.create_project(None, project).await.unwrap().id;
    gate.close();
    let key = |place: usize| {
        let (id, left) = &keys[place];
        ("key", id.clone(), *left)
    };
    let of_keys = [OwnerLabel::Key];
    let of_both = [OwnerLabel::Project, OwnerLabel::Key];
    for (labels, max, expected) in [
        (&of_keys[..], 2, vec![key(0), key(1)]),
        (&of_keys, 9, vec![key(0), key(1), key(2)]),
        (&of_both, 2, vec![("project", project, 9.0), key(0)]),
        (&[], 9, vec![]),
    ] {
        let found = shown(&sources(&registry, labels, max), &ledger).await;
        assert_eq!(found, expected, "{labels:?} {max}");
    }
    gate.open();
}
