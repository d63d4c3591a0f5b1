//! Savings against the baseline, of charges and of answers from the response cache.

use serde_json::Value;

use super::*;
use crate::domain::BaselineCost;
use crate::storage::store::testing::FaultyBackend;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

fn baseline(total: i64, prompt_cache: i64) -> Option<BaselineCost> {
    Some(BaselineCost {
        total: Money::from_nanos(total),
        prompt_cache: Money::from_nanos(prompt_cache),
    })
}

/// Charges an answer that cost `nanos`, if that is known.
async fn settle(ledger: &Ledger, baseline: Option<BaselineCost>, nanos: Option<i64>) {
    let id = uuid::Uuid::new_v4().to_string();
    let held = ledger.hold(&daily(100_000), amount(1, 7), &id).await;
    let charge = Charge {
        baseline,
        money: nanos.map(Money::from_nanos),
        ..charge(1, 0)
    };
    held.unwrap().settle(charge).await.unwrap();
}

fn reused(total: i64, prompt_cache: i64, cost: i64) -> ReusedAnswer {
    ReusedAnswer {
        project: "p".to_owned(),
        key: "a".to_owned(),
        model: "m".to_owned(),
        baseline: baseline(total, prompt_cache),
        cost: Money::from_nanos(cost),
    }
}

async fn report(reader: &LedgerReader) -> UsageReport {
    let query = UsageQuery {
        project: Some("p".to_owned()),
        key: None,
        period: UsagePeriod::Day,
        group_by: Some(GroupBy::Model),
    };
    reader.usage(&query).await.unwrap()
}

async fn savings(reader: &LedgerReader) -> SavingSums {
    report(reader).await.totals.savings
}

/// Reader that sees the disk alone.
fn reader_of_disk(test_ledger: &TestLedger) -> LedgerReader {
    LedgerReader::new(test_ledger.store.clone(), test_ledger.clock())
}

#[tokio::test]
async fn savings_of_charges_are_split_by_cause_in_reports() {
    for test_ledger in TestLedger::all().await {
        let ledger = &test_ledger.ledger;
        settle(
            ledger,
            baseline(5_000_000_000, 500_000_000),
            Some(2_000_000_000),
        )
        .await;
        settle(ledger, None, Some(70_000_000)).await;
        // Charged as held: the difference would be no saving.
        settle(ledger, baseline(9, 0), None).await;
        let report = report(&ledger.reader()).await;
        let json: Value = serde_json::from_str(&to_json(&report, None)).unwrap();
        let savings = &json["savings"];
        let causes = &savings["by_cause"];
        let figures = [
            &savings["baseline_cost"],
            &savings["cost"],
            &savings["saved"],
            &savings["share"],
            &causes["model_choice"]["saved"],
            &causes["prompt_cache"]["saved"],
            &causes["response_cache"]["saved"],
        ];
        let figures = figures.map(|figure| figure.as_f64().unwrap());
        assert_eq!(figures, [5.0, 2.0, 3.0, 0.6, 2.5, 0.5, 0.0]);
        assert_eq!(savings["unknown_requests"], 2);
        assert_eq!(
            savings["summary"],
            "Cost: $2.00 instead of $5.00 on the baseline, $3.00 (60 %) less, for 1 charged and 0 cached answers. \
             2 more are not compared, because their usage or cost is not known."
        );
        assert_eq!(json["groups"][0]["saved_usd"], 3.0);
        assert!(to_csv(&report).contains(",0,5.00,3.00\r\n"));
        test_ledger.assert_sound().await;
    }
}

