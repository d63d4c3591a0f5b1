//! Concurrent holds and settlements on real threads.

use std::num::NonZero;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;

/// Number of concurrent requests.
const CALLERS: usize = 200;

/// Starts `CALLERS` requests at once where `room` of them fit. Returns how many were admitted.
async fn round(test_ledger: &TestLedger, number: usize, room: u64) -> u64 {
    let name = format!("key-{number}");
    let budget = Budget {
        daily: cap(room * 10),
        ..Budget::default()
    };
    let caller = Caller {
        project: format!("p{number}"),
        ..caller(&name, budget, budget)
    };
    let barrier = Arc::new(Barrier::new(CALLERS));
    let mut tasks = JoinSet::new();
    for index in 0..CALLERS {
        let barrier = Arc::clone(&barrier);
        let ledger = test_ledger.ledger.clone();
        let caller = caller.clone();
        tasks.spawn(async move {
            barrier.wait().await;
            ledger
                .hold(&caller, amount(10, 0), &format!("{number}-{index}"))
                .await
        });
    }
    let results = tasks.join_all().await;
    assert!(
        results
            .iter()
            .flat_map(Result::as_ref)
            .all(|hold| hold.amount() == amount(10, 0))
    );
    assert!(
        results
            .iter()
            .filter_map(|result| result.as_ref().err())
            .all(|error| matches!(error, Error::BudgetExceeded(_)))
    );
    let holds: Vec<BudgetHold> = results.into_iter().flatten().collect();
    let admitted = holds.len() as u64;
    let mut tasks = JoinSet::new();
    for hold in holds {
        tasks.spawn(async move {
            tokio::task::yield_now().await;
            hold.settle(charge(7, 0)).await.unwrap();
        });
    }
    tasks.join_all().await;
    for (used, _) in budgets(&test_ledger.ledger, &caller).await {
        assert_eq!(
            used,
            amount(admitted * 7, 0),
            "what was not needed is free again"
        );
    }
    admitted
}

async fn rounds(test_ledger: &TestLedger, count: usize) {
    for number in 0..count {
        let room = [1, 7, 100, 199, 200, 300][number % 6];
        assert_eq!(
            round(test_ledger, number, room).await,
            room.min(CALLERS as u64),
            "round {number}"
        );
    }
    test_ledger.assert_sound().await;
}

fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(4, NonZero::get)
        .max(4)
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build();
    runtime.unwrap().block_on(work);
}

#[test]
fn concurrent_holds_never_exceed_budget() {
    run(async { rounds(&TestLedger::in_memory().await, 150).await });
}

#[test]
fn concurrent_holds_never_exceed_budget_on_disk() {
    run(async { rounds(&TestLedger::on_sled().await, 30).await });
}

/// The first settlement debits; all others return its amount.
#[test]
fn concurrent_settlements_of_one_id_debit_once() {
    run(async {
        for test_ledger in TestLedger::all().await {
            for number in 0..30 {
                let id = number.to_string();
                test_ledger
                    .ledger
                    .hold(&daily(u64::MAX), amount(10, 0), &id)
                    .await
                    .unwrap()
                    .forget();
                let mut tasks = JoinSet::new();
                for tokens in 1..=32 {
                    let ledger = test_ledger.ledger.clone();
                    let id = id.clone();
                    let closing = HoldClosing::Settled(charge(tokens, 0));
                    tasks.spawn(async move {
                        ledger
                            .close(&id, closing, Arc::default(), None)
                            .await
                            .unwrap()
                    });
                }
                let debits = tasks.join_all().await;
                assert!(debits.iter().all(|debit| *debit == debits[0]), "{debits:?}");
            }
            test_ledger.assert_sound().await;
            let charges = verify(&test_ledger.store).await.unwrap().charges;
            assert_eq!(charges, 30);
        }
    });
}

/// Concurrent reads see a consistent state: between transactions, never within one.
#[test]
fn ledger_is_consistent_at_every_moment() {
    run(async {
        for test_ledger in TestLedger::all().await {
            let mut tasks = JoinSet::new();
            for task in 0..4 {
                let ledger = test_ledger.ledger.clone();
                tasks.spawn(async move {
                    for number in 0..100 {
                        let hold = ledger.hold(
                            &daily(u64::MAX),
                            amount(10, 1),
                            &format!("{task}-{number}"),
                        );
                        hold.await.unwrap().settle(charge(7, 1)).await.unwrap();
                    }
                });
            }
            let mut looks = 0;
            while tasks.try_join_next().transpose().unwrap().is_some() || !tasks.is_empty() {
                assert_eq!(
                    test_ledger.ledger.reader().verify().await.unwrap().problems,
                    [""; 0]
                );
                let other = Store::in_memory(TaskTracker::new());
                restore(
                    &other,
                    &test_ledger.ledger.reader().backup().await.unwrap(),
                    false,
                )
                .await
                .unwrap();
                assert_eq!(verify(&other).await.unwrap().problems, [""; 0]);
                looks += 1;
            }
            assert!(looks > 1, "nothing was read meanwhile");
        }
    });
}
