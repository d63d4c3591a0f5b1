//! Schemas as clients write them, and their conversions.

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use super::*;

const SUPPORTED_SCHEMA: &str = r##"{"z": 1.0, "type": "object", "properties": {"b": {"type": ["string", "null"], "default": "x"},
    "a": {"$ref": "#/$defs/pet", "description": "d"}, "l": {"type":"array","items":{"enum":["x",1e2]},"minItems":1},
    "p": {"type":"string","pattern":"^[a-z]{2,5}(?:x|\\d+)$"}, "d": {"type":"string","format":"date"}, "any": {"type":"array"},
    "n": {"anyOf":[{"const":1},{"type":"null"}]}, "e": {"type":"object","additionalProperties":false}},
    "required": ["b", "a"], "additionalProperties": false,
    "$defs": {"pet": {"type": "object", "additionalProperties": false, "properties": {"name": {"type": "string"}}}}}"##;

fn object(property: &Value) -> Value {
    json!({"type": "object", "properties": {"p": property}, "required": ["p"], "additionalProperties": false})
}

/// Converts a schema with one property. Returns the property, and whether it allows more than
/// before.
fn property(property: &Value) -> Option<(String, bool)> {
    let enforceable = to_enforceable(&object(property).to_string())?;
    let schema: Value = serde_json::from_str(&enforceable.json).unwrap();
    Some((schema["properties"]["p"].to_string(), enforceable.is_weaker))
}

#[test]
fn supported_schema_is_unchanged() {
    assert_eq!(
        to_enforceable(SUPPORTED_SCHEMA),
        Some(EnforceableSchema {
            json: SUPPORTED_SCHEMA.to_owned(),
            is_weaker: false
        })
    );
}

