//! Generation of a minimal JSON value for a simple JSON schema.

use serde_json::{Map, Value, json};

/// Maximum nesting depth, which ends the expansion of recursive schemas.
const MAX_DEPTH: usize = 24;

/// Returns a minimal value for `schema`; unknown keywords are ignored.
pub(crate) fn minimal_value(schema: &Value) -> Value {
    value_for(schema, schema, 0)
}

fn value_for(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(fixed) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return fixed.clone();
    }
    if let Some(target) = schema["$ref"]
        .as_str()
        .and_then(|path| root.pointer(path.strip_prefix('#')?))
    {
        return value_for(target, root, depth + 1);
    }
    if let Some(choice) = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|key| schema[key].get(0))
    {
        return value_for(choice, root, depth + 1);
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => {
            let min_length = schema["minLength"]
                .as_u64()
                .and_then(|length| usize::try_from(length).ok())
                .unwrap_or(0);
            json!("text".repeat(min_length.min(4096).div_ceil(4).max(1)))
        }
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => {
            let count = schema["minItems"].as_u64().unwrap_or(0).min(64);
            (0..count)
                .map(|_| value_for(&schema["items"], root, depth + 1))
                .collect()
        }
        _ => object_for(schema, root, depth),
    }
}

fn object_for(schema: &Value, root: &Value, depth: usize) -> Value {
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let fields = required.map(|name| {
        (
            name.to_owned(),
            value_for(&schema["properties"][name], root, depth + 1),
        )
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimal_value_has_required_properties_of_each_type() {
        let schema = json!({"type": "object", "required": ["s", "n", "i", "b", "a", "e", "r", "o"],
            "$defs": {"point": {"type": "object", "required": ["x"], "properties": {"x": {"type": ["number", "null"]}}}},
            "properties": {"s": {"type": "string"}, "n": {"type": "number"}, "i": {"type": "integer", "minimum": 3},
                "b": {"type": "boolean"}, "a": {"type": "array", "minItems": 1, "items": {"type": "boolean"}},
                "e": {"enum": ["red", "blue"]}, "r": {"$ref": "#/$defs/point"}, "o": {"anyOf": [{"const": 7}]},
                "skipped": {"type": "string"}}});
        let expected = json!({"s": "text", "n": 0, "i": 3, "b": false, "a": [false], "e": "red", "r": {"x": 0}, "o": 7});
        assert_eq!(minimal_value(&schema), expected);
    }

    #[test]
    fn recursive_schema_terminates() {
        let schema =
            json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});
        assert!(minimal_value(&schema)["next"].is_object());
    }
}
