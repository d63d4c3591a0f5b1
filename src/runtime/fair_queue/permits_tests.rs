//! The permits by themselves.

use std::sync::Mutex;

use futures::future::join_all;
use futures::poll;

use super::*;

#[tokio::test]
async fn tenants_get_permits_in_turn() {
    let (permits, log) = (Permits::new(1), Mutex::new(Vec::new()));
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
async fn whoever_leaves_takes_no_permit_along() {
    let permits = Permits::new(1);
    let tenant = Tenant::new("a", 1);
    let held = permits.acquire(&tenant).await;
    let mut leaving = Box::pin(permits.acquire(&tenant));
    assert!(poll!(&mut leaving).is_pending());
    drop(leaving);
    drop(held);
    // It is given to one who has left by the time that it looks.
    let held = permits.acquire(&tenant).await;
    let mut leaving = Box::pin(permits.acquire(&tenant));
    assert!(poll!(&mut leaving).is_pending());
    drop(held);
    drop(leaving);
    drop(permits.acquire(&tenant).await);
}
