use super::*;

#[tokio::test]
async fn chat_answer_has_headers_and_body() {
    let response = send(
        router(state(ScriptedTurns::playing(greeting_steps()))),
        post(&chat(false)),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-switchboard-model"], "claude-sonnet-5-5");
    let id = headers["x-request-id"].to_str().unwrap();
    assert!(id.starts_with("req_") && id.len() == 36, "{id}");
    assert!(headers.contains_key("openai-processing-ms"));
    let body: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(body["choices"][0]["message"]["content"], "Hello");
    assert_eq!(body["usage"]["total_tokens"], 5);
    assert_eq!(body["model"], "sonnet");
}

#[tokio::test]
async fn valid_request_id_of_client_is_kept() {
    let id = async |given: &str| {
        let request = request("GET", "/health", &[("x-request-id", given)], Body::empty());
        let response = send(router(state(ScriptedTurns::playing([]))), request).await;
        response.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(id("My_id-1.2").await, "My_id-1.2");
    assert!(id("a b").await.starts_with("req_"));
    assert!(id(&"a".repeat(129)).await.starts_with("req_"));
}

#[tokio::test]
async fn ignored_fields_are_listed_in_a_header() {
    let mut body = chat(false);
    body["presence_penalty"] = json!(1);
    let response = send(
        router(state(ScriptedTurns::playing(greeting_steps()))),
        post(&body),
    )
    .await;
    assert_eq!(
        response.headers()["x-switchboard-ignored"],
        "presence_penalty"
    );
}

#[tokio::test]
async fn content_type_of_request_is_ignored() {
    let body = chat(false).to_string();
    let request = request(
        "POST",
        "/v1/chat/completions",
        &[("content-type", "text/plain")],
        body,
    );
    let response = send(
        router(state(ScriptedTurns::playing(greeting_steps()))),
        request,
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn models_are_listed_and_looked_up() {
    let get = async |path: &str| {
        send(
            router(state(ScriptedTurns::playing([]))),
            request("GET", path, &[], Body::empty()),
        )
        .await
    };
    let list: Value = serde_json::from_str(&body(get("/v1/models").await).await).unwrap();
    assert_eq!(list["data"][1]["id"], "team/large model");
    for path in [
        "/v1/models/team/large%20model",
        "/v1/models/team%2Flarge%20model",
    ] {
        let one: Value = serde_json::from_str(&body(get(path).await).await).unwrap();
        assert_eq!(one["id"], "team/large model");
    }
    let (status, error) = error(get("/v1/models/gemini-9").await).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found"))
    );
    assert_eq!(error["param"], "model");
}

#[tokio::test]
async fn health_and_readiness_need_no_key() {
    let mut turns = ScriptedTurns::playing([]);
    turns.readiness.workers.max = 5;
    let response = send(
        with_keys(turns),
        request("GET", "/ready", &[], Body::empty()),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    insta::assert_snapshot!(body(response).await, @r#"{"degraded":[],"problems":[],"status":"ready","waiting":0,"workers":{"busy":0,"idle":0,"max":5,"resetting":0,"starting":0}}"#);

    let mut turns = ScriptedTurns::playing([]);
    turns.readiness.degraded.push("half".into());
    let response = send(
        with_keys(turns),
        request("GET", "/ready", &[], Body::empty()),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
    let ready = body(response).await;
    assert!(
        ready.starts_with(r#"{"degraded":["half"],"problems":[],"status":"ready""#),
        "{ready}"
    );

    let mut turns = ScriptedTurns::playing([]);
    turns.readiness.problems.push("sign in".into());
    let response = send(
        with_keys(turns),
        request("GET", "/ready", &[], Body::empty()),
    )
    .await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);

    let response = send(
        with_keys(ScriptedTurns::playing([])),
        request("GET", "/health", &[], Body::empty()),
    )
    .await;
    assert_eq!(body(response).await, r#"{"status":"ok"}"#);
}
