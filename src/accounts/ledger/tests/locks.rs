//! Locks of servers that share one Redis.

use super::*;
use crate::accounts::ledger::testing::temporary;
use crate::storage::store;

const WAIT: Duration = Duration::from_secs(60);

/// Server with its store and its locks.
struct LockingServer {
    ledger: Ledger,
    store: Store,
    locks: SharedLocks,
}

impl LockingServer {
    async fn start(redis: &RedisServer, node: &str) -> Self {
        let config = Config {
            keep_charges_days: 92,
            node: node.to_owned(),
        };
        let store = redis.store(TaskTracker::new());
        let opened = Ledger::open(store.clone(), Clock::new(|| NOW), config);
        let ledger = opened.await.unwrap().ledger;
        let locks = SharedLocks::of(&ledger);
        Self {
            ledger,
            store,
            locks,
        }
    }

    async fn try_take(&self, id: &str) -> Option<SharedLock> {
        let taken = self.locks.try_take(LockKind::Session, "owner", id).await;
        taken.unwrap()
    }

    async fn take(&self, id: &str) -> SharedLock {
        let kind = LockKind::Session;
        let taken = self.locks.take_within(WAIT, kind, "owner", id).await;
        taken.unwrap().expect("the lock becomes free")
    }

    /// Writes something, and releases `lock` with it.
    async fn write_under(&self, lock: SharedLock) -> Result<(), Error> {
        let work = move |transaction: &mut Transaction<'_>| {
            lock.release_in(transaction)?;
            transaction.put(b"locked\0".to_vec(), b"changed".to_vec());
            Ok(())
        };
        self.store.transaction(work).await
    }

    async fn is_written(&self) -> bool {
        self.store
            .get(b"locked\0".to_vec())
            .await
            .unwrap()
            .is_some()
    }
}

/// Lets the lease of `node` end now, and `other` take over from it.
async fn lose(redis: &RedisServer, node: &'static str, other: &LockingServer) {
    let store = redis.store(TaskTracker::new());
    let ended = store.transaction(move |transaction| {
        transaction.remove(storage_keys::node(node));
        Ok::<_, Error>(())
    });
    ended.await.unwrap();
    other.ledger.renew_lease(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_is_held_by_one_of_two_servers_at_a_time() {
    let redis = RedisServer::start();
    let one = LockingServer::start(&redis, "one").await;
    let other = LockingServer::start(&redis, "other").await;
    let lock = one.take("a").await;
    assert!(other.try_take("a").await.is_none());
    assert!(other.try_take("b").await.is_some(), "another id is free");
    let kind = LockKind::Conversation;
    let of_another_kind = other.locks.try_take(kind, "owner", "a").await;
    assert!(of_another_kind.unwrap().is_some());
    drop(lock);
    let lock = other.take("a").await;
    assert!(one.try_take("a").await.is_none());
    drop(lock);
    drop(one.take("a").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_that_is_released_with_a_write_is_free_with_it() {
    let redis = RedisServer::start();
    let one = LockingServer::start(&redis, "one").await;
    let other = LockingServer::start(&redis, "other").await;
    for _ in 0..20 {
        let lock = one.take("a").await;
        one.write_under(lock).await.unwrap();
        let lock = other.try_take("a").await.expect("free without a wait");
        other.write_under(lock).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_of_a_lost_server_is_taken_and_its_changes_are_refused() {
    let redis = RedisServer::start();
    let lost = LockingServer::start(&redis, "lost").await;
    let others = [
        LockingServer::start(&redis, "a").await,
        LockingServer::start(&redis, "b").await,
    ];
    let stale = lost.take("a").await;
    assert!(others[0].try_take("a").await.is_none());
    lose(&redis, "lost", &others[0]).await;
    let lock = others[0].try_take("a").await.expect("its server is gone");
    let refused = lost.write_under(stale).await;
    assert!(
        matches!(refused, Err(Error::Store(store::Error::Fenced))),
        "{refused:?}"
    );
    assert!(!others[0].is_written().await);
    // What the lost server has released was no longer its own.
    assert!(others[1].try_take("a").await.is_none());
    others[0].write_under(lock).await.unwrap();
    assert!(others[1].is_written().await);
}

#[tokio::test]
async fn lock_of_a_server_that_shares_nothing_is_free_and_leaves_no_record() {
    let ledger = temporary(NOW).await;
    let locks = SharedLocks::of(&ledger);
    let before = ledger.0.store.scan(Vec::new()).await.unwrap();
    for _ in 0..2 {
        let lock = locks.try_take(LockKind::TaskId, "owner", "a").await;
        assert!(lock.unwrap().is_some());
    }
    assert_eq!(ledger.0.store.scan(Vec::new()).await.unwrap(), before);
}
