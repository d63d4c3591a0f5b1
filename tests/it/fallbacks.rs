//! Fallbacks to other models, with the real CLI.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::charges::stop_and_list_charges;
use crate::support::{TestServer, serve};

const RULE: &str = r#"[{ on = ["overload"], models = ["sonnet"], to = ["haiku"] }]"#;

/// Overloads the first call and the one retry of the CLI, and then no more.
const OVERLOADED_TWICE: &str = "[[status=529 times=2 tokens=2]]";

#[tokio::test(flavor = "multi_thread")]
async fn overloaded_model_is_answered_by_another_one_and_charged_once() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_FALLBACKS__LIST", RULE)
        .set("SWITCHBOARD_CLAUDE__MAX_RETRIES", 1)
        .start()
        .await;
    let answer = server
        .chat(OVERLOADED_TWICE)
        .with("model", "sonnet")
        .send()
        .await;
    assert_eq!(answer.text(), "w1 w2");
    assert_eq!(
        answer.headers["x-switchboard-fallback"],
        "claude-haiku-5-5; on=overload"
    );
    assert_eq!(answer.headers["x-switchboard-model"], "claude-haiku-5-5");
    let charges = stop_and_list_charges(server).await;
    let models: Vec<&str> = charges.iter().map(|charge| charge.model.as_str()).collect();
    assert_eq!(models, ["claude-haiku-5-5"]);
}

/// Bodies of the chats that another server was asked for.
type AskedChats = Arc<Mutex<Vec<Value>>>;

/// Starts a server with chats, and returns its base URL with what it is asked.
async fn chat_server() -> (String, AskedChats) {
    let asked = AskedChats::default();
    let router = Router::new()
        .route("/v1/chat/completions", post(answer_chat))
        .with_state(Arc::clone(&asked));
    (format!("http://{}/v1", serve(router).await), asked)
}

/// Answers with a call of the first tool, or with a text if there is none.
async fn answer_chat(State(asked): State<AskedChats>, Json(body): Json<Value>) -> Response {
    let tool = body["tools"][0]["function"]["name"].clone();
    let mut seen = asked.lock().unwrap_or_else(PoisonError::into_inner);
    seen.push(body);
    drop(seen);
    let (deltas, reason) = if tool.is_null() {
        let texts = ["Hello", " there"].map(|text| json!({"content": text}));
        (texts.to_vec(), "stop")
    } else {
        let begun =
            json!({"index": 0, "id": "call_1", "function": {"name": tool, "arguments": ""}});
        let input = json!({"index": 0, "function": {"arguments": "{\"city\":\"Rome\"}"}});
        let calls = [begun, input].map(|call| json!({"tool_calls": [call]}));
        (calls.to_vec(), "tool_calls")
    };
    let chunks = deltas
        .into_iter()
        .map(|delta| json!({"choices": [{"index": 0, "delta": delta}]}));
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 5}});
    let chunks = chunks
        .chain([end, usage])
        .map(|chunk| format!("data: {chunk}\n\n"));
    let events = chunks.collect::<String>() + "data: [DONE]\n\n";
    ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
}

/// Returns the paths of the three APIs with a request that Claude is too overloaded for, with or
/// without a tool.
fn requests(has_tool: bool) -> [(&'static str, Value); 3] {
    let prompt = "Say hello. [[status=529]]";
    let messages = json!([{"role": "user", "content": prompt}]);
    let mut chat = json!({"model": "sonnet", "messages": messages});
    let mut response = json!({"model": "sonnet", "input": prompt});
    let mut message = json!({"model": "sonnet", "max_tokens": 100, "messages": messages});
    if has_tool {
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
        chat["tools"] =
            json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]);
        response["tools"] = json!([{"type": "function", "name": "weather", "parameters": schema}]);
        message["tools"] = json!([{"name": "weather", "input_schema": schema}]);
    }
    [
        ("/v1/chat/completions", chat),
        ("/v1/responses", response),
        ("/v1/messages", message),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_answers_requests_of_all_apis_and_each_is_charged_once() {
    let (base_url, asked) = chat_server().await;
    let upstreams = format!(
        r#"{{ other = {{ base_url = "{base_url}", endpoints = ["chat"], models = {{ "m" = "input 1, output 2" }} }} }}"#
    );
    let rule = r#"[{ on = ["overload"], to = [{ model = "m", upstream = "other" }] }]"#;
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_UPSTREAMS", upstreams)
        .set("SWITCHBOARD_FALLBACKS__LIST", rule)
        .set("SWITCHBOARD_CLAUDE__MAX_RETRIES", 1)
        // The header of a stream is there only if the stream waits for its first event.
        .set("SWITCHBOARD_SERVER__FIRST_EVENT_WAIT_SECONDS", 60)
        .start()
        .await;
    let mut count = 0;
    for has_tool in [false, true] {
        for is_streamed in [false, true] {
            for (path, mut body) in requests(has_tool) {
                body["stream"] = json!(is_streamed);
                let answer = server.http.post(server.url(path)).json(&body).send().await;
                let answer = answer.unwrap();
                let case = format!("{path}, tool {has_tool}, stream {is_streamed}");
                let status = answer.status();
                let fallback = answer.headers().get("x-switchboard-fallback").cloned();
                let upstream = answer.headers().get("x-switchboard-upstream").cloned();
                let text = answer.text().await.unwrap();
                assert_eq!(status, 200, "{case}: {text}");
                let fallback = fallback.unwrap_or_else(|| panic!("{case}: {text}"));
                assert_eq!(fallback, "m; on=overload; upstream=other", "{case}");
                assert_eq!(upstream.unwrap(), "other", "{case}");
                let parts = if has_tool {
                    ["weather", "Rome"]
                } else {
                    ["Hello", " there"]
                };
                for part in parts {
                    assert!(text.contains(part), "{case}: no {part} in {text}");
                }
                count += 1;
            }
        }
    }
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(asked.len(), count);
    for body in asked {
        assert_eq!(
            (&body["model"], &body["stream"]),
            (&json!("m"), &json!(true))
        );
        assert!(
            body["messages"].to_string().contains("Say hello."),
            "{body}"
        );
    }
    let charges = stop_and_list_charges(server).await;
    assert_eq!(charges.len(), count);
    for charge in charges {
        let fallback = charge.fallback.as_deref().unwrap();
        assert_eq!(charge.model, "m");
        assert_eq!(
            (fallback.asked_model.as_str(), fallback.cause.as_str()),
            ("sonnet", "overload")
        );
        // A dollar for a million tokens of the prompt, two for those of the answer.
        assert_eq!(charge.amount.money.nanos(), 12 * 1000 + 5 * 2000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fallback_to_what_is_not_configured_ends_the_start_with_advice() {
    for (to, missing, advice) in [
        (
            r#"{ sign_in = "cloud" }"#,
            "no sign-in `cloud`",
            "[[sign_ins]]",
        ),
        (
            r#"{ model = "m", upstream = "other" }"#,
            "the upstream `other` has no model `m`",
            "\"chat\"",
        ),
    ] {
        let rule = format!(r#"[{{ on = ["limit"], to = [{to}] }}]"#);
        let ended = TestServer::fake()
            .set("SWITCHBOARD_FALLBACKS__LIST", rule)
            .fail()
            .await;
        assert_eq!(ended.code, Some(64), "{}", ended.log);
        assert!(
            ended.log.contains(missing) && ended.log.contains(advice),
            "{}",
            ended.log
        );
    }
}
