//! Records as each version has written them.

use super::*;
use crate::accounts::ledger::records::HoldRecord;
use crate::accounts::ledger::records::LeaseRecord;
use crate::accounts::ledger::records::LedgerRecord;
use crate::accounts::ledger::records::UsageCounters;

/// Asserts that `bytes` are read as `expected`, and written again as they are.
#[track_caller]
fn assert_reads<R: LedgerRecord + PartialEq + std::fmt::Debug>(bytes: &[u8], expected: &R) {
    assert_eq!(R::decode(b"ledger\0x", bytes).unwrap(), *expected);
    assert_eq!(expected.encode(), bytes);
}

#[test]
fn records_of_version_1_are_read() {
    let project = "p".to_owned();
    let key = "a".to_owned();
    let head = LedgerHead {
        epoch: 7,
        first_kept_day: Day::from_number(20_413),
    };
    assert_reads(b"\x01\x07\xbd\x9f\x01", &head);
    let lease = LeaseRecord {
        epoch: 7,
        ends_at: NOW,
    };
    assert_reads(b"\x01\x07\xa0\xd7\x85\xd8\x06", &lease);
    let held = HoldRecord {
        epoch: 3,
        taken_at: NOW,
        project: project.clone(),
        key: key.clone(),
        amount: amount(20, 5),
    };
    assert_reads(b"\x01\x03\xa0\xd7\x85\xd8\x06\x01p\x01a\x14\x05", &held);
    let charged = ChargeRecord {
        taken_at: NOW,
        settled_at: NOW + 9,
        project,
        key,
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
    };
    assert_reads(
        b"\x01\xa0\xd7\x85\xd8\x06\xa9\xd7\x85\xd8\x06\x01p\x01a\x01m\x01\x0a\x02\x03\x07\x01\x00\x04\x00",
        &charged,
    );
    let meter = BudgetMeter {
        spent: records::AmountSum {
            tokens: 30,
            money: 9,
        },
        held: records::AmountSum {
            tokens: 20,
            money: 5,
        },
        alerted: 1,
    };
    assert_reads(b"\x01\x1e\x09\x14\x05\x01", &meter);
    let counters = UsageCounters {
        requests: 2,
        input: 10,
        cache_write: 2,
        cache_read: 3,
        output: 7,
        estimated: 0,
        money: 4,
        unknown: 1,
    };
    assert_reads(b"\x01\x02\x0a\x02\x03\x07\x00\x04\x01", &counters);
}

#[test]
fn record_of_a_later_version_is_an_error_that_names_it() {
    let error = HoldRecord::decode(&storage_keys::hold("waits/1"), b"\x02").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the stored hold waits/1 cannot be read: its version is 2, and this program can read versions up to 1"
    );
}
