//! Tests of `POST /v1/route`.

use super::*;

async fn recommend(body: &Value) -> Response {
    let request = request("POST", "/v1/route", &[], body.to_string());
    send(router(state(ScriptedTurns::playing([]))), request).await
}

#[tokio::test]
async fn route_returns_model_rule_and_reason() {
    for (task, size, project, model, rule) in [
        ("Say hello.", 10, json!(null), "light", "simple_prompt"),
        ("Debug this.", 10, json!("default"), "usual", "hard_words"),
        ("Say hello.", 10_001, json!(null), "heavy", "long_context"),
    ] {
        let fields = json!({"task_description": task, "context_size": size, "project_id": project});
        let response = recommend(&fields).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/json");
        let answer: Value = serde_json::from_str(&body(response).await).unwrap();
        assert_eq!(
            (&answer["recommended_model"], &answer["rule"]),
            (&json!(model), &json!(rule)),
            "{task}"
        );
        assert!(
            answer["reasoning"]
                .as_str()
                .is_some_and(|reason| reason.len() > 20),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn route_names_the_models_that_answer_in_place_of_the_recommended_one() {
    let fallbacks = routing::FallbackConfig {
        list: vec![routing::FallbackRule {
            on: vec![routing::FallbackCause::Overload],
            to: ["usual", "heavy"]
                .map(routing::FallbackTarget::model)
                .to_vec(),
            models: vec!["light".to_owned()],
            keys: Vec::new(),
        }],
        max_tries: 1,
        ..routing::FallbackConfig::default()
    };
    let choosing = routing::testing::router().with_fallbacks(fallbacks);
    let state = AppState {
        router: Arc::new(choosing),
        ..state(ScriptedTurns::playing([]))
    };
    let fields = json!({"task_description": "Say hello.", "context_size": 10});
    let request = request("POST", "/v1/route", &[], fields.to_string());
    let answer = body(send(router(state), request).await).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let skipped = "it comes after the 1 that are tried (fallbacks.max_tries)";
    let expected = json!([
        {"model": "usual", "on": ["overload"]},
        {"model": "heavy", "on": ["overload"], "skipped": skipped},
    ]);
    assert_eq!(answer["fallbacks"], expected);
}

#[tokio::test]
async fn invalid_route_request_names_the_field() {
    for (fields, param, code) in [
        (
            json!({"context_size": 1}),
            "task_description",
            "missing_required_parameter",
        ),
        (
            json!({"task_description": "x"}),
            "context_size",
            "missing_required_parameter",
        ),
        (
            json!({"task_description": 1, "context_size": 1}),
            "task_description",
            "invalid_type",
        ),
        (
            json!({"task_description": "x", "context_size": -1}),
            "context_size",
            "invalid_value",
        ),
        (
            json!({"task_description": "x", "context_size": 1.5}),
            "context_size",
            "invalid_value",
        ),
        (
            json!({"task_description": "x", "context_size": 1, "model": "auto"}),
            "model",
            "unknown_parameter",
        ),
    ] {
        let (status, error) = error(recommend(&fields).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{fields}");
        assert_eq!(
            (&error["param"], &error["code"]),
            (&json!(param), &json!(code)),
            "{fields}"
        );
    }
}

/// Server whose answers repeat the name of the requested model.
async fn repeating() -> Router {
    let turns = ScriptedTurns::new(|_, turn| {
        Ok(play(vec![started(), text(turn.model.as_str()), finished()]))
    });
    router_with_rates(turns, Rates::default()).await
}

#[tokio::test]
async fn auto_model_is_chosen_and_reported() {
    for (model, prompt, chosen, route) in [
        (
            "auto",
            "Say hello.",
            "light",
            Some("light; rule=simple_prompt; reason="),
        ),
        (
            "auto",
            "Debug this.",
            "usual",
            Some("usual; rule=hard_words; reason="),
        ),
        ("sonnet", "Debug this.", "sonnet", None),
    ] {
        for path in ["/v1/chat/completions", "/v1/responses", "/v1/messages"] {
            let messages = json!([{"role": "user", "content": prompt}]);
            let mut fields = json!({"model": model, "max_tokens": 9, "messages": messages});
            if path == "/v1/responses" {
                fields = json!({"model": model, "input": messages});
            }
            let response = send(
                repeating().await,
                request("POST", path, &[], fields.to_string()),
            )
            .await;
            let header = response
                .headers()
                .get("x-switchboard-route")
                .map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(header.is_some(), route.is_some(), "{path}");
            assert!(
                header
                    .unwrap_or_default()
                    .starts_with(route.unwrap_or_default()),
                "{path}"
            );
            assert!(
                body(response).await.contains(&format!("\"{chosen}\"")),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn fallback_header_of_a_request_is_none_or_refused() {
    for (value, status) in [("none", 200), ("NONE", 200), ("haiku", 400)] {
        let headers = [("x-switchboard-fallback", value)];
        let path = "/v1/chat/completions";
        let request = request("POST", path, &headers, chat(false).to_string());
        let turns = ScriptedTurns::playing(greeting_steps());
        let response = send(router(state(turns)), request).await;
        assert_eq!(response.status(), status, "{value}");
    }
}

#[tokio::test]
async fn auto_is_listed_as_a_model() {
    let listed = body(send(repeating().await, request("GET", "/v1/models", &[], "")).await).await;
    assert!(listed.contains(r#""id":"auto""#), "{listed}");
}

#[tokio::test]
async fn route_for_another_project_is_refused() {
    let response =
        recommend(&json!({"task_description": "x", "context_size": 1, "project_id": "other"}))
            .await;
    let (status, error) = error(response).await;
    assert_eq!(
        (status, &error["code"]),
        (StatusCode::FORBIDDEN, &json!("mismatched_project"))
    );
}
