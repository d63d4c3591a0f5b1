//! Contract of the ledger, in memory and on disk.

use super::*;

fn over(error: &Error) -> BudgetExceeded {
    match error {
        Error::BudgetExceeded(over) => *over,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn settled_hold_becomes_charge() {
    for fixture in TestLedger::all().await {
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(60, 600), "1")
            .await
            .unwrap();
        assert_eq!((hold.id(), hold.amount()), ("1", amount(60, 600)));
        assert_eq!(fixture.tokens().await, (0, 60));
        assert_eq!(hold.settle(charge(25, 250)).await.unwrap(), amount(25, 250));
        assert_eq!(fixture.tokens().await, (25, 0));
        let kept = fixture.charge("1").await.unwrap();
        assert_eq!(
            (kept.amount(), kept.is_unknown, kept.model.as_str()),
            (amount(25, 250), false, "m")
        );
        fixture.assert_sound().await;
    }
}

#[tokio::test]
async fn released_hold_costs_nothing_and_frees_its_id() {
    for fixture in TestLedger::all().await {
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(60, 0), "1")
            .await
            .unwrap();
        assert_eq!(hold.release().await.unwrap(), Amount::default());
        assert_eq!(
            (fixture.tokens().await, fixture.charge("1").await),
            ((0, 0), None)
        );
        fixture
            .ledger
            .hold(&daily(100), amount(60, 0), "1")
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        fixture.assert_sound().await;
    }
}

#[tokio::test]
async fn dropped_started_hold_is_charged_in_full() {
    for fixture in TestLedger::all().await {
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(60, 7), "1")
            .await
            .unwrap();
        drop(hold.start());
        fixture.assert_sound().await;
        let kept = fixture.charge("1").await.unwrap();
        assert_eq!(
            (kept.amount(), kept.outcome, kept.is_unknown),
            (amount(60, 7), ChargeOutcome::Unknown, true)
        );
        assert_eq!(fixture.tokens().await, (60, 0));
    }
}

#[tokio::test]
async fn settlement_is_made_although_its_future_is_dropped() {
    for fixture in TestLedger::all().await {
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(60, 0), "1")
            .await
            .unwrap();
        drop(hold.settle(charge(10, 0)));
        fixture.assert_sound().await;
        assert_eq!(fixture.tokens().await, (10, 0));
    }
}

#[tokio::test]
async fn hold_is_released_when_its_future_is_dropped() {
    for fixture in TestLedger::all().await {
        drop(fixture.ledger.hold(&daily(100), amount(60, 0), "1"));
        // The writer thread queues the release after this transaction, so it takes two to be sure.
        fixture.settle_down().await;
        fixture.assert_sound().await;
        assert_eq!(
            (fixture.tokens().await, fixture.charge("1").await),
            ((0, 0), None)
        );
    }
}

