//! Tests of conversations and the responses that are added to them.

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Part;

const PATH: &str = "/v1/conversations";

/// Turns that answer with the number of earlier messages and the prompt; some prompts make them
/// fail, hang or stop early.
fn repeating() -> ScriptedTurns {
    ScriptedTurns::new(|_, turn| {
        let Some(Part::Text(prompt)) = turn.prompt.first() else {
            panic!("no text")
        };
        let last = match prompt.as_str() {
            "hang" => Step::Hang,
            "fail" => Step::Fail(Error::Failed(Failure::new(
                FailureKind::Overloaded,
                "It failed.",
            ))),
            "long" => Step::Event(TurnEvent::Finished(Finish::new(
                FinishReason::Length,
                Usage::default(),
            ))),
            _ => finished(),
        };
        Ok(play(vec![
            started(),
            text(&format!("{} {prompt}", turn.history.len())),
            last,
        ]))
    })
}

async fn send_json_as(
    key: &str,
    router: &Router,
    method: &str,
    path: &str,
    fields: Value,
) -> (u16, Value) {
    let bearer = format!("Bearer {key}");
    let body_sent = if fields.is_null() {
        String::new()
    } else {
        fields.to_string()
    };
    let response = send(
        router.clone(),
        request(method, path, &[("authorization", &bearer)], body_sent),
    )
    .await;
    let status = response.status().as_u16();
    (status, serde_json::from_str(&body(response).await).unwrap())
}

async fn send_json(router: &Router, method: &str, path: &str, fields: Value) -> (u16, Value) {
    send_json_as("secret-1", router, method, path, fields).await
}

/// Creates a conversation and returns its path and id.
async fn create_conversation(router: &Router) -> (String, String) {
    let (status, conversation) =
        send_json(router, "POST", PATH, json!({"metadata": {"a": "b"}})).await;
    assert_eq!(status, 200);
    let id = conversation["id"].as_str().unwrap().to_owned();
    (format!("{PATH}/{id}"), id)
}

fn respond(conversation: &str, input: &str) -> Value {
    json!({"model": "sonnet", "input": input, "conversation": conversation})
}

/// Returns the texts of the items, oldest first.
async fn texts(router: &Router, path: &str) -> Vec<String> {
    let (status, list) = send_json(
        router,
        "GET",
        &format!("{path}/items?order=asc&limit=100"),
        json!(null),
    )
    .await;
    assert_eq!(status, 200);
    let text = |item: &Value| item["content"][0]["text"].as_str().unwrap().to_owned();
    list["data"].as_array().unwrap().iter().map(text).collect()
}

/// Requests a stream and returns its events.
async fn streamed(router: &Router, mut fields: Value) -> String {
    fields["stream"] = json!(true);
    let key = [("authorization", "Bearer secret-1")];
    body(
        send(
            router.clone(),
            request("POST", "/v1/responses", &key, fields.to_string()),
        )
        .await,
    )
    .await
}

#[tokio::test]
async fn conversation_is_created_changed_and_deleted() {
    let router = with_keys(repeating());
    let (path, id) = create_conversation(&router).await;
    let (_, shown) = send_json(&router, "GET", &path, json!(null)).await;
    assert_eq!(
        (&shown["object"], &shown["metadata"]),
        (&json!("conversation"), &json!({"a": "b"}))
    );
    let (_, changed) = send_json(&router, "POST", &path, json!({"metadata": {"c": "d"}})).await;
    assert_eq!(
        (&changed["created_at"], &changed["metadata"]),
        (&shown["created_at"], &json!({"c": "d"}))
    );
    let (_, deleted) = send_json(&router, "DELETE", &path, json!(null)).await;
    assert_eq!(
        deleted,
        json!({"id": id, "object": "conversation.deleted", "deleted": true})
    );
    let (status, error) = send_json(&router, "GET", &path, json!(null)).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (404, &json!("conversation_not_found"))
    );
}

#[tokio::test]
async fn conversation_items_are_listed_read_and_deleted() {
    let router = with_keys(repeating());
    let message = |text: &str| json!({"role": "user", "content": text});
    let (_, conversation) =
        send_json(&router, "POST", PATH, json!({"items": [message("a")]})).await;
    let path = format!("{PATH}/{}", conversation["id"].as_str().unwrap());
    let items = format!("{path}/items");
    let (_, added) = send_json(
        &router,
        "POST",
        &items,
        json!({"items": [message("b"), message("c")]}),
    )
    .await;
    assert_eq!(
        (&added["object"], added["data"].as_array().unwrap().len()),
        (&json!("list"), 2)
    );
    assert_eq!(
        (&added["last_id"], &added["has_more"]),
        (&added["data"][1]["id"], &json!(false))
    );
    assert_eq!(texts(&router, &path).await, ["a", "b", "c"]);
    let (_, page) = send_json(&router, "GET", &format!("{items}?limit=2"), json!(null)).await;
    assert_eq!(
        (&page["data"][0], &page["has_more"]),
        (&added["data"][1], &json!(true))
    );
    let one = format!("{items}/{}", added["data"][0]["id"].as_str().unwrap());
    assert_eq!(
        send_json(&router, "GET", &one, json!(null)).await.1,
        added["data"][0]
    );
    assert_eq!(
        send_json(&router, "DELETE", &one, json!(null)).await.1,
        conversation
    );
    assert_eq!(texts(&router, &path).await, ["a", "c"]);
    for method in ["GET", "DELETE"] {
        let (status, error) = send_json(&router, method, &one, json!(null)).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (404, &json!("item_not_found"))
        );
    }
    let (status, error) = send_json(
        &router,
        "POST",
        &items,
        json!({"items": [{"role": "user"}]}),
    )
    .await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("items[0].content"))
    );
}

