//! Faults of a worker: the client gets the answer or a clear error in time, and the next request is
//! answered.

use std::time::Duration;

use crate::support::TestServer;

/// Maximum time of a request. It exceeds the sum of the timeouts set below: a silent turn, its
/// reset and the start of a new worker.
const MAX_TIME: Duration = Duration::from_secs(10);

const ANSWER: &str = "w0 w1 w2 w3 w4 | stop";

/// Fate of the worker after a turn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum WorkerOutcome {
    Kept,
    Replaced,
}

use WorkerOutcome::{Kept, Replaced};

fn with_short_timeouts() -> crate::support::Builder {
    let server = TestServer::fake()
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__EVENT_TIMEOUT_SECONDS", 1);
    server.set("SWITCHBOARD_CLAUDE__CONTROL_TIMEOUT_SECONDS", 1)
}

/// Sends each prompt to a used worker, and an ordinary prompt after it. Asserts the outcomes of the
/// turn and of the worker.
async fn assert_outcomes(cases: &[(&str, &str, WorkerOutcome)]) {
    let server = with_short_timeouts().start().await;
    for (prompt, expected, worker_outcome) in cases {
        let worker = server.only_worker().await;
        let outcome = tokio::time::timeout(MAX_TIME, server.chat(prompt).streamed_outcome()).await;
        assert_eq!(outcome.expect(prompt), *expected, "{prompt}");
        let next = tokio::time::timeout(MAX_TIME, server.chat("[[tokens=1]]").send()).await;
        assert_eq!(next.expect(prompt).text(), "w0 ", "after {prompt}");
        let actual = if server.only_worker().await == worker {
            Kept
        } else {
            Replaced
        };
        assert_eq!(actual, *worker_outcome, "the worker of {prompt}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_turns_time_out_and_slow_turns_are_answered() {
    assert_outcomes(&[
        ("[[stall_at=2]]", "w0 w1 | server_error timeout", Replaced),
        (
            "[[stall_at=2 interrupt_ignored]]",
            "w0 w1 | server_error timeout",
            Replaced,
        ),
        ("[[ttft_ms=5000]]", "504 server_error timeout", Replaced),
        ("[[queue_ms=5000]]", "504 server_error timeout", Replaced),
        ("[[no_newline=3M]]", "w0 | server_error timeout", Replaced),
        ("[[queue_ms=300]]", ANSWER, Kept),
        ("[[ttft_ms=300 gap_ms=300]]", ANSWER, Kept),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_cannot_be_reset_is_replaced() {
    assert_outcomes(&[
        ("[[hang_after_result]]", ANSWER, Replaced),
        ("[[no_result]]", ANSWER, Replaced),
        ("[[rewind_fails]]", ANSWER, Replaced),
        ("[[rewind_fails=turn_running]]", ANSWER, Replaced),
        ("[[rewind_slow_ms=5000]]", ANSWER, Replaced),
        ("[[rewind_slow_ms=300]]", ANSWER, Kept),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_errors_map_to_client_errors() {
    assert_outcomes(&[
        (
            "[[api_error=rate_limit]]",
            "429 rate_limit_error rate_limit_exceeded",
            Kept,
        ),
        (
            "[[api_error=overloaded]]",
            "503 server_error overloaded",
            Kept,
        ),
        (
            "[[api_error=authentication_failed]]",
            "401 authentication_error sign_in_failed",
            Kept,
        ),
        (
            "[[api_error=billing_error]]",
            "401 authentication_error sign_in_failed",
            Kept,
        ),
        (
            "[[api_error=model_not_found]]",
            "404 invalid_request_error model_not_found",
            Kept,
        ),
        (
            "[[api_error=invalid_request]]",
            "400 invalid_request_error -",
            Kept,
        ),
        (
            "[[api_error=server_error]]",
            "502 server_error upstream_error",
            Kept,
        ),
        (
            "[[api_error=brand_new]]",
            "502 server_error upstream_error",
            Kept,
        ),
        (
            "[[api_error=rate_limit dup_result]]",
            "429 rate_limit_error rate_limit_exceeded",
            Kept,
        ),
        (
            "[[api_error=overloaded hang_after_result]]",
            "503 server_error overloaded",
            Replaced,
        ),
        ("[[api_retry=3]]", ANSWER, Kept),
        (
            "[[api_retry=3 api_error=overloaded]]",
            "503 server_error overloaded",
            Kept,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unexpected_lines_do_not_change_the_answer() {
    assert_outcomes(&[
        ("[[dup_result]]", ANSWER, Kept),
        ("[[result_is_error]]", ANSWER, Kept),
        ("[[negative_cost]]", ANSWER, Kept),
        ("[[nan_cost]]", ANSWER, Kept),
        ("[[nan_cost=bare]]", ANSWER, Kept),
        ("[[nan_cost=huge]]", ANSWER, Kept),
        ("[[noise_on_stdout]]", ANSWER, Kept),
        ("[[noise_on_stdout=types]]", ANSWER, Kept),
        ("[[bad_json_at=2]]", ANSWER, Kept),
        ("[[interleave_session]]", ANSWER, Kept),
        ("[[interleave_session=result]]", ANSWER, Kept),
        ("[[stderr_flood]]", ANSWER, Kept),
    ])
    .await;
}

/// An interrupt does not stop a turn that is still queued, so the server waits for the turn to
/// start.
#[tokio::test(flavor = "multi_thread")]
async fn disconnect_before_the_start_of_the_turn_frees_the_worker() {
    let server = with_short_timeouts().start().await;
    for (delay, outcome) in [(300, Kept), (5000, Replaced)] {
        let worker = server.only_worker().await;
        let prompt = format!("[[queue_ms={delay} ttft_ms=600000]]");
        let left =
            tokio::time::timeout(Duration::from_millis(100), server.chat(&prompt).send()).await;
        assert!(
            left.is_err(),
            "the client disconnects before the turn starts"
        );
        assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
        let actual = if server.only_worker().await == worker {
            Kept
        } else {
            Replaced
        };
        assert_eq!(actual, outcome, "after {delay} ms in the queue");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_that_ignores_an_interrupt_is_replaced() {
    let server = with_short_timeouts().start().await;
    for mode in ["interrupt_ignored", "interrupt_ignored=answered"] {
        let worker = server.only_worker().await;
        let mut stream = server
            .chat(&format!("[[stall_at=1 {mode}]]"))
            .stream()
            .await;
        stream.next_text().await;
        drop(stream);
        let next = tokio::time::timeout(MAX_TIME, server.chat("[[tokens=1]]").send()).await;
        assert_eq!(next.expect(mode).text(), "w0 ");
        assert_ne!(server.only_worker().await, worker, "{mode}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_on_stderr_does_not_stall_turns() {
    let server = TestServer::fake()
        .workers(1)
        .set("FAKE_CLAUDE_STDERR_FLOOD", 1)
        .start()
        .await;
    let worker = server.only_worker().await;
    for _ in 0..5 {
        let outcome =
            tokio::time::timeout(MAX_TIME, server.chat("[[stderr_flood]]").streamed_outcome())
                .await;
        assert_eq!(outcome.unwrap(), ANSWER);
    }
    assert_eq!(server.only_worker().await, worker);
    server.end().await;
}
