//! Usage reports by period, key, model and day.

use insta::assert_snapshot;

use super::*;

async fn use_model(
    test_ledger: &TestLedger,
    caller: &Caller,
    model: &str,
    usage: Usage,
    nanos: i64,
) {
    let id = uuid::Uuid::new_v4().to_string();
    let hold = test_ledger
        .ledger
        .hold(caller, Amount::default(), &id)
        .await
        .unwrap();
    hold.settle(Charge {
        model: model.to_owned(),
        usage,
        ..charge(0, nanos)
    })
    .await
    .unwrap();
}

/// Ledger with a week of usage by two keys and two models, and one lost request.
async fn test_ledger() -> TestLedger {
    let test_ledger = TestLedger::in_memory().await;
    let [a, b] = ["a", "b"].map(|name| caller(name, Budget::default(), Budget::default()));
    let usage = |input_tokens, output_tokens| Usage {
        input_tokens,
        cache_write_tokens: 3,
        cache_read_tokens: 4,
        output_tokens,
        thinking_tokens: 1,
        web_searches: 0,
        cost: None,
    };
    test_ledger.now.fetch_sub(21 * DAY, Ordering::SeqCst);
    use_model(&test_ledger, &a, "opus", usage(1, 2), 5_000_000_000).await;
    test_ledger.pass(14 * DAY);
    use_model(&test_ledger, &a, "opus", usage(10, 20), 1_250_000_000).await;
    test_ledger.pass(7 * DAY - 10 * HOUR);
    use_model(&test_ledger, &a, "haiku", usage(100, 200), 1).await;
    use_model(&test_ledger, &b, "haiku", usage(1000, 2000), 10).await;
    let other = Caller {
        project: "q".to_owned(),
        ..b.clone()
    };
    use_model(&test_ledger, &other, "say \"hi\", opus", usage(7, 7), 7).await;
    drop(
        test_ledger
            .ledger
            .hold(&b, amount(50, 600), "lost")
            .await
            .unwrap()
            .start(),
    );
    test_ledger.assert_sound().await;
    test_ledger
}

async fn report(
    test_ledger: &TestLedger,
    project: Option<&str>,
    period: UsagePeriod,
    group_by: Option<GroupBy>,
) -> UsageReport {
    let query = UsageQuery {
        project: project.map(str::to_owned),
        key: None,
        period,
        group_by,
    };
    test_ledger.ledger.reader().usage(&query).await.unwrap()
}