#[tokio::test]
async fn conversation_is_hidden_from_other_keys() {
    let router = with_keys(repeating());
    let (path, id) = create_conversation(&router).await;
    let items = format!("{path}/items");
    let new = json!({"items": [], "metadata": {}});
    for (method, path) in [
        ("GET", &path),
        ("POST", &path),
        ("DELETE", &path),
        ("GET", &items),
        ("POST", &items),
    ] {
        let fields = if method == "POST" {
            new.clone()
        } else {
            json!(null)
        };
        let (status, error) = send_json_as("secret-2", &router, method, path, fields).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (404, &json!("conversation_not_found")),
            "{method} {path}"
        );
    }
    let (status, error) = send_json_as(
        "secret-2",
        &router,
        "POST",
        "/v1/responses",
        respond(&id, "a"),
    )
    .await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (404, &json!("conversation"))
    );
}

#[tokio::test]
async fn responses_continue_a_conversation_and_are_added_to_it() {
    let router = with_keys(repeating());
    let (path, id) = create_conversation(&router).await;
    let (status, first) = send_json(&router, "POST", "/v1/responses", respond(&id, "a")).await;
    assert_eq!((status, &first["conversation"]), (200, &json!({"id": id})));
    let body = streamed(
        &router,
        json!({"model": "sonnet", "input": "b", "conversation": {"id": id}}),
    )
    .await;
    assert!(body.contains("event: response.completed"), "{body}");
    let by_itself = json!({"model": "sonnet", "input": "c", "conversation": id, "store": false});
    assert_eq!(
        send_json(&router, "POST", "/v1/responses", by_itself)
            .await
            .0,
        200
    );
    assert_eq!(
        texts(&router, &path).await,
        ["a", "0 a", "b", "2 b", "c", "4 c"]
    );
    let (_, items) = send_json(
        &router,
        "GET",
        &format!("{path}/items?order=asc&limit=2"),
        json!(null),
    )
    .await;
    assert_eq!(items["data"][1], first["output"][0]);
    let (_, unchanged) = send_json(
        &router,
        "GET",
        &format!("/v1/responses/{}", first["id"].as_str().unwrap()),
        json!(null),
    )
    .await;
    assert_eq!(unchanged, first);
    let count = send_json(
        &router,
        "POST",
        "/v1/responses/input_tokens",
        respond(&id, "d"),
    )
    .await
    .1;
    assert_eq!(count["input_tokens"], 7);
    assert_eq!(
        texts(&router, &path).await.len(),
        6,
        "nothing but a response is added"
    );
}

#[tokio::test]
async fn incomplete_response_is_added_and_failed_one_is_not() {
    let router = with_keys(repeating());
    let (path, id) = create_conversation(&router).await;
    let (_, short) = send_json(&router, "POST", "/v1/responses", respond(&id, "long")).await;
    assert_eq!(short["status"], "incomplete");
    assert_eq!(
        send_json(&router, "POST", "/v1/responses", respond(&id, "fail"))
            .await
            .0,
        503
    );
    assert!(
        streamed(&router, respond(&id, "fail"))
            .await
            .contains("response.failed")
    );
    assert_eq!(texts(&router, &path).await, ["long", "0 long"]);
}

#[tokio::test]
async fn conversation_is_locked_while_a_response_is_made() {
    let router = with_keys(repeating());
    let (path, id) = create_conversation(&router).await;
    let background =
        json!({"model": "sonnet", "input": "hang", "conversation": id, "background": true});
    let (_, queued) = send_json(&router, "POST", "/v1/responses", background).await;
    let new = json!({"items": [{"role": "user", "content": "x"}]});
    for (path, fields) in [
        ("/v1/responses".to_owned(), respond(&id, "a")),
        (format!("{path}/items"), new),
    ] {
        let (status, error) = send_json(&router, "POST", &path, fields).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (409, &json!("conversation_locked")),
            "{path}"
        );
    }
    let cancel = format!("/v1/responses/{}/cancel", queued["id"].as_str().unwrap());
    assert_eq!(
        send_json(&router, "POST", &cancel, json!(null)).await.1["status"],
        "cancelled"
    );
    assert_eq!(
        send_json(&router, "POST", "/v1/responses", respond(&id, "a"))
            .await
            .0,
        200
    );
    assert_eq!(texts(&router, &path).await, ["a", "0 a"]);
}