#[tokio::test]
async fn every_cap_is_checked_and_latest_reset_is_reported() {
    let day_ends = NOW - NOW % DAY + DAY;
    let month_ends = day_ends + 9 * DAY;
    let none = Budget::default();
    let in_a_day = |cap| Budget {
        daily: cap,
        monthly: Cap::default(),
    };
    let in_a_month = |cap| Budget {
        daily: Cap::default(),
        monthly: cap,
    };
    let money = |nanos| Cap {
        tokens: None,
        money: Some(Money::from_nanos(nanos)),
    };
    let cases = [
        (
            in_a_day(cap(99)),
            none,
            BudgetScope::Key,
            BudgetWindow::Day,
            BudgetUnit::Tokens,
            99,
            day_ends,
        ),
        (
            in_a_month(cap(99)),
            none,
            BudgetScope::Key,
            BudgetWindow::Month,
            BudgetUnit::Tokens,
            99,
            month_ends,
        ),
        (
            none,
            in_a_day(money(4)),
            BudgetScope::Project,
            BudgetWindow::Day,
            BudgetUnit::Money,
            4,
            day_ends,
        ),
        (
            none,
            in_a_month(money(4)),
            BudgetScope::Project,
            BudgetWindow::Month,
            BudgetUnit::Money,
            4,
            month_ends,
        ),
        (
            in_a_month(cap(99)),
            in_a_day(cap(1)),
            BudgetScope::Key,
            BudgetWindow::Month,
            BudgetUnit::Tokens,
            99,
            month_ends,
        ),
    ];
    let fixture = TestLedger::in_memory().await;
    for (budget, project_budget, scope, window, what, cap, resets_at) in cases {
        let caller = caller("a", budget, project_budget);
        let error = fixture
            .ledger
            .hold(&caller, amount(100, 5), "1")
            .await
            .unwrap_err();
        let wanted = if what == BudgetUnit::Tokens { 100 } else { 5 };
        let expected = BudgetExceeded {
            scope,
            window,
            unit: what,
            cap,
            spent: 0,
            held: 0,
            wanted,
            resets_at,
        };
        assert_eq!(over(&error), expected);
        assert_eq!(fixture.tokens().await, (0, 0), "all or nothing");
    }
    let error = fixture
        .ledger
        .hold(&daily(99), amount(100, 5), "1")
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"The daily budget of this key has no room for this request, which may take 100 tokens. Of 99 tokens 99 tokens are left: 0 tokens are spent, and 0 tokens are held by requests that still run. It begins anew on 2026-11-22 at 00:00 UTC");
}

#[tokio::test]
async fn project_budget_counts_all_its_keys() {
    let project = Budget {
        daily: cap(100),
        ..Budget::default()
    };
    let [a, b] = ["a", "b"].map(|name| caller(name, Budget::default(), project));
    for fixture in TestLedger::all().await {
        let hold = fixture.ledger.hold(&a, amount(60, 0), "1").await.unwrap();
        let error = fixture
            .ledger
            .hold(&b, amount(41, 0), "2")
            .await
            .unwrap_err();
        assert_eq!(
            (over(&error).scope, over(&error).held),
            (BudgetScope::Project, 60)
        );
        hold.settle(charge(59, 0)).await.unwrap();
        fixture
            .ledger
            .hold(&b, amount(41, 0), "2")
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        let other = Caller {
            project: "q".to_owned(),
            ..b.clone()
        };
        fixture
            .ledger
            .hold(&other, amount(100, 0), "3")
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        fixture.assert_sound().await;
    }
}

/// The whole usage is debited, and the next request finds the budget used up.
#[tokio::test]
async fn usage_above_hold_is_charged_in_full() {
    for fixture in TestLedger::all().await {
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(10, 10), "1")
            .await
            .unwrap();
        hold.settle(charge(250, 9)).await.unwrap();
        assert_eq!(fixture.tokens().await, (250, 0));
        for estimate in [1, 0] {
            let error = fixture
                .ledger
                .hold(&daily(100), amount(estimate, 0), "2")
                .await
                .unwrap_err();
            assert_eq!(
                (over(&error).spent, over(&error).cap),
                (250, 100),
                "{estimate}"
            );
        }
        assert_eq!(
            budgets(&fixture.ledger, &daily(100)).await,
            [(amount(250, 9), cap(100))]
        );
        fixture.assert_sound().await;
    }
}

/// An id is debited once, however often it is settled.
#[tokio::test]
async fn settling_an_id_twice_debits_once() {
    for fixture in TestLedger::all().await {
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(50, 0), "1")
            .await
            .unwrap();
        let error = fixture
            .ledger
            .hold(&daily(100), amount(1, 0), "1")
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Duplicate { ref id } if id == "1"),
            "{error}"
        );
        assert_eq!(fixture.tokens().await, (0, 50));
        hold.settle(charge(30, 0)).await.unwrap();
        let grant = Arc::<Grant>::default;
        let again = fixture
            .ledger
            .close("1", HoldClosing::Settled(charge(20, 0)), grant(), None);
        assert_eq!(again.await.unwrap(), amount(30, 0), "what was debited then");
        let fixture = fixture.restart().await;
        let again = fixture
            .ledger
            .close("1", HoldClosing::Settled(charge(20, 0)), grant(), None);
        assert_eq!(again.await.unwrap(), amount(30, 0));
        let error = fixture
            .ledger
            .hold(&daily(100), amount(1, 0), "1")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Duplicate { .. }), "{error}");
        assert_eq!((fixture.tokens().await, fixture.unknown), ((30, 0), 0));
        fixture.assert_sound().await;
    }
}

