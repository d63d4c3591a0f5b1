//! Tests of batches of Anthropic's API.

use super::*;

const PATH: &str = "/v1/messages/batches";

fn message_request(custom_id: &str) -> Value {
    let messages = json!([{"role": "user", "content": custom_id}]);
    json!({"custom_id": custom_id, "params": {"model": "sonnet", "max_tokens": 9, "messages": messages}})
}

async fn create_message_batch(server: &BatchServer, requests: &[Value]) -> String {
    let created = server
        .call("POST", PATH, &json!({"requests": requests}))
        .await;
    assert_eq!(
        (&created["type"], &created["processing_status"]),
        (&json!("message_batch"), &json!("in_progress"))
    );
    assert_eq!(
        (
            &created["request_counts"]["processing"],
            &created["results_url"]
        ),
        (&json!(requests.len()), &Value::Null)
    );
    created["id"].as_str().unwrap().to_owned()
}

/// Waits until the batch has ended.
async fn wait_until_ended(server: &BatchServer, id: &str) -> Value {
    let waiting = async {
        loop {
            let batch = server
                .call("GET", &format!("{PATH}/{id}"), &Value::Null)
                .await;
            if batch["processing_status"] == "ended" {
                return batch;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, waiting)
        .await
        .expect("the batch ends")
}

/// Returns the results in the order of their ids.
async fn results(server: &BatchServer, batch: &Value) -> Vec<Value> {
    let request = request("GET", batch["results_url"].as_str().unwrap(), &[], "");
    let response = send(server.router.clone(), request).await;
    assert_eq!(response.headers()["content-type"], "application/x-jsonl");
    let mut lines: Vec<Value> = body(response)
        .await
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines.sort_by_key(|line| line["custom_id"].as_str().unwrap().to_owned());
    lines
}

fn result_types(results: &[Value]) -> Vec<&str> {
    results
        .iter()
        .map(|line| line["result"]["type"].as_str().unwrap())
        .collect()
}

/// Returns the status and error of a refused request, in Anthropic's envelope.
async fn send_refused(server: &BatchServer, method: &str, path: &str, fields: &Value) -> String {
    let response = send(
        server.router.clone(),
        request(method, path, &[], fields.to_string()),
    )
    .await;
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(body["type"], "error");
    format!(
        "{status} {}: {}",
        body["error"]["type"].as_str().unwrap(),
        body["error"]["message"].as_str().unwrap()
    )
}

#[tokio::test]
async fn every_message_batch_request_has_a_result() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let mut requests = ["a", "b", "c", "d"].map(message_request);
    requests[1]["params"]["temperature"] = json!("hot");
    requests[2]["params"]["service_tier"] = json!("auto");
    requests[3]["params"]["stream"] = json!(true);
    let id = create_message_batch(&server, &requests).await;
    let batch = wait_until_ended(&server, &id).await;
    let counts =
        json!({"processing": 0, "succeeded": 2, "errored": 2, "canceled": 0, "expired": 0});
    assert_eq!(batch["request_counts"], counts);
    assert!(
        batch["ended_at"].as_str().unwrap().ends_with('Z'),
        "{batch}"
    );
    let results = results(&server, &batch).await;
    assert_eq!(
        result_types(&results),
        ["succeeded", "errored", "succeeded", "errored"]
    );
    let message = &results[0]["result"]["message"];
    assert_eq!(
        (&message["type"], &message["content"][0]["text"]),
        (&json!("message"), &json!("Hello"))
    );
    let error = &results[1]["result"]["error"];
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!("invalid_request_error"))
    );
    let files = server.call("GET", "/v1/files", &Value::Null).await;
    assert_eq!(files["data"], json!([]), "its files are nobody's");
}

