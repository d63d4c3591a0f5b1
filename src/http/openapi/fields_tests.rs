use super::*;
use crate::api::request_schema::checked;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;
use crate::api::request_schema::passed;
use crate::api::request_schema::refused;

/// Returns the schema of `field` without its description.
fn schema_of(field: &Field, is_nullable: bool) -> Value {
    let mut schema = schema(field, "Owner", is_nullable, &mut ());
    assert_eq!(
        schema.as_object_mut().unwrap().remove("description"),
        Some("Note.".into())
    );
    schema
}

#[test]
fn handling_names_what_becomes_of_a_field() {
    let text = |field: Field| schema_of(&field, false);
    assert_eq!(
        text(honoured("a", FieldType::Text, "Note.")),
        json!({"type": "string", "x-switchboard-handling": "honoured"})
    );
    assert_eq!(
        text(passed("a", FieldType::Any, "Note.")),
        json!({"x-switchboard-handling": "honoured", "x-switchboard-support": "passed"})
    );
    assert_eq!(
        text(checked("a", FieldType::Bool, "Note.")),
        json!({
            "type": "boolean", "x-switchboard-handling": "ignored", "x-switchboard-support": "checked",
        })
    );
    assert_eq!(
        text(ignored("a", FieldType::Number(-2.0, 2.0), "Note.").with_no_op(&["0"])),
        json!({
            "type": "number", "minimum": -2.0, "maximum": 2.0, "x-switchboard-handling": "ignored",
            "x-switchboard-same-as-absent": [0],
        })
    );
}

#[test]
fn refused_field_allows_what_equals_its_absence() {
    let field = |values| refused("a", FieldType::Bool, "Note.").with_no_op(values);
    assert_eq!(
        schema_of(&field(&["false"]), true),
        json!({"enum": [false, null], "x-switchboard-handling": "refused"})
    );
    assert_eq!(
        schema_of(&field(&[]), true),
        json!({"type": "null", "x-switchboard-handling": "refused"})
    );
}

#[test]
fn null_is_an_alternative_of_optional_fields() {
    let handling = "honoured";
    let shape = |field: Field| {
        let mut schema = schema_of(&field, true);
        let fields = schema.as_object_mut().unwrap();
        assert_eq!(fields.remove(HANDLING), Some(handling.into()));
        schema
    };
    let field = |field_type| honoured("a", field_type, "Note.");
    assert_eq!(
        shape(field(FieldType::Text).one_of(&["x"])),
        json!({"type": ["string", "null"], "enum": ["x", null]})
    );
    assert_eq!(
        shape(field(FieldType::TextOrArray).of_texts()),
        json!({"anyOf": [
            {"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"},
        ]})
    );
    assert_eq!(
        shape(field(FieldType::Integer(1, i64::MAX))),
        json!({"type": ["integer", "null"], "minimum": 1, "format": "int64"})
    );
    assert_eq!(shape(field(FieldType::Any)), json!({}));
}

#[test]
fn links_of_notes_are_left_out() {
    assert_eq!(
        plain("See [models](#models) and `messages[].name`, [a](b)."),
        "See models and `messages[].name`, a."
    );
}
