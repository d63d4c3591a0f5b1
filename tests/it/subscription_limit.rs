//! Limits of a subscription, as the real CLI reports them, reach the client.

use serde_json::Value;

use crate::support::{Answer, TestServer, eventually};

const ADMIN: &str = "made-up-admin-key";

async fn server_with_subscription() -> TestServer {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("ANTHROPIC_API_KEY", "");
    server
        .set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-made-up")
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
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

/// Waits until the server shows that `used_percent` of the five hours of its plan are used, and
/// returns its sign-in.
async fn sign_in_with(server: &TestServer, used_percent: u64) -> Value {
    eventually("the use of the plan", || async {
        let request = server.http.get(server.url("/admin/sign-ins"));
        let response = request.bearer_auth(ADMIN).send().await.unwrap();
        let mut found = response.json::<Value>().await.unwrap();
        let sign_in = found["data"][0].take();
        (sign_in["plan_windows"][0]["used_percent"] == used_percent).then_some(sign_in)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn use_of_the_plan_is_shown_as_the_real_cli_reports_it() {
    let server = server_with_subscription().await;
    let prompt = "[[tokens=1 limit=warning limit_reset=7200]]";
    assert_eq!(server.chat(prompt).send().await.text(), "w1");
    let sign_in = sign_in_with(&server, 90).await;
    assert_eq!(sign_in["kind"], "oauth_token");
    assert_eq!(sign_in["refused_until"], Value::Null);
    let window = &sign_in["plan_windows"][0];
    assert_eq!(window["window"], "five_hour");
    assert_eq!(window["left_percent"], 10);
    let prompt = "[[status=429 limit=rejected limit_reset=600]]";
    assert_eq!(server.chat(prompt).send().await.status, 429);
    let sign_in = sign_in_with(&server, 100).await;
    let window = &sign_in["plan_windows"][0];
    assert!(sign_in["refused_until"].is_u64(), "{sign_in}");
    assert_eq!(sign_in["refused_until"], window["resets_at"]);
    server.end().await;
}
