//! Keys and projects that two servers on one Redis change.

use tokio_util::task::TaskTracker;

use super::super::super::*;
use super::RegistryGeneration;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::storage::store::RedisServer;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;

const CHANGES: StoreTable = StoreTable::new("registry-changes");
/// Number of races between a change and a revocation.
const ROUNDS: usize = 50;

/// One of the servers on a Redis.
struct Server {
    registry: Registry,
    keys: Keys,
}

impl Server {
    async fn start(redis: &RedisServer) -> Self {
        let registry = Registry::open(redis.store(TaskTracker::new()))
            .await
            .unwrap();
        let keys = Keys::none().with_stored(&registry);
        Self { registry, keys }
    }

    async fn create_key(&self, project: &str) -> (ApiKey, KeyText) {
        let created = self
            .registry
            .create_key(project.to_owned(), KeyChange::default());
        created.await.unwrap()
    }

    /// Authenticates as a request does.
    async fn authenticate(&self, text: &KeyText) -> Result<crate::domain::Caller, AuthError> {
        self.keys.refresh().await.unwrap();
        let credentials = Credentials {
            api_key: Some(text.reveal()),
            ..Credentials::default()
        };
        self.keys.authenticate(&credentials, None)
    }
}

fn tokens(limit: u64) -> Budget {
    Budget {
        daily: Cap {
            tokens: Some(limit),
            ..Cap::default()
        },
        ..Budget::default()
    }
}

#[tokio::test]
async fn changes_of_one_server_are_seen_by_the_next_request_at_another() {
    let redis = RedisServer::start_with(&[]);
    let (one, other) = (Server::start(&redis).await, Server::start(&redis).await);
    let named = ProjectChange {
        name: Some("The team".to_owned()),
        ..ProjectChange::default()
    };
    let created = one.registry.create_project(Some("team".to_owned()), named);
    created.await.unwrap();
    let (key, text) = one.create_key("team").await;
    assert_eq!(other.authenticate(&text).await.unwrap().project, "team");
    one.registry.set_budget("team", tokens(7)).await.unwrap();
    let caller = other.authenticate(&text).await.unwrap();
    assert_eq!(caller.grant.project_budget, tokens(7));
    let (_, rotated) = one.registry.rotate_key(&key.id(), 0).await.unwrap();
    assert_eq!(other.authenticate(&text).await, Err(AuthError::Expired));
    assert!(other.authenticate(&rotated).await.is_ok());
    other.registry.revoke_key(&key.id()).await.unwrap();
    for server in [&one, &other] {
        assert_eq!(server.authenticate(&rotated).await, Err(AuthError::Revoked));
    }
    assert!(other.registry.index.project_name("team").is_some());
    one.registry.delete_project("team").await.unwrap();
    other.keys.refresh().await.unwrap();
    assert_eq!(other.registry.index.project_name("team"), None);
}

/// A change of the same key at the other server must not bring it back.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_key_stays_revoked_whatever_else_is_changed() {
    let redis = RedisServer::start_with(&[]);
    let (one, other) = (Server::start(&redis).await, Server::start(&redis).await);
    for round in 0..ROUNDS {
        let (key, text) = one.create_key("default").await;
        let id = key.id();
        assert!(other.authenticate(&text).await.is_ok());
        let renamed = KeyChange {
            name: Some(format!("round {round}")),
            ..KeyChange::default()
        };
        let revoked = async {
            one.registry.revoke_key(&id).await.unwrap();
            other.authenticate(&text).await
        };
        let changed = other.registry.change_key(&id, renamed);
        let (after, changed) = tokio::join!(revoked, changed);
        assert_eq!(after, Err(AuthError::Revoked), "round {round}");
        assert!(matches!(changed, Ok(_) | Err(Error::Revoked(_))));
        for server in [&one, &other] {
            assert_eq!(server.authenticate(&text).await, Err(AuthError::Revoked));
        }
    }
}

#[tokio::test]
async fn server_that_misses_what_was_noted_reads_everything() {
    let redis = RedisServer::start_with(&[]);
    let (one, other) = (Server::start(&redis).await, Server::start(&redis).await);
    let (key, text) = one.create_key("default").await;
    let (_, kept) = one.create_key("default").await;
    assert!(other.authenticate(&text).await.is_ok());
    one.registry.revoke_key(&key.id()).await.unwrap();
    let store = redis.store(TaskTracker::new());
    let forgotten = store.transaction(|transaction: &mut Transaction<'_>| {
        for (key, _) in transaction.scan(&CHANGES.key(""))? {
            transaction.remove(key);
        }
        Ok::<_, Error>(())
    });
    forgotten.await.unwrap();
    assert_eq!(other.authenticate(&text).await, Err(AuthError::Revoked));
    assert!(other.authenticate(&kept).await.is_ok());
}

