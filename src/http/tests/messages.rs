//! Tests of Anthropic's Messages API.

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;

const PATH: &str = "/v1/messages";

fn message_request(stream: bool) -> Request<Body> {
    let body = json!({
        "model": "sonnet", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": stream,
    });
    request("POST", PATH, &[], body.to_string())
}

fn scripted_router(steps: Vec<Step>) -> Router {
    router(state(ScriptedTurns::playing(steps)))
}

/// Returns the status, type and message of an error; also asserts what every error of this API has.
async fn refused(router: Router, request: Request<Body>) -> (u16, String, String) {
    let response = send(router, request).await;
    let status = response.status().as_u16();
    let id = response.headers()["request-id"].clone();
    assert_eq!(id, response.headers()["x-request-id"]);
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["error", "request_id", "type"],
        "{body}"
    );
    assert_eq!(
        (&body["type"], &body["request_id"]),
        (&json!("error"), &json!(id.to_str().unwrap()))
    );
    let text = |field: &str| body["error"][field].as_str().unwrap().to_owned();
    (status, text("type"), text("message"))
}

fn failure(kind: FailureKind) -> Step {
    Step::Fail(Error::Failed(Failure::new(kind, "It failed.")))
}

#[tokio::test]
async fn message_has_anthropics_format() {
    let response = send(scripted_router(greeting_steps()), message_request(false)).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-switchboard-model"], "claude-sonnet-5-5");
    assert_eq!(headers["request-id"], headers["x-request-id"]);
    let body: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(body["content"], json!([{"type": "text", "text": "Hello"}]));
    assert_eq!(
        (&body["model"], &body["stop_reason"]),
        (&json!("sonnet"), &json!("end_turn"))
    );
}

#[tokio::test]
async fn ignored_message_fields_are_listed() {
    let mut body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    body["system"] = json!([{"type": "text", "text": "x-anthropic-billing-header: cch=1"}]);
    let response = send(
        scripted_router(greeting_steps()),
        request("POST", PATH, &[], body.to_string()),
    )
    .await;
    assert_eq!(
        response.headers()["x-switchboard-ignored"],
        "system[] (billing header)"
    );
}

#[tokio::test(start_paused = true)]
async fn message_stream_has_named_events() {
    let silence = Step::Wait(Duration::from_secs(20));
    let response = send(
        scripted_router(vec![
            started(),
            silence,
            text("Hel"),
            text("lo"),
            finished(),
        ]),
        message_request(true),
    )
    .await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let body = body(response).await;
    let events: Vec<_> = body.split_terminator("\n\n").collect();
    for event in &events {
        let (name, data) = event
            .strip_prefix("event: ")
            .unwrap()
            .split_once("\ndata: ")
            .unwrap();
        assert_eq!(serde_json::from_str::<Value>(data).unwrap()["type"], name);
    }
    let names: Vec<_> = events
        .iter()
        .map(|event| event[7..].lines().next().unwrap())
        .collect();
    assert_eq!(
        names.join(" "),
        "message_start ping ping content_block_start content_block_delta content_block_delta \
         content_block_stop message_delta message_stop"
    );
}

