//! Tests of responses during and after their request.

use std::sync::Mutex;

use tokio::sync::Notify;

use super::*;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Part;
use crate::storage::store::Store;
use crate::storage::store::testing::BlockingBackend;

const PATH: &str = "/v1/responses";
/// Longest wait for something that happens at once.
const MAX_TEST_WAIT: Duration = Duration::from_secs(10);

fn response_request(fields: Value) -> Request<Body> {
    let mut body = json!({"model": "sonnet", "input": "Hi"});
    let Value::Object(fields) = fields else {
        panic!("no fields")
    };
    body.as_object_mut().unwrap().extend(fields);
    request("POST", PATH, &[], body.to_string())
}

fn at(method: &str, id: &str, rest: &str) -> Request<Body> {
    request(method, &format!("{PATH}/{id}{rest}"), &[], "")
}

/// Returns the body of a successful answer.
async fn found(router: &Router, request: Request<Body>) -> Value {
    let response = send(router.clone(), request).await;
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&body(response).await).unwrap()
}

/// Returns the status, code and field of an error.
async fn refused(router: &Router, request: Request<Body>) -> String {
    let (status, error) = error(send(router.clone(), request).await).await;
    format!("{} {} {}", status.as_u16(), error["code"], error["param"])
}

fn id(response: &Value) -> String {
    response["id"].as_str().unwrap().to_owned()
}

/// Returns the events of a stream with their names, which must equal their types.
fn events(body: &str) -> Vec<Value> {
    let frames = body
        .split_terminator("\n\n")
        .filter(|frame| !frame.starts_with(':'));
    let read = |frame: &str| {
        let (name, data) = frame
            .strip_prefix("event: ")
            .unwrap()
            .split_once("\ndata: ")
            .unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    frames.map(read).collect()
}

fn names(events: &[Value]) -> String {
    let name = |event: &Value| {
        event["type"]
            .as_str()
            .unwrap()
            .trim_start_matches("response.")
            .to_owned()
    };
    events.iter().map(name).collect::<Vec<_>>().join(" ")
}

fn scripted_router(steps: Vec<Step>) -> Router {
    router(state(ScriptedTurns::playing(steps)))
}

/// Router that answers with a greeting, and the texts of each turn.
fn recording_router() -> (Router, Arc<Mutex<Vec<String>>>) {
    let turns = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&turns);
    let texts = |parts: &[Part]| {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        parts.iter().map(text).collect::<Vec<_>>().join("+")
    };
    let script = move |_: &Caller, turn: &Turn| {
        let mut lines: Vec<_> = turn
            .history
            .iter()
            .map(|message| texts(&message.parts))
            .collect();
        lines.push(texts(&turn.prompt));
        seen.lock().unwrap().push(lines.join(" | "));
        Ok(play(greeting_steps()))
    };
    (router(state(ScriptedTurns::new(script))), turns)
}

#[tokio::test]
async fn response_is_stored_until_deleted() {
    let router = scripted_router(greeting_steps());
    let response = send(router.clone(), response_request(json!({"seed": 1}))).await;
    assert_eq!(
        response.headers()["x-switchboard-model"],
        "claude-sonnet-5-5"
    );
    assert_eq!(response.headers()["x-switchboard-ignored"], "seed");
    let created: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(
        (&created["status"], &created["model"]),
        (&json!("completed"), &json!("sonnet"))
    );
    assert_eq!(created["output"][0]["content"][0]["text"], "Hello");
    let id = id(&created);
    assert_eq!(found(&router, at("GET", &id, "")).await, created);
    let deleted = found(&router, at("DELETE", &id, "")).await;
    assert_eq!(
        deleted,
        json!({"id": id, "object": "response", "deleted": true})
    );
    for request in [
        at("GET", &id, ""),
        at("DELETE", &id, ""),
        at("POST", &id, "/cancel"),
    ] {
        assert_eq!(
            refused(&router, request).await,
            r#"404 "response_not_found" null"#
        );
    }
    assert_eq!(
        refused(
            &router,
            response_request(json!({"previous_response_id": id}))
        )
        .await,
        r#"400 "previous_response_not_found" "previous_response_id""#
    );
}

#[tokio::test]
async fn response_is_hidden_from_other_keys() {
    let router = with_keys(ScriptedTurns::playing(greeting_steps()));
    let with = |key: &str, mut request: Request<Body>| {
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {key}").parse().unwrap());
        request
    };
    let created = found(&router, with("secret-1", response_request(json!({})))).await;
    let id = id(&created);
    assert_eq!(
        found(&router, with("secret-1", at("GET", &id, ""))).await,
        created
    );
    for request in [
        at("GET", &id, ""),
        at("GET", &id, "/input_items"),
        at("DELETE", &id, ""),
    ] {
        assert_eq!(
            refused(&router, with("secret-2", request)).await,
            r#"404 "response_not_found" null"#
        );
    }
    let next = with(
        "secret-2",
        response_request(json!({"previous_response_id": id})),
    );
    assert!(
        refused(&router, next)
            .await
            .starts_with("400 \"previous_response_not_found\"")
    );
}

