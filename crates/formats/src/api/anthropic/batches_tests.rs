use serde_json::Value;
use serde_json::json;

use super::*;
use crate::api::request_schema::document;

#[test]
fn documentation_shows_batch_fields() {
    document::check("message batch fields", &[&CREATE, &REQUEST]);
}

fn decode(requests: &Value) -> Result<(Vec<NewRequest>, Remarks), InvalidRequest> {
    create(
        json!({"requests": requests}).to_string().as_bytes(),
        Policy::Lenient,
    )
}

#[test]
fn batch_params_keep_the_clients_json() {
    let body =
        br#"{"requests": [{"custom_id": "a-1", "params": {"z": 1.0, "a": [ 2 ]}, "odd": 1}]}"#;
    let (requests, remarks) = create(body, Policy::Lenient).unwrap();
    assert_eq!(
        requests,
        [NewRequest {
            custom_id: "a-1".into(),
            params: r#"{"z":1.0,"a":[2]}"#.into()
        }]
    );
    assert_eq!(remarks.ignored, ["requests[].odd"]);
}

#[test]
fn batch_errors_name_the_request() {
    let good = json!({"custom_id": "a", "params": {}});
    for (requests, param) in [
        (json!([]), "requests"),
        (json!(1), "requests"),
        (json!([1]), "requests[0]"),
        (json!([{"params": {}}]), "requests[0].custom_id"),
        (
            json!([{"custom_id": "a b", "params": {}}]),
            "requests[0].custom_id",
        ),
        (
            json!([{"custom_id": "x".repeat(65), "params": {}}]),
            "requests[0].custom_id",
        ),
        (json!([good, good]), "requests[1].custom_id"),
        (json!([{"custom_id": "a"}]), "requests[0].params"),
        (
            json!([{"custom_id": "a", "params": []}]),
            "requests[0].params",
        ),
    ] {
        assert_eq!(decode(&requests).unwrap_err().param.as_deref(), Some(param));
    }
    assert_eq!(
        create(b"{}", Policy::Lenient).unwrap_err().param.as_deref(),
        Some("requests")
    );
}

#[test]
fn batch_results_have_anthropics_format() {
    let line = |response: Value, error: Value| {
        let stored = json!({"id": "x", "custom_id": "a", "response": response, "error": error});
        serde_json::from_str::<Value>(&result_line(&stored.to_string()).unwrap()).unwrap()["result"]
            .clone()
    };
    let answered = json!({"status_code": 200, "request_id": "req_1", "body": {"type": "message"}});
    assert_eq!(
        line(answered, json!(null)),
        json!({"type": "succeeded", "message": {"type": "message"}})
    );
    let refused =
        json!({"status_code": 404, "request_id": "req_1", "body": {"error": {"message": "no"}}});
    assert_eq!(
        line(refused, json!(null)),
        json!({"type": "errored", "error": {
            "type": "error", "error": {"type": "not_found_error", "message": "no"}, "request_id": "req_1"
        }})
    );
    for (code, kind) in [
        ("batch_cancelled", "canceled"),
        ("batch_expired", "expired"),
        ("revoked_api_key", "errored"),
    ] {
        assert_eq!(
            line(json!(null), json!({"code": code, "message": "m"}))["type"],
            kind
        );
    }
    assert_eq!(result_line("{}"), None);
}

#[test]
fn batch_has_results_until_they_are_archived() {
    let mut batch = MessageBatch {
        id: "msgbatch_1".into(),
        status: ProcessingStatus::InProgress,
        counts: RequestCounts {
            processing: 2,
            ..RequestCounts::default()
        },
        created_at: 0,
        expires_at: 86_400,
        ended_at: None,
        cancel_initiated_at: None,
    };
    assert_eq!(
        batch.to_json(9),
        r#"{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress","request_counts":{"processing":2,"succeeded":0,"errored":0,"canceled":0,"expired":0},"ended_at":null,"created_at":"1970-01-01T00:00:00Z","expires_at":"1970-01-02T00:00:00Z","archived_at":null,"cancel_initiated_at":null,"results_url":null}"#
    );
    batch.status = ProcessingStatus::Ended;
    batch.ended_at = Some(10);
    assert!(
        batch
            .to_json(20)
            .contains(r#""results_url":"/v1/messages/batches/msgbatch_1/results""#)
    );
    let late = batch.to_json(10 + RESULTS_TTL_SECONDS);
    assert!(
        late.contains(r#""archived_at":"1970"#) && late.contains(r#""results_url":null"#),
        "{late}"
    );
}
