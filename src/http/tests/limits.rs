//! Tests of rate limits as callers see them.

use super::*;

/// Returns the rate-limit headers, with their common prefix removed.
fn rate_limit_headers(response: &Response) -> String {
    let headers = response.headers().iter().filter_map(|(name, value)| {
        Some(format!(
            "{} {}",
            name.as_str().strip_prefix("x-ratelimit-")?,
            value.to_str().unwrap()
        ))
    });
    let mut headers: Vec<_> = headers.collect();
    headers.sort();
    headers.join(", ")
}

#[tokio::test(start_paused = true)]
async fn requests_over_the_rate_limit_get_429_until_retry_after() {
    let rates = Rates {
        requests_per_minute: Some(2),
        ..Rates::default()
    };
    let router = router_with_rates(ScriptedTurns::playing(greeting_steps()), rates).await;
    for expected in [
        "limit-requests 2, remaining-requests 1, reset-requests 30s",
        "limit-requests 2, remaining-requests 0, reset-requests 1m0s",
    ] {
        let response = send(router.clone(), post(&chat(false))).await;
        assert_eq!(
            (response.status(), rate_limit_headers(&response).as_str()),
            (StatusCode::OK, expected)
        );
    }
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses"] {
        let mut fields =
            json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
        if path == "/v1/responses" {
            fields = json!({"model": "m", "input": "Hi"});
        }
        let response = send(
            router.clone(),
            request("POST", path, &[], fields.to_string()),
        )
        .await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert_eq!(response.headers()["retry-after"], "30");
        assert_eq!(response.headers()["retry-after-ms"], "30000");
        assert_eq!(
            rate_limit_headers(&response),
            "limit-requests 2, remaining-requests 0, reset-requests 1m0s"
        );
        assert!(
            body(response)
                .await
                .contains("The limit of this key is 2 requests a minute.")
        );
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        send(router, post(&chat(true))).await.status(),
        StatusCode::OK
    );
}

#[tokio::test(start_paused = true)]
async fn unused_tokens_are_credited_back() {
    let rates = Rates {
        tokens_per_minute: Some(1000),
        ..Rates::default()
    };
    let router = router_with_rates(ScriptedTurns::playing(greeting_steps()), rates).await;
    let mut fields = chat(false);
    fields["max_tokens"] = json!(900);
    let first = send(router.clone(), post(&fields)).await;
    let remaining = |response: &Response| {
        let value = response.headers()["x-ratelimit-remaining-tokens"]
            .to_str()
            .unwrap()
            .to_owned();
        value.parse::<u32>().unwrap()
    };
    assert!(remaining(&first) < 100, "{}", rate_limit_headers(&first));
    fields["max_tokens"] = json!(1);
    let second = send(router.clone(), post(&fields)).await;
    assert!(
        remaining(&second) > 900,
        "the greeting had 5 tokens: {}",
        rate_limit_headers(&second)
    );

    fields["max_tokens"] = json!(2000);
    let response = send(router, post(&fields)).await;
    assert_eq!(response.headers()["x-should-retry"], "false");
    let (status, error) = error(response).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (429, &json!("rate_limit_exceeded"))
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("it can never pass"),
        "{error}"
    );
}

#[tokio::test]
async fn concurrent_request_counts_until_response_ends_or_client_leaves() {
    let rates = Rates {
        concurrent_requests: Some(1),
        ..Rates::default()
    };
    let router = router_with_rates(
        ScriptedTurns::playing(vec![started(), text("a"), Step::Hang]),
        rates,
    )
    .await;
    let mut running = send(router.clone(), post(&chat(true))).await;
    running.body_mut().frame().await.unwrap().unwrap();
    let (status, error) = error(send(router.clone(), post(&chat(true))).await).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (429, &json!("rate_limit_exceeded"))
    );
    drop(running);
    assert_eq!(
        send(router, post(&chat(true))).await.status(),
        StatusCode::OK
    );
}