#[tokio::test]
async fn baseline_cheaper_than_the_model_saves_a_negative_amount_and_says_so() {
    let test_ledger = TestLedger::in_memory().await;
    settle(
        &test_ledger.ledger,
        baseline(1_000_000_000, -250_000_000),
        Some(1_500_000_000),
    )
    .await;
    let report = report(&test_ledger.ledger.reader()).await;
    let split = report.totals.savings.split();
    assert_eq!(split.total, -500_000_000);
    assert_eq!(
        (split.model_choice, split.prompt_cache),
        (-250_000_000, -250_000_000)
    );
    let table = to_table(&report);
    let (_, savings) = table.split_once("\n\n").unwrap();
    insta::assert_snapshot!(savings, @r"
    saved by          usd  share
    model choice    -0.25  -25 %
    prompt cache    -0.25  -25 %
    response cache   0.00    0 %
    total           -0.50  -50 %
    Cost: $1.50 instead of $1.00 on the baseline, $0.50 (50 %) more, for 1 charged and 0 cached answers.
    ");
}

#[tokio::test]
async fn reused_answer_counts_at_once_and_is_on_disk_after_its_write() {
    for test_ledger in TestLedger::all().await {
        let ledger = &test_ledger.ledger;
        settle(ledger, baseline(100, 20), Some(30)).await;
        for _ in 0..2 {
            ledger.count_reused_answer(reused(100, 20, 30));
        }
        let expected = SavingSums {
            requests: 1,
            cached_answers: 2,
            baseline: 300,
            cost: 30,
            prompt_cache: 60,
            response_cache: 60,
        };
        assert_eq!(savings(&ledger.reader()).await, expected);
        let on_disk = savings(&reader_of_disk(&test_ledger)).await;
        assert_eq!(on_disk.cached_answers, 0);
        for _ in 0..2 {
            ledger.write_reused_answers().await.unwrap();
            assert_eq!(savings(&ledger.reader()).await, expected);
            assert_eq!(savings(&reader_of_disk(&test_ledger)).await, expected);
        }
        let totals = report(&ledger.reader()).await.totals;
        assert_eq!((totals.requests, totals.cost_nanos), (1, 30));
        test_ledger.assert_sound().await;
        let test_ledger = test_ledger.restart().await;
        assert_eq!(savings(&test_ledger.ledger.reader()).await, expected);
    }
}

#[tokio::test]
async fn reused_answer_of_an_unknown_baseline_counts_without_a_saving() {
    let test_ledger = TestLedger::in_memory().await;
    test_ledger.ledger.count_reused_answer(ReusedAnswer {
        baseline: None,
        ..reused(0, 0, 30)
    });
    let expected = SavingSums {
        cached_answers: 1,
        ..SavingSums::default()
    };
    assert_eq!(savings(&test_ledger.ledger.reader()).await, expected);
}

#[tokio::test]
async fn reused_answers_stay_in_memory_while_the_disk_fails() {
    let disk = Arc::new(FaultyBackend::default());
    let test_ledger = TestLedger::over(Arc::clone(&disk) as Arc<dyn Backend>).await;
    let ledger = &test_ledger.ledger;
    disk.fill(true);
    ledger.count_reused_answer(reused(100, 0, 30));
    assert!(ledger.write_reused_answers().await.is_err());
    assert_eq!(savings(&ledger.reader()).await.cached_answers, 1);
    disk.fill(false);
    ledger.write_reused_answers().await.unwrap();
    assert_eq!(
        savings(&reader_of_disk(&test_ledger)).await.cached_answers,
        1
    );
}

#[tokio::test]
async fn unreadable_counter_is_logged_once_and_the_others_are_written() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().unwrap()))
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let test_ledger = TestLedger::in_memory().await;
    let ledger = &test_ledger.ledger;
    let damaged = storage_keys::usage("p", Day::of(NOW), "a", "m");
    let damage = test_ledger.store.transaction(move |transaction| {
        transaction.put(damaged.clone(), vec![9]);
        Ok::<_, Error>(())
    });
    damage.await.unwrap();
    for _ in 0..2 {
        ledger.count_reused_answer(reused(100, 0, 30));
        ledger.count_reused_answer(ReusedAnswer {
            project: "q".to_owned(),
            ..reused(100, 0, 30)
        });
        ledger.write_reused_answers().await.unwrap();
    }
    let query = UsageQuery {
        project: Some("q".to_owned()),
        key: None,
        period: UsagePeriod::Day,
        group_by: None,
    };
    let readable = reader_of_disk(&test_ledger).usage(&query).await.unwrap();
    assert_eq!(readable.totals.savings.cached_answers, 2);
    let left: Vec<_> = ledger.0.reused.unwritten().into_iter().collect();
    let [(place, sums)] = left.as_slice() else {
        panic!("{left:?}");
    };
    assert_eq!((place.project.as_str(), sums.cached_answers), ("p", 2));
    let text = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(text.matches("counter unreadable").count(), 1, "{text}");
}

#[tokio::test]
async fn corrected_cost_corrects_the_saving() {
    let test_ledger = TestLedger::in_memory().await;
    for (id, money) in [("1", Some(7)), ("2", None)] {
        let held = test_ledger
            .ledger
            .hold(&daily(100), amount(5, 30), id)
            .await;
        let held = held.unwrap().start();
        let correction = held.correction();
        let charge = Charge {
            money: money.map(Money::from_nanos),
            baseline: baseline(50, 0),
            ..charge(5, 0)
        };
        held.settle(charge).await.unwrap();
        correction.apply(Money::from_nanos(11)).await.unwrap();
    }
    let savings = savings(&test_ledger.ledger.reader()).await;
    assert_eq!((savings.requests, savings.cost), (2, 22));
    assert_eq!(savings.split().total, 78);
    test_ledger.assert_sound().await;
}

#[tokio::test]
async fn metrics_count_the_causes_of_reports() {
    let metrics = Metrics::new();
    let ledger = testing::measured(NOW, metrics.ledger.clone()).await;
    settle(
        &ledger,
        baseline(5_000_000_000, -500_000_000),
        Some(2_000_000_000),
    )
    .await;
    ledger.count_reused_answer(reused(1_000_000_000, 0, 250_000_000));
    let split = savings(&ledger.reader()).await.split();
    assert_eq!(
        (split.model_choice, split.prompt_cache, split.response_cache),
        (4_250_000_000, -500_000_000, 250_000_000)
    );
    assert_series(
        &metrics,
        &[
            "switchboard_baseline_usd_total 6.0",
            r#"switchboard_saved_usd_total{by="model_choice"} 4.25"#,
            r#"switchboard_saved_usd_total{by="prompt_cache"} 0.0"#,
            r#"switchboard_overspent_usd_total{by="prompt_cache"} 0.5"#,
            r#"switchboard_saved_usd_total{by="response_cache"} 0.25"#,
        ],
    );
}
