//! Usage and budgets of end users.

use super::*;

/// Caller with the key `a`, whose end users have a daily cap of `tokens` each.
fn for_end_user(id: &str, tokens: u64, max_per_key: u32) -> Caller {
    let budget = Budget {
        daily: cap(tokens),
        ..Budget::default()
    };
    let grant = Grant {
        end_users: EndUserTerms {
            budget,
            max_per_key,
            ..EndUserTerms::default()
        },
        ..Grant::default()
    };
    Caller {
        project: "p".to_owned(),
        grant: Arc::new(grant),
        end_user: EndUser::new(id),
        ..Caller::named("a")
    }
}

/// Groups of this month's report by end user: name, requests and tokens.
async fn groups(ledger: &Ledger) -> Vec<(String, u64, u128)> {
    let query = UsageQuery {
        project: Some("p".to_owned()),
        key: None,
        period: UsagePeriod::Month,
        group_by: Some(GroupBy::EndUser),
    };
    let report = ledger.reader().usage(&query).await.unwrap();
    let groups = report.groups.into_iter();
    groups
        .map(|(name, totals)| (name, totals.requests, totals.total_tokens))
        .collect()
}

fn group(name: &str, requests: u64, tokens: u128) -> (String, u64, u128) {
    (name.to_owned(), requests, tokens)
}

async fn spend(ledger: &Ledger, caller: &Caller, id: &str, tokens: u64) {
    let hold = ledger.hold(caller, amount(50, 30), id).await.unwrap();
    hold.settle(charge(tokens, 5)).await.unwrap();
}

#[tokio::test]
async fn usage_of_end_users_is_counted_apart_and_adds_up_to_the_total() {
    for test_ledger in TestLedger::all().await {
        let ledger = &test_ledger.ledger;
        for (id, user, tokens) in [("1", "ann", 10), ("2", "bob", 20), ("3", "ann", 30)] {
            spend(ledger, &for_end_user(user, 1000, 10), id, tokens).await;
        }
        spend(ledger, &for_end_user("", 1000, 10), "4", 7).await;
        let expected = [
            group("(none)", 1, 7),
            group("ann", 2, 40),
            group("bob", 1, 20),
        ];
        assert_eq!(groups(ledger).await, expected);
        let meter = test_ledger.meter(BudgetScope::EndUser, "a/ann", BudgetWindow::Month);
        assert_eq!(meter.await.spent.tokens, 40);
        test_ledger.assert_sound().await;
    }
}

#[tokio::test]
async fn end_user_in_csv_is_no_formula() {
    let test_ledger = TestLedger::in_memory().await;
    spend(
        &test_ledger.ledger,
        &for_end_user("=1+1", 1000, 10),
        "1",
        10,
    )
    .await;
    let query = UsageQuery {
        project: None,
        key: None,
        period: UsagePeriod::Month,
        group_by: Some(GroupBy::EndUser),
    };
    let report = test_ledger.ledger.reader().usage(&query).await.unwrap();
    let csv = to_csv(&report);
    assert!(csv.contains("\r\n'=1+1,1,"), "{csv}");
}

#[tokio::test]
async fn budget_of_an_end_user_is_exact_when_many_requests_come_at_once() {
    for mut test_ledger in TestLedger::all().await {
        let ann = for_end_user("ann", 50, 10);
        let ledger = &test_ledger.ledger;
        let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let holds = ids.iter().map(|id| ledger.hold(&ann, amount(10, 0), id));
        let mut placed = Vec::new();
        let mut refused = Vec::new();
        for held in futures::future::join_all(holds).await {
            match held {
                Ok(hold) => placed.push(hold),
                Err(error) => refused.push(error),
            }
        }
        assert_eq!((placed.len(), refused.len()), (5, 15));
        for error in refused {
            let Error::BudgetExceeded(over) = error else {
                panic!("{error}");
            };
            assert_eq!((over.scope, over.cap), (BudgetScope::EndUser, 50));
            assert!(
                over.to_string()
                    .starts_with("The daily budget of this end user has no room")
            );
        }
        // Another end user of the key has a budget of its own.
        spend(ledger, &for_end_user("bob", 50, 10), "bob", 10).await;
        for hold in placed {
            hold.settle(charge(10, 0)).await.unwrap();
        }
        assert!(ledger.reader().check_budgets(&ann).await.is_err());
        test_ledger.assert_sound().await;
        // Receivers of alerts know keys and projects.
        assert!(test_ledger.alerts.try_recv().is_err());
    }
}