#[test]
fn objects_are_closed_and_keys_keep_their_order() {
    let schema = r#"{"type":"object","properties":{"z":{"properties":{"y":{"type":"number"}}},"a":{"type":"integer"}}}"#;
    let expected = r#"{"type":"object","properties":{"z":{"type":"object","properties":{"y":{"type":"number"}},"additionalProperties":false},"a":{"type":"integer"}},"additionalProperties":false}"#;
    assert_eq!(
        to_enforceable(schema),
        Some(EnforceableSchema {
            json: expected.to_owned(),
            is_weaker: false
        })
    );
    let open = json!({"additionalProperties": true, "type": "object", "properties": {"a": {"type": "null"}}});
    let enforceable = to_enforceable(&open.to_string()).unwrap();
    assert!(
        enforceable.json.contains(r#""additionalProperties":false"#) && !enforceable.is_weaker,
        "{enforceable:?}"
    );
}

#[test]
fn limits_are_described_in_words() {
    for (schema, expected) in [
        (
            json!({"type": "integer", "minimum": 1, "maximum": 10}),
            "Limits: at most 10; at least 1.",
        ),
        (
            json!({"type": "string", "maxLength": 3, "description": "D."}),
            "D.\\n\\nLimits: at most 3 characters.",
        ),
        (json!({"type": "array", "minItems": 2}), "at least 2 items"),
        (
            json!({"type": "array", "uniqueItems": true}),
            "no item twice",
        ),
        (
            json!({"type": "string", "pattern": "^(?!a)"}),
            r#"matches the regular expression \"^(?!a)\""#,
        ),
        (json!({"type": "string", "pattern": "a{1,2000}"}), "matches"),
        (
            json!({"type": "string", "format": "credit-card"}),
            r#"has the format \"credit-card\""#,
        ),
        (
            json!({"type": "string", "not": {"const": "x"}}),
            r#"not: {\"const\":\"x\"}"#,
        ),
        (
            json!({"multipleOf": 5}),
            r#"a multiple of 5.","type":"number"}"#,
        ),
    ] {
        let (description, is_weaker) = property(&schema).unwrap();
        assert!(description.contains(expected) && is_weaker, "{description}");
    }
    let plain = json!({"type": "array", "uniqueItems": false});
    assert_eq!(
        property(&plain),
        Some((r#"{"type":"array"}"#.to_owned(), false))
    );
}

#[test]
fn one_of_tuples_and_all_of_are_converted() {
    let one_of = json!({"oneOf": [{"type": "string"}, {"type": "object", "properties": {"a": {"const": 1}}}]});
    insta::assert_snapshot!(property(&one_of).unwrap().0, @r#"{"anyOf":[{"type":"string"},{"additionalProperties":false,"properties":{"a":{"const":1}},"type":"object"}]}"#);
    let members = [
        json!({"type": "string"}),
        json!({"type": "integer"}),
        json!({"type": "string"}),
    ];
    let tuple = json!({"type": "array", "prefixItems": members, "minItems": 3, "maxItems": 3});
    insta::assert_snapshot!(property(&tuple).unwrap().0, @r#"{"description":"Limits: at most 3 items; at least 3 items; the items are, in this order: [{\"type\":\"string\"},{\"type\":\"integer\"},{\"type\":\"string\"}].","items":{"anyOf":[{"type":"string"},{"type":"integer"}]},"type":"array"}"#);
    let old = json!({"type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "null"}});
    insta::assert_snapshot!(property(&old).unwrap().0, @r#"{"description":"Limits: the items are, in this order: [{\"type\":\"string\"}].","items":{"anyOf":[{"type":"string"},{"type":"null"}]},"type":"array"}"#);
    let a = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]});
    let b = json!({"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]});
    let (all, is_weaker) = property(&json!({"allOf": [a, b], "description": "D"})).unwrap();
    insta::assert_snapshot!(all, @r#"{"additionalProperties":false,"description":"D","properties":{"a":{"type":"string"},"b":{"type":"string"}},"required":["a","b"],"type":"object"}"#);
    assert!(!is_weaker);
}

#[test]
fn internal_references_are_kept_or_replaced() {
    let schema = json!({
        "properties": {"a": {"type": "string", "maxLength": 1}, "b": {"$ref": "#/properties/a"},
            "c": {"allOf": [{"$ref": "#/definitions/x"}], "title": "T"}, "d": {"$ref": "#/definitions/x"}},
        "definitions": {"x": {"properties": {"y": {"type": "null"}}}},
    });
    let enforceable: Value =
        serde_json::from_str(&to_enforceable(&schema.to_string()).unwrap().json).unwrap();
    assert_eq!(
        enforceable["properties"]["b"],
        enforceable["properties"]["a"]
    );
    assert_eq!(
        enforceable["properties"]["c"]["additionalProperties"],
        false
    );
    assert_eq!(
        enforceable["properties"]["d"],
        json!({"$ref": "#/definitions/x"})
    );
    assert_eq!(
        enforceable["definitions"]["x"]["additionalProperties"],
        false
    );
}

#[test]
fn unsupported_schema_is_not_converted() {
    for schema in [
        json!({}),
        json!(true),
        json!({"description": "anything"}),
        json!({"type": "object"}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}}),
        json!({"type": "object", "properties": {"a b": {"type": "integer"}}}),
        json!({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["b"]}),
        json!({"enum": [{"a": 1}]}),
        json!({"const": []}),
        json!({"$ref": "#"}),
        json!({"$ref": "#/properties/p"}),
        json!({"$ref": "https://example.com/schema.json"}),
        json!({"$ref": "#/$defs/gone"}),
        json!({"allOf": [{"type": "string"}, {"type": "null"}]}),
        json!({"allOf": [{"$ref": "#/properties/p"}]}),
        json!({"anyOf": [{}, {"type": "string"}]}),
    ] {
        assert_eq!(property(&schema), None, "{schema}");
    }
    let tree = json!({"type": "object", "properties": {"list": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}});
    let holding = json!({"$ref": "#/$defs/tree", "$defs": {"tree": tree}});
    let union = json!({"anyOf": [object(&json!({"type": "null"}))]});
    let optional: Value = (0..25)
        .map(|n| (format!("p{n}"), json!({"type": "null"})))
        .collect();
    let wide = json!({"type": "object", "properties": optional});
    for schema in [holding, union, wide] {
        assert_eq!(to_enforceable(&schema.to_string()), None, "{schema}");
    }
    assert_eq!(to_enforceable("no JSON"), None);
}

#[test]
fn hostile_schemas_are_converted_in_bounded_time() {
    let twice = |n: usize| {
        let next = json!({"$ref": format!("#/properties/p{}", n + 1)});
        (
            format!("p{n}"),
            json!({"type": "object", "properties": {"a": next, "b": next}}),
        )
    };
    let doubling: Value = (0..50).map(twice).collect();
    let next = |n: usize| {
        (
            format!("d{n}"),
            json!({"anyOf": [{"$ref": format!("#/$defs/d{}", n + 1)}]}),
        )
    };
    let chain: Value = (0..5000).map(next).collect();
    assert_eq!(
        to_enforceable(&json!({"type": "object", "properties": doubling}).to_string()),
        None
    );
    assert_eq!(
        to_enforceable(&json!({"$ref": "#/$defs/d0", "$defs": chain}).to_string()),
        None
    );
}

/// Lists everything in `schema` that Anthropic is known to refuse.
fn refused(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if (schema["type"] == "object" || schema["properties"].is_object())
        && schema["additionalProperties"] != false
    {
        found.push("an open object".to_owned());
    }
    let keywords = [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "oneOf",
        "allOf",
        "prefixItems",
    ];
    found.extend(
        keywords
            .iter()
            .filter(|name| schema.get(**name).is_some())
            .map(|name| (*name).to_owned()),
    );
    if schema["minItems"].as_u64().is_some_and(|items| items > 1) || schema["items"].is_array() {
        found.push("items".to_owned());
    }
    for name in ["properties", "$defs", "definitions"] {
        found.extend(
            schema[name]
                .as_object()
                .into_iter()
                .flatten()
                .flat_map(|(_, inner)| refused(inner)),
        );
    }
    found.extend(
        schema["anyOf"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(refused),
    );
    found.extend(schema.get("items").into_iter().flat_map(refused));
    found
}

fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "string", "maxLength": 2, "pattern": "^a"})),
        Just(json!({"type": "integer", "minimum": 1, "exclusiveMaximum": 9, "multipleOf": 2})),
        Just(json!({"type": ["number", "null"]})),
        Just(json!({"enum": ["a", null]})),
        Just(json!({"$ref": "#/$defs/d"})),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let some = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            some.clone().prop_map(|list| json!({"oneOf": list})),
            some.clone().prop_map(|list| json!({"allOf": [{"anyOf": list}]})),
            some.clone().prop_map(
                |list| json!({"type": "array", "prefixItems": list, "minItems": 2, "uniqueItems": true})
            ),
            inner.prop_map(|item| json!({"type": "array", "items": item, "maxItems": 4})),
            some.prop_map(|list| {
                let fields: Value = (0..).zip(list).map(|(n, schema)| (format!("f{n}"), schema)).collect();
                json!({"type": "object", "properties": fields})
            }),
        ]
    })
}

