use serde_json::json;

use super::request::REQUEST;
use super::*;
use crate::api::openai::files::OUTPUT_EXPIRES_AFTER;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::document;

#[test]
fn field_table_matches_document() {
    document::check("batch fields", &[&REQUEST, &OUTPUT_EXPIRES_AFTER]);
}

#[test]
fn request_fields_are_decoded() {
    let body = json!({
        "input_file_id": "file-1", "endpoint": "/a", "completion_window": "24h", "color": "red",
        "metadata": {"a": "b"}, "output_expires_after": {"anchor": "created_at", "seconds": 3600},
    });
    let request = decode(body.to_string().as_bytes(), &["/a"], Policy::Lenient).unwrap();
    assert_eq!(
        (&*request.input_file_id, &*request.endpoint),
        ("file-1", "/a")
    );
    assert_eq!(
        (request.output_expires_after, &*request.remarks.ignored),
        (Some(3600), &["color".to_owned()][..])
    );
    assert_eq!(
        serde_json::to_value(request.metadata).unwrap(),
        json!({"a": "b"})
    );
}

/// Clients distinguish `null` from an absent field.
#[test]
fn batch_serializes_every_openai_field() {
    let mut batch = json!({
        "id": "batch_1", "object": "batch", "endpoint": "/a", "model": null, "errors": null, "input_file_id": "file-1",
        "completion_window": "24h", "status": "in_progress", "output_file_id": null, "error_file_id": null, "created_at": 1,
        "in_progress_at": null, "expires_at": 2, "finalizing_at": null, "completed_at": null, "failed_at": null,
        "expired_at": null, "cancelling_at": null, "cancelled_at": null,
        "request_counts": {"total": 1, "completed": 0, "failed": 0}, "usage": null, "metadata": null,
    });
    for status in [
        "validating",
        "failed",
        "in_progress",
        "finalizing",
        "completed",
        "expired",
        "cancelling",
        "cancelled",
    ] {
        batch["status"] = json!(status);
        let read: Batch = serde_json::from_value(batch.clone()).unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&read.to_json()).unwrap(),
            batch
        );
        assert_eq!(read.status.as_str(), status);
    }
}

#[test]
fn line_decode_keeps_body_bytes() {
    let line =
        br#" {"custom_id": "a", "method": "POST", "url": "/a", "body": {"z": 1.0, "model": "m", "a": [ ]}} "#;
    let read = BatchRequestLine::decode(line, 1, "/a").unwrap();
    assert_eq!(
        (&*read.custom_id, read.body.get()),
        ("a", r#"{"z": 1.0, "model": "m", "a": [ ]}"#)
    );
    assert_eq!(read.model().as_deref(), Some("m"));
}

#[test]
fn result_lines_of_responses_and_errors() {
    let masked = |line: String| {
        assert!(
            line.ends_with("}\n") && line.matches('\n').count() == 1,
            "{line}"
        );
        let hexadecimal =
            |part: &str| part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        line.trim()
            .split(['_', '"'])
            .map(|part| if hexadecimal(part) { "#" } else { part })
            .collect::<Vec<_>>()
            .join("|")
    };
    insta::assert_snapshot!(masked(response_line("a", 200, br#"{"b":1}"#, &Remarks::default())), @"{|id|:|batch|req|#|,|custom|id|:|a|,|response|:{|status|code|:200,|request|id|:|req|#|,|body|:{|b|:1}},|error|:null}");
    let remarks = Remarks {
        ignored: vec!["n".to_owned()],
        repaired: vec!["arguments"],
    };
    insta::assert_snapshot!(masked(response_line("a", 200, b"{}", &remarks)), @"{|id|:|batch|req|#|,|custom|id|:|a|,|response|:{|status|code|:200,|request|id|:|req|#|,|body|:{},|ignored|:[|n|],|repaired|:[|arguments|]},|error|:null}");
    insta::assert_snapshot!(masked(error_line("a", "batch_expired", "Over.")), @"{|id|:|batch|req|#|,|custom|id|:|a|,|response|:null,|error|:{|code|:|batch|expired|,|message|:|Over.|}}");
}