#[tokio::test]
async fn end_users_beyond_the_bound_share_one_account() {
    for test_ledger in TestLedger::all().await {
        let ledger = &test_ledger.ledger;
        for (id, user) in [
            ("1", "ann"),
            ("2", "bob"),
            ("3", "cid"),
            ("4", "dan"),
            ("5", "ann"),
        ] {
            spend(ledger, &for_end_user(user, 60, 2), id, 10).await;
        }
        let expected = [
            group("(others)", 2, 20),
            group("ann", 2, 20),
            group("bob", 1, 10),
        ];
        assert_eq!(groups(ledger).await, expected);
        // Those who share an account share its budget.
        let eve = for_end_user("eve", 60, 2);
        let held = ledger.hold(&eve, amount(50, 0), "6").await;
        assert!(matches!(held, Err(Error::BudgetExceeded(_))));
        // A reader sees the budget that counts for them.
        let used = async |caller: &Caller| ledger.reader().budgets(caller).await.unwrap()[0].used;
        assert_eq!(used(&eve).await.tokens, 20);
        assert_eq!(used(&for_end_user("bob", 60, 2)).await.tokens, 10);
        // A new month has room for others.
        test_ledger.pass(31 * DAY);
        spend(ledger, &eve, "7", 10).await;
        assert_eq!(groups(ledger).await, [group("eve", 1, 10)]);
        test_ledger.assert_sound().await;
    }
}

#[tokio::test]
async fn hold_of_an_end_user_left_by_a_crash_is_charged_to_that_user() {
    for test_ledger in TestLedger::all().await {
        let ann = for_end_user("ann", 100, 10);
        let hold = test_ledger.ledger.hold(&ann, amount(10, 3), "1").await;
        hold.unwrap().forget();
        let test_ledger = test_ledger.restart().await;
        assert_eq!(test_ledger.unknown, 1);
        assert_eq!(groups(&test_ledger.ledger).await, [group("ann", 1, 10)]);
        test_ledger.assert_sound().await;
    }
}

#[tokio::test]
async fn raised_hold_and_corrected_charge_count_for_the_end_user() {
    let test_ledger = TestLedger::in_memory().await;
    let ann = for_end_user("ann", 100, 10);
    let hold = test_ledger.ledger.hold(&ann, amount(10, 3), "1").await;
    let mut hold = hold.unwrap();
    let grant = Arc::clone(&ann.grant);
    let raised = hold.raise(amount(101, 3), Arc::clone(&grant)).await;
    assert!(matches!(raised, Err(Error::BudgetExceeded(_))));
    hold.raise(amount(100, 3), grant).await.unwrap();
    let correction = hold.correction();
    hold.settle(charge(20, 5)).await.unwrap();
    correction.apply(Money::from_nanos(11)).await.unwrap();
    let meter = test_ledger.meter(BudgetScope::EndUser, "a/ann", BudgetWindow::Day);
    let meter = meter.await;
    let spent = (meter.spent.tokens, meter.spent.money, meter.held.tokens);
    assert_eq!(spent, (20, 11, 0));
    test_ledger.assert_sound().await;
}

#[tokio::test]
async fn usage_of_end_users_is_swept_with_the_charges() {
    let test_ledger = TestLedger::in_memory().await;
    let ledger = &test_ledger.ledger;
    spend(ledger, &for_end_user("ann", 100, 10), "1", 10).await;
    test_ledger.pass(150 * DAY);
    spend(ledger, &for_end_user("bob", 100, 10), "2", 20).await;
    ledger.sweep().await.unwrap();
    test_ledger.assert_sound().await;
    let of_users = test_ledger.store.scan(storage_keys::all_end_user_usage());
    let counts = test_ledger.store.scan(storage_keys::end_user_counts());
    assert_eq!(
        (of_users.await.unwrap().len(), counts.await.unwrap().len()),
        (1, 1)
    );
    let query = UsageQuery {
        project: None,
        key: None,
        period: UsagePeriod::All,
        group_by: Some(GroupBy::EndUser),
    };
    let report = ledger.reader().usage(&query).await.unwrap();
    let names: Vec<_> = report
        .groups
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["(none)", "bob"]);
}
