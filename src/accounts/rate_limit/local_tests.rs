//! Rate limits on paused time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;

use tokio::time::advance;

use crate::domain::Caller;
use crate::domain::Grant;
use crate::domain::Rates;

use super::Config;
use super::LimitScope;
use super::LocalLimits;
use super::LocalPermit;
use super::RateLimited;
use crate::accounts::rate_limit::LimitKind;

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

fn limits() -> LocalLimits {
    LocalLimits::new(Config::default())
}

/// Number of admitted requests of 100 with `tokens` each.
fn passing(limits: &LocalLimits, caller: &Caller, tokens: u64) -> usize {
    (0..100)
        .filter_map(|_| limits.admit(caller, tokens).ok())
        .count()
}

#[tokio::test(start_paused = true)]
async fn request_limit_refuses_when_exhausted_and_refills() {
    let limits = limits();
    let caller = caller("k", requests(6), NONE);
    assert_eq!(passing(&limits, &caller, 0), 6);
    let refused = limits.admit(&caller, 0).unwrap_err();
    assert_eq!(
        (refused.kind, refused.scope, refused.limit),
        (LimitKind::Requests, LimitScope::Key, 6)
    );
    assert_eq!(refused.retry_after, Some(Duration::from_secs(10)));
    advance(Duration::from_secs(25)).await;
    assert_eq!(passing(&limits, &caller, 0), 2);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(passing(&limits, &caller, 0), 6);
}

#[tokio::test(start_paused = true)]
async fn key_limits_are_separate_and_project_limit_is_shared() {
    let limits = limits();
    let [one, two] = ["one", "two"].map(|name| caller(name, requests(4), requests(6)));
    assert_eq!(passing(&limits, &one, 0), 4);
    assert_eq!(passing(&limits, &two, 0), 2);
    assert_eq!(
        limits.admit(&two, 0).unwrap_err().scope,
        LimitScope::Project
    );
    // A refusal by the project takes nothing from the key.
    advance(Duration::from_secs(20)).await;
    assert_eq!(passing(&limits, &two, 0), 2);
}

#[tokio::test(start_paused = true)]
async fn refused_request_takes_nothing() {
    let limits = limits();
    let rates = Rates {
        requests_per_minute: Some(5),
        tokens_per_minute: Some(100),
        ..NONE
    };
    let caller = caller("k", rates, concurrent(1));
    let running = limits.admit(&caller, 60).unwrap();
    let before = running.state();
    for _ in 0..10 {
        let refused = limits.admit(&caller, 10).unwrap_err();
        assert_eq!(
            (refused.kind, refused.scope),
            (LimitKind::ConcurrentRequests, LimitScope::Project)
        );
        assert_eq!(refused.state, before);
        // The token limit has the longer wait and is reported first.
        let refused = limits.admit(&caller, 50).unwrap_err();
        assert_eq!(
            (refused.kind, refused.scope),
            (LimitKind::Tokens(50), LimitScope::Key)
        );
        assert_eq!(refused.retry_after, Some(Duration::from_secs(6)));
    }
    assert_eq!(running.state(), before);
    drop(running);
    assert_eq!(passing(&limits, &caller, 10), 4);
}

#[tokio::test(start_paused = true)]
async fn settle_refunds_or_debits_difference_to_estimate() {
    let limits = limits();
    let caller = caller("k", tokens(1000), tokens(5000));
    let remaining = |permit: &LocalPermit| permit.state().tokens.unwrap().remaining;
    let mut permit = limits.admit(&caller, 900).unwrap();
    assert_eq!(remaining(&permit), 100);
    permit.settle(200);
    assert_eq!(remaining(&permit), 800);
    permit.settle(900);
    assert_eq!(remaining(&permit), 800);
    drop(permit);
    let mut permit = limits.admit(&caller, 100).unwrap();
    permit.settle(1100);
    assert_eq!(remaining(&permit), 0);
    let refused = limits.admit(&caller, 1).unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_millis(301 * 60)));
    advance(Duration::from_millis(301 * 60)).await;
    // Not settled: the estimate counts.
    drop(limits.admit(&caller, 1).unwrap());
    assert!(limits.admit(&caller, 1).is_err());
}

