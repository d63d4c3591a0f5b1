//! Scripted errors, cuts and stalls.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use messages_stand_in::Outcome;
use serde_json::{Value, json};
use support::{Api, DEADLINE, deltas, events, kinds, request};

#[tokio::test]
async fn error_type_follows_from_the_status() {
    let api = Api::start().await;
    for (status, kind) in [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ] {
        let prompt = format!(r#"[[status={status} message="no \"way\"" retry_after=3]]"#);
        let response = api.send(&request(&prompt, json!({"stream": true}))).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], "3");
        let body: Value = response.json().await.unwrap();
        assert_eq!(
            body,
            json!({"type": "error", "error": {"type": kind, "message": "no \"way\""}})
        );
    }
}

#[tokio::test]
async fn injected_fault_applies_to_every_message_until_it_is_removed() {
    let api = Api::start().await;
    api.stand_in
        .inject("[[status=529 retry_after=2 message=busy]]")
        .unwrap();
    for prompt in ["[[say=one]]", "no directive"] {
        let response = api.send(&request(prompt, json!({}))).await;
        assert_eq!(
            (
                response.status().as_u16(),
                &response.headers()["retry-after"]
            ),
            (529, &"2".parse().unwrap())
        );
    }
    api.stand_in.inject("[[cut_after=1 times=1]]").unwrap();
    let cut = api
        .send(&request("[[say=\"one two\"]]", json!({"stream": true})))
        .await;
    assert!(cut.text().await.is_err());
    assert_eq!(
        api.answer_to("[[say=two]]").await["content"][0]["text"],
        "two",
        "all prompts share the count of an injected fault"
    );
    assert!(api.stand_in.inject("[[status=200]]").is_err());
    api.stand_in.inject("").unwrap();
    assert_eq!(
        api.answer_to("[[say=three]]").await["content"][0]["text"],
        "three"
    );
}

#[tokio::test]
async fn rate_limit_headers_are_sent_with_answers_and_errors() {
    let api = Api::start().await;
    for (limit, expected, status) in [
        ("allowed", "allowed", 200),
        ("warning", "allowed_warning", 200),
        ("rejected", "rejected", 429),
    ] {
        let fault = if status == 429 {
            "status=429"
        } else {
            "tokens=1"
        };
        let response = api
            .send(&request(
                &format!("[[{fault} limit={limit} limit_reset=60]]"),
                json!({}),
            ))
            .await;
        assert_eq!(response.status(), status);
        let header = |name: &str| {
            response.headers()[&format!("anthropic-ratelimit-unified-{name}")]
                .to_str()
                .unwrap()
        };
        assert_eq!(
            (header("status"), header("representative-claim")),
            (expected, "five_hour")
        );
        let reset = UNIX_EPOCH + Duration::from_secs(header("reset").parse().unwrap());
        let wait = reset.duration_since(SystemTime::now()).unwrap();
        assert!(
            wait <= Duration::from_secs(60) && wait > Duration::from_secs(30),
            "{wait:?}"
        );
    }
    let response = api.send(&request("[[tokens=1]]", json!({}))).await;
    assert!(
        !response
            .headers()
            .keys()
            .any(|name| name.as_str().contains("ratelimit"))
    );
}

#[tokio::test]
async fn bad_requests_are_rejected_like_by_the_real_api() {
    let api = Api::start().await;
    for body in [
        json!({"model": "m", "max_tokens": 1}),
        json!({"model": "m", "max_tokens": 1, "messages": []}),
        json!({"messages": [{"role": "user", "content": "x"}]}),
        json!("no object"),
        request("[[tokens=many]]", json!({})),
    ] {
        assert_eq!(api.send(&body).await.status(), 400, "{body}");
    }
    let unknown = api.post("/v1/other", &json!({})).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(
        unknown.json::<Value>().await.unwrap()["error"]["type"],
        "not_found_error"
    );
    let url = format!("{}/v1/messages", api.stand_in.base_url());
    assert_eq!(api.client.get(&url).send().await.unwrap().status(), 405);
    let anonymous = api
        .client
        .post(&url)
        .json(&request("Hi", json!({})))
        .send()
        .await
        .unwrap();
    assert_eq!(anonymous.status(), 401);
    assert_eq!(
        anonymous.json::<Value>().await.unwrap()["error"]["type"],
        "authentication_error"
    );
}

