//! TTL tables over time: expiry, renewal, parts, eviction.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::ttl_index::TtlTotals;
use super::super::ttl_layout::EXPIRY_INDEX;
use super::super::ttl_layout::OWNER_EXPIRY_INDEX;
use super::super::ttl_layout::OWNER_TOTALS;
use super::super::ttl_layout::PART;
use super::super::ttl_layout::RECORD;
use super::super::*;
use crate::domain::unix_now;

const ONE_MINUTE_LIMITS: TtlLimits = TtlLimits {
    time_to_live: Duration::from_secs(60),
    max_records: 3,
    max_bytes: 100,
};
const THINGS: StoreTable = StoreTable::new("things");

impl TtlTable {
    /// Counts the records, and checks that indexes and totals agree with them.
    async fn count(&self) -> usize {
        let part = async |part| {
            self.store
                .scan(self.layout.storage_key(part, &[]))
                .await
                .unwrap()
        };
        let records = part(RECORD).await;
        let parts = part(PART).await;
        let mut sums = BTreeMap::<Vec<u8>, TtlTotals>::new();
        for (place, value) in &records {
            let end = place.iter().rposition(|byte| *byte == 0).unwrap();
            for owner in [
                &[][..],
                &place[self.layout.storage_key(RECORD, &[]).len()..=end],
            ] {
                let sum = sums.entry(owner.to_vec()).or_default();
                sum.records += 1;
                sum.bytes += value.len() as u64;
                let of_record = &place[self.layout.storage_key(RECORD, &[]).len()..];
                for (place, part) in &parts {
                    let of_part = &place[self.layout.storage_key(PART, &[]).len()..];
                    if of_part.starts_with(of_record) && of_part.get(of_record.len()) == Some(&0) {
                        sum.bytes += part.len() as u64;
                    }
                }
            }
        }
        let of_owners = part(OWNER_TOTALS).await.len();
        assert_eq!(of_owners, sums.len().saturating_sub(1));
        for (owner, sum) in sums {
            let layout = self.layout;
            let of = (!owner.is_empty()).then_some(owner);
            let totals = self
                .store
                .transaction(move |transaction| layout.totals(transaction, of.as_deref()));
            assert_eq!(totals.await.unwrap(), sum);
        }
        assert_eq!(
            (
                part(EXPIRY_INDEX).await.len(),
                part(OWNER_EXPIRY_INDEX).await.len()
            ),
            (records.len(), records.len())
        );
        records.len()
    }
}

fn table() -> TtlTable {
    TtlTable::new(
        Store::in_memory(TaskTracker::new()),
        THINGS,
        ONE_MINUTE_LIMITS,
    )
}

#[tokio::test]
async fn record_is_readable_by_its_owner_only() {
    let table = table();
    table.put_at(0, "a", "1", b"one").await;
    assert_eq!(
        table.get_at(1, "a", "1").await.as_deref(),
        Some(&b"one"[..])
    );
    assert_eq!(table.get_at(1, "b", "1").await, None);
    assert_eq!(table.get_at(1, "a", "2").await, None);
}

#[tokio::test]
async fn record_expires_and_put_does_not_extend_it() {
    let table = table();
    table.put_at(0, "a", "1", b"one").await;
    table.put_at(30, "a", "2", b"two").await;
    table.put_at(50, "a", "1", b"uno").await;
    assert_eq!(
        table.get_at(59, "a", "1").await.as_deref(),
        Some(&b"uno"[..])
    );
    assert_eq!(
        table.get_at(60, "a", "1").await,
        None,
        "a new text has no new time"
    );
    for (now, left) in [(59, 2), (60, 1), (89, 1), (90, 0)] {
        table.sweep(now).await.unwrap();
        assert_eq!(table.count().await, left, "{now}");
    }
}

/// A later server version may have written such a record.
#[tokio::test]
async fn record_in_an_unknown_format_is_an_error_and_stays() {
    let table = table();
    table.put("a", "1", b"one".to_vec()).await.unwrap();
    let key = THINGS.key(b"ra\x001");
    let later = b"\x09something".to_vec();
    assert!(table.store().get(key.clone()).await.unwrap().is_some());
    let place = key.clone();
    let value = later.clone();
    let write = move |transaction: &mut Transaction<'_>| {
        transaction.put(place.clone(), value.clone());
        Ok::<_, Error>(())
    };
    table.store().transaction(write).await.unwrap();
    for error in [
        table.get("a", "1").await.unwrap_err(),
        table.list("a").await.unwrap_err(),
        table.put("a", "1", b"two".to_vec()).await.unwrap_err(),
        table.remove("a", "1").await.unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            "the stored record 1 cannot be read: its format is unknown"
        );
    }
    assert_eq!(table.store().get(key).await.unwrap(), Some(later));
}