#[tokio::test(start_paused = true)]
async fn permit_counts_as_concurrent_until_dropped() {
    let limits = limits();
    let caller = caller("k", concurrent(2), NONE);
    let mut first = limits.admit(&caller, 0).unwrap();
    let second = limits.admit(&caller, 0).unwrap();
    first.settle(0);
    assert_eq!(
        limits.admit(&caller, 0).unwrap_err().retry_after,
        Some(Duration::from_secs(1))
    );
    drop(first);
    let third = limits.admit(&caller, 0).unwrap();
    assert!(limits.admit(&caller, 0).is_err());
    drop((second, third));
    assert_eq!(passing(&limits, &caller, 0), 100);
}

#[tokio::test(start_paused = true)]
async fn request_above_limit_has_no_retry_after() {
    let limits = limits();
    let refused =
        |caller: Caller, tokens| -> RateLimited { limits.admit(&caller, tokens).unwrap_err() };
    let too_large = refused(caller("a", tokens(1000), NONE), 1001);
    assert_eq!(too_large.retry_after, None);
    insta::assert_snapshot!(too_large, @"The limit of this key is 1000 tokens a minute, and this request alone may take 1001: it can never pass. Shorten it, ask for fewer tokens in the answer, or have the limit raised.");
    let project = caller("a", NONE, tokens(1000));
    let _running = limits.admit(&project, 900).unwrap();
    insta::assert_snapshot!(refused(project, 500), @"The limit of this project is 1000 tokens a minute, and this request may take 500 of them. Try again in 24 s.");
    let busy = caller("b", concurrent(1), NONE);
    let _running = limits.admit(&busy, 0).unwrap();
    insta::assert_snapshot!(refused(busy, 0), @"The limit of this key is 1 requests at the same time. Try again in 1 s.");
    for rates in [requests(0), tokens(0), concurrent(0)] {
        assert_eq!(
            refused(caller("c", rates, NONE), 0).retry_after,
            None,
            "{rates:?}"
        );
    }
    insta::assert_snapshot!(refused(caller("c", requests(0), NONE), 0), @"The limit of this key is 0 requests a minute: no request can pass. Have the limit raised.");
}

#[tokio::test(start_paused = true)]
async fn key_without_own_limits_uses_defaults() {
    let limits = LocalLimits::new(Config {
        requests_per_minute: Some(3),
        ..Config::default()
    });
    assert_eq!(passing(&limits, &caller("a", NONE, NONE), 0), 3);
    assert_eq!(passing(&limits, &caller("b", requests(5), NONE), 0), 5);
    assert_eq!(passing(&limits, &caller("c", tokens(20), NONE), 10), 2);
}