proptest! {
    #[test]
    fn converted_schema_contains_nothing_refused(schema in schemas()) {
        let definition = json!({"type": "object", "properties": {"n": {"type": "number", "minimum": 1}}});
        let mut root = object(&schema);
        root["$defs"] = json!({"d": definition});
        if let Some(enforceable) = to_enforceable(&root.to_string()) {
            let schema: Value = serde_json::from_str(&enforceable.json).unwrap();
            prop_assert_eq!(refused(&schema), Vec::<String>::new());
            prop_assert_eq!(super::to_enforceable(&enforceable.json).unwrap().json, enforceable.json, "once is enough");
        }
    }
}

/// A schema whose conversion would take minutes, or all memory, is not converted.
#[test]
fn exponentially_growing_schema_is_not_converted() {
    let values = vec!["1"; 3000].join(",");
    let fields: Vec<_> = (0..400)
        .map(|n| format!(r##""p{n}":{{"$ref":"#/$defs/a","x":1}}"##))
        .collect();
    let copies = format!(
        r#"{{"type":"object","$defs":{{"a":{{"enum":[{values}]}}}},"properties":{{{}}}}}"#,
        fields.join(",")
    );
    assert_eq!(to_enforceable(&copies), None);
    let fields: Vec<_> = (0..3000).map(|n| format!(r#""p{n}":1"#)).collect();
    assert_eq!(to_enforceable(&format!("{{{}}}", fields.join(","))), None);
    let long = format!(
        r#"{{"type":"string","description":"{}"}}"#,
        "x".repeat(300 * 1024)
    );
    assert_eq!(to_enforceable(&long), None);
}