#[tokio::test]
async fn late_failure_ends_message_stream_with_error_event() {
    let steps = vec![started(), text("Hel"), failure(FailureKind::Overloaded)];
    let response = send(scripted_router(steps), message_request(true)).await;
    let id = response.headers()["request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = body(response).await;
    let last = body.split_terminator("\n\n").last().unwrap();
    assert_eq!(
        last,
        format!(
            "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\
             \"message\":\"It failed.\"}},\"request_id\":\"{id}\"}}"
        )
    );
}

#[tokio::test]
async fn message_tokens_are_counted() {
    let body =
        json!({"model": "sonnet", "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let response = send(
        scripted_router(vec![]),
        request("POST", "/v1/messages/count_tokens", &[], body.clone()),
    )
    .await;
    assert_eq!(super::body(response).await, r#"{"input_tokens":7}"#);
    let (status, kind, message) =
        refused(scripted_router(vec![]), request("POST", PATH, &[], body)).await;
    assert_eq!(
        (status, kind.as_str(), message.as_str()),
        (400, "invalid_request_error", "`max_tokens` is missing.")
    );
}

#[tokio::test]
async fn message_failures_have_type_by_status() {
    for (kind, expected) in [
        (FailureKind::InvalidRequest, (400, "invalid_request_error")),
        (FailureKind::SignIn, (401, "authentication_error")),
        (FailureKind::UnknownModel, (404, "not_found_error")),
        (FailureKind::RateLimited, (429, "rate_limit_error")),
        (FailureKind::Upstream, (502, "api_error")),
        (FailureKind::Overloaded, (503, "overloaded_error")),
        (FailureKind::TimedOut, (504, "timeout_error")),
    ] {
        for stream in [false, true] {
            let (status, name, message) = refused(
                scripted_router(vec![failure(kind)]),
                message_request(stream),
            )
            .await;
            assert_eq!((status, name.as_str()), expected);
            assert_eq!(message, "It failed.");
        }
    }
}

/// Errors of layers have the same format as errors of handlers.
#[tokio::test]
async fn errors_of_layers_have_anthropics_format() {
    let answering = || scripted_router(greeting_steps());
    let outcome = async |router: Router, request: Request<Body>| {
        let (status, kind, _) = refused(router, request).await;
        format!("{status} {kind}")
    };
    let keyless = with_keys(ScriptedTurns::playing([]));
    assert_eq!(
        outcome(keyless, message_request(false)).await,
        "401 authentication_error"
    );
    let get = request("GET", PATH, &[], Body::empty());
    assert_eq!(outcome(answering(), get).await, "405 invalid_request_error");
    let large = request("POST", PATH, &[], "x".repeat(1001));
    assert_eq!(outcome(answering(), large).await, "413 request_too_large");
    let foreign = request("POST", PATH, &[("origin", "https://evil.example")], "{}");
    assert_eq!(outcome(answering(), foreign).await, "403 permission_error");
    assert_eq!(
        outcome(scripted_router(vec![Step::Panic]), message_request(false)).await,
        "500 api_error"
    );
    let unknown = request("POST", "/v1/messages/others", &[], "{}");
    assert_eq!(outcome(answering(), unknown).await, "404 not_found_error");
    let version = [("anthropic-version", "2023-06-01")];
    let doubled = request("POST", "/v1/v2/messages", &version, "{}");
    let (status, kind, message) = refused(answering(), doubled).await;
    assert_eq!((status, kind.as_str()), (404, "not_found_error"));
    assert!(
        message.contains("/v1/messages;") && message.contains("base URL"),
        "{message}"
    );

    let other = request("POST", "/v1/messages_of_others", &[], "{}");
    assert_eq!(
        error(send(answering(), other).await).await.1["code"],
        "unknown_url"
    );
}

#[tokio::test]
async fn key_is_accepted_in_x_api_key() {
    let body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let request = request("POST", PATH, &[("x-api-key", "secret-1")], body.to_string());
    let response = send(with_keys(ScriptedTurns::playing(greeting_steps())), request).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn models_have_anthropics_format_for_its_clients() {
    let version = [("anthropic-version", "2023-06-01")];
    let get = async |path: &str| {
        let response = send(
            scripted_router(vec![]),
            request("GET", path, &version, Body::empty()),
        )
        .await;
        assert!(response.headers().contains_key("request-id"));
        serde_json::from_str::<Value>(&body(response).await).unwrap()
    };
    let list = get("/v1/models").await;
    assert_eq!(
        (&list["first_id"], &list["has_more"]),
        (&json!("sonnet"), &json!(false))
    );
    assert_eq!(list["data"][1], get("/v1/models/team/large%20model").await);
    assert_eq!(list["data"][1]["type"], "model");
    assert_eq!(
        get("/v1/models/gemini-9").await["error"]["type"],
        "not_found_error"
    );
}

#[tokio::test]
async fn shutdown_ends_message_answers_with_an_error() {
    let state = state(ScriptedTurns::playing([started(), Step::Hang]));
    let whole = refused(router(state.clone()), message_request(false));
    let stop = async {
        tokio::task::yield_now().await;
        state.drain_expired.0.cancel();
    };
    let (whole, ()) = tokio::join!(whole, stop);
    assert_eq!((whole.0, whole.1.as_str()), (503, "overloaded_error"));
}