#[tokio::test]
async fn invalid_continuation_is_refused_by_field() {
    let router = with_keys(repeating());
    let (_, id) = create_conversation(&router).await;
    let (_, first) = send_json(&router, "POST", "/v1/responses", respond(&id, "a")).await;
    let both = json!({"model": "sonnet", "input": "b", "conversation": id, "previous_response_id": first["id"]});
    let (status, error) = send_json(&router, "POST", "/v1/responses", both).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (400, &json!("mutually_exclusive_parameters"))
    );
    let other = json!({"model": "sonnet", "input": "b", "previous_response_id": first["id"]});
    let (status, error) = send_json(&router, "POST", "/v1/responses", other).await;
    assert_eq!(
        (status, &error["error"]["param"]),
        (400, &json!("previous_response_id"))
    );
    assert!(error["error"]["message"].as_str().unwrap().contains(&id));
    for (name, param) in [(json!(1), "conversation"), (json!({}), "conversation.id")] {
        let odd = json!({"model": "sonnet", "input": "b", "conversation": name});
        assert_eq!(
            send_json(&router, "POST", "/v1/responses", odd).await.1["error"]["param"],
            param
        );
    }
}

#[tokio::test(start_paused = true)]
async fn response_fails_when_its_conversation_is_deleted() {
    let slow = [
        started(),
        text("a"),
        Step::Wait(Duration::from_secs(1)),
        finished(),
    ];
    let router = with_keys(ScriptedTurns::playing(slow));
    for stream in [false, true] {
        let (path, id) = create_conversation(&router).await;
        let mut fields = respond(&id, "a");
        fields["stream"] = json!(stream);
        let key = [("authorization", "Bearer secret-1")];
        let making = send(
            router.clone(),
            request("POST", "/v1/responses", &key, fields.to_string()),
        );
        let deleting = async {
            sleep(Duration::from_millis(500)).await;
            send_json(&router, "DELETE", &path, json!(null)).await.0
        };
        let read = async { body(making.await).await };
        let (stream_text, deleted) = tokio::join!(read, deleting);
        assert_eq!(deleted, 200);
        assert!(
            stream_text.contains("conversation_not_found"),
            "{stream_text}"
        );
        assert_eq!(
            stream_text.contains("event: response.failed"),
            stream,
            "{stream_text}"
        );
        assert!(!stream_text.contains("response.completed"), "{stream_text}");
    }
}

/// A client that has seen a response complete would continue from it, so an unstored one must not
/// complete.
#[tokio::test]
async fn response_that_cannot_be_stored_fails() {
    let (tables, disk) = ResponseTables::faulty();
    let keys = Keys::new(["secret-1"]).unwrap();
    let router = router(app_state(
        &tables,
        repeating(),
        keys,
        DrainExpired::default(),
    ));
    let (path, id) = create_conversation(&router).await;
    disk.fill(true);
    let (status, error) = send_json(&router, "POST", "/v1/responses", respond(&id, "a")).await;
    assert_eq!(
        (status, &error["error"]["code"]),
        (500, &json!("answer_not_kept"))
    );
    let stream_text = streamed(&router, respond(&id, "a")).await;
    assert!(
        stream_text.contains("answer_not_kept") && stream_text.ends_with("}\n\n"),
        "{stream_text}"
    );
    assert!(!stream_text.contains("response.completed"), "{stream_text}");
    let numbers: Vec<&str> = stream_text
        .split("\"sequence_number\":")
        .skip(1)
        .map(|rest| rest.split([',', '}']).next().unwrap())
        .collect();
    assert!(
        numbers
            .iter()
            .enumerate()
            .all(|(index, number)| index.to_string() == **number),
        "{numbers:?}"
    );
    disk.fill(false);
    assert!(texts(&router, &path).await.is_empty());
}

/// An answer outside a conversation is delivered although it cannot be stored, and says so.
#[tokio::test]
async fn unstored_response_outside_a_conversation_has_store_false() {
    let (tables, disk) = ResponseTables::faulty();
    let keys = Keys::new(["secret-1"]).unwrap();
    let router = router(app_state(
        &tables,
        repeating(),
        keys,
        DrainExpired::default(),
    ));
    let request = json!({"model": "haiku", "input": "a"});
    for (is_full, is_stored) in [(false, true), (true, false)] {
        disk.fill(is_full);
        let (status, answer) = send_json(&router, "POST", "/v1/responses", request.clone()).await;
        assert_eq!(
            (status, &answer["status"], &answer["store"]),
            (200, &json!("completed"), &json!(is_stored))
        );
        let mut streamed_request = request.clone();
        streamed_request["stream"] = json!(true);
        let stream_text = streamed(&router, streamed_request).await;
        let (_, last) = stream_text.split_once("event: response.completed").unwrap();
        assert!(last.contains(&format!("\"store\":{is_stored}")), "{last}");
        let path = format!("/v1/responses/{}", answer["id"].as_str().unwrap());
        let found = send_json(&router, "GET", &path, json!(null)).await.0;
        assert_eq!(found == 200, is_stored);
    }
}