#[tokio::test]
async fn hold_left_by_a_crash_is_charged_in_full_once() {
    for fixture in TestLedger::all().await {
        for (id, tokens) in [("1", 10), ("2", 20), ("", 5)] {
            fixture
                .ledger
                .hold(&daily(100), amount(tokens, 3), id)
                .await
                .unwrap()
                .forget();
        }
        let kept = fixture
            .ledger
            .hold(&daily(100), amount(40, 3), "3")
            .await
            .unwrap();
        kept.settle(charge(1, 1)).await.unwrap();
        let fixture = fixture.restart().await;
        assert_eq!((fixture.unknown, fixture.tokens().await), (3, (36, 0)));
        assert_eq!(
            fixture.charge("2").await.unwrap().outcome,
            ChargeOutcome::Unknown
        );
        fixture.assert_sound().await;
        let fixture = fixture.restart().await;
        assert_eq!((fixture.unknown, fixture.tokens().await), (0, (36, 0)));
    }
}

/// A resumable run cut off by a crash is charged when it runs again; a charged one is not charged
/// again.
#[tokio::test]
async fn resumable_run_is_charged_once_across_restarts() {
    for fixture in TestLedger::all().await {
        let lost = resumable_id("batch/1");
        let kept = resumable_id("batch/2");
        fixture
            .ledger
            .hold(&daily(100), amount(50, 3), &lost)
            .await
            .unwrap()
            .forget();
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(50, 3), &kept)
            .await
            .unwrap();
        let twice = fixture.ledger.hold(&daily(100), amount(0, 0), &kept).await;
        assert!(matches!(twice, Err(Error::Duplicate { .. })), "it runs");
        hold.settle(charge(30, 2)).await.unwrap();
        let fixture = fixture.restart().await;
        assert_eq!((fixture.unknown, fixture.tokens().await), (0, (30, 0)));
        for id in [&lost, &kept] {
            let hold = fixture
                .ledger
                .hold(&daily(100), amount(60, 3), id)
                .await
                .unwrap();
            hold.start().settle(charge(20, 1)).await.unwrap();
        }
        assert_eq!(fixture.tokens().await, (50, 0));
        let repeated = fixture.ledger.hold(&daily(100), amount(60, 3), &lost).await;
        let mut again = repeated.unwrap();
        again.raise(amount(90, 9), Arc::default()).await.unwrap();
        assert_eq!(again.amount(), amount(0, 0), "it is free");
        drop(again.start());
        let fixture = fixture.restart().await;
        assert_eq!(
            fixture.tokens().await,
            (50, 0),
            "nor is one that nobody ends"
        );
        fixture.assert_sound().await;
    }
}

/// Each attempt without an answer is charged, and so is the first one that answers.
#[tokio::test]
async fn resumable_attempts_without_answer_are_charged_too() {
    for fixture in TestLedger::all().await {
        let id = resumable_id("batch/1");
        for (tokens, outcome) in [
            (10, ChargeOutcome::Cancelled),
            (20, ChargeOutcome::Failed),
            (40, ChargeOutcome::Answered),
        ] {
            let hold = fixture
                .ledger
                .hold(&daily(100), amount(50, 3), &id)
                .await
                .unwrap();
            hold.start()
                .settle(Charge {
                    outcome,
                    ..charge(tokens, 1)
                })
                .await
                .unwrap();
        }
        let free = fixture
            .ledger
            .hold(&daily(100), amount(50, 3), &id)
            .await
            .unwrap();
        free.start().settle(charge(90, 1)).await.unwrap();
        assert_eq!(fixture.tokens().await, (70, 0));
        fixture.assert_sound().await;
    }
}