#[tokio::test]
async fn previous_response_id_continues_the_conversation() {
    let (router, turns) = recording_router();
    let first = found(&router, response_request(json!({"input": "one"}))).await;
    let second = found(
        &router,
        response_request(
            json!({"input": "two", "previous_response_id": first["id"], "store": false}),
        ),
    )
    .await;
    let reference = json!([{"type": "item_reference", "id": first["output"][0]["id"]}, {"role": "user", "content": "x"}]);
    found(&router, response_request(json!({"input": reference}))).await;
    assert_eq!(
        *turns.lock().unwrap(),
        ["one", "one | Hello | two", "Hello | x"]
    );
    assert_eq!(
        refused(&router, at("GET", &id(&second), "")).await,
        r#"404 "response_not_found" null"#
    );
    let item = found(&router, at("GET", &id(&first), "/input_items")).await["data"][0].clone();
    let both =
        json!([{"id": first["output"][0]["id"]}, {"type": "item_reference", "id": item["id"]}]);
    found(&router, response_request(json!({"input": both}))).await;
    assert_eq!(turns.lock().unwrap().last().unwrap(), "Hello | one");
    let nowhere = json!({"input": [{"type": "item_reference", "id": "msg_1"}]});
    assert_eq!(
        refused(&router, response_request(nowhere)).await,
        r#"400 "item_not_found" "input[0].id""#
    );
}

#[tokio::test]
async fn input_items_are_listed_in_pages() {
    let router = scripted_router(greeting_steps());
    let message = |text: &str| json!({"role": "user", "content": text});
    let created = found(
        &router,
        response_request(json!({"input": [message("a"), message("b"), message("c")]})),
    )
    .await;
    let id = id(&created);
    let page = async |query: &str| {
        let list = found(&router, at("GET", &id, &format!("/input_items{query}"))).await;
        let text = |item: &Value| item["content"][0]["text"].as_str().unwrap().to_owned();
        let texts: Vec<_> = list["data"].as_array().unwrap().iter().map(text).collect();
        let last = list["last_id"].as_str().unwrap().to_owned();
        (format!("{} {}", texts.join(","), list["has_more"]), last)
    };
    let (first, last) = page("?limit=2").await;
    assert_eq!(first, "c,b true");
    assert_eq!(page(&format!("?after={last}")).await.0, "a false");
    assert_eq!(page("?order=asc").await.0, "a,b,c false");
    for (query, param) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=x", "after"),
    ] {
        let refusal = refused(&router, at("GET", &id, &format!("/input_items?{query}"))).await;
        assert_eq!(refusal, format!(r#"400 "invalid_value" "{param}""#));
    }
}

#[tokio::test(start_paused = true)]
async fn response_stream_has_named_events_and_heartbeats() {
    let steps = vec![
        started(),
        text("Hel"),
        Step::Wait(Duration::from_secs(20)),
        text("lo"),
        finished(),
    ];
    let router = scripted_router(steps);
    let response = send(router.clone(), response_request(json!({"stream": true}))).await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let body = body(response).await;
    assert!(
        body.split_terminator("\n\n")
            .any(|frame| frame.starts_with(':')),
        "{body}"
    );
    let events = events(&body);
    assert_eq!(
        names(&events),
        "created in_progress output_item.added content_part.added output_text.delta output_text.delta \
         output_text.done content_part.done output_item.done completed"
    );
    assert!(
        events
            .iter()
            .enumerate()
            .all(|(number, event)| event["sequence_number"] == number)
    );
    let created = &events.last().unwrap()["response"];
    assert_eq!(found(&router, at("GET", &id(created), "")).await, *created);
}

#[tokio::test]
async fn early_failure_is_an_error_and_late_failure_an_event() {
    let failure = || {
        Step::Fail(Error::Failed(Failure::new(
            FailureKind::Overloaded,
            "It failed.",
        )))
    };
    let before = scripted_router(vec![failure()]);
    for stream in [false, true] {
        let refusal = refused(&before, response_request(json!({"stream": stream}))).await;
        assert_eq!(refusal, r#"503 "overloaded" null"#);
    }
    let after = scripted_router(vec![started(), text("a"), failure()]);
    assert_eq!(
        refused(&after, response_request(json!({}))).await,
        r#"503 "overloaded" null"#
    );
    let events =
        events(&body(send(after.clone(), response_request(json!({"stream": true}))).await).await);
    assert!(
        names(&events).ends_with("output_item.done error failed"),
        "{}",
        names(&events)
    );
    let error = &events[events.len() - 2];
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("overloaded"), &json!("It failed."))
    );
    let failed = &events.last().unwrap()["response"];
    assert_eq!(
        found(&after, at("GET", &id(failed), "")).await["error"]["message"],
        "It failed."
    );
}

