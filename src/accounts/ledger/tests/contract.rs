//! What the ledger promises, whatever it lies on.

use super::*;

fn over(error: &Error) -> Over {
    match error {
        Error::Over(over) => *over,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_hold_becomes_a_charge() {
    for books in Books::all().await {
        let hold = books
            .ledger
            .hold(&daily(100), amount(60, 600), "1")
            .await
            .unwrap();
        assert_eq!((hold.id(), hold.amount()), ("1", amount(60, 600)));
        assert_eq!(books.tokens().await, (0, 60));
        assert_eq!(hold.settle(charge(25, 250)).await.unwrap(), amount(25, 250));
        assert_eq!(books.tokens().await, (25, 0));
        let kept = books.charge("1").await.unwrap();
        assert_eq!(
            (kept.amount(), kept.is_unknown, kept.model.as_str()),
            (amount(25, 250), false, "m")
        );
        books.assert_sound().await;
    }
}

#[tokio::test]
async fn what_is_released_costs_nothing_and_its_id_is_free() {
    for books in Books::all().await {
        let hold = books
            .ledger
            .hold(&daily(100), amount(60, 0), "1")
            .await
            .unwrap();
        assert_eq!(hold.release().await.unwrap(), Amount::default());
        assert_eq!(
            (books.tokens().await, books.charge("1").await),
            ((0, 0), None)
        );
        books
            .ledger
            .hold(&daily(100), amount(60, 0), "1")
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        books.assert_sound().await;
    }
}

#[tokio::test]
async fn what_is_dropped_is_charged_in_full() {
    for books in Books::all().await {
        let hold = books
            .ledger
            .hold(&daily(100), amount(60, 7), "1")
            .await
            .unwrap();
        drop(hold.begin());
        books.assert_sound().await;
        let kept = books.charge("1").await.unwrap();
        assert_eq!(
            (kept.amount(), kept.outcome, kept.is_unknown),
            (amount(60, 7), Outcome::Unknown, true)
        );
        assert_eq!(books.tokens().await, (60, 0));
    }
}

#[tokio::test]
async fn a_settlement_that_nobody_waits_for_is_done() {
    for books in Books::all().await {
        let hold = books
            .ledger
            .hold(&daily(100), amount(60, 0), "1")
            .await
            .unwrap();
        drop(hold.settle(charge(10, 0)));
        books.assert_sound().await;
        assert_eq!(books.tokens().await, (10, 0));
    }
}

#[tokio::test]
async fn a_hold_that_nobody_waits_for_is_released() {
    for books in Books::all().await {
        drop(books.ledger.hold(&daily(100), amount(60, 0), "1"));
        // Its end is asked for by the thread that writes, after this; so it takes two to be sure.
        books.settle_down().await;
        books.assert_sound().await;
        assert_eq!(
            (books.tokens().await, books.charge("1").await),
            ((0, 0), None)
        );
    }
}

#[tokio::test]
async fn every_cap_is_checked_and_the_one_that_lasts_longest_named() {
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
            Scope::Key,
            Window::Day,
            What::Tokens,
            99,
            day_ends,
        ),
        (
            in_a_month(cap(99)),
            none,
            Scope::Key,
            Window::Month,
            What::Tokens,
            99,
            month_ends,
        ),
        (
            none,
            in_a_day(money(4)),
            Scope::Project,
            Window::Day,
            What::Money,
            4,
            day_ends,
        ),
        (
            none,
            in_a_month(money(4)),
            Scope::Project,
            Window::Month,
            What::Money,
            4,
            month_ends,
        ),
        (
            in_a_month(cap(99)),
            in_a_day(cap(1)),
            Scope::Key,
            Window::Month,
            What::Tokens,
            99,
            month_ends,
        ),
    ];
    let books = Books::in_memory().await;
    for (budget, project_budget, scope, window, what, cap, resets_at) in cases {
        let caller = caller("a", budget, project_budget);
        let error = books
            .ledger
            .hold(&caller, amount(100, 5), "1")
            .await
            .unwrap_err();
        let wanted = if what == What::Tokens { 100 } else { 5 };
        let expected = Over {
            scope,
            window,
            what,
            cap,
            spent: 0,
            held: 0,
            wanted,
            resets_at,
        };
        assert_eq!(over(&error), expected);
        assert_eq!(books.tokens().await, (0, 0), "all or nothing");
    }
    let error = books
        .ledger
        .hold(&daily(99), amount(100, 5), "1")
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"The daily budget of this key has no room for this request, which may take 100 tokens. Of 99 tokens 99 tokens are left: 0 tokens are spent, and 0 tokens are held by requests that still run. It begins anew on 2026-11-22 at 00:00 UTC");
}

