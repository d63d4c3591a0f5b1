//! Records as each version has written them.

use super::*;
use crate::accounts::ledger::records::AmountSum;
use crate::accounts::ledger::records::EndUserCount;
use crate::accounts::ledger::records::HoldRecord;
use crate::accounts::ledger::records::LeaseRecord;
use crate::accounts::ledger::records::LedgerRecord;
use crate::accounts::ledger::usage_counters::UsageCounters;
use crate::domain::BaselineCost;
use crate::storage::store::Transaction;

/// Number of bytes of savings in counters without any.
const EMPTY_SAVINGS_BYTES: usize = 12;
/// Number of bytes of the end user in a hold or charge without any.
const NO_END_USER_BYTES: usize = 1;
/// Length of a sign-in that is not named, as a record has it.
const NO_SIGN_IN_BYTES: usize = 1;

/// Asserts that `bytes` are read as `expected`.
#[track_caller]
fn assert_reads<R: LedgerRecord + PartialEq + std::fmt::Debug>(bytes: &[u8], expected: &R) {
    assert_eq!(R::decode(b"ledger\0x", bytes).unwrap(), *expected);
}

/// Asserts that `bytes` are read as `expected`, and written again as they are.
#[track_caller]
fn assert_round_trip<R: LedgerRecord + PartialEq + std::fmt::Debug>(bytes: &[u8], expected: &R) {
    assert_reads(bytes, expected);
    assert_eq!(expected.encode(), bytes);
}

fn head() -> LedgerHead {
    LedgerHead {
        epoch: 7,
        first_kept_day: Day::from_number(20_413),
    }
}

fn lease() -> LeaseRecord {
    LeaseRecord {
        epoch: 7,
        ends_at: NOW,
    }
}

fn held() -> HoldRecord {
    HoldRecord {
        epoch: 3,
        taken_at: NOW,
        project: "p".to_owned(),
        key: "a".to_owned(),
        amount: amount(20, 5),
        end_user: String::new(),
    }
}

fn charged() -> ChargeRecord {
    ChargeRecord {
        taken_at: NOW,
        settled_at: NOW + 9,
        project: "p".to_owned(),
        key: "a".to_owned(),
        model: "m".to_owned(),
        outcome: ChargeOutcome::Answered,
        usage: Usage {
            input_tokens: 10,
            cache_write_tokens: 2,
            cache_read_tokens: 3,
            output_tokens: 7,
            thinking_tokens: 1,
            ..Usage::default()
        },
        estimated_tokens: 0,
        money: Money::from_nanos(4),
        is_unknown: false,
        baseline: None,
        end_user: String::new(),
        sign_in: None,
        fallback: None,
    }
}

fn meter() -> BudgetMeter {
    let sum = |tokens, money| AmountSum { tokens, money };
    BudgetMeter {
        spent: sum(30, 9),
        held: sum(20, 5),
        alerted: 1,
    }
}

fn counters() -> UsageCounters {
    UsageCounters {
        requests: 2,
        input: 10,
        cache_write: 2,
        cache_read: 3,
        output: 7,
        estimated: 0,
        money: 4,
        unknown: 1,
        ..UsageCounters::default()
    }
}

/// Charges and counters had no savings then.
#[test]
fn records_of_version_1_are_read() {
    assert_reads(b"\x01\x07\xbd\x9f\x01", &head());
    assert_reads(b"\x01\x07\xa0\xd7\x85\xd8\x06", &lease());
    assert_reads(b"\x01\x03\xa0\xd7\x85\xd8\x06\x01p\x01a\x14\x05", &held());
    assert_reads(
        b"\x01\xa0\xd7\x85\xd8\x06\xa9\xd7\x85\xd8\x06\x01p\x01a\x01m\x01\x0a\x02\x03\x07\x01\x00\x04\x00",
        &charged(),
    );
    assert_reads(b"\x01\x1e\x09\x14\x05\x01", &meter());
    assert_reads(b"\x01\x02\x0a\x02\x03\x07\x00\x04\x01", &counters());
}

/// Holds and charges had no end user then, and charges no sign-in.
#[test]
fn records_of_version_2_are_read() {
    assert_reads(b"\x02\x07\xbd\x9f\x01", &head());
    assert_reads(b"\x02\x07\xa0\xd7\x85\xd8\x06", &lease());
    assert_reads(b"\x02\x03\xa0\xd7\x85\xd8\x06\x01p\x01a\x14\x05", &held());
    assert_reads(
        b"\x02\xa0\xd7\x85\xd8\x06\xa9\xd7\x85\xd8\x06\x01p\x01a\x01m\x01\x0a\x02\x03\x07\x01\x00\x04\x00\x00",
        &charged(),
    );
    let compared = ChargeRecord {
        baseline: Some(BaselineCost {
            total: Money::from_nanos(9),
            prompt_cache: Money::from_nanos(-2),
        }),
        ..charged()
    };
    assert_reads(
        b"\x02\xa0\xd7\x85\xd8\x06\xa9\xd7\x85\xd8\x06\x01p\x01a\x01m\x01\x0a\x02\x03\x07\x01\x00\x04\x00\x01\x09\x03",
        &compared,
    );
    assert_reads(b"\x02\x1e\x09\x14\x05\x01", &meter());
    let reused = SavingSums {
        requests: 0,
        cached_answers: 3,
        baseline: 30,
        cost: 0,
        prompt_cache: 5,
        response_cache: 12,
    };
    let saving = UsageCounters {
        compared: SavingSums::of_charge(&compared),
        reused,
        ..counters()
    };
    assert_reads(
        b"\x02\x02\x0a\x02\x03\x07\x00\x04\x01\x01\x00\x09\x04\x03\x00\x00\x03\x1e\x00\x0a\x0c",
        &saving,
    );
}

