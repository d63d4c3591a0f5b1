//! Limits that two servers count together, in a real Redis.

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::LimitKind;
use super::super::LimitScope;
use super::super::RateLimited;
use super::*;
use crate::domain::Grant;
use crate::domain::Rates;
use crate::storage::store::RedisServer;

/// Number of requests at once, over both servers.
const CALLERS: usize = 200;
/// Maximum wait for what comes later than the call that causes it.
const DEADLINE: Duration = Duration::from_secs(60);

const NONE: Rates = Rates {
    requests_per_minute: None,
    tokens_per_minute: None,
    concurrent_requests: None,
    weight: None,
};

fn requests(limit: u32) -> Rates {
    Rates {
        requests_per_minute: Some(limit),
        ..NONE
    }
}

fn tokens(limit: u32) -> Rates {
    Rates {
        tokens_per_minute: Some(limit),
        ..NONE
    }
}

fn concurrent(limit: u32) -> Rates {
    Rates {
        concurrent_requests: Some(limit),
        ..NONE
    }
}

/// Caller in the project `p`.
fn caller(name: &str, rates: Rates, project_rates: Rates) -> Caller {
    let grant = Arc::new(Grant {
        rates,
        project_rates,
        ..Grant::default()
    });
    Caller {
        project: "p".to_owned(),
        grant,
        ..Caller::named(name)
    }
}

fn server(redis: &RedisServer) -> SharedLimits {
    let tracker = TaskTracker::new();
    SharedLimits::new(Config::default(), redis.store(tracker.clone()), &tracker)
}

fn refusal(refused: Result<SharedPermit, AdmitError>) -> RateLimited {
    match refused {
        Err(AdmitError::Limited(limited)) => limited,
        other => panic!("{other:?}"),
    }
}

