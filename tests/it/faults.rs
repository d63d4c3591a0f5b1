//! Whatever a worker does wrong, a client gets the answer or a clear error in time, and the next one gets an answer.

use std::time::Duration;

use crate::support::TestServer;

/// Above all that the settings below allow: the silence of a turn, the wait for its reset, the start of a new worker.
const LIMIT: Duration = Duration::from_secs(10);

const ANSWER: &str = "w0 w1 w2 w3 w4 | stop";

/// What becomes of the worker.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Worker {
    Kept,
    Replaced,
}

use Worker::{Kept, Replaced};

fn impatient() -> crate::support::Builder {
    let server = TestServer::fake()
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__EVENT_TIMEOUT_SECONDS", 1);
    server.set("SWITCHBOARD_CLAUDE__CONTROL_TIMEOUT_SECONDS", 1)
}

/// Sends each prompt to a worker that has served another, and another after it.
async fn assert_outcomes(cases: &[(&str, &str, Worker)]) {
    let server = impatient().start().await;
    for (prompt, expected, fate) in cases {
        let worker = server.only_worker().await;
        let told = tokio::time::timeout(LIMIT, server.chat(prompt).told()).await;
        assert_eq!(told.expect(prompt), *expected, "{prompt}");
        let next = tokio::time::timeout(LIMIT, server.chat("[[tokens=1]]").send()).await;
        assert_eq!(next.expect(prompt).text(), "w0 ", "after {prompt}");
        let became = if server.only_worker().await == worker {
            Kept
        } else {
            Replaced
        };
        assert_eq!(became, *fate, "the worker of {prompt}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turns_that_do_not_go_on() {
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
async fn turns_that_do_not_end_or_cannot_be_forgotten() {
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
async fn failed_calls() {
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
async fn lines_that_should_not_be_there() {
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

/// An interrupt does not reach a turn that is only queued: it has to wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_turn_which_has_not_begun() {
    let server = impatient().start().await;
    for (delay, fate) in [(300, Kept), (5000, Replaced)] {
        let worker = server.only_worker().await;
        let prompt = format!("[[queue_ms={delay} ttft_ms=600000]]");
        let left =
            tokio::time::timeout(Duration::from_millis(100), server.chat(&prompt).send()).await;
        assert!(left.is_err(), "the client leaves before the turn has begun");
        assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w0 ");
        let became = if server.only_worker().await == worker {
            Kept
        } else {
            Replaced
        };
        assert_eq!(became, fate, "after {delay} ms in the queue");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_worker_which_does_not_listen() {
    let server = impatient().start().await;
    for deafness in ["interrupt_ignored", "interrupt_ignored=answered"] {
        let worker = server.only_worker().await;
        let mut stream = server
            .chat(&format!("[[stall_at=1 {deafness}]]"))
            .stream()
            .await;
        stream.next_text().await;
        drop(stream);
        let next = tokio::time::timeout(LIMIT, server.chat("[[tokens=1]]").send()).await;
        assert_eq!(next.expect(deafness).text(), "w0 ");
        assert_ne!(server.only_worker().await, worker, "{deafness}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_on_stderr_stalls_nothing() {
    let server = TestServer::fake()
        .workers(1)
        .set("FAKE_CLAUDE_STDERR_FLOOD", 1)
        .start()
        .await;
    let worker = server.only_worker().await;
    for _ in 0..5 {
        let told = tokio::time::timeout(LIMIT, server.chat("[[stderr_flood]]").told()).await;
        assert_eq!(told.unwrap(), ANSWER);
    }
    assert_eq!(server.only_worker().await, worker);
    server.end().await;
}
