//! Tests of idempotency keys: what is answered again, joined, refused or run anew.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;
use tokio::time::timeout;

use super::*;
use crate::domain::ClaimedWork;
use crate::domain::Failure;
use crate::domain::FailureKind;

const KEY: &str = "idempotency-key";

/// Turns that are charged as soon as they begin, with their number.
fn charged(steps: Vec<Step>) -> (ScriptedTurns, Arc<AtomicUsize>) {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let turns = ScriptedTurns::new(move |caller, _| {
        count.fetch_add(1, Relaxed);
        caller.claim.begin(ClaimedWork::Run).charge();
        Ok(play(steps.clone()))
    });
    (turns, runs)
}

fn keyed(key: &str, body: &Value) -> Request<Body> {
    request(
        "POST",
        "/v1/chat/completions",
        &[(KEY, key)],
        body.to_string(),
    )
}

fn overloaded() -> Error {
    Error::Failed(Failure::new(
        FailureKind::Overloaded,
        "Anthropic is overloaded.",
    ))
}

fn after(seconds: u64, steps: Vec<Step>) -> Vec<Step> {
    let mut all = vec![Step::Wait(Duration::from_secs(seconds))];
    all.extend(steps);
    all
}

/// Sends a request and leaves after `seconds` without an answer.
async fn send_and_leave(router: &Router, request: Request<Body>, seconds: u64) {
    let sending = Box::pin(send(router.clone(), request));
    let left = timeout(Duration::from_secs(seconds), sending).await;
    assert!(left.is_err(), "the answer has begun");
}

#[tokio::test]
async fn repeated_request_gets_the_same_answer_and_runs_once() {
    for is_streamed in [false, true] {
        let (turns, runs) = charged(greeting_steps());
        let router = router(state(turns));
        let first = send(router.clone(), keyed("k", &chat(is_streamed))).await;
        assert!(!first.headers().contains_key("idempotent-replayed"));
        let id = first.headers()["x-request-id"].clone();
        let media_type = first.headers()["content-type"].clone();
        let first = body(first).await;
        for _ in 0..2 {
            let again = send(router.clone(), keyed("k", &chat(is_streamed))).await;
            let headers = again.headers();
            assert_eq!(headers["idempotent-replayed"], "true");
            assert_eq!(headers["x-switchboard-first-request-id"], id);
            assert_ne!(headers["x-request-id"], id);
            assert_eq!(headers["content-type"], media_type);
            assert_eq!(headers["x-switchboard-model"], "claude-sonnet-5-5");
            assert_eq!(body(again).await, first);
        }
        assert_eq!(runs.load(Relaxed), 1);
        let other = send(router.clone(), keyed("other", &chat(is_streamed))).await;
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(runs.load(Relaxed), 2, "another key is another request");
    }
}

