//! The circuit breaker by itself, on paused time.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::telemetry::metrics::BreakerState;

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "It failed.")
}

/// Runs turns of `model` through `breaker`, one after the other, that fail with these kinds.
fn fail(breaker: &Breaker, model: &str, kinds: &[FailureKind]) {
    for kind in kinds {
        breaker.admit(model).unwrap().failed(&failure(*kind));
    }
}

fn kind_of(breaker: &Breaker, model: &str) -> Option<FailureKind> {
    breaker.refusal(model).map(|refusal| refusal.kind)
}

#[tokio::test(start_paused = true)]
async fn rate_limit_of_one_model_does_not_stop_another() {
    let breaker = Breaker::new(3);
    fail(&breaker, "opus", &[FailureKind::RateLimited; 3]);
    assert_eq!(kind_of(&breaker, "opus"), Some(FailureKind::RateLimited));
    assert!(breaker.admit("opus").is_err());
    assert_eq!((kind_of(&breaker, "haiku"), breaker.outage()), (None, None));
    breaker.admit("haiku").unwrap().succeeded();
    assert!(
        breaker.refusal("opus").is_some(),
        "and an answer of the other says nothing of it"
    );
    advance(Duration::from_secs(1)).await;
    let probe = breaker.admit("opus").unwrap();
    assert!(breaker.admit("opus").is_err(), "one is enough");
    probe.succeeded();
    fail(&breaker, "opus", &[FailureKind::RateLimited; 2]);
    assert_eq!(kind_of(&breaker, "opus"), None, "the row begins anew");
}

#[tokio::test(start_paused = true)]
async fn outage_stops_every_model() {
    for kind in [
        FailureKind::SignIn,
        FailureKind::Overloaded,
        FailureKind::Upstream,
    ] {
        let breaker = Breaker::new(2);
        fail(&breaker, "opus", &[kind]);
        fail(&breaker, "haiku", &[FailureKind::RateLimited, kind]);
        assert_eq!(kind_of(&breaker, "sonnet"), Some(kind));
        assert!(breaker.outage().is_some() && breaker.admit("sonnet").is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn rate_limited_probe_ends_an_outage() {
    let breaker = Breaker::new(2);
    fail(&breaker, "opus", &[FailureKind::Overloaded; 2]);
    assert!(breaker.outage().is_some());
    advance(Duration::from_secs(1)).await;
    fail(&breaker, "opus", &[FailureKind::RateLimited]);
    // One more failure would be an outage, had the last one not ended.
    fail(&breaker, "haiku", &[FailureKind::Overloaded]);
    assert_eq!(breaker.outage(), None);
    let one = breaker.admit("haiku").unwrap();
    let other = breaker.admit("haiku").unwrap();
    drop((one, other));
}

#[tokio::test(start_paused = true)]
async fn breaker_ignores_failures_not_caused_by_upstream() {
    let breaker = Breaker::new(2);
    fail(
        &breaker,
        "opus",
        &[FailureKind::Overloaded, FailureKind::RateLimited],
    );
    fail(
        &breaker,
        "opus",
        &[
            FailureKind::InvalidRequest,
            FailureKind::ContextTooLong,
            FailureKind::UnknownModel,
            FailureKind::TimedOut,
            FailureKind::Crashed,
        ],
    );
    drop(breaker.admit("opus").unwrap());
    assert_eq!(breaker.refusal("opus"), None);
}

#[tokio::test(start_paused = true)]
async fn success_of_an_earlier_turn_clears_a_rate_limit() {
    let breaker = Breaker::new(1);
    let early = breaker.admit("opus").unwrap();
    fail(&breaker, "opus", &[FailureKind::RateLimited]);
    assert!(breaker.refusal("opus").is_some());
    early.succeeded();
    assert_eq!(breaker.refusal("opus"), None);
}

#[tokio::test(start_paused = true)]
async fn number_of_remembered_models_is_bounded() {
    let breaker = Breaker::new(1);
    for number in 0..1000 {
        fail(
            &breaker,
            &format!("claude-{number}"),
            &[FailureKind::RateLimited],
        );
        breaker
            .admit(&format!("claude-fine-{number}"))
            .unwrap()
            .succeeded();
    }
    assert!(breaker.models().len() <= MAX_MODELS);
    assert!(breaker.refusal("claude-999").is_some());
}

#[tokio::test(start_paused = true)]
async fn levels_show_each_circuit_as_turns_meet_it() {
    let breaker = Breaker::new(2);
    let level = |model: Option<&str>, state| CircuitLevel {
        model: model.map(str::to_owned),
        state,
    };
    let shared = level(None, BreakerState::Closed);
    assert_eq!(breaker.levels(), std::slice::from_ref(&shared));
    fail(&breaker, "opus", &[FailureKind::RateLimited; 2]);
    let opus = |state| [shared.clone(), level(Some("opus"), state)];
    assert_eq!(breaker.levels(), opus(BreakerState::Open));
    advance(Duration::from_secs(1)).await;
    assert_eq!(breaker.levels(), opus(BreakerState::HalfOpen));
    let probe = breaker.admit("opus").unwrap();
    assert_eq!(breaker.levels(), opus(BreakerState::HalfOpen));
    probe.succeeded();
    assert_eq!(breaker.levels(), [shared]);
    fail(&breaker, "haiku", &[FailureKind::Overloaded; 2]);
    assert_eq!(breaker.levels(), [level(None, BreakerState::Open)]);
}

#[tokio::test(start_paused = true)]
async fn breaker_beside_others_opens_at_once_for_limits_and_refused_sign_ins() {
    let breaker = Breaker::beside_others(3);
    fail(&breaker, "opus", &[FailureKind::RateLimited]);
    assert_eq!(kind_of(&breaker, "opus"), Some(FailureKind::RateLimited));
    assert_eq!(kind_of(&breaker, "haiku"), None);
    fail(&breaker, "haiku", &[FailureKind::Overloaded; 2]);
    assert_eq!(
        kind_of(&breaker, "haiku"),
        None,
        "others may be tried again"
    );
    let breaker = Breaker::beside_others(3);
    fail(&breaker, "haiku", &[FailureKind::SignIn]);
    assert_eq!(kind_of(&breaker, "opus"), Some(FailureKind::SignIn));
    let off = Breaker::beside_others(0);
    fail(&off, "opus", &[FailureKind::RateLimited]);
    assert_eq!(kind_of(&off, "opus"), None);
}
