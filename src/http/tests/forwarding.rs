//! Endpoints that another server answers, over HTTP.

use super::*;
use crate::engine::upstreams::testing::ScriptedAnswer;
use crate::engine::upstreams::testing::ScriptedUpstream;
use crate::services::forwarding::testing::UPSTREAM_KEY;
use crate::services::forwarding::testing::forwarding;

const VECTORS: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AACAPw=="}],"model":"e","usage":{"prompt_tokens":2,"total_tokens":2}}"#;

/// Server whose other server answers by `script`.
async fn serve(
    script: impl Fn(&str) -> ScriptedAnswer + Send + Sync + 'static,
) -> (Router, ScriptedUpstream) {
    let server = ScriptedUpstream::start(script).await;
    let keys = Keys::new(["secret-1"]).unwrap();
    let state = app_state(
        &ResponseTables::temporary(),
        ScriptedTurns::playing(greeting_steps()),
        keys,
        DrainExpired::default(),
    );
    let router = router(AppState {
        forwarding: forwarding(&server).await,
        ..state
    });
    (router, server)
}

fn post(path: &str, body: &str) -> Request<Body> {
    let headers = [
        ("authorization", "Bearer secret-1"),
        ("cookie", "session=private"),
        ("x-forwarded-for", "203.0.113.7"),
        ("openai-organization", "org-private"),
        ("user-agent", "client-private"),
    ];
    request("POST", path, &headers, body.to_owned())
}

#[tokio::test]
async fn embedding_is_passed_through_without_anything_of_the_caller() {
    let (router, server) = serve(|_| ScriptedAnswer::json(VECTORS)).await;
    let sent = r#"{"input": ["a"], "model": "e", "encoding_format": "base64"}"#;
    let response = send(router, post("/v1/embeddings", sent)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-switchboard-upstream"], "other");
    assert_eq!(response.headers()["x-switchboard-model"], "e");
    assert_eq!(body(response).await, VECTORS);
    let request = server.requests().remove(0);
    assert!(request.ends_with(sent), "{request}");
    assert!(request.contains(UPSTREAM_KEY));
    for leak in ["secret-1", "private", "203.0.113.7"] {
        assert!(!request.contains(leak), "{request}");
    }
}

#[tokio::test]
async fn repeated_request_with_a_key_reaches_the_other_server_once() {
    // The second one is charged, since the upstream has answered.
    for (answer, status) in [(VECTORS, 200_u16), ("<html>", 502)] {
        let (router, server) = serve(move |_| ScriptedAnswer::json(answer)).await;
        for _ in 0..2 {
            let mut sent = post("/v1/embeddings", r#"{"input": ["a"], "model": "e"}"#);
            let key = "key-of-a-request".parse().unwrap();
            sent.headers_mut().insert("idempotency-key", key);
            let response = send(router.clone(), sent).await;
            assert_eq!(response.status(), status);
            body(response).await;
        }
        assert_eq!(server.requests().len(), 1, "{answer}");
    }
}

#[tokio::test]
async fn chat_with_a_model_of_another_server_is_streamed_from_it() {
    let chunk = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"logprobs":null,"finish_reason":"stop"}]}"#;
    let (router, server) = serve(move |_| ScriptedAnswer::events(&[chunk, "[DONE]"])).await;
    let sent = r#"{"model": "c", "messages": [], "stream": true, "field_of_theirs": 1}"#;
    let response = send(router.clone(), post("/v1/chat/completions", sent)).await;
    assert_eq!(response.status(), 200);
    let text = body(response).await;
    assert_eq!(text, format!("data: {chunk}\n\ndata: [DONE]\n\n"));
    assert!(server.requests()[0].contains("field_of_theirs"));
    let own = chat(false).to_string();
    let response = send(router, post("/v1/chat/completions", &own)).await;
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("x-switchboard-upstream"));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn form_is_passed_through_byte_by_byte() {
    let (router, server) =
        serve(|_| ScriptedAnswer::json(r#"{"text": "Hello", "duration": 1}"#)).await;
    let form = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n0123456789\r\n\
                --x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nw\r\n--x--\r\n";
    let kind = "multipart/form-data; boundary=x";
    let headers = [("authorization", "Bearer secret-1"), ("content-type", kind)];
    let transcription = request("POST", "/v1/audio/transcriptions", &headers, form);
    let response = send(router, transcription).await;
    assert_eq!(response.status(), 200);
    let request = server.requests().remove(0);
    assert!(request.ends_with(form), "{request}");
    assert!(request.contains("content-type: multipart/form-data; boundary=x"));
}

#[tokio::test]
async fn audio_keeps_its_type() {
    let (router, _server) = serve(|_| ScriptedAnswer::new(200, "audio/mpeg", "sound")).await;
    let speech = r#"{"model": "t", "input": "Hello", "voice": "a"}"#;
    let response = send(router, post("/v1/audio/speech", speech)).await;
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    assert_eq!(body(response).await, "sound");
}

#[tokio::test]
async fn faults_of_the_other_server_are_told_in_the_envelope() {
    for (answer, status, code) in [
        (ScriptedAnswer::json("<html>"), 502, json!("upstream_error")),
        (
            ScriptedAnswer::new(401, "application/json", "{}"),
            502,
            json!("upstream_error"),
        ),
        (
            ScriptedAnswer::new(429, "application/json", "{}"),
            429,
            json!("rate_limit_exceeded"),
        ),
        (
            ScriptedAnswer::new(422, "application/json", r#"{"error": {"message": "odd"}}"#),
            400,
            Value::Null,
        ),
    ] {
        let (router, _server) = serve(move |_| answer.clone()).await;
        let sent = r#"{"input": "a", "model": "e"}"#;
        let (told, error) = error(send(router, post("/v1/embeddings", sent)).await).await;
        assert_eq!((told.as_u16(), &error["code"]), (status, &code), "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(
            message.contains("`other`") && !message.contains("sk-"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn models_of_other_servers_are_listed_with_their_owner() {
    let (router, _server) = serve(|_| ScriptedAnswer::json("{}")).await;
    let headers = [("authorization", "Bearer secret-1")];
    let get = |path: &str| request("GET", path, &headers, "");
    let response = send(router.clone(), get("/v1/models")).await;
    let list: Value = serde_json::from_str(&body(response).await).unwrap();
    let models = list["data"].as_array().unwrap();
    let owner = |name: &str| {
        let model = models.iter().find(|model| model["id"] == name)?;
        model["owned_by"].as_str()
    };
    assert_eq!(
        (owner("e"), owner("sonnet")),
        (Some("other"), Some("anthropic"))
    );
    let response = send(router.clone(), get("/v1/models/e")).await;
    let model: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(model["owned_by"], "other");
    let unknown = r#"{"input": "a", "model": "none"}"#;
    let (status, error) = error(send(router, post("/v1/embeddings", unknown)).await).await;
    assert_eq!(
        (status.as_u16(), &error["code"]),
        (404, &json!("model_not_found"))
    );
}

#[tokio::test]
async fn endpoint_without_another_server_names_the_setting() {
    let router = router(state(ScriptedTurns::playing([])));
    for path in ["/v1/embeddings", "/v1/audio/other", "/v1/images/edits"] {
        let (status, error) =
            error(send(router.clone(), request("POST", path, &[], "{}")).await).await;
        assert_eq!(
            (status.as_u16(), &error["code"]),
            (404, &json!("unsupported_endpoint"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("[upstreams.NAME]"), "{message}");
    }
}
