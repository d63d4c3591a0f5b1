//! Circuit breaker: while calls to Anthropic fail, the server makes only an occasional probe call.

use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread")]
async fn breaker_opens_after_failures_and_closes_after_a_success() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_CLAUDE__BREAKER_FAILURES", 3)
        .spawn()
        .await;
    for stream in [false, true, false] {
        let answer = server
            .chat("[[status=529]]")
            .with("stream", stream)
            .send()
            .await;
        assert_eq!(answer.error(), "503 server_error overloaded");
    }
    let calls = server.upstream().requests().len();
    for stream in [false, true] {
        let refused = server
            .chat("[[tokens=1]]")
            .with("stream", stream)
            .send()
            .await;
        assert_eq!(refused.error(), "503 server_error overloaded");
        assert!(["1", "2"].contains(&refused.headers["retry-after"].to_str().unwrap()));
    }
    assert_eq!(
        server.upstream().requests().len(),
        calls,
        "no call was made"
    );
    let (status, ready) = server.get("/ready").await;
    assert_eq!(status, 503);
    let problem = ready["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("Anthropic is overloaded") && problem.contains("the next try is in "),
        "{problem}"
    );

    server
        .wait_until("the next probe call is due", |ready| {
            ready["status"] == "ready"
        })
        .await;
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    assert_eq!(
        server.chat("[[status=529]]").send().await.error(),
        "503 server_error overloaded"
    );
    assert_eq!(server.chat("[[tokens=1]]").send().await.text(), "w1");
    let log = server.log();
    assert_eq!(log.matches("circuit breaker opened").count(), 1, "{log}");
    assert_eq!(log.matches("circuit breaker closed").count(), 1, "{log}");
    server.end().await;
}
