//! Rules of the schemas of structured answers and strict tools.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use serde_json::{Map, Value, json};
use support::{Api, request};

/// Object schema with the required property `v`.
fn object(property: &Value) -> Value {
    json!({"type": "object", "properties": {"v": property}, "required": ["v"], "additionalProperties": false})
}

#[tokio::test]
async fn supported_schemas_are_accepted() {
    let api = Api::start().await;
    for property in [
        json!({"type": "integer"}),
        json!({"type": ["string", "null"], "description": "d", "pattern": "^a"}),
        json!({"enum": ["a", 1]}),
        json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
        json!({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "V"}),
    ] {
        assert_eq!(
            api.refusal(&with_format(&object(&property))).await,
            None,
            "{property}"
        );
        assert_eq!(
            api.refusal(&with_tool(&object(&property))).await,
            None,
            "{property}"
        );
    }
}

#[tokio::test]
async fn unsupported_keywords_are_rejected_in_answers_and_strict_tools() {
    let api = Api::start().await;
    for (property, refusal) in [
        (
            json!({"type": "integer", "minimum": 1}),
            "For 'integer' type, property 'minimum' is not supported",
        ),
        (
            json!({"type": "number", "minimum": 1, "maximum": 2}),
            "For 'number' type, properties maximum, minimum are not supported",
        ),
        (
            json!({"type": "string", "maxLength": 3}),
            "For 'string' type, property 'maxLength' is not supported",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}, "minItems": 2}),
            "For 'array' type, 'minItems' values other than 0 or 1 are not supported",
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}]}),
            "For 'array' type, property 'prefixItems' is not supported",
        ),
        (
            json!({"type": "array", "items": [{"type": "string"}]}),
            "must be specified with a single object schema",
        ),
        (
            json!({"oneOf": [{"type": "string"}, {"type": "null"}]}),
            "Schema type 'oneOf' is not supported",
        ),
        (
            json!({"type": "string", "not": {"const": "a"}}),
            "Schema keyword 'not' is not supported",
        ),
        (
            json!({"type": "string", "anyOf": [{"type": "string"}]}),
            "For 'anyOf', 'type' is not supported",
        ),
        (
            json!({"title": "Any"}),
            "Empty schema ({}) that accepts any JSON value is not supported.",
        ),
    ] {
        expect_refusal(&api, &property, refusal).await;
    }
}

#[tokio::test]
async fn objects_must_forbid_additional_properties() {
    let api = Api::start().await;
    for (property, refusal) in [
        (
            json!({"type": "object", "properties": {}}),
            "'additionalProperties' must be explicitly set to false",
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            "For 'object' type, 'additionalProperties: object' is not supported.",
        ),
    ] {
        expect_refusal(&api, &property, refusal).await;
    }
}

/// Uses `property` in an answer's schema and in a strict tool, and checks both refusals.
async fn expect_refusal(api: &Api, property: &Value, refusal: &str) {
    let schema = object(property);
    let got = api.refusal(&with_format(&schema)).await.unwrap();
    assert!(
        got.starts_with("output_config.format.schema: ") && got.contains(refusal),
        "{schema}: {got}"
    );
    let got = api.refusal(&with_tool(&schema)).await.unwrap();
    assert!(
        got.starts_with("tools.0.custom: ") && got.contains(refusal),
        "{schema}: {got}"
    );
}

fn with_format(schema: &Value) -> Value {
    request(
        "[[tokens=1]]",
        json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}),
    )
}

fn with_tool(schema: &Value) -> Value {
    request(
        "[[tokens=1]]",
        json!({"tools": [{"name": "a", "strict": true, "input_schema": schema}]}),
    )
}

#[tokio::test]
async fn recursive_and_too_large_schemas_are_rejected() {
    let api = Api::start().await;
    let mut tree = object(&json!({"$ref": "#/$defs/Node"}));
    tree["$defs"] =
        json!({"Node": object(&json!({"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}))});
    let refusal = "output_config.format.schema: Circular reference detected in schema definitions: Node -> Node";
    assert_eq!(api.refusal(&with_format(&tree)).await.unwrap(), refusal);
    let mut shared = object(&json!({"type": "array", "items": {"$ref": "#/$defs/Leaf"}}));
    shared["properties"]["w"] = json!({"$ref": "#/$defs/Leaf"});
    shared["$defs"] = json!({"Leaf": object(&json!({"type": "string"}))});
    assert_eq!(api.refusal(&with_format(&shared)).await, None);

    let many = |count: usize, property: &Value, is_required: bool| {
        let names: Vec<_> = (0..count).map(|index| format!("p{index}")).collect();
        let properties: Value = names
            .iter()
            .map(|name| (name.clone(), property.clone()))
            .collect::<Map<_, _>>()
            .into();
        let required = if is_required { json!(names) } else { json!([]) };
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    let plain = json!({"type": "string"});
    let union = json!({"type": ["string", "null"]});
    assert_eq!(
        api.refusal(&with_format(&many(24, &plain, false))).await,
        None
    );
    let got = api
        .refusal(&with_format(&many(25, &plain, false)))
        .await
        .unwrap();
    assert!(
        got.starts_with("Schemas contains too many optional parameters (25), "),
        "{got}"
    );
    assert_eq!(
        api.refusal(&with_format(&many(16, &union, true))).await,
        None
    );
    let got = api
        .refusal(&with_format(&many(17, &union, true)))
        .await
        .unwrap();
    assert!(
        got.starts_with("Schemas contains too many parameters with union types (17 parameters"),
        "{got}"
    );
}
