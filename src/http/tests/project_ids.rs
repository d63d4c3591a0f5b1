//! Tests of projects with chosen ids and names, from creation to use by clients.

use super::admin::refusal;
use super::admin::send_json;
use super::*;

/// Server with the project `my-app`, and the text of a key of it.
async fn with_project() -> (Router, String) {
    let (router, _) = with_admin(ScriptedTurns::playing(greeting_steps())).await;
    let (status, created) =
        send_json(&router, "POST", "/admin/projects", json!({"id": "my-app"})).await;
    assert_eq!(
        (status, &created["id"], &created["name"]),
        (201, &json!("my-app"), &json!("my-app"))
    );
    let key = key_of(&router, "my-app").await;
    (router, key)
}

async fn key_of(router: &Router, project: &str) -> String {
    let fields = json!({"name": "key", "project_id": project});
    let (status, created) = send_json(router, "POST", "/admin/keys", fields).await;
    assert_eq!(status, 201, "{created}");
    created["key"].as_str().unwrap().to_owned()
}

async fn call(router: &Router, key: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let bearer = format!("Bearer {key}");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let response = send(
        router.clone(),
        request(method, path, &[("authorization", bearer.as_str())], body),
    )
    .await;
    let status = response.status().as_u16();
    (
        status,
        serde_json::from_str(&super::body(response).await).unwrap(),
    )
}

#[tokio::test]
async fn project_keeps_its_chosen_id() {
    let (router, _) = with_project().await;
    for (fields, expected) in [
        (
            json!({"id": "my-app", "name": "other"}),
            "409 project_exists id",
        ),
        (json!({"id": "default"}), "409 project_exists id"),
        (json!({"id": ""}), "400 invalid_value id"),
        (json!({"id": "my app"}), "400 invalid_value id"),
        (json!({"id": "../keys"}), "400 invalid_value id"),
        (json!({"id": 7}), "400 invalid_type id"),
        (json!({"id": null}), "400 missing_required_parameter name"),
    ] {
        assert_eq!(
            refusal(send_json(&router, "POST", "/admin/projects", fields).await),
            expected
        );
    }
    let rename = send_json(
        &router,
        "PATCH",
        "/admin/projects/my-app",
        json!({"id": "other"}),
    )
    .await;
    assert_eq!(refusal(rename), "400 unsupported_parameter id");
    let (_, found) = send_json(&router, "GET", "/admin/projects/my-app", Value::Null).await;
    assert_eq!(found["name"], "my-app");
}

#[tokio::test]
async fn id_of_a_deleted_project_is_not_reused() {
    let (router, _) = with_project().await;
    assert_eq!(
        send_json(&router, "POST", "/admin/projects", json!({"id": "old"}))
            .await
            .0,
        201
    );
    assert_eq!(
        send_json(&router, "DELETE", "/admin/projects/old", Value::Null)
            .await
            .0,
        200
    );
    let again = send_json(&router, "POST", "/admin/projects", json!({"id": "old"})).await;
    assert_eq!(refusal(again), "409 project_exists id");
}

#[tokio::test]
async fn requests_name_their_project_by_its_id() {
    let (router, key) = with_project().await;
    let messages = json!([{"role": "user", "content": "Hi"}]);
    let chat = json!({"model": "sonnet", "messages": messages, "project_id": "my-app"});
    let (status, answer) = call(&router, &key, "POST", "/v1/chat/completions", chat.clone()).await;
    assert_eq!(
        (status, &answer["choices"][0]["message"]["content"]),
        (200, &json!("Hello"))
    );
    let (status, usage) = call(
        &router,
        &key,
        "GET",
        "/v1/usage?project_id=my-app&period=month",
        Value::Null,
    )
    .await;
    assert_eq!(
        (status, &usage["total_tokens"], &usage["total_cost"]),
        (200, &json!(0), &json!(0.0))
    );
    assert_eq!(usage["by_model"], json!({}));
    let (status, session) = call(
        &router,
        &key,
        "POST",
        "/api/v1/sessions",
        json!({"model": "sonnet", "project_id": "my-app"}),
    )
    .await;
    assert_eq!((status, &session["project_id"]), (201, &json!("my-app")));
    let refused = call(
        &router,
        "secret-1",
        "GET",
        "/v1/usage?project_id=my-app",
        Value::Null,
    )
    .await;
    assert_eq!(refusal(refused), "403 mismatched_project project_id");
}