/// A Redis that was put back to an earlier state has lost keys, and counts anew.
#[tokio::test]
async fn lost_keys_are_unknown_after_the_next_request() {
    let redis = RedisServer::start_with(&[]);
    let (one, other) = (Server::start(&redis).await, Server::start(&redis).await);
    let (key, text) = one.create_key("default").await;
    assert!(other.authenticate(&text).await.is_ok());
    let store = redis.store(TaskTracker::new());
    let lost = store.transaction(move |transaction: &mut Transaction<'_>| {
        transaction.remove(StoreTable::new("keys").key(&key.prefix));
        for (key, _) in transaction.scan(&CHANGES.key(""))? {
            transaction.remove(key);
        }
        transaction.remove(RegistryGeneration::key());
        Ok::<_, Error>(())
    });
    lost.await.unwrap();
    let (_, fresh) = one.create_key("default").await;
    assert_eq!(other.authenticate(&text).await, Err(AuthError::Wrong));
    assert!(other.authenticate(&fresh).await.is_ok());
}

/// Redis comes back with what it had saved, as a replica does that was behind.
#[tokio::test]
async fn revocation_that_redis_has_lost_holds_again() {
    let mut redis = RedisServer::start_with(&[]);
    let (one, other) = (Server::start(&redis).await, Server::start(&redis).await);
    let (key, text) = one.create_key("default").await;
    redis.run::<()>("SAVE");
    one.registry.revoke_key(&key.id()).await.unwrap();
    assert_eq!(other.authenticate(&text).await, Err(AuthError::Revoked));
    redis.kill();
    redis.restart();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    // Any change. On a slow machine the leases are over, and the first one is refused.
    let change = || {
        let registry = &one.registry;
        registry.create_key("default".to_owned(), KeyChange::default())
    };
    while change().await.is_err() || other.keys.refresh().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "Redis is back");
    }
    for server in [&one, &other] {
        assert_eq!(server.authenticate(&text).await, Err(AuthError::Revoked));
    }
}

#[tokio::test]
async fn keys_are_not_trusted_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let server = Server::start(&redis).await;
    let (_, text) = server.create_key("default").await;
    redis.kill();
    assert!(matches!(
        server.keys.refresh().await,
        Err(Error::Store(crate::storage::store::Error::Unreachable(_)))
    ));
    redis.restart();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while server.keys.refresh().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "Redis is back");
        tokio::task::yield_now().await;
    }
    assert!(server.authenticate(&text).await.is_ok());
}

#[tokio::test]
async fn refresh_while_another_one_tries_to_reach_redis_fails_at_once() {
    let mut redis = RedisServer::start();
    let server = Server::start(&redis).await;
    let follower = server.registry.follower.clone().unwrap();
    redis.kill();
    server.keys.refresh().await.unwrap_err();
    // As long as a Redis that hangs lets a call wait.
    let trying = follower.state.lock().await;
    let limit = std::time::Duration::from_secs(60);
    let refused = tokio::time::timeout(limit, server.keys.refresh());
    assert!(matches!(
        refused.await.unwrap(),
        Err(Error::Store(crate::storage::store::Error::Unreachable(_)))
    ));
    drop(trying);
    redis.restart();
    let deadline = tokio::time::Instant::now() + limit;
    while server.keys.refresh().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "Redis is back");
        tokio::task::yield_now().await;
    }
    assert!(follower.lock_failure().is_none());
}

#[tokio::test]
async fn keys_are_trusted_for_their_grace_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let server = Server::start(&redis).await;
    let (_, stored) = server.create_key("default").await;
    redis.kill();
    let configured = "made-up-configured-key";
    let both = Credentials {
        authorization: Some("Bearer made-up-configured-key"),
        api_key: Some(stored.reveal()),
        ..Credentials::default()
    };
    let of_key = |text| Credentials {
        api_key: Some(text),
        ..Credentials::default()
    };
    for (grace, is_trusted) in [(3600, true), (0, false)] {
        let keys = Keys::new([configured]).unwrap();
        let keys = keys.with_stored(&server.registry);
        let refused = keys.refresh_for(&of_key(configured)).await;
        assert!(refused.is_err() && !keys.are_any_trusted());
        let grace = std::time::Duration::from_secs(grace);
        let keys = keys.trusted_in_outages(grace);
        assert!(keys.are_any_trusted());
        keys.refresh_for(&of_key(configured)).await.unwrap();
        for credentials in [of_key(stored.reveal()), both, Credentials::default()] {
            let refreshed = keys.refresh_for(&credentials).await;
            assert_eq!(refreshed.is_ok(), is_trusted, "{grace:?}");
        }
        assert!(keys.refresh().await.is_err(), "for what is not a request");
        let none = Keys::none().with_stored(&server.registry);
        assert_eq!(none.trusted_in_outages(grace).are_any_trusted(), is_trusted);
    }
}

#[tokio::test]
async fn store_that_is_not_shared_has_no_generation() {
    let registry = Registry::temporary().await.unwrap();
    let created = registry.create_key("default".to_owned(), KeyChange::default());
    created.await.unwrap();
    assert!(registry.follower.is_none());
    let stored = registry.store.get(RegistryGeneration::key());
    assert_eq!(stored.await.unwrap(), None);
}
