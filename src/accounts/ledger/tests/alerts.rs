//! Budget alerts: recipients, thresholds and repetition.

use super::*;

fn drain_alerts(
    test_ledger: &mut TestLedger,
) -> Vec<(BudgetScope, BudgetWindow, BudgetUnit, u8, u64)> {
    let alerts = std::iter::from_fn(|| test_ledger.alerts.try_recv().ok());
    alerts
        .map(|alert| {
            (
                alert.scope,
                alert.window,
                alert.unit,
                alert.percent,
                alert.spent,
            )
        })
        .collect()
}

async fn spend(test_ledger: &TestLedger, caller: &Caller, tokens: u64) {
    // Only spent amounts count, so nothing is held; each charge has an id of its own.
    let id = uuid::Uuid::new_v4().to_string();
    let hold = test_ledger
        .ledger
        .hold(caller, Amount::default(), &id)
        .await
        .unwrap();
    hold.settle(charge(tokens, 0)).await.unwrap();
}

#[tokio::test]
async fn alert_is_raised_once_per_threshold_and_day() {
    let key = |percent, spent| {
        (
            BudgetScope::Key,
            BudgetWindow::Day,
            BudgetUnit::Tokens,
            percent,
            spent,
        )
    };
    for mut test_ledger in TestLedger::all().await {
        let caller = daily(1000);
        for (spent, expected) in [
            (499, vec![]),
            (1, vec![key(50, 500)]),
            (100, vec![]),
            (200, vec![key(80, 800)]),
            (199, vec![]),
            (1, vec![key(100, 1000)]),
        ] {
            spend(&test_ledger, &caller, spent).await;
            assert_eq!(drain_alerts(&mut test_ledger), expected);
        }
        let mut test_ledger = test_ledger.restart().await;
        test_ledger.pass(DAY);
        spend(&test_ledger, &caller, 1001).await;
        assert_eq!(
            drain_alerts(&mut test_ledger),
            [key(50, 1001), key(80, 1001), key(100, 1001)]
        );
    }
}

#[tokio::test]
async fn restart_does_not_repeat_alerts() {
    let test_ledger = TestLedger::on_sled().await;
    spend(&test_ledger, &daily(1000), 600).await;
    let mut test_ledger = test_ledger.restart().await;
    spend(&test_ledger, &daily(1000), 100).await;
    assert_eq!(drain_alerts(&mut test_ledger), []);
}

#[tokio::test]
async fn raised_cap_allows_the_alert_again() {
    let mut test_ledger = TestLedger::in_memory().await;
    spend(&test_ledger, &daily(100), 90).await;
    assert_eq!(drain_alerts(&mut test_ledger).len(), 2);
    spend(&test_ledger, &daily(1000), 1).await;
    spend(&test_ledger, &daily(1000), 500).await;
    assert_eq!(
        drain_alerts(&mut test_ledger),
        [(
            BudgetScope::Key,
            BudgetWindow::Day,
            BudgetUnit::Tokens,
            50,
            591
        )]
    );
}

#[tokio::test]
async fn each_budget_raises_its_own_alerts() {
    let mut test_ledger = TestLedger::in_memory().await;
    let money = Cap {
        tokens: None,
        money: Some(Money::from_nanos(10)),
    };
    let project_budget = Budget {
        daily: Cap::default(),
        monthly: money,
    };
    let caller = caller(
        "a",
        Budget {
            daily: cap(100),
            ..Budget::default()
        },
        project_budget,
    );
    let hold = test_ledger
        .ledger
        .hold(&caller, Amount::default(), "1")
        .await
        .unwrap();
    hold.settle(charge(60, 9)).await.unwrap();
    let first = test_ledger.alerts.recv().await.unwrap();
    assert_eq!(
        (first.name.as_str(), first.since.as_str(), first.cap),
        ("a", "2026-11-21", 100)
    );
    let second = test_ledger.alerts.recv().await.unwrap();
    assert_eq!(
        (second.name.as_str(), second.since.as_str(), second.unit),
        ("p", "2026-11-01", BudgetUnit::Money)
    );
    assert_eq!(
        drain_alerts(&mut test_ledger),
        [(
            BudgetScope::Project,
            BudgetWindow::Month,
            BudgetUnit::Money,
            80,
            9
        )]
    );
}

#[tokio::test]
async fn alert_is_sent_only_after_the_charge_is_on_disk() {
    let backend = Arc::new(crate::storage::store::testing::FaultyBackend::default());
    let mut test_ledger = TestLedger::over(Arc::clone(&backend) as Arc<dyn Backend>).await;
    let hold = test_ledger
        .ledger
        .hold(&daily(10), amount(10, 0), "1")
        .await
        .unwrap();
    backend.fill(true);
    // Holds also for a dropped hold.
    drop(hold.start());
    test_ledger.settle_down().await;
    test_ledger.ledger.retry_pending_closes().await;
    assert_eq!(drain_alerts(&mut test_ledger), []);
    backend.fill(false);
    test_ledger.ledger.retry_pending_closes().await;
    assert_eq!(drain_alerts(&mut test_ledger).len(), 3);
}
