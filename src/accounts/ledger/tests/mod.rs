//! Tests of the whole ledger, in memory, on sled and in Redis.

mod alerts;
mod concurrency;
mod contract;
mod corrections;
mod end_users;
mod files;
mod journal;
mod kills;
mod leases;
mod locks;
mod losses;
mod measured;
mod model;
mod nodes_model;
mod outage;
mod reports;
mod savings;
mod servers;
mod spending;
mod versions;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::archive::backup;
use super::records::BudgetMeter;
use super::records::ChargeRecord;
use super::records::LedgerHead;
use super::records::LedgerRecord as _;
use super::testing::budgets;
use super::verify::verify;
use super::*;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::EndUser;
use crate::domain::EndUserTerms;
use crate::domain::Money;
use crate::domain::Usage;
use crate::storage::store::Backend;
use crate::storage::store::MemoryBackend;
use crate::storage::store::RedisServer;

/// Saturday, 21 November 2026, 10:00 UTC.
const NOW: u64 = 1_795_255_200;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// Ledger under test with its store and its clock.
struct TestLedger {
    ledger: Ledger,
    store: Store,
    unknown: usize,
    alerts: UnboundedReceiver<Alert>,
    now: Arc<AtomicU64>,
    tracker: TaskTracker,
    /// Storage that survives a restart: the in-memory backend, or the folder.
    under: TestStorage,
}

enum TestStorage {
    Memory(Arc<dyn Backend>),
    Sled(TempDir),
    Redis(RedisServer),
}

impl TestStorage {
    fn store(&self, tracker: TaskTracker) -> Store {
        match self {
            Self::Memory(backend) => Store::new(Arc::clone(backend), tracker).unwrap(),
            Self::Sled(folder) => open_sled(folder.path(), &tracker),
            Self::Redis(server) => server.store(tracker),
        }
    }
}

/// Opens a sled store; retries, because sled releases the file lock shortly after a close.
fn open_sled(folder: &Path, tracker: &TaskTracker) -> Store {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Store::open(
            folder,
            crate::storage::store::Config::default(),
            tracker.clone(),
        ) {
            Ok(store) => return store,
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        std::thread::yield_now();
    }
}

impl TestLedger {
    async fn in_memory() -> Self {
        Self::over(Arc::new(MemoryBackend::default())).await
    }

    async fn over(backend: Arc<dyn Backend>) -> Self {
        Self::open(TestStorage::Memory(backend), Arc::new(AtomicU64::new(NOW))).await
    }

    async fn on_sled() -> Self {
        Self::open(
            TestStorage::Sled(tempfile::tempdir().unwrap()),
            Arc::new(AtomicU64::new(NOW)),
        )
        .await
    }

    async fn in_redis() -> Self {
        Self::open(
            TestStorage::Redis(RedisServer::start()),
            Arc::new(AtomicU64::new(NOW)),
        )
        .await
    }

    /// Creates one ledger for each kind of storage.
    async fn all() -> [Self; 3] {
        [
            Self::in_memory().await,
            Self::on_sled().await,
            Self::in_redis().await,
        ]
    }

    async fn open(under: TestStorage, now: Arc<AtomicU64>) -> Self {
        let tracker = TaskTracker::new();
        let store = under.store(tracker.clone());
        let shared_now = Arc::clone(&now);
        let clock = Clock::new(move || shared_now.load(Ordering::SeqCst));
        let config = Config {
            keep_charges_days: 92,
            node: "server".to_owned(),
        };
        let OpenedLedger {
            ledger,
            charged_holds: unknown,
            alerts,
            ..
        } = Ledger::open(store.clone(), clock, config).await.unwrap();
        Self {
            ledger,
            store,
            unknown,
            alerts,
            now,
            tracker,
            under,
        }
    }

