use serde_json::json;

use super::request::REQUEST;
use super::*;
use crate::api::openai::files::OUTPUT_EXPIRES_AFTER;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::document;

#[test]
fn batch_field_table_matches_document() {
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
fn batch_result_lines_hold_responses_and_errors() {
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
