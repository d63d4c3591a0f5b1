//! The breaker by itself, on paused time.

use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "It failed.")
}

/// What turns of these kinds of failure, one after the other, do to `breaker`.
fn fail(breaker: &Breaker, kinds: &[FailureKind]) {
    for kind in kinds {
        breaker.pass().unwrap().failed(&failure(*kind));
    }
}

fn opened() -> Breaker {
    let breaker = Breaker::new(3);
    fail(&breaker, &[FailureKind::Overloaded; 3]);
    breaker
}

/// The seconds until the next try.
fn wait(breaker: &Breaker) -> Option<u64> {
    breaker.refusal().map(|refusal| refusal.retry_after.unwrap().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_row_of_failures_opens_it_and_what_opened_it_is_the_refusal() {
    let breaker = Breaker::new(3);
    fail(&breaker, &[FailureKind::Upstream, FailureKind::RateLimited]);
    assert_eq!(breaker.refusal(), None);
    fail(&breaker, &[FailureKind::SignIn]);
    let refusal = breaker.pass().unwrap_err();
    assert_eq!((refusal.kind, refusal.retry_after), (FailureKind::SignIn, Some(SECOND)));
    insta::assert_snapshot!(refusal.message, @"It failed. After 3 failures in a row this server holds calls back; the next try is in 1 s.");
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_the_row_and_what_says_nothing_of_upstream_does_not_count() {
    let breaker = Breaker::new(2);
    fail(&breaker, &[FailureKind::Overloaded]);
    breaker.pass().unwrap().succeeded();
    fail(&breaker, &[FailureKind::Overloaded]);
    fail(
        &breaker,
        &[
            FailureKind::InvalidRequest,
            FailureKind::ContextTooLong,
            FailureKind::UnknownModel,
            FailureKind::TimedOut,
            FailureKind::Crashed,
        ],
    );
    drop(breaker.pass().unwrap());
    assert_eq!(breaker.refusal(), None);
    fail(&breaker, &[FailureKind::Overloaded]);
    assert!(breaker.refusal().is_some());
}

#[tokio::test(start_paused = true)]
async fn one_turn_is_the_probe_and_closes_it() {
    let breaker = opened();
    advance(SECOND).await;
    assert_eq!(
        breaker.refusal(),
        None,
        "whoever asks whether turns are served is told yes, or no probe would come"
    );
    let probe = breaker.pass().unwrap();
    assert_eq!(breaker.pass().unwrap_err().retry_after, Some(SECOND));
    probe.succeeded();
    fail(&breaker, &[FailureKind::Overloaded; 2]);
    assert_eq!(breaker.refusal(), None, "the row begins anew");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_doubles_the_wait() {
    let breaker = opened();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let seconds = wait(&breaker).unwrap();
        waits.push(seconds);
        advance(SECOND * u32::try_from(seconds).unwrap()).await;
        fail(&breaker, &[FailureKind::Upstream]);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_tells_nothing_is_followed_by_another() {
    let breaker = opened();
    advance(SECOND).await;
    fail(&breaker, &[FailureKind::Crashed]);
    let (probe, other) = (breaker.pass().unwrap(), breaker.pass().unwrap());
    assert!(breaker.pass().is_err(), "two of them now");
    drop(other);
    breaker.pass().unwrap().failed(&failure(FailureKind::Overloaded));
    assert_eq!(wait(&breaker), Some(2));
    probe.failed(&failure(FailureKind::Overloaded));
    assert_eq!(wait(&breaker), Some(2), "the outage is known already");
}

/// What a request does whose turns fail together when one of them is refused.
#[tokio::test(start_paused = true)]
async fn a_request_of_many_turns_gets_through_in_the_end() {
    let breaker = opened();
    advance(SECOND).await;
    let mut tries = 1;
    let passes = loop {
        match (0..16).map(|_| breaker.pass()).collect::<Result<Vec<_>, _>>() {
            Ok(passes) => break passes,
            Err(_) => tries += 1,
        }
    };
    assert_eq!(tries, 5);
    passes.into_iter().for_each(Pass::succeeded);
    assert_eq!(breaker.refusal(), None);
}

#[tokio::test(start_paused = true)]
async fn the_word_of_upstream_lengthens_the_wait_within_bounds() {
    for (asked, waited) in [(0, 1), (7, 7), (200, 200), (9000, 300)] {
        let breaker = Breaker::new(1);
        let limited = Failure { retry_after: Some(SECOND * asked), ..failure(FailureKind::RateLimited) };
        breaker.pass().unwrap().failed(&limited);
        assert_eq!(wait(&breaker), Some(waited));
    }
}

#[tokio::test(start_paused = true)]
async fn turns_from_before_close_it_and_do_not_open_it_again() {
    let breaker = Breaker::new(1);
    let (early, late) = (breaker.pass().unwrap(), breaker.pass().unwrap());
    fail(&breaker, &[FailureKind::Overloaded]);
    early.failed(&failure(FailureKind::Overloaded));
    assert_eq!(wait(&breaker), Some(1));
    late.succeeded();
    assert_eq!(breaker.refusal(), None);
}

#[tokio::test(start_paused = true)]
async fn it_can_be_turned_off() {
    let breaker = Breaker::new(0);
    fail(&breaker, &[FailureKind::Overloaded; 50]);
    assert_eq!(breaker.refusal(), None);
}