#[tokio::test]
async fn message_batches_are_listed_and_deleted_by_their_api_only() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let mut created = Vec::new();
    for _ in 0..3 {
        created.push(create_message_batch(&server, &[message_request("a")]).await);
    }
    let other = server.create_batch(&lines(1)).await;
    let page = server
        .call("GET", &format!("{PATH}?limit=2"), &Value::Null)
        .await;
    assert_eq!(
        (&page["first_id"], &page["last_id"]),
        (&json!(created[2]), &json!(created[1]))
    );
    assert_eq!(page["has_more"], true);
    let next = server
        .call(
            "GET",
            &format!("{PATH}?after_id={}", created[1]),
            &Value::Null,
        )
        .await;
    assert_eq!(
        (&next["data"][0]["id"], &next["has_more"]),
        (&json!(created[0]), &json!(false))
    );
    let list = server.call("GET", "/v1/batches", &Value::Null).await;
    assert_eq!(
        (
            &list["data"][0]["id"],
            list["data"].as_array().unwrap().len()
        ),
        (&json!(other), 1)
    );
    for path in [format!("{PATH}/{other}"), format!("{PATH}/{other}/results")] {
        assert!(
            send_refused(&server, "GET", &path, &Value::Null)
                .await
                .starts_with("404 not_found_error")
        );
    }
    let batch = wait_until_ended(&server, &created[0]).await;
    let path = format!("{PATH}/{}", created[0]);
    let deleted = server.call("DELETE", &path, &Value::Null).await;
    assert_eq!(
        deleted,
        json!({"id": created[0], "type": "message_batch_deleted"})
    );
    let results = batch["results_url"].as_str().unwrap();
    for (method, path) in [("GET", &*path), ("DELETE", &*path), ("GET", results)] {
        assert!(
            send_refused(&server, method, path, &Value::Null)
                .await
                .starts_with("404 not_found_error")
        );
    }
}

#[tokio::test]
async fn cancelled_message_batch_reports_requests_not_run() {
    let (turns, _) = logged_turns(|prompt| {
        Ok(if prompt == "a" {
            greeting_steps()
        } else {
            vec![started(), Step::Hang]
        })
    });
    let mut running_turns = turns.watch_running();
    let server = BatchServer::start(turns).await;
    let id = create_message_batch(&server, &["a", "b", "c"].map(message_request)).await;
    let path = format!("{PATH}/{id}");
    // Two requests run at a time, so both hang when the first is answered.
    tokio::time::timeout(
        MAX_TEST_WAIT,
        running_turns.wait_for(|running_turns| *running_turns == 2),
    )
    .await
    .unwrap()
    .unwrap();
    for (method, path) in [("DELETE", path.clone()), ("GET", format!("{path}/results"))] {
        let refusal = send_refused(&server, method, &path, &Value::Null).await;
        assert!(
            refusal.starts_with("400 invalid_request_error") && refusal.contains("still being"),
            "{refusal}"
        );
    }
    let batch = server
        .call("POST", &format!("{path}/cancel"), &Value::Null)
        .await;
    assert!(batch["cancel_initiated_at"].is_string(), "{batch}");
    let batch = wait_until_ended(&server, &id).await;
    let results = results(&server, &batch).await;
    assert_eq!(results.len(), 3);
    assert_eq!(&result_types(&results)[1..], ["canceled", "canceled"]);
    let counts = &batch["request_counts"];
    assert_eq!(
        counts["succeeded"].as_u64().unwrap() + counts["canceled"].as_u64().unwrap(),
        3
    );
}

#[tokio::test]
async fn message_batch_resumes_after_the_server_is_killed() {
    let storage = BatchStorage::new(Keys::none()).await;
    let (turns, first) = logged_turns(|prompt| {
        Ok(if prompt == "a" {
            greeting_steps()
        } else {
            vec![started(), Step::Hang]
        })
    });
    let mut running_turns = turns.watch_running();
    let server = storage.start_server(turns, 2);
    let id = create_message_batch(&server, &["a", "b", "c"].map(message_request)).await;
    let both_hang = async {
        while first.lock().unwrap().len() < 3 {
            running_turns.changed().await.unwrap();
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, both_hang)
        .await
        .unwrap();
    server.stop.cancel();
    let next = storage.start_server(ScriptedTurns::playing(greeting_steps()), 2);
    assert_eq!(next.batches.recover().await.unwrap(), 1);
    let batch = wait_until_ended(&next, &id).await;
    assert_eq!(batch["request_counts"]["succeeded"], 3);
    assert_eq!(
        result_types(&results(&next, &batch).await),
        ["succeeded"; 3]
    );
}

#[tokio::test]
async fn invalid_message_batch_is_refused() {
    let server = BatchServer::start(ScriptedTurns::playing([])).await;
    let twice = json!({"requests": [message_request("a"), message_request("a")]});
    for (fields, expected) in [
        (
            json!({}),
            "400 invalid_request_error: `requests` is missing.",
        ),
        (twice, "400 invalid_request_error: `requests[1].custom_id`"),
        (
            json!({"requests": "x".repeat(2000)}),
            "413 request_too_large",
        ),
    ] {
        let refusal = send_refused(&server, "POST", PATH, &fields).await;
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}