/// A crash charges a waiting run only once it has started.
#[tokio::test]
async fn crash_charges_waiting_run_only_after_it_has_started() {
    for fixture in TestLedger::all().await {
        for id in ["1", "2", "3", "4"] {
            let waiting = if id < "3" {
                resumable_id(id)
            } else {
                waiting_id(id)
            };
            let hold = fixture
                .ledger
                .hold(&daily(100), amount(10, 3), &waiting)
                .await
                .unwrap();
            match id {
                "1" | "3" => hold.forget(),
                _ => hold.start_as(id).await.unwrap().forget(),
            }
        }
        // A hold that is dropped while it is renamed is released.
        let left = fixture
            .ledger
            .hold(&daily(100), amount(10, 3), &waiting_id("5"))
            .await
            .unwrap();
        drop(left.rename("5"));
        let fixture = fixture.restart().await;
        assert_eq!((fixture.unknown, fixture.tokens().await), (2, (20, 0)));
        for id in ["2", "4"] {
            assert_eq!(
                fixture.charge(id).await.unwrap().outcome,
                ChargeOutcome::Unknown
            );
        }
        fixture.assert_sound().await;
    }
}

/// An invalid cost is never a credit.
#[tokio::test]
async fn invalid_cost_is_charged_as_held() {
    let none = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1.0,
        -1e-12,
        1e12,
    ]
    .map(Money::from_dollars);
    let negative = [
        Some(Money::from_nanos(-5)),
        Some(Money::from_nanos(i64::MIN)),
    ];
    for money in none.into_iter().chain(negative) {
        let fixture = TestLedger::in_memory().await;
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(10, 700), "1")
            .await
            .unwrap();
        let debit = hold
            .settle(Charge {
                money,
                ..charge(3, 0)
            })
            .await
            .unwrap();
        assert_eq!(debit, amount(3, 700), "{money:?}");
        assert!(fixture.charge("1").await.unwrap().is_unknown);
        fixture.assert_sound().await;
    }
    for (dollars, nanos) in [(0.0, 0), (1e-12, 1), (1e9, 1_000_000_000_000_000_000)] {
        let fixture = TestLedger::in_memory().await;
        let hold = fixture
            .ledger
            .hold(&daily(100), amount(10, 700), "1")
            .await
            .unwrap();
        let debit = hold
            .settle(Charge {
                money: Money::from_dollars(dollars),
                ..charge(3, 0)
            })
            .await
            .unwrap();
        assert_eq!(
            (debit, fixture.charge("1").await.unwrap().is_unknown),
            (amount(3, nanos), false)
        );
    }
}

#[tokio::test]
async fn sums_above_u64_stay_exact() {
    let fixture = TestLedger::in_memory().await;
    let uncapped = caller("a", Budget::default(), Budget::default());
    let most = amount(u64::MAX, i64::MAX);
    let mut holds = Vec::new();
    for id in ["1", "2", "3"] {
        holds.push(fixture.ledger.hold(&uncapped, most, id).await.unwrap());
    }
    assert!(
        fixture
            .ledger
            .hold(&daily(u64::MAX), amount(1, 0), "4")
            .await
            .is_err()
    );
    for hold in holds {
        let usage = Usage {
            input_tokens: u64::MAX,
            output_tokens: u64::MAX,
            ..Usage::default()
        };
        hold.settle(Charge {
            usage,
            ..charge(0, i64::MAX)
        })
        .await
        .unwrap();
    }
    assert_eq!(fixture.tokens().await, (3 * u128::from(u64::MAX), 0));
    let negative = fixture
        .ledger
        .hold(&uncapped, amount(5, -5), "5")
        .await
        .unwrap();
    assert_eq!(negative.amount(), amount(5, 0));
}