#[tokio::test(start_paused = true)]
async fn caller_without_limits_stores_no_state() {
    let limits = limits();
    let permit = limits.admit(&caller("k", NONE, NONE), u64::MAX).unwrap();
    assert_eq!(permit.state().headers(), []);
    assert!(limits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn changed_limit_applies_at_once_and_keeps_usage() {
    let limits = limits();
    assert_eq!(passing(&limits, &caller("k", requests(10), NONE), 0), 10);
    assert_eq!(passing(&limits, &caller("k", requests(12), NONE), 0), 2);
    assert_eq!(passing(&limits, &caller("k", requests(5), NONE), 0), 0);
    assert_eq!(passing(&limits, &caller("k", concurrent(5), NONE), 0), 100);
}

#[tokio::test(start_paused = true)]
async fn permit_of_removed_limit_settles_no_other_debit() {
    let limits = limits();
    let limited = caller("k", tokens(100), NONE);
    let mut old = limits.admit(&limited, 10).unwrap();
    drop(limits.admit(&caller("k", requests(10), NONE), 0).unwrap());
    let new = limits.admit(&limited, 70).unwrap();
    old.settle(0);
    assert_eq!(new.state().tokens.unwrap().remaining, 30);
}

/// Eight threads at once: exactly as many requests pass as the limits allow.
#[tokio::test(start_paused = true)]
async fn concurrent_admission_never_exceeds_limits() {
    let limits = limits();
    let barrier = Barrier::new(8);
    let runtime = tokio::runtime::Handle::current();
    let ask = &|thread: usize| {
        // Makes the paused clock of the runtime available to this thread.
        let _runtime = runtime.enter();
        let caller = caller(&format!("key-{}", thread % 2), requests(90), tokens(1300));
        barrier.wait();
        passing(&limits, &caller, 10)
    };
    let passed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| scope.spawn(move || ask(thread)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert_eq!(passed, 130);
    assert!(
        limits
            .0
            .scopes
            .iter()
            .all(|scope| !scope.lock().is_running())
    );
}

#[tokio::test(start_paused = true)]
async fn idle_scopes_are_evicted() {
    let tracker = tokio_util::task::TaskTracker::new();
    let stop = tokio_util::sync::CancellationToken::new();
    let limits = limits();
    limits.spawn_cleanup(&tracker, stop.clone());
    let running = limits
        .admit(&caller("running", concurrent(1), NONE), 0)
        .unwrap();
    let owing = caller("owing", tokens(10), NONE);
    limits.admit(&owing, 10).unwrap().settle(40);
    for name in 0..1000 {
        let _ = limits
            .admit(&caller(&name.to_string(), requests(60), NONE), 0)
            .unwrap();
    }
    assert_eq!(limits.len(), 1002);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(limits.len(), 2);
    assert!(limits.admit(&owing, 10).is_err());
    drop(running);
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(limits.len(), 0);
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

/// Memory is measured by filling it again, because the allocator keeps freed pages.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn eviction_frees_memory_of_a_million_keys() {
    let limits = limits();
    let mut caller = caller("", tokens(1000), NONE);
    let mut fill = |names: std::ops::Range<u32>| {
        for name in names {
            caller.name = name.to_string();
            limits.admit(&caller, 10).unwrap().settle(5);
        }
        resident_pages()
    };
    let full_pages = fill(0..1_000_000);
    let capacity = limits.0.scopes.capacity();
    advance(Duration::from_secs(61)).await;
    limits.sweep();
    assert_eq!(limits.len(), 0);
    assert!(
        limits.0.scopes.capacity() < capacity / 100,
        "{} of {capacity}",
        limits.0.scopes.capacity()
    );
    let again = fill(1_000_000..1_500_000);
    assert!(
        again * 10 < full_pages * 11,
        "{again} pages after {full_pages}"
    );
}

#[cfg(target_os = "linux")]
fn resident_pages() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn late_token_debit_is_refunded_when_refused() {
    let limits = limits();
    let rates = Rates {
        requests_per_minute: Some(2),
        tokens_per_minute: Some(100),
        concurrent_requests: Some(1),
        ..Rates::default()
    };
    let caller = caller("k", rates, NONE);
    let mut entered = limits.admit(&caller, 0).unwrap();
    let refused = limits.admit(&caller, 0).unwrap_err();
    assert_eq!(refused.kind, LimitKind::ConcurrentRequests);
    assert_eq!(
        entered.take_tokens(101).unwrap_err().kind,
        LimitKind::Tokens(101)
    );
    drop(entered);

    let mut entered = limits.admit(&caller, 0).unwrap();
    entered.take_tokens(100).unwrap();
    assert_eq!(
        entered.state().requests.unwrap().remaining,
        1,
        "the refused one was given back"
    );
    assert_eq!(entered.state().tokens.unwrap().remaining, 0);
    entered.settle(100);
    drop(entered);
    let refused = limits.admit(&caller, 0).unwrap_err();
    assert_eq!(refused.kind, LimitKind::Tokens(0));
    assert!(
        refused.to_string().contains("and they are used up"),
        "{refused}"
    );
    advance(Duration::from_secs(1)).await;
    drop(limits.admit(&caller, 0).unwrap());
    assert_eq!(
        limits.admit(&caller, 0).unwrap_err().kind,
        LimitKind::Requests,
        "who asks for nothing counts"
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_taken_after_settling_are_settled_too() {
    let limits = limits();
    let caller = caller("k", tokens(1000), tokens(5000));
    let remaining = |permit: &LocalPermit| permit.state().tokens.unwrap().remaining;
    let mut permit = limits.admit(&caller, 100).unwrap();
    permit.settle(10);
    assert_eq!(
        permit.take_tokens(991).unwrap_err().kind,
        LimitKind::Tokens(991)
    );
    assert_eq!(remaining(&permit), 990, "what was settled is final");
    permit.take_tokens(900).unwrap();
    assert_eq!(remaining(&permit), 90);
    permit.settle(200);
    assert_eq!(remaining(&permit), 790);
    permit.take_tokens(90).unwrap();
    drop(permit);
    advance(Duration::from_secs(60)).await;
    limits.sweep();
    assert!(limits.is_empty(), "no debit is left open");
}

#[tokio::test(start_paused = true)]
async fn late_token_debit_applies_to_changed_limit() {
    let limits = limits();
    let mut early = limits.admit(&caller("k", tokens(100), NONE), 0).unwrap();
    let changed = caller("k", tokens(50), NONE);
    let late = limits.admit(&changed, 10).unwrap();
    early.take_tokens(30).unwrap();
    assert_eq!(
        limits.admit(&changed, 11).unwrap_err().kind,
        LimitKind::Tokens(11)
    );
    early.settle(20);
    drop((early, late));
    assert_eq!(passing(&limits, &changed, 10), 2);
}

/// Takes a request of the end user `name`, who may send two a minute.
fn take_end_user(limits: &LocalLimits, name: &str, max: usize) -> Result<LocalPermit, RateLimited> {
    let (key, end_user) = name.split_once('/').unwrap();
    limits.admit_end_user(key, end_user, requests(2), max, 0)
}

#[tokio::test(start_paused = true)]
async fn limit_of_an_end_user_counts_for_that_user_alone() {
    let limits = limits();
    for _ in 0..2 {
        drop(take_end_user(&limits, "k/ann", 10).unwrap());
    }
    let refused = take_end_user(&limits, "k/ann", 10).unwrap_err();
    assert_eq!((refused.scope, refused.limit), (LimitScope::EndUser, 2));
    let words = refused.to_string();
    assert!(
        words.starts_with("The limit of this end user is 2 requests a minute"),
        "{words}"
    );
    drop(take_end_user(&limits, "k/bob", 10).unwrap());
    advance(Duration::from_secs(61)).await;
    limits.sweep();
    assert!(limits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn end_users_beyond_the_bound_share_one_limit() {
    let limits = limits();
    let names = ["k/ann", "k/bob", "k/cid", "k/dan", "k/eve"];
    let taken = names.map(|name| take_end_user(&limits, name, 2).is_ok());
    assert_eq!(taken, [true, true, true, true, false]);
    assert_eq!(limits.len(), 3);
    // Another key has room of its own.
    let names = ["l/ann", "l/bob"];
    let taken = names.map(|name| take_end_user(&limits, name, 2).is_ok());
    assert_eq!((taken, limits.len()), ([true, true], 5));
}

#[tokio::test(start_paused = true)]
async fn share_of_a_limit_begins_used_up_and_fills_in_a_minute() {
    let limits = LocalLimits::share(Config::default(), NonZeroU32::new(2).unwrap());
    let caller = caller("k", requests(7), tokens(2000));
    let refused = limits.admit(&caller, 0).unwrap_err();
    assert_eq!((refused.kind, refused.limit), (LimitKind::Requests, 3));
    assert_eq!(refused.retry_after, Some(Duration::from_secs(20)));
    advance(Duration::from_secs(40)).await;
    assert_eq!(passing(&limits, &caller, 100), 2);
    advance(Duration::from_secs(60)).await;
    assert_eq!(passing(&limits, &caller, 500), 2);
    // A caller who comes later has what has filled up since.
    let other = Caller {
        name: "l".to_owned(),
        project: "q".to_owned(),
        ..caller
    };
    let refused = limits.admit(&other, 1001).unwrap_err();
    assert_eq!((refused.limit, refused.retry_after), (1000, None));
    assert_eq!(passing(&limits, &other, 0), 3);
}