#[tokio::test]
async fn key_with_another_body_is_refused() {
    let (turns, runs) = charged(greeting_steps());
    let router = router(state(turns));
    body(send(router.clone(), keyed("k", &chat(false))).await).await;
    let (status, refusal) = error(send(router.clone(), keyed("k", &chat(true))).await).await;
    assert_eq!(
        (status.as_u16(), &refusal["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test]
async fn keys_of_two_callers_are_independent() {
    let (turns, runs) = charged(greeting_steps());
    let router = with_keys(turns);
    for secret in ["Bearer secret-1", "Bearer secret-2"] {
        let headers = [(KEY, "k"), ("authorization", secret)];
        let request = request(
            "POST",
            "/v1/chat/completions",
            &headers,
            chat(false).to_string(),
        );
        let answer = send(router.clone(), request).await;
        assert!(!answer.headers().contains_key("idempotent-replayed"));
        body(answer).await;
    }
    assert_eq!(runs.load(Relaxed), 2);
}

#[tokio::test]
async fn malformed_key_is_refused_where_keys_are_taken() {
    let router = router(state(ScriptedTurns::playing(greeting_steps())));
    let long = "k".repeat(256);
    for key in ["", "two words", long.as_str()] {
        let (status, refusal) = error(send(router.clone(), keyed(key, &chat(false))).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{key}");
        assert_eq!(refusal["param"], KEY);
    }
    let free = request("GET", "/v1/models", &[(KEY, "two words")], Body::empty());
    assert_eq!(send(router, free).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn request_joins_the_one_that_runs() {
    for is_streamed in [false, true] {
        let (turns, runs) = charged(after(5, greeting_steps()));
        let router = router(state(turns));
        let both = futures::future::join(
            async { body(send(router.clone(), keyed("k", &chat(is_streamed))).await).await },
            async {
                let second = send(router.clone(), keyed("k", &chat(is_streamed))).await;
                assert_eq!(second.headers()["idempotent-replayed"], "true");
                body(second).await
            },
        );
        let (first, second) = both.await;
        assert_eq!(first, second);
        assert!(first.contains("lo"), "{first}");
        assert_eq!(runs.load(Relaxed), 1);
    }
}

#[tokio::test]
async fn refused_request_leaves_its_key_free() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let turns = ScriptedTurns::new(move |_, _| match count.fetch_add(1, Relaxed) {
        0 => Err(overloaded()),
        _ => Ok(play(greeting_steps())),
    });
    let router = router(state(turns));
    let refused = send(router.clone(), keyed("k", &chat(false))).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answered = send(router, keyed("k", &chat(false))).await;
    assert_eq!(answered.status(), StatusCode::OK);
    assert!(!answered.headers().contains_key("idempotent-replayed"));
    assert_eq!(runs.load(Relaxed), 2);
}

#[tokio::test]
async fn batch_of_failed_requests_leaves_its_key_free() {
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let turns = ScriptedTurns::new(move |_, _| match count.fetch_add(1, Relaxed) {
        0 => Err(overloaded()),
        _ => Ok(play(greeting_steps())),
    });
    let router = router(state(turns));
    let fields = json!({"requests": [{"model": "sonnet", "prompt": "Hi"}]});
    for expected in ["failed", "completed"] {
        let batch = request("POST", "/v1/batch", &[(KEY, "k")], fields.to_string());
        let answer = send(router.clone(), batch).await;
        let answer: Value = serde_json::from_str(&body(answer).await).unwrap();
        assert_eq!(answer["results"][0]["status"], expected);
    }
    assert_eq!(runs.load(Relaxed), 2);
}

#[tokio::test]
async fn charged_error_is_repeated_and_not_to_be_retried() {
    let (turns, runs) = charged(vec![started(), Step::Fail(overloaded())]);
    let router = router(state(turns));
    let failed = send(router.clone(), keyed("k", &chat(false))).await;
    let status = failed.status();
    let first = body(failed).await;
    let again = send(router, keyed("k", &chat(false))).await;
    assert_eq!(again.status(), status);
    assert_eq!(again.headers()["x-should-retry"], "false");
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(body(again).await, first);
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn retry_joins_a_request_whose_client_has_left() {
    for is_streamed in [false, true] {
        let (turns, runs) = charged(after(5, greeting_steps()));
        let router = router(state(turns));
        send_and_leave(&router, keyed("k", &chat(is_streamed)), 1).await;
        let retried = send(router, keyed("k", &chat(is_streamed))).await;
        assert_eq!(retried.headers()["idempotent-replayed"], "true");
        assert!(body(retried).await.contains("lo"));
        assert_eq!(runs.load(Relaxed), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn each_client_that_leaves_leaves_time_for_another_retry() {
    let (turns, runs) = charged(after(25, greeting_steps()));
    let router = router(state(turns));
    for seconds in [8, 6] {
        send_and_leave(&router, keyed("k", &chat(false)), seconds).await;
        sleep(Duration::from_secs(3)).await;
    }
    // The time that the first client left is over since two seconds.
    let retried = send(router, keyed("k", &chat(false))).await;
    assert_eq!(retried.status(), StatusCode::OK);
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn retry_joins_its_request_at_the_limit_of_concurrent_requests() {
    let (turns, runs) = charged(after(5, greeting_steps()));
    let rates = Rates {
        concurrent_requests: Some(1),
        ..Rates::default()
    };
    let router = router_with_rates(turns, rates).await;
    send_and_leave(&router, keyed("k", &chat(false)), 1).await;
    let other = send(router.clone(), keyed("other", &chat(false))).await;
    assert_eq!(other.status(), StatusCode::TOO_MANY_REQUESTS);
    let retried = send(router, keyed("k", &chat(false))).await;
    assert_eq!(retried.status(), StatusCode::OK);
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn request_without_a_retry_ends_after_its_time() {
    let (turns, runs) = charged(vec![Step::Hang]);
    let mut running = turns.watch_running();
    let router = router(state(turns));
    let begun = Instant::now();
    send_and_leave(&router, keyed("k", &chat(false)), 1).await;
    running.wait_for(|running| *running == 0).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 1 + 10);
    let refused = send(router.clone(), keyed("k", &chat(false))).await;
    assert_eq!(refused.headers()["x-should-retry"], "false");
    let (status, refusal) = error(refused).await;
    assert_eq!(
        (status.as_u16(), &refusal["code"]),
        (409, &json!("idempotency_interrupted"))
    );
    let (status, refusal) = error(send(router, keyed("k", &chat(true))).await).await;
    assert_eq!(status.as_u16(), 422, "{refusal}");
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test]
async fn stream_that_has_begun_ends_with_its_client() {
    let (turns, runs) = charged(vec![started(), text("Hel"), Step::Hang]);
    let mut running = turns.watch_running();
    let router = router(state(turns));
    let mut response = send(router.clone(), keyed("k", &chat(true))).await;
    response.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(*running.borrow_and_update(), 1);
    drop(response);
    running.wait_for(|running| *running == 0).await.unwrap();
    let (_, refusal) = error(send(router, keyed("k", &chat(true))).await).await;
    assert_eq!(refusal["code"], "idempotency_interrupted");
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test]
async fn stream_goes_on_for_a_reader_that_has_joined() {
    let (turns, runs) = charged(vec![started(), text("Hel"), text("lo"), finished()]);
    let router = router(state(turns));
    let mut first = send(router.clone(), keyed("k", &chat(true))).await;
    first.body_mut().frame().await.unwrap().unwrap();
    let second = send(router, keyed("k", &chat(true))).await;
    drop(first);
    let second = body(second).await;
    assert!(
        second.contains("Hel") && second.contains("[DONE]"),
        "{second}"
    );
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test]
async fn answer_that_is_too_large_reaches_its_client_and_is_not_sent_again() {
    let long = "a".repeat(70 * 1024);
    let (turns, runs) = charged(vec![started(), text("b"), text(&long), finished()]);
    let router = router(state(turns));
    let first = body(send(router.clone(), keyed("k", &chat(true))).await).await;
    assert!(first.contains(&long) && first.contains("[DONE]"));
    let (status, refusal) = error(send(router, keyed("k", &chat(true))).await).await;
    assert_eq!(
        (status.as_u16(), &refusal["code"]),
        (409, &json!("idempotency_answer_not_kept"))
    );
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test]
async fn answer_is_sent_again_by_the_next_start_of_the_server() {
    let store = Store::in_memory(TaskTracker::new());
    let (turns, runs) = charged(greeting_steps());
    let first_start = state(turns);
    let again = |turns: ScriptedTurns| {
        let started = state(turns);
        AppState {
            services: ApiServices {
                idempotency: IdempotencyClaims::over(&store),
                ..started.services
            },
            ..started
        }
    };
    let first_start = AppState {
        services: ApiServices {
            idempotency: IdempotencyClaims::over(&store),
            ..first_start.services
        },
        ..first_start
    };
    let first = body(send(router(first_start), keyed("k", &chat(true))).await).await;
    // Let the answer be recorded, which is a task of its own.
    timeout(Duration::from_secs(60), async {
        loop {
            let (turns, others) = charged(vec![Step::Fail(overloaded())]);
            let replayed = send(router(again(turns)), keyed("k", &chat(true))).await;
            if replayed.status() == StatusCode::OK {
                assert_eq!(body(replayed).await, first);
                assert_eq!(others.load(Relaxed), 0);
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(runs.load(Relaxed), 1);
}

#[tokio::test]
async fn answer_to_a_request_with_no_store_is_not_kept() {
    let (turns, runs) = charged(greeting_steps());
    let router = router(state(turns));
    let ask = || {
        let headers = [(KEY, "k"), ("cache-control", "no-store")];
        let body = chat(false).to_string();
        send(
            router.clone(),
            request("POST", "/v1/chat/completions", &headers, body),
        )
    };
    assert_eq!(ask().await.status(), StatusCode::OK);
    timeout(Duration::from_secs(60), async {
        // Until the end of the first request is recorded, its answer is in memory.
        while ask().await.status() == StatusCode::OK {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let (_, refusal) = error(ask().await).await;
    assert_eq!(refusal["code"], "idempotency_answer_not_kept");
    assert_eq!(runs.load(Relaxed), 1);
}
