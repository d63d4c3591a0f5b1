//! Spending of a day by hour, and of a month by day.

use super::super::testing::spend;
use super::*;

/// Nano-dollars of each step.
fn nanos(steps: &[Amount]) -> Vec<i64> {
    steps.iter().map(|step| step.money.nanos()).collect()
}

#[tokio::test]
async fn spending_of_a_day_adds_up_by_the_hour() {
    let test_ledger = TestLedger::in_memory().await;
    let [a, b] = ["a", "b"].map(|name| caller(name, Budget::default(), Budget::default()));
    let money = Money::from_nanos;
    test_ledger.now.fetch_sub(10 * HOUR + 1, Ordering::SeqCst);
    spend(&test_ledger.ledger, &a, money(100)).await;
    test_ledger.pass(1);
    spend(&test_ledger.ledger, &a, money(1)).await;
    test_ledger.pass(2 * HOUR);
    spend(&test_ledger.ledger, &a, money(2)).await;
    spend(&test_ledger.ledger, &b, money(4)).await;
    test_ledger.pass(HOUR);
    let history = test_ledger.ledger.reader().spending_today().await.unwrap();
    assert_eq!(
        (history.starts_at, history.step_seconds),
        (NOW - 10 * HOUR, HOUR)
    );
    let of_key = history.cumulative(BudgetScope::Key, "a");
    assert_eq!(nanos(&of_key), [1, 1, 3, 3]);
    let of_project = history.cumulative(BudgetScope::Project, "p");
    assert_eq!(nanos(&of_project), [1, 1, 7, 7]);
    let of_other = history.cumulative(BudgetScope::Project, "a");
    assert_eq!(nanos(&of_other), [0, 0, 0, 0]);
}

#[tokio::test]
async fn spending_of_a_month_adds_up_by_the_day() {
    let test_ledger = TestLedger::in_memory().await;
    let a = caller("a", Budget::default(), Budget::default());
    let money = Money::from_nanos;
    // The last day of October, then two days of November.
    test_ledger.now.fetch_sub(21 * DAY, Ordering::SeqCst);
    spend(&test_ledger.ledger, &a, money(100)).await;
    test_ledger.pass(DAY);
    spend(&test_ledger.ledger, &a, money(1)).await;
    test_ledger.pass(2 * DAY);
    spend(&test_ledger.ledger, &a, money(2)).await;
    let reader = test_ledger.ledger.reader();
    let history = reader.spending_this_month().await.unwrap();
    assert_eq!(history.step_seconds, DAY);
    let steps = history.cumulative(BudgetScope::Key, "a");
    assert_eq!(nanos(&steps), [1, 1, 3]);
}
