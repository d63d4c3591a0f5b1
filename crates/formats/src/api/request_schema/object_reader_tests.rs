use serde_json::json;

use super::*;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::Policy;
use crate::api::request_schema::checked;
use crate::api::request_schema::honoured;

static ROOT: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("model", FieldType::Text, "A model.").required(),
        honoured("effort", FieldType::Text, "An effort.").one_of(&["low", "medium", "high"]),
        honoured("format", FieldType::Object, "A format.").with_inner(&FORMAT),
        checked("user", FieldType::Text, "A label."),
    ],
};

static FORMAT: ObjectSchema = ObjectSchema {
    prefix: "format.",
    fields: &[checked("name", FieldType::Identifier(3), "A name.").required()],
};

fn reader(value: Value) -> ObjectReader {
    ObjectReader::new(value, ObjectPath::root(&ROOT)).unwrap()
}

fn refusal<T: std::fmt::Debug>(read: Result<T, InvalidRequest>) -> String {
    let error = read.unwrap_err();
    format!("{} {}", error.code.unwrap(), error.message)
}

#[test]
fn required_field_is_refused_when_absent_or_null() {
    let refusals = [json!({}), json!({"model": null})].map(|body| {
        let read = reader(body).take_text("model");
        refusal(read)
    });
    let missing = "missing_required_parameter `model` is missing.";
    assert_eq!(refusals, [missing, missing]);
    let read = reader(json!({"model": "m"})).require_text("model");
    assert_eq!(read.unwrap(), "m");
}

#[test]
fn text_that_the_table_does_not_list_is_refused() {
    let read = reader(json!({"effort": "ultra"})).take_text("effort");
    insta::assert_snapshot!(refusal(read), @"invalid_value `effort`: expected `low`, `medium` or `high`, got `ultra`.");
}

#[test]
fn inner_object_is_read_by_the_table_of_its_row() {
    let name = |name: Value| {
        let mut root = reader(json!({"format": {"name": name}}));
        let mut format = root.take_object("format").unwrap().unwrap();
        format.take_text("name")
    };
    assert_eq!(name(json!("a_1")).unwrap().as_deref(), Some("a_1"));
    insta::assert_snapshot!(refusal(name(json!("a_12"))), @"invalid_value `format.name`: expected a string of 1 to 3 letters, digits, `_` and `-`, got a string.");
    insta::assert_snapshot!(refusal(name(json!(1))), @"invalid_type `format.name`: expected a string of 1 to 3 letters, digits, `_` and `-`, got 1.");
    insta::assert_snapshot!(refusal(name(json!(null))), @"missing_required_parameter `format.name` is missing.");
}

#[test]
fn checked_field_needs_no_reader_and_is_not_reported() {
    let finish = |user: Value| {
        let mut ignored = RemarkCollector::new(Policy::Strict);
        reader(json!({"user": user})).finish(&mut ignored)?;
        Ok(ignored.into_remarks().ignored)
    };
    assert!(finish(json!("u")).unwrap().is_empty());
    insta::assert_snapshot!(refusal(finish(json!(1))), @"invalid_type `user`: expected a string, got 1.");
}
