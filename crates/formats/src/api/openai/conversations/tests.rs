use serde_json::Value;
use serde_json::json;

use super::request::ADD;
use super::request::CREATE;
use super::request::UPDATE;
use super::*;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::api::request_schema::document;

#[test]
fn conversation_field_tables_match_document() {
    document::check("conversation fields", &[&CREATE]);
    document::check("conversation update fields", &[&UPDATE]);
    document::check("conversation item fields", &[&ADD]);
}

fn add(items: &Value) -> Result<NewItems, InvalidRequest> {
    items_of(&json!({"items": items}), Policy::Lenient)
}

fn items_of(body: &Value, policy: Policy) -> Result<NewItems, InvalidRequest> {
    decode_new_items(body.to_string().as_bytes(), policy)
}

#[test]
fn items_get_type_id_and_content_parts() {
    let new = add(
        &json!([{"role": "user", "content": "hi"}, {"id": "msg_1", "role": "assistant", "content": "ho"}]),
    );
    let items = new.unwrap().items;
    assert!(items[0]["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(
        (&items[0]["type"], &items[0]["status"]),
        (&json!("message"), &json!("completed"))
    );
    assert_eq!(
        items[0]["content"],
        json!([{"type": "input_text", "text": "hi"}])
    );
    assert_eq!(items[1]["id"], "msg_1");
}

#[test]
fn errors_and_remarks_use_items_path() {
    let message = json!({"role": "user", "content": "x"});
    for (items, param) in [
        (json!([{"role": "user"}]), "items[0].content"),
        (
            json!([message, {"role": "judge", "content": "x"}]),
            "items[1].role",
        ),
        (
            json!([{"role": "user", "content": [{"type": "input_text", "text": 1}]}]),
            "items[0].content[0].text",
        ),
        (
            json!([{"type": "item_reference", "id": "msg_1"}]),
            "items[0]",
        ),
        (json!([1]), "items[0]"),
        (json!(vec![message.clone(); 21]), "items"),
        (json!("x"), "items"),
    ] {
        let error = add(&items).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param));
        assert!(!error.message.contains("input["), "{}", error.message);
    }
    assert_eq!(
        items_of(&json!({}), Policy::Lenient)
            .unwrap_err()
            .param
            .as_deref(),
        Some("items")
    );
    let odd = json!({"items": [{"role": "user", "content": "x", "mood": 1}], "odd": 1});
    assert_eq!(
        items_of(&odd, Policy::Lenient).unwrap().remarks.ignored,
        ["items[].mood", "odd"]
    );
    assert_eq!(
        items_of(&odd, Policy::Strict).unwrap_err().param.as_deref(),
        Some("items[0].mood")
    );
}

#[test]
fn create_and_update_bodies_are_decoded() {
    assert!(
        decode_create_conversation(b"", Policy::Strict)
            .unwrap()
            .new_items
            .items
            .is_empty()
    );
    let created =
        decode_create_conversation(br#"{"items":null,"metadata":{"a":"b"}}"#, Policy::Strict)
            .unwrap();
    assert_eq!(created.metadata["a"], "b");
    assert_eq!(
        decode_create_conversation(br#"{"metadata":{"a":1}}"#, Policy::Strict)
            .unwrap_err()
            .param
            .as_deref(),
        Some("metadata.a")
    );
    assert_eq!(
        decode_update_conversation(b"{}", Policy::Strict)
            .unwrap_err()
            .param
            .as_deref(),
        Some("metadata")
    );
    assert!(
        decode_update_conversation(br#"{"metadata":{}}"#, Policy::Strict)
            .unwrap()
            .0
            .is_empty()
    );
}