#[tokio::test]
async fn times_limits_a_fault_to_the_first_calls() {
    let api = Api::start().await;
    let statuses = async |prompt: &str| {
        let body = request(prompt, json!({}));
        [
            api.send(&body).await.status(),
            api.send(&body).await.status(),
            api.send(&body).await.status(),
        ]
    };
    assert_eq!(
        statuses("[[status=529 times=2 tokens=1]]").await,
        [529, 529, 200]
    );
    assert_eq!(
        statuses("other words, [[status=529 times=2 tokens=1]]").await,
        [200, 200, 200]
    );
    assert_eq!(
        statuses("[[status=529 times=2 tokens=1 tag=other]]").await,
        [529, 529, 200]
    );
}

#[tokio::test]
async fn cut_closes_the_connection_after_its_deltas() {
    let api = Api::start().await;
    let mut response = api
        .send(&request(
            "[[tokens=9 cut_after=3]]",
            json!({"stream": true}),
        ))
        .await;
    let mut text = String::new();
    let error = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(error.is_some(), "the stream must not end well");
    assert_eq!(deltas(&events(&text), "text"), ["w1", " w2", " w3"]);
    assert_eq!(api.stand_in.requests()[0].outcome, Outcome::Finished);
    // Without streaming, no response arrives at all.
    assert!(
        api.post("/v1/messages", &request("[[cut_after=3]]", json!({})))
            .send()
            .await
            .is_err()
    );
}

#[tokio::test]
async fn error_event_follows_its_deltas() {
    let api = Api::start().await;
    let events = api.stream("[[tokens=9 error_after=2]]").await;
    assert_eq!(deltas(&events, "text"), ["w1", " w2"]);
    assert_eq!(kinds(&events).last(), Some(&"error"));
    assert_eq!(events.last().unwrap()["error"]["type"], "overloaded_error");
    assert_eq!(
        api.send(&request("[[tokens=9 error_after=2]]", json!({})))
            .await
            .status(),
        529
    );
}

#[tokio::test]
async fn stall_lasts_until_the_client_disconnects() {
    let api = Api::start().await;
    for more in [json!({"stream": true}), json!({})] {
        api.stand_in.clear();
        let body = request("[[tokens=9 stall_after=1]]", more);
        let sent = tokio::spawn(api.post("/v1/messages", &body).send());
        api.stand_in.wait_for(1, DEADLINE).await.unwrap();
        if body["stream"] == true {
            let mut response = sent.await.unwrap().unwrap();
            let mut text = String::new();
            while !text.contains("w1") {
                text.push_str(
                    std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap(),
                );
            }
            assert_eq!(api.stand_in.requests()[0].outcome, Outcome::Running);
        } else {
            sent.abort();
        }
        let is_gone = |requests: &[messages_stand_in::RecordedRequest]| {
            requests[0].outcome == Outcome::ClientGone
        };
        api.stand_in.wait_until(DEADLINE, is_gone).await.unwrap();
    }
    assert_eq!(api.stand_in.stats().running, 0);
}

#[tokio::test]
async fn dropping_the_stand_in_closes_its_connections() {
    let api = Api::start().await;
    let mut response = api
        .send(&request(
            "[[tokens=9 stall_after=0]]",
            json!({"stream": true}),
        ))
        .await;
    drop(api.stand_in);
    while let Ok(chunk) = response.chunk().await {
        assert!(chunk.is_some(), "the stream must not end well");
    }
}