#[tokio::test]
async fn renew_restarts_the_ttl_of_existing_records_only() {
    let table = table();
    table.put_at(0, "a", "1", b"one").await;
    assert!(table.replace_and_extend_at(50, "a", "1", b"uno").await);
    assert_eq!(
        table.get_at(109, "a", "1").await.as_deref(),
        Some(&b"uno"[..])
    );
    assert_eq!(table.get_at(110, "a", "1").await, None);
    assert!(
        !table.replace_and_extend_at(110, "a", "1", b"late").await,
        "its time is over"
    );
    assert!(!table.replace_and_extend_at(1, "b", "1", b"never").await);
    assert_eq!(table.get_at(111, "a", "1").await, None);
    assert_eq!(table.get_at(2, "b", "1").await, None);
}

#[tokio::test]
async fn appended_parts_are_read_and_removed_with_their_record() {
    let table = table();
    let now = unix_now();
    table.put_at(now, "a", "1", b"one").await;
    assert!(table.append_at(now + 50, "a", "1", [b"uno", b"x"]).await);
    assert!(
        table.append_at(now + 51, "a", "1", [b"dos", b""]).await,
        "an empty addition is none"
    );
    assert!(table.append_at(now + 52, "a", "1", [b"tres", b"y"]).await);
    let whole = RecordWithParts {
        record: b"tres".to_vec(),
        parts: vec![b"x".to_vec(), b"y".to_vec()],
    };
    assert_eq!(
        table.get_with_parts("a", "1").await.unwrap(),
        Some(whole.clone())
    );
    let reader = table.clone();
    let within = table.clone();
    let read =
        reader.transaction(move |transaction| within.get_with_parts_in(transaction, "a", "1"));
    assert_eq!(read.await.unwrap(), Some(whole));
    assert_eq!(
        table.get_at(now + 111, "a", "1").await.as_deref(),
        Some(&b"tres"[..]),
        "its time began anew"
    );
    assert!(
        !table.append_at(now + 112, "a", "1", [b"late", b"z"]).await,
        "its time is over"
    );
    assert!(!table.append_at(now, "b", "1", [b"never", b"z"]).await);
    assert_eq!(table.count().await, 1);
    table.put_at(now, "a", "1", b"new").await;
    assert_eq!(
        table
            .get_with_parts("a", "1")
            .await
            .unwrap()
            .map(|whole| whole.parts),
        Some(Vec::new())
    );
    assert!(table.append_at(now, "a", "1", [b"new", b"w"]).await);
    assert_eq!(table.count().await, 1);
    table.remove("a", "1").await.unwrap();
    assert_eq!(
        (
            table.count().await,
            table.store().scan(THINGS.key("")).await.unwrap().len()
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn parts_count_toward_the_size_limit_and_expire_with_their_record() {
    let table = table();
    table.put_at(0, "a", "1", b"one").await;
    table.put_at(1, "b", "2", b"two").await;
    table.append_at(2, "b", "2", [b"two", &[0; 40]]).await;
    table.append_at(3, "b", "2", [b"two", &[0; 40]]).await;
    assert_eq!(
        table.count().await,
        1,
        "the owner who has most has to make room"
    );
    assert!(table.get_at(4, "b", "2").await.is_none());
    table.append_at(5, "a", "1", [b"one", b"more"]).await;
    table.sweep(65).await.unwrap();
    assert_eq!(
        (
            table.count().await,
            table.store().scan(THINGS.key("")).await.unwrap().len()
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn eviction_removes_the_oldest_above_the_record_or_size_limit() {
    let table = table();
    for (now, id) in [(0, "1"), (1, "2"), (2, "3"), (3, "4")] {
        table.put_at(now, "a", id, b"x").await;
    }
    assert_eq!(
        (table.get_at(4, "a", "1").await, table.count().await),
        (None, 3)
    );
    table.put_at(5, "a", "5", &[0; 80]).await;
    assert_eq!(
        (table.get_at(6, "a", "3").await, table.count().await),
        (None, 2)
    );
    assert!(table.get_at(6, "a", "4").await.is_some());
}

#[tokio::test]
async fn eviction_removes_the_oldest_of_the_largest_owner() {
    let table = table();
    let there = async |now, names: [(&str, &str); 3]| {
        for (owner, id) in names {
            assert!(
                table.get_at(now, owner, id).await.is_some(),
                "{owner} {id} at {now}"
            );
        }
        assert_eq!(table.count().await, 3, "at {now}");
    };
    table.put_at(0, "b", "1", b"x").await;
    for (now, id) in [(1, "1"), (2, "2"), (3, "3"), (4, "4")] {
        table.put_at(now, "a", id, b"x").await;
    }
    there(4, [("b", "1"), ("a", "3"), ("a", "4")]).await;
    // An owner that comes late to a full table gets a share as well.
    table.put_at(5, "c", "1", b"x").await;
    there(5, [("b", "1"), ("a", "4"), ("c", "1")]).await;
    table.put_at(6, "c", "2", b"x").await;
    there(6, [("b", "1"), ("a", "4"), ("c", "2")]).await;
    // The same for bytes: the largest owner is evicted, although another record is older.
    table.put_at(7, "c", "3", &[0; 60]).await;
    table.put_at(8, "a", "5", &[0; 20]).await;
    assert_eq!(table.get_at(8, "c", "3").await, None);
    assert_eq!(
        (
            table.get_at(8, "b", "1").await.is_some(),
            table.count().await
        ),
        (true, 2)
    );
}

#[tokio::test]
async fn add_rejects_records_above_the_owner_limit() {
    let table = table();
    for (now, owner, id, is_added) in [
        (0, "a", "1", true),
        (1, "a", "2", true),
        (2, "a", "3", false),
        (2, "b", "1", true),
    ] {
        assert_eq!(
            table.insert_within_quota_at(now, owner, id, 2).await,
            is_added,
            "{owner} {id}"
        );
    }
    assert!(!table.insert_within_quota_at(59, "a", "3", 2).await);
    assert!(
        table.insert_within_quota_at(60, "a", "3", 2).await,
        "the time of one is over, though nobody has swept it"
    );
    assert_eq!(table.count().await, 3);
}

#[tokio::test]
async fn table_without_owner_indexes_is_migrated() {
    let store = Store::in_memory(TaskTracker::new());
    let table = TtlTable::new(store.clone(), THINGS, ONE_MINUTE_LIMITS);
    for (now, owner, id) in [(0, "b", "1"), (1, "a", "1"), (2, "a", "2")] {
        table.put_at(now, owner, id, b"x").await;
    }
    let forget = |transaction: &mut Transaction<'_>| {
        for part in ["n", "p"] {
            for (place, _) in transaction.scan(&THINGS.key(part))? {
                transaction.remove(place);
            }
        }
        Ok::<_, Error>(())
    };
    store.transaction(forget).await.unwrap();
    table.put_at(3, "a", "3", b"x").await;
    assert!(table.get_at(3, "b", "1").await.is_some());
    assert_eq!(table.count().await, 3);
    store.transaction(forget).await.unwrap();
    assert!(!table.insert_within_quota_at(4, "a", "4", 2).await);
    table.sweep(60).await.unwrap();
    assert_eq!(table.count().await, 2);
}

#[tokio::test]
async fn sweep_removes_more_records_than_one_transaction() {
    let limits = TtlLimits {
        time_to_live: Duration::from_secs(60),
        max_records: 1000,
        max_bytes: 1 << 20,
    };
    let table = TtlTable::new(Store::in_memory(TaskTracker::new()), THINGS, limits);
    for number in 0..600 {
        table.put_at(0, "a", &number.to_string(), b"x").await;
    }
    table.sweep(60).await.unwrap();
    assert_eq!(table.count().await, 0);
}

#[tokio::test]
async fn records_and_sizes_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let limits = TtlLimits {
        max_bytes: 12,
        ..ONE_MINUTE_LIMITS
    };
    for _ in 0..2 {
        let tracker = TaskTracker::new();
        let table = TtlTable::new(
            Store::open(folder.path(), Config::default(), tracker.clone()).unwrap(),
            THINGS,
            limits,
        );
        let found = table.get("a", "1").await.unwrap();
        table.put("a", "1", b"one".to_vec()).await.unwrap();
        assert_eq!(
            table.list_keys().await.unwrap(),
            [("a".to_owned(), "1".to_owned())]
        );
        if found.is_some() {
            table.put("a", "2", b"x".to_vec()).await.unwrap();
            assert!(
                !table.remove("a", "1").await.unwrap(),
                "it had to make room: sizes are known after a restart"
            );
        }
        drop(table);
        tracker.close();
        tracker.wait().await;
    }
}