/// Returns a body that never yields data.
fn silent() -> Body {
    Body::from_stream(stream::pending::<Result<bytes::Bytes, std::io::Error>>())
}

#[tokio::test(start_paused = true)]
async fn rate_limit_is_checked_before_the_body_is_read() {
    let rates = Rates {
        requests_per_minute: Some(1),
        ..Rates::default()
    };
    let router = router_with_rates(ScriptedTurns::playing(greeting_steps()), rates).await;
    assert_eq!(
        send(router.clone(), post(&chat(false))).await.status(),
        StatusCode::OK
    );
    for path in [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/responses/input_tokens",
        "/v1/responses/compact",
        "/v1/sessions/any/messages",
        "/v1/batch",
    ] {
        // Waiting for the body would end with a 408.
        let response = send(router.clone(), request("POST", path, &[], silent())).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_is_checked_before_the_body_is_read() {
    let rates = Rates {
        concurrent_requests: Some(1),
        ..Rates::default()
    };
    let router = router_with_rates(ScriptedTurns::playing(greeting_steps()), rates).await;
    let unfinished = || request("POST", "/v1/chat/completions", &[], silent());
    let mut first = Box::pin(send(router.clone(), unfinished()));
    assert!(futures::poll!(&mut first).is_pending());
    let second = send(router.clone(), unfinished()).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    let third = send(router, post(&chat(false))).await;
    assert_eq!(third.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn invalid_request_counts_and_releases_its_slot() {
    let rates = Rates {
        requests_per_minute: Some(2),
        concurrent_requests: Some(1),
        ..Rates::default()
    };
    let router = router_with_rates(ScriptedTurns::playing(greeting_steps()), rates).await;
    for expected in [400, 400, 429] {
        let response = send(
            router.clone(),
            request("POST", "/v1/chat/completions", &[], "{"),
        )
        .await;
        assert_eq!(response.status().as_u16(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn request_counts_once_per_turn() {
    let rates = Rates {
        requests_per_minute: Some(5),
        ..Rates::default()
    };
    let router = router_with_rates(ScriptedTurns::playing(greeting_steps()), rates).await;
    let mut three = chat(false);
    three["n"] = json!(3);
    assert_eq!(
        send(router.clone(), post(&three)).await.status(),
        StatusCode::OK
    );
    let background = json!({"model": "sonnet", "input": "Hi", "background": true});
    let created = send(
        router.clone(),
        request("POST", "/v1/responses", &[], background.to_string()),
    )
    .await;
    let created: Value = serde_json::from_str(&body(created).await).unwrap();
    let path = format!("/v1/responses/{}", created["id"].as_str().unwrap());
    loop {
        let now = send(router.clone(), request("GET", &path, &[], Body::empty())).await;
        let now: Value = serde_json::from_str(&body(now).await).unwrap();
        if now["status"] != "queued" && now["status"] != "in_progress" {
            assert_eq!(now["status"], "completed", "{now}");
            break;
        }
        tokio::task::yield_now().await;
    }
    let last = send(router, post(&chat(false))).await;
    assert!(
        rate_limit_headers(&last).contains("remaining-requests 0"),
        "{}",
        rate_limit_headers(&last)
    );
}

#[tokio::test(start_paused = true)]
async fn token_count_counts_as_a_request() {
    for path in ["/v1/messages/count_tokens", "/v1/responses/input_tokens"] {
        let rates = Rates {
            requests_per_minute: Some(1),
            concurrent_requests: Some(1),
            ..Rates::default()
        };
        let router = router_with_rates(ScriptedTurns::playing(greeting_steps()), rates).await;
        let fields = json!({"model": "sonnet", "messages": [{"role": "user", "content": "Hi"}]});
        let input = json!({"model": "sonnet", "input": "Hi"});
        let fields = if path.contains("messages") {
            fields
        } else {
            input
        };
        for expected in [200, 429] {
            let response = send(
                router.clone(),
                request("POST", path, &[], fields.to_string()),
            )
            .await;
            assert_eq!(response.status().as_u16(), expected, "{path}");
        }
    }
}