#[tokio::test]
async fn charge_counts_in_the_day_and_month_of_its_hold() {
    let monthly = caller(
        "a",
        Budget {
            daily: cap(100),
            monthly: cap(300),
        },
        Budget::default(),
    );
    for fixture in TestLedger::all().await {
        let hold = fixture
            .ledger
            .hold(&monthly, amount(90, 0), "1")
            .await
            .unwrap();
        fixture.pass(DAY);
        assert_eq!(fixture.tokens().await, (0, 0), "a new day");
        let next = fixture
            .ledger
            .hold(&monthly, amount(100, 0), "2")
            .await
            .unwrap();
        hold.settle(charge(95, 0)).await.unwrap();
        assert_eq!(fixture.tokens().await, (0, 100), "the day before has it");
        let used = budgets(&fixture.ledger, &monthly).await;
        assert_eq!(
            used,
            [(amount(100, 0), cap(100)), (amount(195, 0), cap(300))]
        );
        let month = fixture
            .meter(BudgetScope::Key, "a", BudgetWindow::Month)
            .await;
        assert_eq!((month.spent.tokens, month.held.tokens), (95, 100));
        next.settle(charge(100, 0)).await.unwrap();
        fixture.pass(9 * DAY);
        let used = budgets(&fixture.ledger, &monthly).await;
        assert_eq!(
            used,
            [(amount(0, 0), cap(100)), (amount(0, 0), cap(300))],
            "it is December"
        );
        fixture.assert_sound().await;
    }
}

#[tokio::test]
async fn failed_closes_are_retried_until_the_store_works() {
    let backend = Arc::new(crate::storage::store::testing::FaultyBackend::default());
    let fixture = TestLedger::over(Arc::clone(&backend) as Arc<dyn Backend>).await;
    let settled = fixture
        .ledger
        .hold(&daily(100), amount(40, 0), "1")
        .await
        .unwrap();
    let dropped = fixture
        .ledger
        .hold(&daily(100), amount(5, 0), "2")
        .await
        .unwrap();
    backend.fill(true);
    let error = fixture
        .ledger
        .hold(&daily(100), amount(1, 0), "3")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Store(_)), "never free: {error}");
    assert!(fixture.ledger.is_failing());
    assert!(settled.settle(charge(30, 0)).await.is_err());
    drop(dropped.start());
    fixture.settle_down().await;
    fixture.ledger.retry_pending_closes().await;
    fixture.ledger.probe_store().await;
    assert!(fixture.ledger.is_failing());
    backend.fill(false);
    fixture.ledger.probe_store().await;
    assert!(!fixture.ledger.is_failing());
    fixture.ledger.retry_pending_closes().await;
    assert_eq!(fixture.tokens().await, (35, 0));
    assert!(fixture.ledger.0.pending_closes.lock().unwrap().is_empty());
    fixture.assert_sound().await;
}

#[tokio::test]
async fn hold_is_raised_only_if_all_budgets_have_room() {
    for fixture in TestLedger::all().await {
        let caller = daily(100);
        let grant = || Arc::clone(&caller.grant);
        let mut hold = fixture
            .ledger
            .hold(&caller, amount(40, 5), "1")
            .await
            .unwrap();
        let other = fixture
            .ledger
            .hold(&caller, amount(30, 5), "2")
            .await
            .unwrap();
        hold.raise(amount(70, 3), grant()).await.unwrap();
        assert_eq!(
            (hold.amount(), fixture.tokens().await),
            (amount(70, 5), (0, 100))
        );
        let error = hold.raise(amount(71, 0), grant()).await.unwrap_err();
        assert_eq!((over(&error).wanted, over(&error).held), (71, 30));
        assert_eq!(
            (hold.amount(), fixture.tokens().await),
            (amount(70, 5), (0, 100)),
            "as before"
        );
        hold.raise(amount(10, 0), grant()).await.unwrap();
        // A lowered budget has no room even for the amount held already.
        assert!(hold.raise(amount(0, 0), daily(99).grant).await.is_err());
        other.release().await.unwrap();
        hold.raise(amount(0, 0), daily(99).grant).await.unwrap();
        hold.settle(charge(90, 1)).await.unwrap();
        assert_eq!(fixture.tokens().await, (90, 0));
        fixture.assert_sound().await;
    }
}
