//! Results that are made again, and records that were deleted.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::super::Store;
use super::super::StoreTable;
use super::super::TtlLimits;
use super::super::testing::SharedBackend;
use super::*;
use crate::domain::unix_now;

const LIMITS: TtlLimits = TtlLimits {
    time_to_live: Duration::from_secs(60),
    max_records: 10,
    max_bytes: 1 << 20,
};

/// Opens the table of a server on the records in `backend`, which others use, too.
fn table(backend: &Arc<SharedBackend>) -> TtlTable {
    let store = Store::inline(Arc::clone(backend) as _, TaskTracker::new());
    TtlTable::new(store, StoreTable::new("things"), LIMITS)
}

/// Stores `content` as the result `x` of `o`, which replaces what is shorter.
async fn end(table: &TtlTable, content: &'static str) {
    let place = table.place("o", "x");
    let end = move |transaction: &mut Transaction<'_>| {
        place.put(transaction, content.as_bytes())?;
        let again = place.clone();
        transaction.remember_result(place.name(), content.len(), move |transaction| {
            again.restore(transaction, content.as_bytes(), |found| {
                Ok(found.len() < content.len())
            })
        });
        Ok::<_, Error>(())
    };
    table.transaction(end).await.unwrap();
}

/// Lets the server of `table` find a loss, and returns the record `x`.
async fn find_loss(backend: &SharedBackend, table: &TtlTable) -> Option<String> {
    backend.lose_all_but(backend.records());
    table.sweep(unix_now()).await.unwrap();
    let record = table.get("o", "x").await.unwrap();
    record.map(|record| String::from_utf8(record).unwrap())
}

#[tokio::test]
async fn result_that_is_lost_replaces_an_earlier_state_alone() {
    let backend = Arc::new(SharedBackend::default());
    let server = table(&backend);
    let empty = backend.records();
    server.put("o", "x", b"run".to_vec()).await.unwrap();
    let begun = backend.records();
    end(&server, "result").await;
    for saved in [empty, begun] {
        backend.lose_all_but(saved);
        assert_eq!(
            find_loss(&backend, &server).await.as_deref(),
            Some("result")
        );
    }
    let other = table(&backend);
    other.put("o", "x", b"later result".to_vec()).await.unwrap();
    let found = find_loss(&backend, &server).await;
    assert_eq!(found.as_deref(), Some("later result"));
}

#[tokio::test]
async fn result_that_was_deleted_does_not_come_back() {
    for deletes_itself in [true, false] {
        let backend = Arc::new(SharedBackend::default());
        let [server, other] = [table(&backend), table(&backend)];
        end(&server, "result").await;
        let ended = backend.records();
        let deleting = if deletes_itself { &server } else { &other };
        assert!(deleting.delete("o", "x").await.unwrap());
        assert!(!deleting.delete("o", "x").await.unwrap());
        assert_eq!(find_loss(&backend, &server).await, None);
        // The deletion is lost, and with it all others or the end before it, too.
        for saved in [Vec::new(), ended] {
            for order in [[&server, &other], [&other, &server]] {
                backend.lose_all_but(saved.clone());
                for finding in order {
                    find_loss(&backend, finding).await;
                }
                assert_eq!(find_loss(&backend, deleting).await, None);
            }
        }
    }
}

#[tokio::test]
async fn mark_of_a_deletion_is_removed_when_it_is_old() {
    let backend = Arc::new(SharedBackend::default());
    let server = table(&backend);
    end(&server, "result").await;
    server.delete("o", "x").await.unwrap();
    let marks = || backend.records().len();
    let now = unix_now();
    server
        .sweep(now + DELETION_MEMORY_SECONDS - 10)
        .await
        .unwrap();
    assert_eq!(marks(), 1);
    server
        .sweep(now + DELETION_MEMORY_SECONDS + 10)
        .await
        .unwrap();
    assert_eq!(marks(), 0);
}

#[tokio::test]
async fn deletion_leaves_no_mark_in_a_store_of_one_server() {
    let store = Store::in_memory(TaskTracker::new());
    let table = TtlTable::new(store.clone(), StoreTable::new("things"), LIMITS);
    end(&table, "result").await;
    assert!(table.delete("o", "x").await.unwrap());
    assert!(store.scan(Vec::new()).await.unwrap().is_empty());
}