#[test]
fn records_of_version_3_are_read_and_written() {
    assert_round_trip(b"\x03\x07\xbd\x9f\x01", &head());
    assert_round_trip(b"\x03\x07\xa0\xd7\x85\xd8\x06", &lease());
    let hold = b"\x03\x03\xa0\xd7\x85\xd8\x06\x01p\x01a\x14\x05\x00";
    assert_round_trip(hold, &held());
    let of_ann = HoldRecord {
        end_user: "ann".to_owned(),
        ..held()
    };
    assert_round_trip(
        b"\x03\x03\xa0\xd7\x85\xd8\x06\x01p\x01a\x14\x05\x03ann",
        &of_ann,
    );
    let of_ann = ChargeRecord {
        end_user: "ann".to_owned(),
        sign_in: Some("eu".to_owned()),
        ..charged()
    };
    assert_round_trip(
        b"\x03\xa0\xd7\x85\xd8\x06\xa9\xd7\x85\xd8\x06\x01p\x01a\x01m\x01\x0a\x02\x03\x07\x01\x00\x04\x00\x00\x03ann\x02eu",
        &of_ann,
    );
    assert_round_trip(
        b"\x03\xa0\xd7\x85\xd8\x06\xa9\xd7\x85\xd8\x06\x01p\x01a\x01m\x01\x0a\x02\x03\x07\x01\x00\x04\x00\x00\x00\x00",
        &charged(),
    );
    assert_round_trip(b"\x03\x1e\x09\x14\x05\x01", &meter());
    assert_round_trip(
        b"\x03\x02\x0a\x02\x03\x07\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        &counters(),
    );
    assert_round_trip(b"\x03\x07", &EndUserCount { number: 7 });
}

/// Rewrites the records of a ledger without savings as version 1 has written them.
async fn rewrite_as_version_1(store: &Store) {
    let records = store.scan(storage_keys::TABLE.key("")).await.unwrap();
    let written = store.transaction(move |transaction: &mut Transaction<'_>| {
        for (key, value) in &records {
            let savings = match storage_keys::TABLE.key_suffix(key)[0] {
                b'c' => 1 + NO_END_USER_BYTES + NO_SIGN_IN_BYTES,
                b'h' => NO_END_USER_BYTES,
                b'u' => EMPTY_SAVINGS_BYTES,
                _ => 0,
            };
            let mut old = value[..value.len() - savings].to_vec();
            old.iter_mut().take(1).for_each(|version| *version = 1);
            transaction.put(key.clone(), old);
        }
        Ok::<_, Error>(())
    });
    written.await.unwrap();
}

async fn settle(ledger: &Ledger, id: &str, baseline: Option<BaselineCost>) {
    let hold = ledger.hold(&daily(1000), amount(50, 30), id).await.unwrap();
    let charge = Charge {
        baseline,
        ..charge(20, 100)
    };
    hold.settle(charge).await.unwrap();
}

#[tokio::test]
async fn ledger_of_version_1_is_opened_and_its_charges_count_as_not_compared() {
    let test_ledger = TestLedger::in_memory().await;
    settle(&test_ledger.ledger, "1", None).await;
    rewrite_as_version_1(&test_ledger.store).await;
    let test_ledger = test_ledger.restart().await;
    let head = test_ledger.store.get(storage_keys::head()).await.unwrap();
    assert_eq!(head.unwrap()[0], records::VERSION);
    let baseline = BaselineCost {
        total: Money::from_nanos(400),
        prompt_cache: Money::ZERO,
    };
    settle(&test_ledger.ledger, "2", Some(baseline)).await;
    test_ledger.assert_sound().await;
    let query = UsageQuery {
        project: None,
        key: None,
        period: UsagePeriod::All,
        group_by: None,
    };
    let report = test_ledger.ledger.reader().usage(&query).await.unwrap();
    let totals = report.totals;
    assert_eq!((totals.requests, totals.cost_nanos), (2, 200));
    let savings = totals.savings;
    assert_eq!((savings.requests, savings.split().total), (1, 300));
    let charges = test_ledger.ledger.reader().charges().await.unwrap();
    let baselines: Vec<_> = charges.iter().map(|charge| charge.baseline).collect();
    assert_eq!(baselines, [None, Some(baseline)]);
}

#[test]
fn record_of_a_later_version_is_an_error_that_names_it() {
    let error = HoldRecord::decode(&storage_keys::hold("waits/1"), b"\x04").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the stored hold waits/1 cannot be read: its version is 4, and this program can read versions up to 3"
    );
}