#[tokio::test]
async fn a_project_is_charged_for_all_its_keys() {
    let project = Budget {
        daily: cap(100),
        ..Budget::default()
    };
    let [a, b] = ["a", "b"].map(|name| caller(name, Budget::default(), project));
    for books in Books::all().await {
        let hold = books.ledger.hold(&a, amount(60, 0), "1").await.unwrap();
        let error = books.ledger.hold(&b, amount(41, 0), "2").await.unwrap_err();
        assert_eq!(
            (over(&error).scope, over(&error).held),
            (Scope::Project, 60)
        );
        hold.settle(charge(59, 0)).await.unwrap();
        books
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
        books
            .ledger
            .hold(&other, amount(100, 0), "3")
            .await
            .unwrap()
            .release()
            .await
            .unwrap();
        books.assert_sound().await;
    }
}

/// M2: the whole of it is debited, and the next one finds nothing left.
#[tokio::test]
async fn a_run_that_took_more_than_was_held_is_charged_what_it_took() {
    for books in Books::all().await {
        let hold = books
            .ledger
            .hold(&daily(100), amount(10, 10), "1")
            .await
            .unwrap();
        hold.settle(charge(250, 9)).await.unwrap();
        assert_eq!(books.tokens().await, (250, 0));
        for estimate in [1, 0] {
            let error = books
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
            budgets(&books.ledger, &daily(100)).await,
            [(amount(250, 9), cap(100))]
        );
        books.assert_sound().await;
    }
}

/// M5: one debit, however often it is asked for.
#[tokio::test]
async fn an_id_is_debited_once() {
    for books in Books::all().await {
        let hold = books
            .ledger
            .hold(&daily(100), amount(50, 0), "1")
            .await
            .unwrap();
        let error = books
            .ledger
            .hold(&daily(100), amount(1, 0), "1")
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Duplicate { ref id } if id == "1"),
            "{error}"
        );
        assert_eq!(books.tokens().await, (0, 50));
        hold.settle(charge(30, 0)).await.unwrap();
        let grant = Arc::<Grant>::default;
        let again = books
            .ledger
            .close("1", Closing::Settled(charge(20, 0)), grant());
        assert_eq!(again.await.unwrap(), amount(30, 0), "what was debited then");
        let books = books.restart().await;
        let again = books
            .ledger
            .close("1", Closing::Settled(charge(20, 0)), grant());
        assert_eq!(again.await.unwrap(), amount(30, 0));
        let error = books
            .ledger
            .hold(&daily(100), amount(1, 0), "1")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Duplicate { .. }), "{error}");
        assert_eq!((books.tokens().await, books.unknown), ((30, 0), 0));
        books.assert_sound().await;
    }
}

#[tokio::test]
async fn a_hold_that_a_crash_left_is_charged_in_full_once() {
    for books in Books::all().await {
        for (id, tokens) in [("1", 10), ("2", 20), ("", 5)] {
            books
                .ledger
                .hold(&daily(100), amount(tokens, 3), id)
                .await
                .unwrap()
                .lose();
        }
        let kept = books
            .ledger
            .hold(&daily(100), amount(40, 3), "3")
            .await
            .unwrap();
        kept.settle(charge(1, 1)).await.unwrap();
        let books = books.restart().await;
        assert_eq!((books.unknown, books.tokens().await), (3, (36, 0)));
        assert_eq!(books.charge("2").await.unwrap().outcome, Outcome::Unknown);
        books.assert_sound().await;
        let books = books.restart().await;
        assert_eq!((books.unknown, books.tokens().await), (0, (36, 0)));
    }
}