    /// Restarts as after a crash. Holds that the crash should lose must be lost already.
    async fn restart(self) -> Self {
        let Self {
            ledger,
            store,
            now,
            tracker,
            under,
            ..
        } = self;
        drop((ledger, store));
        // The writer thread releases the files last.
        tracker.close();
        tracker.wait().await;
        Self::open(under, now).await
    }

    fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::new(move || now.load(Ordering::SeqCst))
    }

    /// Spent and held tokens of the key `a` today.
    async fn tokens(&self) -> (u128, u128) {
        let meter = self.meter(BudgetScope::Key, "a", BudgetWindow::Day).await;
        (meter.spent.tokens, meter.held.tokens)
    }

    async fn meter(&self, scope: BudgetScope, name: &str, window: BudgetWindow) -> BudgetMeter {
        let today = Day::of(self.now.load(Ordering::SeqCst));
        let place = storage_keys::meter(calendar::Span::around(window, today), scope, name);
        let bytes = self.store.get(place.clone()).await.unwrap();
        bytes
            .map(|bytes| BudgetMeter::decode(&place, &bytes).unwrap())
            .unwrap_or_default()
    }

    async fn charge(&self, id: &str) -> Option<ChargeRecord> {
        let place = storage_keys::charge(id);
        let bytes = self.store.get(place.clone()).await.unwrap();
        bytes.map(|bytes| ChargeRecord::decode(&place, &bytes).unwrap())
    }

    /// Waits until all queued transactions are done or have failed.
    async fn settle_down(&self) {
        // Fails with the group it is written in.
        let _ = self.store.transaction(|_| Ok::<_, Error>(())).await;
    }

    /// Waits for all queued transactions, then checks that verification finds no problem.
    async fn assert_sound(&self) {
        self.settle_down().await;
        assert_eq!(verify(&self.store).await.unwrap().problems, [""; 0]);
    }
}

/// Caller in the project `p` with these budgets.
fn caller(name: &str, budget: Budget, project_budget: Budget) -> Caller {
    let grant = Grant {
        budget,
        project_budget,
        ..Grant::default()
    };
    Caller {
        project: "p".to_owned(),
        grant: Arc::new(grant),
        ..Caller::named(name)
    }
}

/// Caller with the key `a` and a daily cap of `tokens`.
fn daily(tokens: u64) -> Caller {
    caller(
        "a",
        Budget {
            daily: cap(tokens),
            ..Budget::default()
        },
        Budget::default(),
    )
}

/// Caller with the key `a` and the end user `id`, both with a daily cap of `tokens`.
fn daily_of(id: &str, tokens: u64) -> Caller {
    let budget = Budget {
        daily: cap(tokens),
        ..Budget::default()
    };
    let end_users = EndUserTerms {
        budget,
        ..EndUserTerms::default()
    };
    let grant = Grant {
        budget,
        end_users,
        ..Grant::default()
    };
    Caller {
        grant: Arc::new(grant),
        end_user: EndUser::new(id),
        ..Caller::named("a")
    }
}

fn cap(tokens: u64) -> Cap {
    Cap {
        tokens: Some(tokens),
        money: None,
    }
}

fn amount(tokens: u64, nanos: i64) -> Amount {
    Amount {
        tokens,
        money: Money::from_nanos(nanos),
    }
}

/// Charge as [`charge`] creates it, of one sign-in among several.
fn charge_of_team(tokens: u64, nanos: i64) -> Charge {
    Charge {
        sign_in: Some("team".into()),
        ..charge(tokens, nanos)
    }
}

/// Charge of an answer with these output tokens and this cost.
fn charge(tokens: u64, nanos: i64) -> Charge {
    Charge {
        model: "m".to_owned(),
        usage: Usage {
            output_tokens: tokens,
            ..Usage::default()
        },
        money: Some(Money::from_nanos(nanos)),
        estimated_tokens: 0,
        outcome: ChargeOutcome::Answered,
        baseline: None,
        sign_in: None,
        fallback: None,
    }
}
