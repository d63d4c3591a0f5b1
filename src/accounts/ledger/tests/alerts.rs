//! Budget alerts: recipients, thresholds and repetition.

use super::*;

fn told(books: &mut TestLedger) -> Vec<(BudgetScope, BudgetWindow, BudgetUnit, u8, u64)> {
    let alerts = std::iter::from_fn(|| books.alerts.try_recv().ok());
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

async fn spend(books: &TestLedger, caller: &Caller, tokens: u64) {
    // Only spent amounts count, so nothing is held; each charge has an id of its own.
    let id = uuid::Uuid::new_v4().to_string();
    let hold = books
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
    for mut books in TestLedger::all().await {
        let caller = daily(1000);
        for (spent, expected) in [
            (499, vec![]),
            (1, vec![key(50, 500)]),
            (100, vec![]),
            (200, vec![key(80, 800)]),
            (199, vec![]),
            (1, vec![key(100, 1000)]),
        ] {
            spend(&books, &caller, spent).await;
            assert_eq!(told(&mut books), expected);
        }
        let mut books = books.restart().await;
        books.pass(DAY);
        spend(&books, &caller, 1001).await;
        assert_eq!(
            told(&mut books),
            [key(50, 1001), key(80, 1001), key(100, 1001)]
        );
    }
}

#[tokio::test]
async fn restart_does_not_repeat_alerts() {
    let books = TestLedger::on_sled().await;
    spend(&books, &daily(1000), 600).await;
    let mut books = books.restart().await;
    spend(&books, &daily(1000), 100).await;
    assert_eq!(told(&mut books), []);
}

#[tokio::test]
async fn raised_cap_allows_the_alert_again() {
    let mut books = TestLedger::in_memory().await;
    spend(&books, &daily(100), 90).await;
    assert_eq!(told(&mut books).len(), 2);
    spend(&books, &daily(1000), 1).await;
    spend(&books, &daily(1000), 500).await;
    assert_eq!(
        told(&mut books),
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
    let mut books = TestLedger::in_memory().await;
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
    let hold = books
        .ledger
        .hold(&caller, Amount::default(), "1")
        .await
        .unwrap();
    hold.settle(charge(60, 9)).await.unwrap();
    let first = books.alerts.recv().await.unwrap();
    assert_eq!(
        (first.name.as_str(), first.since.as_str(), first.cap),
        ("a", "2026-11-21", 100)
    );
    let second = books.alerts.recv().await.unwrap();
    assert_eq!(
        (second.name.as_str(), second.since.as_str(), second.unit),
        ("p", "2026-11-01", BudgetUnit::Money)
    );
    assert_eq!(
        told(&mut books),
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
    let backend = Arc::new(crate::storage::store::testing::Faulty::default());
    let mut books = TestLedger::over(Arc::clone(&backend) as Arc<dyn Backend>).await;
    let hold = books
        .ledger
        .hold(&daily(10), amount(10, 0), "1")
        .await
        .unwrap();
    backend.fill(true);
    // Holds also for a dropped hold.
    drop(hold.start());
    books.settle_down().await;
    books.ledger.retry_pending_closes().await;
    assert_eq!(told(&mut books), []);
    backend.fill(false);
    books.ledger.retry_pending_closes().await;
    assert_eq!(told(&mut books).len(), 3);
}