/// A run that a crash has cut off is run again, and charged then; one that was charged is not charged again.
#[tokio::test]
async fn what_is_run_until_it_is_done_is_charged_once() {
    for books in Books::all().await {
        let (lost, kept) = (repeated("batch/1"), repeated("batch/2"));
        books
            .ledger
            .hold(&daily(100), amount(50, 3), &lost)
            .await
            .unwrap()
            .lose();
        let hold = books
            .ledger
            .hold(&daily(100), amount(50, 3), &kept)
            .await
            .unwrap();
        let twice = books.ledger.hold(&daily(100), amount(0, 0), &kept).await;
        assert!(matches!(twice, Err(Error::Duplicate { .. })), "it runs");
        hold.settle(charge(30, 2)).await.unwrap();
        let books = books.restart().await;
        assert_eq!((books.unknown, books.tokens().await), (0, (30, 0)));
        for id in [&lost, &kept] {
            let hold = books
                .ledger
                .hold(&daily(100), amount(60, 3), id)
                .await
                .unwrap();
            hold.begin().settle(charge(20, 1)).await.unwrap();
        }
        assert_eq!(books.tokens().await, (50, 0));
        let again = books
            .ledger
            .hold(&daily(100), amount(60, 3), &lost)
            .await
            .unwrap();
        drop(again.begin());
        let books = books.restart().await;
        assert_eq!(books.tokens().await, (50, 0), "nor is one that nobody ends");
        books.assert_sound().await;
    }
}

/// A run that was stopped took what it took, and the next one is charged as well.
#[tokio::test]
async fn what_gave_no_answer_is_charged_beside_what_does() {
    for books in Books::all().await {
        let id = repeated("batch/1");
        for (tokens, outcome) in [
            (10, Outcome::Cancelled),
            (20, Outcome::Failed),
            (40, Outcome::Answered),
        ] {
            let hold = books
                .ledger
                .hold(&daily(100), amount(50, 3), &id)
                .await
                .unwrap();
            hold.begin()
                .settle(Charge {
                    outcome,
                    ..charge(tokens, 1)
                })
                .await
                .unwrap();
        }
        let free = books
            .ledger
            .hold(&daily(100), amount(50, 3), &id)
            .await
            .unwrap();
        free.begin().settle(charge(90, 1)).await.unwrap();
        assert_eq!(books.tokens().await, (70, 0));
        books.assert_sound().await;
    }
}

/// What waits is not charged by a crash; once it has begun, it is.
#[tokio::test]
async fn a_run_that_waits_is_charged_by_a_crash_only_when_it_has_begun() {
    for books in Books::all().await {
        for id in ["1", "2", "3", "4"] {
            let waiting = if id < "3" { repeated(id) } else { waiting(id) };
            let hold = books
                .ledger
                .hold(&daily(100), amount(10, 3), &waiting)
                .await
                .unwrap();
            match id {
                "1" | "3" => hold.lose(),
                _ => hold.begin_as(id).await.unwrap().lose(),
            }
        }
        // Who leaves while it is being handed over leaves nothing behind.
        let left = books
            .ledger
            .hold(&daily(100), amount(10, 3), &waiting("5"))
            .await
            .unwrap();
        drop(left.hand_over("5"));
        let books = books.restart().await;
        assert_eq!((books.unknown, books.tokens().await), (2, (20, 0)));
        for id in ["2", "4"] {
            assert_eq!(books.charge(id).await.unwrap().outcome, Outcome::Unknown);
        }
        books.assert_sound().await;
    }
}

/// M10: what makes no sense is never a credit.
#[tokio::test]
async fn a_cost_without_sense_is_charged_as_it_was_held() {
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
        let books = Books::in_memory().await;
        let hold = books
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
        assert!(books.charge("1").await.unwrap().is_unknown);
        books.assert_sound().await;
    }
    for (dollars, nanos) in [(0.0, 0), (1e-12, 1), (1e9, 1_000_000_000_000_000_000)] {
        let books = Books::in_memory().await;
        let hold = books
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
            (debit, books.charge("1").await.unwrap().is_unknown),
            (amount(3, nanos), false)
        );
    }
}

