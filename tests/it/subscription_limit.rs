//! Limits of a subscription, as the real CLI reports them, reach the client.

use crate::support::{Answer, TestServer};

async fn server_with_subscription() -> TestServer {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("ANTHROPIC_API_KEY", "");
    server
        .set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-made-up")
        .start()
        .await
}

fn retry_after(answer: &Answer) -> u64 {
    answer.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn subscription_limit_sets_retry_after_and_a_warning_is_no_error() {
    let server = server_with_subscription().await;
    for limit in ["allowed", "warning", "rejected"] {
        // The last one is served beyond the limit, at extra cost.
        assert_eq!(
            server
                .chat(&format!("[[tokens=1 limit={limit}]]"))
                .send()
                .await
                .text(),
            "w1",
            "{limit}"
        );
    }
    // The CLI reports a limit once, so the worker must remember it for the second request.
    for prompt in [
        "first [[status=429 limit=rejected limit_reset=600]]",
        "second [[status=429 limit=rejected limit_reset=600]]",
    ] {
        let answer = server.chat(prompt).send().await;
        assert_eq!(answer.error(), "429 rate_limit_error rate_limit_exceeded");
        assert!(
            (590..=600).contains(&retry_after(&answer)),
            "{}",
            retry_after(&answer)
        );
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("is reached until ") && message.contains(" UTC. Try again then."),
            "{message}"
        );
    }
    let short_term = server.chat("[[status=429]]").send().await;
    assert_eq!(
        retry_after(&short_term),
        5,
        "a short-term limit has no reset time"
    );
    assert_eq!(
        server
            .chat("[[tokens=1 limit=allowed]]")
            .send()
            .await
            .text(),
        "w1"
    );
    server.end().await;
}
