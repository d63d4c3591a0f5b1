//! Records on disk: versions, damage, backups and retention.

use super::*;
use crate::storage::store::Transaction;

async fn change(store: &Store, work: impl Fn(&mut Transaction<'_>) + Send + 'static) {
    store
        .transaction(move |transaction| {
            work(transaction);
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
}

async fn reopen(test_ledger: &TestLedger) -> Result<OpenedLedger, Error> {
    Ledger::open(
        test_ledger.store.clone(),
        test_ledger.clock(),
        Config {
            keep_charges_days: 92,
            node: "server".to_owned(),
        },
    )
    .await
}

/// Opens a ledger with one charge and one open hold.
async fn used() -> TestLedger {
    let test_ledger = TestLedger::in_memory().await;
    test_ledger
        .ledger
        .hold(&daily(100), amount(10, 5), "1")
        .await
        .unwrap()
        .settle(charge(7, 4))
        .await
        .unwrap();
    test_ledger
        .ledger
        .hold(&daily(100), amount(20, 5), "2")
        .await
        .unwrap()
        .forget();
    test_ledger
}

#[tokio::test]
async fn newer_ledger_is_refused_with_advice() {
    let test_ledger = used().await;
    change(&test_ledger.store, |transaction| {
        transaction.put(
            storage_keys::head(),
            [&[4], b"what comes".as_slice()].concat(),
        );
    })
    .await;
    let error = reopen(&test_ledger).await.unwrap_err();
    insta::assert_snapshot!(error, @"the ledger has version 4, and this program knows versions up to 3");
    assert!(
        error
            .hint()
            .unwrap()
            .contains("ledger restore FILE --replace")
    );
}

#[tokio::test]
async fn damaged_ledger_is_refused_with_advice() {
    type Place = fn() -> Vec<u8>;
    let keys: [(Place, &str); 3] = [
        (storage_keys::head, "head of the ledger"),
        (|| storage_keys::hold("2"), "hold 2"),
        (
            || {
                storage_keys::meter(
                    calendar::Span::around(BudgetWindow::Day, Day::of(NOW)),
                    BudgetScope::Key,
                    "a",
                )
            },
            "meter of a budget",
        ),
    ];
    for damage in [
        &[][..],
        &[0],
        &[1],
        &[1, 0xff],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        for (key, what) in keys {
            let test_ledger = used().await;
            change(&test_ledger.store, move |transaction| {
                transaction.put(key(), damage.to_vec());
            })
            .await;
            let error = reopen(&test_ledger).await.unwrap_err();
            assert!(error.to_string().contains(what), "{damage:?}: {error}");
            assert!(
                error
                    .hint()
                    .unwrap()
                    .contains("ledger restore FILE --replace")
            );
            assert!(verify(&test_ledger.store).await.is_err());
        }
    }
}

/// A refused ledger stays unchanged.
#[tokio::test]
async fn older_ledger_is_migrated_atomically() {
    let store = Store::in_memory(TaskTracker::new());
    let steps: [(u8, migration::MigrationStep); 2] = [
        (1, |transaction| {
            transaction.put(storage_keys::head(), vec![2, 20]);
            Ok(())
        }),
        (2, |transaction| {
            assert_eq!(transaction.get(&storage_keys::head())?, Some(vec![2, 20]));
            transaction.put(storage_keys::head(), vec![3, 30]);
            Ok(())
        }),
    ];
    let through = async |steps: &'static [(u8, migration::MigrationStep)], last| {
        store
            .transaction(move |transaction| migration::run_steps(transaction, steps, last))
            .await
    };
    let steps: &'static [(u8, migration::MigrationStep)] = Box::leak(Box::new(steps));
    through(steps, 3).await.unwrap();
    assert_eq!(
        store.get(storage_keys::head()).await.unwrap(),
        None,
        "there is nothing yet"
    );
    change(&store, |transaction| {
        transaction.put(storage_keys::head(), vec![1, 10]);
    })
    .await;
    assert!(through(&steps[..1], 3).await.is_err());
    assert_eq!(
        store.get(storage_keys::head()).await.unwrap(),
        Some(vec![1, 10])
    );
    through(steps, 3).await.unwrap();
    through(steps, 3).await.unwrap();
    assert_eq!(
        store.get(storage_keys::head()).await.unwrap(),
        Some(vec![3, 30])
    );
    assert!(matches!(
        through(steps, 2).await,
        Err(Error::Newer { found: 3, known: 2 })
    ));
}

#[tokio::test]
async fn backup_restores_the_same_ledger() {
    let test_ledger = used().await;
    let text = backup(&test_ledger.store).await.unwrap();
    let records = count_records(&text).unwrap();
    let other = Store::in_memory(TaskTracker::new());
    let restored = restore(&other, &text, false).await.unwrap();
    assert_eq!(
        restored,
        Restored {
            records,
            replaced: 0
        }
    );
    assert_eq!(backup(&other).await.unwrap(), text);
    assert_eq!(verify(&other).await.unwrap().problems, [""; 0]);
    let error = restore(&other, &text, false).await.unwrap_err();
    assert!(
        matches!(error, Error::Occupied { records: old } if old == records),
        "{error}"
    );
    assert_eq!(
        restore(&other, &text, true).await.unwrap(),
        Restored {
            records,
            replaced: records
        }
    );
    let config = Config {
        keep_charges_days: 92,
        node: "server".to_owned(),
    };
    let opened = Ledger::open(other.clone(), test_ledger.clock(), config)
        .await
        .unwrap();
    assert_eq!(opened.charged_holds, 1);
}

#[tokio::test]
async fn damaged_backup_is_refused_and_changes_nothing() {
    let test_ledger = used().await;
    let text = backup(&test_ledger.store).await.unwrap();
    let store = Store::in_memory(TaskTracker::new());
    for place in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        for bad in [changed.as_str(), &text[..place]] {
            let error = restore(&store, bad, true).await.unwrap_err();
            assert!(matches!(error, Error::Backup(_)), "{place}: {error}");
        }
    }
    assert_eq!(store.scan(Vec::new()).await.unwrap(), []);
    let empty = backup(&store).await.unwrap();
    let error = restore(&store, &empty, true).await.unwrap_err();
    assert_eq!(error.to_string(), "the file holds no ledger");
}

#[tokio::test]
async fn sweep_deletes_old_charges_and_keeps_sums() {
    for test_ledger in TestLedger::all().await {
        for number in 0..300 {
            let hold =
                test_ledger
                    .ledger
                    .hold(&daily(u64::MAX), amount(1, 1), &format!("old-{number}"));
            hold.await.unwrap().settle(charge(2, 1)).await.unwrap();
        }
        test_ledger.pass(DAY);
        test_ledger
            .ledger
            .hold(&daily(100), amount(1, 1), "new")
            .await
            .unwrap()
            .settle(charge(3, 1))
            .await
            .unwrap();
        test_ledger.pass(91 * DAY);
        test_ledger.ledger.sweep().await.unwrap();
        assert_eq!(
            verify(&test_ledger.store).await.unwrap().charges,
            301,
            "92 days ago is still kept"
        );
        test_ledger.pass(DAY);
        test_ledger.ledger.sweep().await.unwrap();
        test_ledger.assert_sound().await;
        assert_eq!(verify(&test_ledger.store).await.unwrap().charges, 1);
        assert!(test_ledger.charge("old-7").await.is_none());
        let query = UsageQuery {
            project: None,
            key: None,
            period: UsagePeriod::All,
            group_by: None,
        };
        let totals = test_ledger
            .ledger
            .reader()
            .usage(&query)
            .await
            .unwrap()
            .totals;
        assert_eq!((totals.requests, totals.output_tokens), (301, 603));
        test_ledger.pass(365 * DAY);
        test_ledger.ledger.sweep().await.unwrap();
        assert_eq!(
            test_ledger
                .store
                .scan(storage_keys::meters())
                .await
                .unwrap()
                .len(),
            0
        );
        test_ledger.assert_sound().await;
    }
}

#[tokio::test]
async fn verify_reports_inconsistent_sums() {
    type Change = fn(&mut Transaction<'_>);
    let changes: [(Change, &str); 6] = [
        (
            |transaction| transaction.remove(storage_keys::charge("1")),
            "should not be there",
        ),
        (
            |transaction| transaction.remove(storage_keys::charge_day(Day::of(NOW), "1")),
            "day of a charge",
        ),
        (
            |transaction| transaction.remove(storage_keys::usage("p", Day::of(NOW), "a", "m")),
            "usage",
        ),
        (
            |transaction| transaction.remove(storage_keys::hold("2")),
            "budget",
        ),
        (
            |transaction| {
                let charged = transaction
                    .get(&storage_keys::charge("1"))
                    .unwrap()
                    .unwrap();
                transaction.put(storage_keys::charge("2"), charged.clone());
            },
            "charged and still open",
        ),
        (
            |transaction| {
                let mut held: records::HoldRecord =
                    records::load_record(transaction, &storage_keys::hold("2"))
                        .unwrap()
                        .unwrap();
                held.epoch = 9;
                transaction.put(storage_keys::hold("2"), held.encode());
            },
            "taken in start 9, and there were 1",
        ),
    ];
    for (work, expected) in changes {
        let test_ledger = used().await;
        change(&test_ledger.store, work).await;
        let problems = verify(&test_ledger.store)
            .await
            .unwrap()
            .problems
            .join("\n");
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
}

#[tokio::test]
async fn close_of_an_unreadable_hold_is_not_retried() {
    let test_ledger = used().await;
    let hold = test_ledger
        .ledger
        .hold(&daily(100), amount(5, 5), "3")
        .await;
    change(&test_ledger.store, |transaction| {
        transaction.put(storage_keys::hold("3"), vec![9]);
    })
    .await;
    let error = hold.unwrap().settle(charge(1, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "the stored hold 3 cannot be read: its version is 9, and this program can read versions up to 3"
    );
    assert!(
        test_ledger
            .ledger
            .0
            .pending_closes
            .lock()
            .unwrap()
            .is_empty()
    );
    assert!(!test_ledger.ledger.is_failing());
}
