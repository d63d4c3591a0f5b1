//! Shares of limits while a real Redis is away.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::*;
use crate::accounts::rate_limit::LimitKind;
use crate::accounts::rate_limit::Permit;
use crate::accounts::rate_limit::RateLimits;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::EndUser;
use crate::domain::EndUserTerms;
use crate::domain::Grant;
use crate::storage::store::RedisServer;

/// Number of servers, as each of them knows it.
const SERVERS: u32 = 2;
/// Maximum wait for what comes later than the call that causes it.
const DEADLINE: Duration = Duration::from_secs(60);

fn server(redis: &RedisServer) -> RateLimits {
    let tracker = TaskTracker::new();
    let store = redis.store(tracker.clone());
    let limits = RateLimits::shared(Config::default(), store, &tracker);
    limits.serve_outages(|| SERVERS);
    limits
}

fn concurrent(limit: u32) -> Rates {
    Rates {
        concurrent_requests: Some(limit),
        ..Rates::default()
    }
}

fn caller(name: &str, grant: Grant) -> Caller {
    Caller {
        grant: Arc::new(grant),
        ..Caller::named(name)
    }
}

fn limited(rates: Rates) -> Caller {
    let grant = Grant {
        rates,
        ..Grant::default()
    };
    caller("k", grant)
}

/// Takes permits of `caller` until `server` refuses one.
async fn take_all(server: &RateLimits, caller: &Caller) -> Vec<Permit> {
    let mut taken = Vec::new();
    while let Ok(permit) = server.admit(caller, 0).await {
        taken.push(permit);
    }
    taken
}

#[tokio::test]
async fn servers_admit_the_limit_together_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let servers = [server(&redis), server(&redis)];
    let busy = limited(concurrent(5));
    redis.kill();
    let mut running = Vec::new();
    for server in &servers {
        running.push(take_all(server, &busy).await);
    }
    let counts: Vec<_> = running.iter().map(Vec::len).collect();
    assert_eq!(counts, [2, 2]);
    let frequent = limited(Rates {
        requests_per_minute: Some(2),
        ..Rates::default()
    });
    match servers[0].admit(&frequent, 0).await {
        Err(AdmitError::Limited(limited)) => assert_eq!(limited.kind, LimitKind::Requests),
        other => panic!("{other:?}"),
    }
    redis.restart();
    let deadline = Instant::now() + DEADLINE;
    while take_all(&servers[1], &busy).await.len() != 5 {
        assert!(Instant::now() < deadline, "the whole limit is not back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn caller_who_may_not_share_is_refused_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let server = server(&redis);
    redis.kill();
    let cap = Cap {
        tokens: Some(1000),
        money: None,
    };
    let funded = Grant {
        rates: concurrent(5),
        budget: Budget {
            daily: cap,
            monthly: Cap::default(),
        },
        ..Grant::default()
    };
    let small = Grant {
        rates: concurrent(SERVERS - 1),
        ..Grant::default()
    };
    for grant in [funded, small] {
        let refused = server.admit(&caller("k", grant), 0).await.map(drop);
        assert!(matches!(refused, Err(AdmitError::Store(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn end_user_has_a_share_while_redis_is_away() {
    let mut redis = RedisServer::start();
    let server = server(&redis);
    redis.kill();
    let grant = Grant {
        end_users: EndUserTerms {
            rates: concurrent(3),
            ..EndUserTerms::default()
        },
        ..Grant::default()
    };
    let ann = Caller {
        end_user: EndUser::new("ann"),
        ..caller("k", grant)
    };
    let mut permits = [
        server.admit(&ann, 0).await.unwrap(),
        server.admit(&ann, 0).await.unwrap(),
    ];
    let taken = server.take_end_user(&mut permits[0], &ann, 1);
    taken.await.unwrap();
    let taken = server.take_end_user(&mut permits[1], &ann, 1);
    let refused = taken.await;
    assert!(
        matches!(refused, Err(AdmitError::Limited(_))),
        "{refused:?}"
    );
}
