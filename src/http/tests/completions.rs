//! Tests of the legacy completions API, and of several turns in one answer.

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Part;

fn post(body: &Value) -> Request<Body> {
    request("POST", "/v1/completions", &[], body.to_string())
}

/// Turns that echo their prompt; the prompt `a` is answered last.
fn echoing_turns() -> ScriptedTurns {
    ScriptedTurns::new(|_, turn| {
        let Part::Text(prompt) = &turn.prompt[0] else {
            panic!("no text")
        };
        let wait = Step::Wait(Duration::from_secs(u64::from(prompt == "a")));
        Ok(play(vec![started(), wait, text(prompt), finished()]))
    })
}

#[tokio::test(start_paused = true)]
async fn completion_prompts_run_concurrently() {
    let prompts = json!({"model": "m", "prompt": ["a", "b"], "echo": true});
    let response = send(router(state(echoing_turns())), post(&prompts)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()["x-switchboard-model"],
        "claude-sonnet-5-5"
    );
    let body: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(
        (&body["choices"][0]["text"], &body["choices"][1]["text"]),
        (&json!("aa"), &json!("bb"))
    );
    assert_eq!(body["usage"]["total_tokens"], 10);
}

#[tokio::test(start_paused = true)]
async fn completion_with_max_tokens_0_returns_only_the_echo() {
    for (echo, expected) in [(true, "a"), (false, "")] {
        let mut request =
            json!({"model": "m", "prompt": "a", "max_tokens": 0, "echo": echo, "stream": false});
        let whole = send(router(state(echoing_turns())), post(&request)).await;
        assert_eq!(whole.status(), StatusCode::OK);
        let whole: Value = serde_json::from_str(&body(whole).await).unwrap();
        assert_eq!(whole["choices"][0]["text"], expected);
        request["stream"] = json!(true);
        let streamed = body(send(router(state(echoing_turns())), post(&request)).await).await;
        let texts = streamed
            .split("\n\n")
            .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok());
        let texts =
            texts.map(|chunk: Value| chunk["choices"][0]["text"].as_str().unwrap().to_owned());
        assert_eq!(texts.collect::<String>(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn completion_stream_interleaves_in_order_of_arrival() {
    let prompts = json!({"model": "m", "prompt": ["a", "b"], "stream": true});
    let response = send(router(state(echoing_turns())), post(&prompts)).await;
    let body = body(response).await;
    let texts: Vec<Value> = body
        .split("\n\n")
        .filter_map(|event| serde_json::from_str(event.strip_prefix("data: ")?).ok())
        .map(|chunk: Value| chunk["choices"][0]["text"].clone())
        .collect();
    assert_eq!(texts, ["b", "", "a", ""]);
    assert!(body.ends_with("data: [DONE]\n\n"));
}

#[tokio::test(start_paused = true)]
async fn one_failed_prompt_fails_the_completion_and_cancels_the_others() {
    let turns = ScriptedTurns::new(|_, turn| match &turn.prompt[0] {
        Part::Text(prompt) if prompt == "b" => Err(Error::Failed(Failure::new(
            FailureKind::Overloaded,
            "Anthropic is overloaded.",
        ))),
        _ => Ok(play(vec![started(), Step::Hang])),
    });
    let mut running_turns = turns.watch_running();
    let response = send(
        router(state(turns)),
        post(&json!({"model": "m", "prompt": ["a", "b"]})),
    )
    .await;
    let (status, error) = error(response).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded"))
    );
    running_turns
        .wait_for(|running_turns| *running_turns == 0)
        .await
        .unwrap();
}

#[tokio::test]
async fn invalid_completion_request_names_its_field() {
    let response = send(
        router(state(echoing_turns())),
        post(&json!({"model": "m", "prompt": [1, 2]})),
    )
    .await;
    let (status, error) = error(response).await;
    assert_eq!(
        (status, &error["param"]),
        (StatusCode::BAD_REQUEST, &json!("prompt[0]"))
    );
}
