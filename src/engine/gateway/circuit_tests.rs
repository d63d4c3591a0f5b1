//! One circuit by itself, on paused time.

use tokio::time::advance;

use super::*;
use crate::domain::FailureKind;

const SECOND: Duration = Duration::from_secs(1);

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "It failed.")
}

/// Runs turns through `circuit`, one after the other, that fail with these kinds.
fn fail(circuit: &Circuit, kinds: &[FailureKind]) {
    for kind in kinds {
        circuit.admit().unwrap().failed(&failure(*kind));
    }
}

fn opened() -> Circuit {
    let circuit = Circuit::new(3);
    fail(&circuit, &[FailureKind::Overloaded; 3]);
    circuit
}

/// Returns the seconds until the next try.
fn wait(circuit: &Circuit) -> Option<u64> {
    circuit
        .refusal()
        .map(|refusal| refusal.retry_after.unwrap().as_secs())
}

#[tokio::test(start_paused = true)]
async fn consecutive_failures_open_circuit_and_last_error_is_returned() {
    let circuit = Circuit::new(3);
    fail(&circuit, &[FailureKind::Upstream, FailureKind::RateLimited]);
    assert_eq!(circuit.refusal(), None);
    fail(&circuit, &[FailureKind::SignIn]);
    let refusal = circuit.admit().unwrap_err();
    assert_eq!(
        (refusal.kind, refusal.retry_after),
        (FailureKind::SignIn, Some(SECOND))
    );
    insta::assert_snapshot!(refusal.message, @"It failed. After 3 failures in a row this server holds calls back; the next try is in 1 s.");
}

#[tokio::test(start_paused = true)]
async fn success_resets_failure_count_and_dropped_turn_does_not_count() {
    let circuit = Circuit::new(2);
    fail(&circuit, &[FailureKind::Overloaded]);
    circuit.admit().unwrap().succeeded();
    fail(&circuit, &[FailureKind::Overloaded]);
    drop(circuit.admit().unwrap());
    assert_eq!(circuit.refusal(), None);
    fail(&circuit, &[FailureKind::Overloaded]);
    assert!(circuit.refusal().is_some());
}

#[tokio::test(start_paused = true)]
async fn single_probe_closes_the_circuit() {
    let circuit = opened();
    advance(SECOND).await;
    assert_eq!(
        circuit.refusal(),
        None,
        "readiness stays green, or no probe would come"
    );
    let probe = circuit.admit().unwrap();
    assert_eq!(circuit.admit().unwrap_err().retry_after, Some(SECOND));
    probe.succeeded();
    fail(&circuit, &[FailureKind::Overloaded; 2]);
    assert_eq!(circuit.refusal(), None, "the row begins anew");
}

#[tokio::test(start_paused = true)]
async fn failed_probe_doubles_the_wait() {
    let circuit = opened();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let seconds = wait(&circuit).unwrap();
        waits.push(seconds);
        advance(SECOND * u32::try_from(seconds).unwrap()).await;
        fail(&circuit, &[FailureKind::Upstream]);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn dropped_probe_is_followed_by_another() {
    let circuit = opened();
    advance(SECOND).await;
    drop(circuit.admit().unwrap());
    let probe = circuit.admit().unwrap();
    let other = circuit.admit().unwrap();
    assert!(circuit.admit().is_err(), "two of them now");
    drop(other);
    circuit
        .admit()
        .unwrap()
        .failed(&failure(FailureKind::Overloaded));
    assert_eq!(wait(&circuit), Some(2));
    probe.failed(&failure(FailureKind::Overloaded));
    assert_eq!(wait(&circuit), Some(2), "the outage is known already");
}

/// A request whose turns are all dropped when one of them is refused.
#[tokio::test(start_paused = true)]
async fn request_of_many_turns_passes_after_retries() {
    let circuit = opened();
    advance(SECOND).await;
    let mut tries = 1;
    let passes = loop {
        match (0..16)
            .map(|_| circuit.admit())
            .collect::<Result<Vec<_>, _>>()
        {
            Ok(passes) => break passes,
            Err(_) => tries += 1,
        }
    };
    assert_eq!(tries, 5);
    passes.into_iter().for_each(CircuitPass::succeeded);
    assert_eq!(circuit.refusal(), None);
}

#[tokio::test(start_paused = true)]
async fn retry_after_of_upstream_lengthens_the_wait_within_bounds() {
    for (requested, reported, waited) in [(0, 1, 1), (7, 7, 7), (200, 200, 200), (3600, 3600, 300)]
    {
        let circuit = Circuit::new(1);
        let limited = Failure {
            retry_after: Some(SECOND * requested),
            ..failure(FailureKind::RateLimited)
        };
        circuit.admit().unwrap().failed(&limited);
        assert_eq!(wait(&circuit), Some(reported));
        advance(SECOND * (waited - 1)).await;
        assert_eq!(wait(&circuit), Some(reported - u64::from(waited) + 1));
        advance(SECOND).await;
        let _probe = circuit.admit().expect("it is time for the next try");
        assert_eq!(
            wait(&circuit),
            Some((reported - u64::from(waited)).max(1)),
            "while that is under way"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn circuit_beside_others_waits_for_the_time_that_upstream_names() {
    const DAYS: u32 = 3 * 24 * 3600;
    let circuit = Circuit::with_requested_waits(1);
    let limited = Failure {
        retry_after: Some(SECOND * DAYS),
        ..failure(FailureKind::RateLimited)
    };
    circuit.admit().unwrap().failed(&limited);
    advance(SECOND * (DAYS - 1)).await;
    assert_eq!(wait(&circuit), Some(1));
    advance(SECOND).await;
    let _probe = circuit.admit().expect("the limit has ended");
    assert!(circuit.admit().is_err(), "one turn probes");
}

#[tokio::test(start_paused = true)]
async fn earlier_turns_can_close_but_not_reopen_the_circuit() {
    let circuit = Circuit::new(1);
    let early = circuit.admit().unwrap();
    let late = circuit.admit().unwrap();
    fail(&circuit, &[FailureKind::Overloaded]);
    early.failed(&failure(FailureKind::Overloaded));
    assert_eq!(wait(&circuit), Some(1));
    late.succeeded();
    assert_eq!(circuit.refusal(), None);
}

#[tokio::test(start_paused = true)]
async fn circuit_without_failure_limit_never_opens() {
    let circuit = Circuit::new(0);
    fail(&circuit, &[FailureKind::Overloaded; 50]);
    assert_eq!(circuit.refusal(), None);
}
