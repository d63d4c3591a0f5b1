//! Tests of the fair semaphore.

use std::sync::Mutex;

use futures::future::join_all;
use futures::poll;

use super::super::*;

#[tokio::test]
async fn tenants_get_permits_in_turn() {
    let permits = FairSemaphore::new(1);
    let log = Mutex::new(Vec::new());
    let held = permits.acquire(&Tenant::new("a", 1)).await;
    let ask = async |tenant: &'static str| {
        let _permit = permits.acquire(&Tenant::new(tenant, 1)).await;
        log.lock().unwrap().push(tenant);
    };
    let mut asking: Vec<_> = ["a", "a", "a", "b", "b", "c"]
        .map(|tenant| Box::pin(ask(tenant)))
        .into();
    for one in &mut asking {
        assert!(poll!(one).is_pending());
    }
    drop(held);
    join_all(asking).await;
    assert_eq!(*log.lock().unwrap(), ["b", "c", "a", "b", "a", "a"]);
}

#[tokio::test]
async fn dropped_waiter_does_not_keep_its_permit() {
    let permits = FairSemaphore::new(1);
    let tenant = Tenant::new("a", 1);
    let held = permits.acquire(&tenant).await;
    let mut leaving = Box::pin(permits.acquire(&tenant));
    assert!(poll!(&mut leaving).is_pending());
    drop(leaving);
    drop(held);
    // This permit is granted to a waiter that is dropped before it polls.
    let held = permits.acquire(&tenant).await;
    let mut leaving = Box::pin(permits.acquire(&tenant));
    assert!(poll!(&mut leaving).is_pending());
    drop(held);
    drop(leaving);
    drop(permits.acquire(&tenant).await);
}

#[tokio::test]
async fn permit_is_free_while_nobody_has_it() {
    let permits = FairSemaphore::new(1);
    assert!(permits.has_free());
    let held = permits.acquire(&Tenant::new("a", 1)).await;
    assert!(!permits.has_free());
    drop(held);
    assert!(permits.has_free());
}