#[tokio::test]
async fn report_periods_follow_the_calendar() {
    let test_ledger = test_ledger().await;
    for (period, from, requests) in [
        (UsagePeriod::Day, Some("2026-11-21"), 3),
        (UsagePeriod::Week, Some("2026-11-16"), 3),
        (UsagePeriod::Month, Some("2026-11-01"), 4),
        (UsagePeriod::All, None, 5),
    ] {
        let report = report(&test_ledger, Some("p"), period, None).await;
        assert_eq!(report.from.map(|day| day.to_string()).as_deref(), from);
        assert_eq!(
            (report.totals.requests, report.groups.len()),
            (requests, 0),
            "{period:?}"
        );
        let sum: u64 = {
            let by_day =
                super::reports::report(&test_ledger, Some("p"), period, Some(GroupBy::Day)).await;
            by_day
                .groups
                .iter()
                .map(|(_, figures)| figures.requests)
                .sum()
        };
        assert_eq!(sum, requests);
    }
    assert_eq!(
        report(&test_ledger, None, UsagePeriod::All, None)
            .await
            .totals
            .requests,
        6
    );
    assert_eq!(
        report(&test_ledger, Some("nobody"), UsagePeriod::All, None)
            .await
            .totals,
        UsageTotals::default()
    );
    let query = UsageQuery {
        project: Some("p".to_owned()),
        key: Some("b".to_owned()),
        period: UsagePeriod::Month,
        group_by: Some(GroupBy::Key),
    };
    let of_a_key = test_ledger.ledger.reader().usage(&query).await.unwrap();
    assert_eq!(
        of_a_key
            .groups
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!((of_a_key.totals.requests, of_a_key.totals.unknown), (2, 1));
}

#[tokio::test]
async fn report_renders_as_table_and_csv() {
    let test_ledger = test_ledger().await;
    let by_model = report(&test_ledger, None, UsagePeriod::All, Some(GroupBy::Model)).await;
    assert_snapshot!(to_table(&by_model), @r#"
    model           requests  input_tokens  cache_write_tokens  cache_read_tokens  output_tokens  estimated_tokens  total_tokens     cost_usd  unknown_requests
    haiku                  2          1100                   6                  8           2200                 0          3314  0.000000011                 0
    opus                   2            11                   6                  8             22                 0            47         6.25                 0
    say "hi", opus         1             7                   3                  4              7                 0            21  0.000000007                 0
    unknown                1             0                   0                  0              0                50            50    0.0000006                 1
    total                  6          1118                  15                 20           2229                50          3432  6.250000618                 1
    "#);
    assert_snapshot!(to_csv(&by_model).replace("\r\n", "|\n"), @r#"
    model,requests,input_tokens,cache_write_tokens,cache_read_tokens,output_tokens,estimated_tokens,total_tokens,cost_usd,unknown_requests,cached_answers,baseline_cost_usd,saved_usd|
    haiku,2,1100,6,8,2200,0,3314,0.000000011,0,0,,|
    opus,2,11,6,8,22,0,47,6.25,0,0,,|
    "say ""hi"", opus",1,7,3,4,7,0,21,0.000000007,0,0,,|
    unknown,1,0,0,0,0,50,50,0.0000006,1,0,,|
    "#);
    let totals = report(&test_ledger, Some("q"), UsagePeriod::Day, None).await;
    assert_snapshot!(to_csv(&totals).replace("\r\n", "|\n"), @r"
    ,requests,input_tokens,cache_write_tokens,cache_read_tokens,output_tokens,estimated_tokens,total_tokens,cost_usd,unknown_requests,cached_answers,baseline_cost_usd,saved_usd|
    total,1,7,3,4,7,0,21,0.000000007,0,0,,|
    ");
}

#[tokio::test]
async fn report_renders_as_json() {
    let test_ledger = test_ledger().await;
    let by_day = report(
        &test_ledger,
        Some("p"),
        UsagePeriod::Month,
        Some(GroupBy::Day),
    )
    .await;
    let mut json: serde_json::Value = serde_json::from_str(&to_json(&by_day, None)).unwrap();
    let fields = json.as_object_mut().unwrap();
    let by_model = fields.remove("by_model").unwrap();
    let savings = fields.remove("savings").unwrap();
    assert_eq!(savings["share"], serde_json::Value::Null);
    assert_eq!(savings["unknown_requests"], 4);
    assert_eq!(
        savings["summary"],
        "Nothing is compared with the baseline in this period."
    );
    assert_snapshot!(by_model, @r#"{"haiku":{"cost":1.1e-8,"tokens":3314},"opus":{"cost":1.25,"tokens":37},"unknown":{"cost":6e-7,"tokens":50}}"#);
    assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    {
      "from": "2026-11-01",
      "group_by": "day",
      "groups": [
        {
          "baseline_cost_usd": null,
          "cache_read_tokens": 4,
          "cache_write_tokens": 3,
          "cached_answers": 0,
          "cost_nano_usd": 1250000000,
          "cost_usd": 1.25,
          "estimated_tokens": 0,
          "input_tokens": 10,
          "name": "2026-11-14",
          "output_tokens": 20,
          "requests": 1,
          "saved_usd": null,
          "total_tokens": 37,
          "unknown_requests": 0
        },
        {
          "baseline_cost_usd": null,
          "cache_read_tokens": 8,
          "cache_write_tokens": 6,
          "cached_answers": 0,
          "cost_nano_usd": 611,
          "cost_usd": 6.11e-7,
          "estimated_tokens": 50,
          "input_tokens": 1100,
          "name": "2026-11-21",
          "output_tokens": 2200,
          "requests": 3,
          "saved_usd": null,
          "total_tokens": 3364,
          "unknown_requests": 1
        }
      ],
      "key_id": null,
      "object": "usage",
      "period": "month",
      "project_id": "p",
      "to": "2026-11-21",
      "total_cost": 1.250000611,
      "total_tokens": 3401,
      "totals": {
        "baseline_cost_usd": null,
        "cache_read_tokens": 12,
        "cache_write_tokens": 9,
        "cached_answers": 0,
        "cost_nano_usd": 1250000611,
        "cost_usd": 1.250000611,
        "estimated_tokens": 50,
        "input_tokens": 1110,
        "output_tokens": 2220,
        "requests": 4,
        "saved_usd": null,
        "total_tokens": 3401,
        "unknown_requests": 1
      }
    }
    "#);
}

#[tokio::test]
async fn table_replaces_control_characters_in_names() {
    let test_ledger = TestLedger::in_memory().await;
    use_model(
        &test_ledger,
        &daily(9),
        "\u{1b}[2Jopus",
        Usage::default(),
        0,
    )
    .await;
    let report = report(&test_ledger, None, UsagePeriod::All, Some(GroupBy::Model)).await;
    assert!(
        to_table(&report).contains("\n?[2Jopus "),
        "{}",
        to_table(&report)
    );
}