#[tokio::test]
async fn background_response_can_be_followed_and_cancelled() {
    let router = scripted_router(vec![started(), text("a"), Step::Hang]);
    let created = found(&router, response_request(json!({"background": true}))).await;
    assert_eq!(
        (&created["status"], &created["background"]),
        (&json!("queued"), &json!(true))
    );
    let unknown = refused(
        &router,
        response_request(json!({"background": true, "model": "gemini-9"})),
    )
    .await;
    assert_eq!(unknown, r#"404 "model_not_found" "model""#, "at once");
    let id = id(&created);
    let next = refused(
        &router,
        response_request(json!({"previous_response_id": id})),
    )
    .await;
    assert_eq!(
        next,
        r#"400 "previous_response_not_finished" "previous_response_id""#
    );

    let rest = send(
        router.clone(),
        at("GET", &id, "?stream=true&starting_after=1"),
    )
    .await;
    let cancelled = found(&router, at("POST", &id, "/cancel")).await;
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(
        found(&router, at("POST", &id, "/cancel")).await,
        cancelled,
        "again"
    );
    assert_eq!(found(&router, at("GET", &id, "")).await, cancelled);
    let rest = events(&body(rest).await);
    assert_eq!(rest[0]["sequence_number"], 2);
    assert_eq!(rest.last().unwrap()["response"], cancelled);
    assert_eq!(
        refused(&router, at("GET", &id, "?stream=true")).await,
        r#"400 "invalid_value" "stream""#,
        "it was not made as a stream"
    );
}

#[tokio::test]
async fn background_response_runs_even_if_its_client_leaves_while_it_is_stored() {
    let disk = Arc::new(BlockingBackend::default());
    let store = Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
    let turns = ScriptedTurns::playing([started(), Step::Hang]);
    let mut running_turns = turns.watch_running();
    let state = app_state(
        &ResponseTables::over(&store),
        turns,
        Keys::none(),
        DrainExpired::default(),
    );
    disk.close();
    let mut creating = Box::pin(send(
        router(state),
        response_request(json!({"background": true})),
    ));
    while !disk.is_blocking() {
        assert!((&mut creating).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(creating);
    disk.open();
    let is_run = running_turns.wait_for(|running_turns| *running_turns == 1);
    tokio::time::timeout(MAX_TEST_WAIT, is_run)
        .await
        .expect("the response runs")
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn background_response_ends_once_its_full_disk_has_space() {
    let (tables, disk) = ResponseTables::faulty();
    let finish = Arc::new(Notify::new());
    let finished_turns = Arc::clone(&finish);
    let turns = ScriptedTurns::new(move |_, _| {
        let finish = Arc::clone(&finished_turns);
        let end = stream::once(async move { finish.notified().await });
        let end = end.flat_map(|()| play(vec![finished()]));
        Ok(play(vec![started(), text("a")]).chain(end).boxed())
    });
    let state = app_state(&tables, turns, Keys::none(), DrainExpired::default());
    let router = router(state);
    let created = found(&router, response_request(json!({"background": true}))).await;
    disk.fill(true);
    finish.notify_one();
    sleep(Duration::from_secs(60)).await;
    let status = async || found(&router, at("GET", &id(&created), "")).await["status"].clone();
    assert_eq!(status().await, "in_progress");
    disk.fill(false);
    let completed = async {
        while status().await != "completed" {
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), completed)
        .await
        .expect("it is stored again");
}

#[tokio::test]
async fn background_stream_can_be_read_again() {
    let router = scripted_router(greeting_steps());
    let response = send(
        router.clone(),
        response_request(json!({"background": true, "stream": true})),
    )
    .await;
    let first = events(&body(response).await);
    assert!(
        names(&first).starts_with("created queued in_progress"),
        "{}",
        names(&first)
    );
    let created = &first.last().unwrap()["response"];
    assert_eq!(created["status"], "completed");
    let path = format!("?stream=true&starting_after={}", 3);
    let again = events(&body(send(router.clone(), at("GET", &id(created), &path)).await).await);
    assert_eq!(again, first[4..]);
    assert_eq!(
        refused(
            &router,
            at("GET", &id(created), "?stream=true&starting_after=x")
        )
        .await,
        r#"400 "invalid_value" "starting_after""#
    );
}

#[tokio::test]
async fn only_background_responses_can_be_cancelled() {
    let router = scripted_router(greeting_steps());
    let created = found(&router, response_request(json!({}))).await;
    assert_eq!(
        refused(&router, at("POST", &id(&created), "/cancel")).await,
        "400 null null"
    );
}

#[tokio::test]
async fn delete_cancels_a_running_response() {
    let turns = ScriptedTurns::playing([started(), Step::Hang]);
    let mut running_turns = turns.watch_running();
    let router = router(state(turns));
    let created = found(&router, response_request(json!({"background": true}))).await;
    running_turns
        .wait_for(|running_turns| *running_turns == 1)
        .await
        .unwrap();
    found(&router, at("DELETE", &id(&created), "")).await;
    running_turns
        .wait_for(|running_turns| *running_turns == 0)
        .await
        .unwrap();
    assert!(
        refused(&router, at("GET", &id(&created), ""))
            .await
            .starts_with("404")
    );
}

#[tokio::test]
async fn shutdown_fails_running_responses() {
    let state = state(ScriptedTurns::playing([started(), text("a"), Step::Hang]));
    let router = router(state.clone());
    let stop = state.drain_expired.0.clone();
    let created = found(
        &router,
        response_request(json!({"background": true, "stream": false})),
    )
    .await;
    let events = send(router.clone(), at("GET", &id(&created), "?stream=true")).await;
    stop.cancel();
    body(events).await;
    let failed = found(&router, at("GET", &id(&created), "")).await;
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("server_error"))
    );
}

#[tokio::test]
async fn responses_running_at_a_crash_are_failed_at_restart() {
    let tables = ResponseTables::temporary();
    let state = || {
        app_state(
            &tables,
            ScriptedTurns::playing([Step::Hang]),
            Keys::none(),
            DrainExpired::default(),
        )
    };
    let created = found(
        &router(state()),
        response_request(json!({"background": true})),
    )
    .await;
    let next = state();
    assert_eq!(next.services.responses.recover().await.unwrap(), 1);
    assert_eq!(next.services.responses.recover().await.unwrap(), 0);
    let failed = found(&router(next), at("GET", &id(&created), "")).await;
    assert_eq!(failed["status"], "failed");
}

#[tokio::test]
async fn input_tokens_are_counted_and_conversations_compacted() {
    let (router, turns) = recording_router();
    let request_at = |path: &str, fields: Value| {
        request("POST", &format!("{PATH}/{path}"), &[], fields.to_string())
    };
    let count = found(
        &router,
        request_at("input_tokens", json!({"model": "m", "input": "Hi"})),
    )
    .await;
    assert_eq!(
        count,
        json!({"object": "response.input_tokens", "input_tokens": 7})
    );
    let input = json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]);
    let packed = found(
        &router,
        request_at("compact", json!({"model": "m", "input": input})),
    )
    .await;
    assert_eq!(
        (&packed["object"], &packed["output"][0]["type"]),
        (&json!("response.compaction"), &json!("compaction"))
    );
    for path in ["input_tokens", "compact"] {
        let sent = request_at(path, json!({"model": "m", "input": "Hi", "x_unknown": 1}));
        let response = super::send(router.clone(), sent).await;
        assert_eq!(
            response.headers()["x-switchboard-ignored"],
            "x_unknown",
            "{path}"
        );
    }
    let input = json!([packed["output"][0], {"role": "user", "content": "c"}]);
    found(
        &router,
        super::request(
            "POST",
            PATH,
            &[],
            json!({"model": "m", "input": input}).to_string(),
        ),
    )
    .await;
    assert_eq!(*turns.lock().unwrap(), ["a | b | c"]);
}

#[tokio::test]
async fn get_responses_without_upgrade_is_refused() {
    let response = send(
        scripted_router(greeting_steps()),
        request("GET", PATH, &[], ""),
    )
    .await;
    assert_eq!(response.headers()["allow"], "POST");
    let (status, error) = error(response).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(
        error["message"].as_str().unwrap().contains("use POST"),
        "{error}"
    );
}

#[tokio::test]
async fn item_references_are_limited_in_size() {
    let state = AppState {
        config: Arc::new(Config {
            body_limit: 2 << 20,
            ..config()
        }),
        ..state(ScriptedTurns::playing(greeting_steps()))
    };
    let router = router(state);
    let created = found(
        &router,
        response_request(json!({"input": "a".repeat(800_000)})),
    )
    .await;
    let item =
        found(&router, at("GET", &id(&created), "/input_items")).await["data"][0]["id"].clone();
    let naming = |times| json!({"input": vec![json!({"type": "item_reference", "id": item}); times], "store": false});
    found(&router, response_request(naming(2))).await;
    assert_eq!(
        refused(&router, response_request(naming(100))).await,
        r#"400 "invalid_value" "input""#
    );
}
