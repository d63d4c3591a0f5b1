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