#[tokio::test]
async fn sums_beyond_all_bounds_stay_exact() {
    let books = Books::in_memory().await;
    let uncapped = caller("a", Budget::default(), Budget::default());
    let most = amount(u64::MAX, i64::MAX);
    let mut holds = Vec::new();
    for id in ["1", "2", "3"] {
        holds.push(books.ledger.hold(&uncapped, most, id).await.unwrap());
    }
    assert!(
        books
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
    assert_eq!(books.tokens().await, (3 * u128::from(u64::MAX), 0));
    let negative = books
        .ledger
        .hold(&uncapped, amount(5, -5), "5")
        .await
        .unwrap();
    assert_eq!(negative.amount(), amount(5, 0));
}

#[tokio::test]
async fn a_charge_is_booked_when_its_hold_was_taken() {
    let monthly = caller(
        "a",
        Budget {
            daily: cap(100),
            monthly: cap(300),
        },
        Budget::default(),
    );
    for books in Books::all().await {
        let hold = books
            .ledger
            .hold(&monthly, amount(90, 0), "1")
            .await
            .unwrap();
        books.pass(DAY);
        assert_eq!(books.tokens().await, (0, 0), "a new day");
        let next = books
            .ledger
            .hold(&monthly, amount(100, 0), "2")
            .await
            .unwrap();
        hold.settle(charge(95, 0)).await.unwrap();
        assert_eq!(books.tokens().await, (0, 100), "the day before has it");
        let used = budgets(&books.ledger, &monthly).await;
        assert_eq!(
            used,
            [(amount(100, 0), cap(100)), (amount(195, 0), cap(300))]
        );
        let month = books.meter(Scope::Key, "a", Window::Month).await;
        assert_eq!((month.spent.tokens, month.held.tokens), (95, 100));
        next.settle(charge(100, 0)).await.unwrap();
        books.pass(9 * DAY);
        let used = budgets(&books.ledger, &monthly).await;
        assert_eq!(
            used,
            [(amount(0, 0), cap(100)), (amount(0, 0), cap(300))],
            "it is December"
        );
        books.assert_sound().await;
    }
}

#[tokio::test]
async fn a_store_that_failed_is_told_again() {
    let backend = Arc::new(crate::storage::store::testing::Faulty::default());
    let books = Books::over(Arc::clone(&backend) as Arc<dyn Backend>).await;
    let settled = books
        .ledger
        .hold(&daily(100), amount(40, 0), "1")
        .await
        .unwrap();
    let dropped = books
        .ledger
        .hold(&daily(100), amount(5, 0), "2")
        .await
        .unwrap();
    backend.fill(true);
    let error = books
        .ledger
        .hold(&daily(100), amount(1, 0), "3")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Store(_)), "never free: {error}");
    assert!(books.ledger.is_failing());
    assert!(settled.settle(charge(30, 0)).await.is_err());
    drop(dropped.begin());
    books.settle_down().await;
    books.ledger.try_again().await;
    books.ledger.probe().await;
    assert!(books.ledger.is_failing());
    backend.fill(false);
    books.ledger.probe().await;
    assert!(!books.ledger.is_failing());
    books.ledger.try_again().await;
    assert_eq!(books.tokens().await, (35, 0));
    assert!(books.ledger.0.owed.lock().unwrap().is_empty());
    books.assert_sound().await;
}

#[tokio::test]
async fn a_hold_is_raised_where_all_budgets_have_room() {
    for books in Books::all().await {
        let caller = daily(100);
        let grant = || Arc::clone(&caller.grant);
        let mut hold = books
            .ledger
            .hold(&caller, amount(40, 5), "1")
            .await
            .unwrap();
        let other = books
            .ledger
            .hold(&caller, amount(30, 5), "2")
            .await
            .unwrap();
        hold.raise(amount(70, 3), grant()).await.unwrap();
        assert_eq!(
            (hold.amount(), books.tokens().await),
            (amount(70, 5), (0, 100))
        );
        let error = hold.raise(amount(71, 0), grant()).await.unwrap_err();
        assert_eq!((over(&error).wanted, over(&error).held), (71, 30));
        assert_eq!(
            (hold.amount(), books.tokens().await),
            (amount(70, 5), (0, 100)),
            "as before"
        );
        hold.raise(amount(10, 0), grant()).await.unwrap();
        // A budget that was lowered has no room for what is held already.
        assert!(hold.raise(amount(0, 0), daily(99).grant).await.is_err());
        other.release().await.unwrap();
        hold.raise(amount(0, 0), daily(99).grant).await.unwrap();
        hold.settle(charge(90, 1)).await.unwrap();
        assert_eq!(books.tokens().await, (90, 0));
        books.assert_sound().await;
    }
}