/// Lets `CALLERS` requests of `caller` race over both servers. Returns the permits of those that were
/// admitted.
async fn race(servers: &[SharedLimits; 2], caller: &Caller) -> Vec<SharedPermit> {
    let barrier = Arc::new(Barrier::new(CALLERS));
    let mut tasks = JoinSet::new();
    for index in 0..CALLERS {
        let barrier = Arc::clone(&barrier);
        let limits = servers[index % 2].clone();
        let caller = caller.clone();
        tasks.spawn(async move {
            barrier.wait().await;
            match limits.admit(&caller, 1).await {
                Ok(permit) => Some(permit),
                Err(AdmitError::Limited(_)) => None,
                Err(error) => panic!("{error}"),
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_two_servers_are_admitted_up_to_the_limit() {
    let redis = RedisServer::start_with(&[]);
    let servers = [server(&redis), server(&redis)];
    for (name, limit, project_limit) in [("a", 1, 5), ("b", 60, 30), ("c", 20, 1000)] {
        let caller = Caller {
            project: format!("p-{name}"),
            ..caller(name, requests(limit), requests(project_limit))
        };
        let begun = Instant::now();
        let admitted = race(&servers, &caller).await.len() as u64;
        let bound = u64::from(limit.min(project_limit));
        // What refills while the test runs, too.
        let refilled = begun.elapsed().as_millis() as u64 * bound / 60_000;
        assert!(admitted >= bound, "{name}: {admitted}");
        assert!(admitted <= bound + refilled, "{name}: {admitted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_of_two_servers_are_admitted_up_to_the_limit() {
    let redis = RedisServer::start_with(&[]);
    let servers = [server(&redis), server(&redis)];
    let caller = caller("k", concurrent(7), concurrent(9));
    for _ in 0..5 {
        // The requests of the last round have ended when both servers have answered another one.
        for server in &servers {
            flush(server).await;
        }
        assert_eq!(race(&servers, &caller).await.len(), 7);
    }
    for server in &servers {
        flush(server).await;
    }
    let running = race(&servers, &caller).await;
    let refused = refusal(servers[0].admit(&caller, 0).await);
    assert_eq!(refused.kind, LimitKind::ConcurrentRequests);
    assert_eq!((refused.scope, refused.limit), (LimitScope::Key, 7));
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
    drop(running);
}

/// Waits until what `limits` was told before is applied: requests are sent in order.
async fn flush(limits: &SharedLimits) {
    refusal(limits.admit(&caller("none", concurrent(0), NONE), 0).await);
}

#[tokio::test]
async fn refusal_of_the_project_takes_nothing_from_the_key() {
    let redis = RedisServer::start_with(&[]);
    let limits = server(&redis);
    let caller = caller("k", requests(10), tokens(100));
    let refused = refusal(limits.admit(&caller, 101).await);
    assert_eq!(refused.kind, LimitKind::Tokens(101));
    assert_eq!(
        (refused.scope, refused.retry_after),
        (LimitScope::Project, None)
    );
    let permit = limits.admit(&caller, 100).await.unwrap();
    assert_eq!(permit.state().requests.unwrap().remaining, 9);
    assert_eq!(permit.state().tokens.unwrap().remaining, 0);
    let refused = refusal(limits.admit(&caller, 1).await);
    assert!(refused.retry_after.unwrap() > Duration::ZERO);
    assert_eq!(refused.state.requests.unwrap().limit, 10);
}

#[tokio::test]
async fn request_that_was_counted_before_is_only_concurrent() {
    let redis = RedisServer::start_with(&[]);
    let (one, other) = (server(&redis), server(&redis));
    let rates = Rates {
        concurrent_requests: Some(1),
        ..requests(1)
    };
    let caller = caller("k", rates, NONE);
    drop(one.admit(&caller, 0).await.unwrap());
    let refused = refusal(one.admit(&caller, 0).await);
    assert_eq!(refused.kind, LimitKind::Requests);
    let permit = other.admit_counted(&caller).await.unwrap();
    let refused = refusal(one.admit_counted(&caller).await);
    assert_eq!(refused.kind, LimitKind::ConcurrentRequests);
    drop(permit);
    flush(&other).await;
    drop(one.admit_counted(&caller).await.unwrap());
}

#[tokio::test]
async fn tokens_are_corrected_for_both_servers() {
    let redis = RedisServer::start_with(&[]);
    let (one, other) = (server(&redis), server(&redis));
    let caller = caller("k", tokens(1000), NONE);
    let mut permit = one.admit(&caller, 0).await.unwrap();
    permit.take_tokens(900).await.unwrap();
    assert!(matches!(
        other.admit(&caller, 500).await,
        Err(AdmitError::Limited(_))
    ));
    permit.settle(100);
    // Sent in order, so the correction is made when this is answered.
    drop(one.admit(&caller, 1).await.unwrap());
    let mut second = other.admit(&caller, 500).await.unwrap();
    let remaining = second.state().tokens.unwrap().remaining;
    assert!(remaining >= 398, "{remaining}");
    // More than estimated: what follows waits.
    second.settle(2000);
    drop(other.admit(&caller, 1).await);
    let refused = refusal(one.admit(&caller, 1).await);
    assert!(refused.retry_after.unwrap() > Duration::from_secs(30));
    // A settled request takes tokens anew, and a refused one is given back.
    assert!(matches!(
        permit.take_tokens(1).await,
        Err(AdmitError::Limited(_))
    ));
}

#[tokio::test]
async fn share_of_a_server_without_a_lease_is_given_back() {
    let redis = RedisServer::start_with(&[]);
    let lost = server(&redis);
    let caller = caller("k", concurrent(1), NONE);
    let running = lost.admit(&caller, 0).await.unwrap();
    let names: Vec<String> = redis.run("ZRANGE {test}:limits:servers 0 -1");
    let other = server(&redis);
    assert_eq!(
        refusal(other.admit(&caller, 0).await).kind,
        LimitKind::ConcurrentRequests
    );
    let deadline = Instant::now() + DEADLINE;
    let second = loop {
        // Again each time: the server renews its lease while it lives.
        let _: i64 = redis.run(&format!("ZADD {{test}}:limits:servers 0 {}", names[0]));
        if let Ok(permit) = other.admit(&caller, 0).await {
            break permit;
        }
        assert!(Instant::now() < deadline, "the share is not given back");
    };
    // The end of the lost request is not that of the second one.
    drop(running);
    let after = refusal(lost.admit(&caller, 0).await);
    assert_eq!(after.kind, LimitKind::ConcurrentRequests);
    drop(second);
}

#[tokio::test]
async fn limits_refuse_while_redis_is_away_and_keep_corrections() {
    let mut redis = RedisServer::start();
    let limits = server(&redis);
    let caller = caller("k", concurrent(1), NONE);
    let running = limits.admit(&caller, 0).await.unwrap();
    redis.kill();
    let deadline = Instant::now() + DEADLINE;
    for _ in 0..3 {
        assert!(matches!(
            limits.admit(&caller, 0).await,
            Err(AdmitError::Store(_))
        ));
    }
    drop(running);
    redis.restart();
    while limits.admit(&caller, 0).await.is_err() {
        assert!(Instant::now() < deadline, "the end is not made up for");
        tokio::task::yield_now().await;
    }
    // A caller without limits does not need Redis.
    redis.kill();
    assert!(limits.admit(&Caller::named("free"), 9).await.is_ok());
}

#[tokio::test]
async fn ends_are_made_up_for_when_redis_takes_changes_again() {
    let redis = RedisServer::start_with(&[]);
    let limits = server(&redis);
    let caller = caller("k", concurrent(1), NONE);
    for (fault, repair) in [
        (
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
        ),
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
        (
            "ACL SETUSER default -@scripting",
            "ACL SETUSER default +@scripting",
        ),
    ] {
        flush(&limits).await;
        let running = limits.admit(&caller, 0).await.unwrap();
        redis.run::<()>(fault);
        let refused = limits.admit(&caller, 0).await;
        assert!(
            matches!(refused, Err(AdmitError::Store(_))),
            "{fault}: {refused:?}"
        );
        drop(running);
        redis.run::<()>(repair);
        let deadline = Instant::now() + DEADLINE;
        while limits.admit(&caller, 0).await.is_err() {
            assert!(Instant::now() < deadline, "{fault}: the end is lost");
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn batch_that_is_sent_twice_is_applied_once() {
    let redis = RedisServer::start_with(&[]);
    let store = redis.store(TaskTracker::new());
    let scopes: Arc<[LimitedScope]> = [LimitedScope::new(LimitScope::Key, "k", requests(2))].into();
    let request = |id| LimitRequest::Admit {
        scopes: Arc::clone(&scopes),
        id,
        tokens: 0,
    };
    let mut verdicts = Vec::new();
    for (number, id) in [(1, 1), (1, 1), (1, 1), (2, 2), (3, 3)] {
        let batch = Batch::new("s", number, &[request(id)]);
        let answer = store.run_script(batch::script(), batch.keys, batch.arguments);
        verdicts.push(answer.await.unwrap()[0]);
    }
    assert_eq!(verdicts, [1, 1, 1, 1, 0]);
}

/// A copy that was held up on its way comes after the batches that follow it.
#[tokio::test]
async fn batch_that_comes_after_a_later_one_changes_nothing() {
    let redis = RedisServer::start_with(&[]);
    let store = redis.store(TaskTracker::new());
    let scopes: Arc<[LimitedScope]> =
        [LimitedScope::new(LimitScope::Key, "k", concurrent(1))].into();
    let admit = |id| LimitRequest::Admit {
        scopes: Arc::clone(&scopes),
        id,
        tokens: 0,
    };
    let end = |id| LimitRequest::End {
        scopes: Arc::clone(&scopes),
        id,
    };
    let steps = [
        (8, admit(1), Some(1)),
        (9, admit(2), Some(0)),
        (10, end(1), None),
        // Admitted again, it would have the only place for ever.
        (8, admit(1), None),
        (9, admit(2), None),
        (11, admit(3), Some(1)),
    ];
    for (number, request, verdict) in steps {
        let batch = Batch::new("s", number, &[request]);
        let answer = store.run_script(batch::script(), batch.keys, batch.arguments);
        assert_eq!(answer.await.unwrap().first().copied(), verdict, "{number}");
    }
}

#[tokio::test]
async fn state_of_limits_expires() {
    let redis = RedisServer::start_with(&[]);
    let limits = server(&redis);
    let caller = caller("k", requests(60), concurrent(3));
    drop(limits.admit(&caller, 0).await.unwrap());
    let running = limits.admit(&caller, 0).await.unwrap();
    for name in ["limits:key:k", "limits:project:p"] {
        let lives: i64 = redis.run(&format!("PTTL {{test}}:{name}"));
        assert!(lives > 60_000, "{name}: {lives}");
    }
    drop(running);
    flush(&limits).await;
    let kind: String = redis.run("TYPE {test}:limits:project:p");
    assert_eq!(kind, "none", "nothing is left to count");
    let lives: i64 = redis.run("PTTL {test}:limits:key:k");
    assert!((1..=120_000).contains(&lives), "{lives}");
}
