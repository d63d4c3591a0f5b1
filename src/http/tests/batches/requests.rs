//! Tests of creating, refusing and listing batches.

use super::*;

async fn send_refused(server: &BatchServer, request: Request<Body>) -> String {
    let (status, error) = error(send(server.router.clone(), request).await).await;
    format!("{} {} {}", status.as_u16(), error["code"], error["param"])
}

#[tokio::test]
async fn invalid_batch_request_names_the_field() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let file = server.upload_lines(&lines(1)).await;
    for (field, value, expected) in [
        (
            "input_file_id",
            Value::Null,
            r#"400 "missing_required_parameter" "input_file_id""#,
        ),
        (
            "input_file_id",
            json!("file-1"),
            r#"400 "invalid_value" "input_file_id""#,
        ),
        (
            "endpoint",
            Value::Null,
            r#"400 "missing_required_parameter" "endpoint""#,
        ),
        (
            "endpoint",
            json!("/v1/embeddings"),
            r#"400 "invalid_value" "endpoint""#,
        ),
        (
            "completion_window",
            Value::Null,
            r#"400 "missing_required_parameter" "completion_window""#,
        ),
        (
            "completion_window",
            json!("1h"),
            r#"400 "invalid_value" "completion_window""#,
        ),
        (
            "metadata",
            json!({"a": 1}),
            r#"400 "invalid_type" "metadata.a""#,
        ),
        (
            "output_expires_after",
            json!({"seconds": 1}),
            r#"400 "invalid_value" "output_expires_after.seconds""#,
        ),
    ] {
        let mut order = batch_request(&file);
        order[field] = value;
        let request = request("POST", "/v1/batches", &[], order.to_string());
        assert_eq!(send_refused(&server, request).await, expected, "{field}");
    }
    for (method, path) in [
        ("GET", "/v1/batches/batch_1"),
        ("POST", "/v1/batches/batch_1/cancel"),
    ] {
        let request = request(method, path, &[], "");
        assert_eq!(
            send_refused(&server, request).await,
            r#"404 "batch_not_found" "id""#
        );
    }
}

#[tokio::test]
async fn batch_with_an_invalid_line_fails_as_a_whole() {
    let (turns, log) = logged_turns(|_| Ok(greeting_steps()));
    let server = BatchServer::start(turns).await;
    let with = |name: &str, value: Value| {
        let mut line = line("x");
        line[name] = value;
        line
    };
    let file = [
        line("good"),
        json!([1]),
        with("custom_id", Value::Null),
        with("custom_id", json!("")),
        with("method", json!("GET")),
        with("url", json!("/v1/responses")),
        with("body", json!("text")),
        line("good"),
        line(&"x".repeat(1000)),
    ];
    let id = server.create_batch(&file).await;
    let batch = server.wait_for_status(&id, "failed").await;
    let data = batch["errors"]["data"].as_array().unwrap();
    let faults: Vec<_> = data
        .iter()
        .map(|fault| format!("{} {} {}", fault["line"], fault["code"], fault["param"]))
        .collect();
    assert_eq!(
        faults.join("\n").replace('"', ""),
        "\
2 invalid_json_line null
3 invalid_type custom_id
4 invalid_value custom_id
5 invalid_method method
6 mismatched_endpoint url
7 missing_required_parameter body
8 duplicate_custom_id custom_id
9 line_too_long null"
    );
    assert_eq!(
        (
            &batch["errors"]["object"],
            &batch["request_counts"]["total"]
        ),
        (&json!("list"), &json!(0))
    );
    assert!(
        batch["failed_at"].is_u64() && batch["output_file_id"].is_null(),
        "{batch}"
    );
    assert_eq!(log.lock().unwrap().len(), 0, "nothing was run");

    let empty = found(&server.router, upload("\n \n")).await["id"].clone();
    let created = server
        .call("POST", "/v1/batches", &batch_request(&empty))
        .await;
    let batch = server
        .wait_for_status(created["id"].as_str().unwrap(), "failed")
        .await;
    assert_eq!(batch["errors"]["data"][0]["code"], "empty_file");
}

#[tokio::test]
async fn batches_are_listed_newest_first() {
    let server = BatchServer::start(ScriptedTurns::playing(greeting_steps())).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(server.create_batch(&lines(1)).await);
    }
    let list = async |query: &str| {
        let list = server
            .call("GET", &format!("/v1/batches?{query}"), &Value::Null)
            .await;
        let ids = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|batch| batch["id"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>(), list["has_more"] == true)
    };
    assert_eq!(
        list("limit=2").await,
        (vec![ids[2].clone(), ids[1].clone()], true)
    );
    assert_eq!(
        list(&format!("after={}", ids[1])).await,
        (vec![ids[0].clone()], false)
    );
}
