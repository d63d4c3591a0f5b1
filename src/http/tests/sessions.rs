//! Tests of sessions, whose history the server keeps.

use super::*;
use crate::domain::Part;
use crate::services::sessions::testing::faulty;

/// Turns that answer with the number of earlier messages and the prompt.
fn repeating() -> ScriptedTurns {
    ScriptedTurns::new(|_, turn| {
        let Some(Part::Text(prompt)) = turn.prompt.first() else {
            panic!("no text")
        };
        let mut steps = vec![started(), text(&format!("{} {prompt}", turn.history.len()))];
        steps.push(if prompt == "hang" {
            Step::Hang
        } else {
            finished()
        });
        Ok(play(steps))
    })
}

async fn send_json(
    router: &Router,
    method: &str,
    path: &str,
    key: &str,
    fields: Value,
) -> (u16, Value) {
    let bearer = format!("Bearer {key}");
    let request = request(
        method,
        path,
        &[("authorization", &bearer)],
        fields.to_string(),
    );
    let response = send(router.clone(), request).await;
    let status = response.status().as_u16();
    (status, serde_json::from_str(&body(response).await).unwrap())
}

async fn create_session(router: &Router) -> String {
    let (status, session) = send_json(
        router,
        "POST",
        "/v1/sessions",
        "secret-1",
        json!({"model": "sonnet", "metadata": {"a": "b"}}),
    )
    .await;
    assert_eq!(
        (status, &session["object"], &session["message_count"]),
        (201, &json!("session"), &json!(0))
    );
    format!("/v1/sessions/{}", session["id"].as_str().unwrap())
}

#[tokio::test]
async fn session_continues_with_only_the_new_message() {
    let router = with_keys(repeating());
    let path = create_session(&router).await;
    let messages = format!("{path}/messages");
    for (words, answer) in [("a", "0 a"), ("b", "2 b"), ("c", "4 c")] {
        let (status, body) = send_json(
            &router,
            "POST",
            &messages,
            "secret-1",
            json!({"content": words}),
        )
        .await;
        assert_eq!((status, &body["object"]), (200, &json!("chat.completion")));
        assert_eq!(body["choices"][0]["message"]["content"], answer);
    }
    let (_, session) = send_json(&router, "GET", &path, "secret-1", json!(null)).await;
    assert_eq!(
        (&session["message_count"], &session["usage"]["total_tokens"]),
        (&json!(6), &json!(15))
    );
    let (_, page) = send_json(
        &router,
        "GET",
        &format!("{messages}?order=asc&limit=2"),
        "secret-1",
        json!(null),
    )
    .await;
    assert_eq!(
        (&page["data"][1]["content"], &page["has_more"]),
        (&json!("0 a"), &json!(true))
    );
    let (_, list) = send_json(&router, "GET", "/v1/sessions", "secret-1", json!(null)).await;
    assert_eq!(list["data"][0], session);
}

#[tokio::test]
async fn session_stream_is_stored_at_its_end() {
    let router = with_keys(repeating());
    let path = create_session(&router).await;
    let key = [("authorization", "Bearer secret-1")];
    let message = json!({"content": "a", "stream": true}).to_string();
    let streamed = send(
        router.clone(),
        request("POST", &format!("{path}/messages"), &key, message),
    )
    .await;
    assert!(body(streamed).await.ends_with("data: [DONE]\n\n"));
    let (_, session) = send_json(&router, "GET", &path, "secret-1", json!(null)).await;
    assert_eq!(session["message_count"], 2);
}

#[tokio::test]
async fn abandoned_answer_is_not_stored_and_unlocks_the_session() {
    let router = with_keys(repeating());
    let path = create_session(&router).await;
    let messages = format!("{path}/messages");
    let key = [("authorization", "Bearer secret-1")];
    let hanging = json!({"content": "hang", "stream": true}).to_string();
    let hanging = send(router.clone(), request("POST", &messages, &key, hanging)).await;
    let (status, error) = send_json(
        &router,
        "POST",
        &messages,
        "secret-1",
        json!({"content": "a"}),
    )
    .await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (409, &json!("session_busy"))
    );
    drop(hanging);
    let (_, body) = send_json(
        &router,
        "POST",
        &messages,
        "secret-1",
        json!({"content": "a"}),
    )
    .await;
    assert_eq!(body["choices"][0]["message"]["content"], "0 a");
}

#[tokio::test]
async fn session_is_hidden_from_other_keys() {
    let router = with_keys(repeating());
    let path = create_session(&router).await;
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/messages")),
        ("POST", format!("{path}/messages")),
    ] {
        let (status, error) =
            send_json(&router, method, &path, "secret-2", json!({"content": "a"})).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (404, &json!("session_not_found")),
            "{method} {path}"
        );
    }
    assert_eq!(
        send_json(&router, "DELETE", &path, "secret-1", json!(null))
            .await
            .1["deleted"],
        true
    );
    assert_eq!(
        send_json(&router, "GET", &path, "secret-1", json!(null))
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn number_of_sessions_per_key_is_limited() {
    let router = with_keys(repeating());
    for _ in 0..3 {
        create_session(&router).await;
    }
    let (status, error) = send_json(&router, "POST", "/v1/sessions", "secret-1", json!({})).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("too_many_sessions"))
    );
    let (status, error) = send_json(
        &router,
        "POST",
        "/v1/sessions",
        "secret-1",
        json!({"project_id": "other"}),
    )
    .await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (403, &json!("project_id"))
    );
}

/// A client that has seen an answer complete would continue from it, so an unstored one must not
/// complete.
#[tokio::test]
async fn session_answer_that_cannot_be_stored_fails() {
    let state = with_keys::with_configured_key(state(repeating()));
    let (sessions, disk) = faulty(&state.keys);
    let router = router(AppState {
        services: ApiServices {
            sessions,
            ..state.services
        },
        ..state
    });
    let path = create_session(&router).await;
    let messages = format!("{path}/messages");
    disk.fill(true);
    let key = [("authorization", "Bearer secret-1")];
    let say = async |stream| {
        let message = json!({"content": "a", "stream": stream}).to_string();
        send(router.clone(), request("POST", &messages, &key, message)).await
    };
    let whole = say(false).await;
    assert_eq!(
        whole.headers()["x-should-retry"],
        "false",
        "it would be paid for once more"
    );
    let (status, failure) = error(whole).await;
    assert_eq!(
        (status.as_u16(), &failure["code"]),
        (500, &json!("answer_not_kept"))
    );
    let streamed = body(say(true).await).await;
    assert!(
        streamed.contains("0 a") && streamed.contains("answer_not_kept"),
        "{streamed}"
    );
    assert!(
        !streamed.contains("[DONE]") && !streamed.contains("\"stop\""),
        "{streamed}"
    );
    disk.fill(false);
    let (_, session) = send_json(&router, "GET", &path, "secret-1", json!(null)).await;
    assert_eq!(session["message_count"], 0);
}