#[tokio::test]
async fn inline_batch_has_results_and_totals() {
    let (router, key) = with_project().await;
    let batch = json!({
        "requests": [{"model": "haiku", "prompt": "Task 1"}, {"model": "haiku", "prompt": "Task 2"}],
        "parallel": true, "project_id": "my-app",
    });
    let (status, answer) = call(&router, &key, "POST", "/v1/batch", batch).await;
    assert_eq!(
        (status, answer["results"].as_array().unwrap().len()),
        (200, 2)
    );
    assert_eq!(
        (&answer["total_tokens"], &answer["total_cost"]),
        (&json!(10), &Value::Null)
    );
}

#[tokio::test]
async fn project_name_means_own_project_unless_it_is_another_id() {
    let (router, key) = with_project().await;
    let usage = async |key: &str, project: &str| {
        let path = format!("/v1/usage?project_id={project}");
        call(&router, key, "GET", &path, Value::Null).await.0
    };
    let rename = async |id: &str, name: &str| {
        let path = format!("/admin/projects/{id}");
        assert_eq!(
            send_json(&router, "PATCH", &path, json!({"name": name}))
                .await
                .0,
            200
        );
    };
    assert_eq!(
        (usage("secret-1", "front").await, usage(&key, "front").await),
        (403, 403)
    );
    // Two projects with the same name: each key's name means its own project.
    rename("default", "front").await;
    rename("my-app", "front").await;
    assert_eq!(
        (usage("secret-1", "front").await, usage(&key, "front").await),
        (200, 200)
    );
    let header = [
        ("authorization", "Bearer secret-1"),
        ("openai-project", "front"),
    ];
    assert_eq!(
        send(router.clone(), request("GET", "/v1/usage", &header, ""))
            .await
            .status(),
        200
    );
    rename("default", "my-app").await;
    assert_eq!(
        (
            usage("secret-1", "my-app").await,
            usage(&key, "my-app").await
        ),
        (403, 200)
    );
    // The id takes precedence over the name.
    assert_eq!(
        (
            usage("secret-1", "default").await,
            usage("secret-1", "").await
        ),
        (200, 403)
    );
}

#[tokio::test]
async fn sessions_are_served_below_api_prefix() {
    let (router, key) = with_project().await;
    let (status, created) = call(
        &router,
        &key,
        "POST",
        "/api/v1/sessions",
        json!({"model": "sonnet"}),
    )
    .await;
    let path = format!("/api/v1/sessions/{}", created["id"].as_str().unwrap());
    assert_eq!(status, 201, "{created}");
    let (status, answer) = call(
        &router,
        &key,
        "POST",
        &format!("{path}/messages"),
        json!({"content": "Hi"}),
    )
    .await;
    assert_eq!(
        (status, &answer["choices"][0]["message"]["content"]),
        (200, &json!("Hello"))
    );
    let (status, list) = call(&router, &key, "GET", "/api/v1/sessions", Value::Null).await;
    assert_eq!((status, &list["data"][0]["id"]), (200, &created["id"]));
    let (status, found) = call(&router, &key, "GET", &path, Value::Null).await;
    assert_eq!((status, &found["message_count"]), (200, &json!(2)));
    assert_eq!(
        call(&router, &key, "DELETE", &path, Value::Null).await.0,
        200
    );
    assert_eq!(call(&router, &key, "GET", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn route_recommendation_has_model_and_reason() {
    let (router, key) = with_project().await;
    let fields = json!({"task_description": "Say hello.", "context_size": 500});
    let (status, route) = call(&router, &key, "POST", "/v1/route", fields).await;
    assert_eq!(
        (status, &route["recommended_model"]),
        (200, &json!("light"))
    );
    assert!(
        route["reasoning"]
            .as_str()
            .is_some_and(|reason| !reason.is_empty()),
        "{route}"
    );
}
