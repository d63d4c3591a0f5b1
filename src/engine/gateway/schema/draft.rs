//! Upgrade of tool schemas to JSON Schema draft 2020-12.
//!
//! Anthropic refuses the whole request if the schema of one tool is not valid in that draft.
//! Keywords of earlier drafts are translated; parts that are wrong in all drafts are removed. A
//! valid schema stays as it is, byte for byte.

use serde_json::Value;

use crate::domain::Turn;

/// Maximum number of faults removed from one schema. Each takes a validation of the whole schema.
const MAX_FAULTS: usize = 20;
/// Maximum bytes of schemas validated in one turn: validation blocks a thread that other turns
/// need.
const MAX_BYTES: usize = 256 * 1024;

/// Typical faults of schema generators, as they appear in compact JSON.
const FAULT_SIGNS: [&str; 8] = [
    r#""items":["#,
    r#""exclusiveMinimum":true"#,
    r#""exclusiveMinimum":false"#,
    r#""exclusiveMaximum":true"#,
    r#""exclusiveMaximum":false"#,
    r#""required":true"#,
    r#""required":false"#,
    r#""type":"any""#,
];

/// Keywords that contain values instead of schemas.
const VALUE_KEYWORDS: [&str; 4] = ["default", "enum", "const", "examples"];

/// True if the message of a failure says that the schema of a tool is not valid in the draft.
pub(in crate::engine::gateway) fn is_refused(message: &str) -> bool {
    message.contains("JSON Schema draft 2020-12")
}

/// Repairs the tools of `turn` whose schemas show a typical fault.
pub(in crate::engine::gateway) fn repair_suspicious(turn: &mut Turn) {
    repair(turn, |schema| {
        FAULT_SIGNS.iter().any(|sign| schema.contains(sign))
    });
}

/// Repairs all tools of `turn`. True if any was changed.
pub(in crate::engine::gateway) fn repair_all(turn: &mut Turn) -> bool {
    repair(turn, |_| true)
}

fn repair(turn: &mut Turn, is_suspicious: impl Fn(&str) -> bool) -> bool {
    if turn.native.tools.is_some() {
        return false;
    }
    let mut has_changed = false;
    let mut left = MAX_BYTES;
    for tool in turn
        .tools
        .list
        .iter_mut()
        .filter(|tool| is_suspicious(&tool.schema))
    {
        let Some(rest) = left.checked_sub(tool.schema.len()) else {
            continue;
        };
        left = rest;
        if let Some(schema) = repaired(&tool.schema) {
            tool.schema = schema;
            has_changed = true;
        }
    }
    has_changed
}

/// Converts the schema `json` to the draft; `None` if it is valid already, or cannot be repaired.
fn repaired(json: &str) -> Option<String> {
    let mut schema: Value = serde_json::from_str(json).ok()?;
    find_fault(&schema)?;
    upgrade_keywords(&mut schema);
    for _ in 0..MAX_FAULTS {
        let Some(place) = find_fault(&schema) else {
            return Some(schema.to_string());
        };
        remove_at(&mut schema, &place)?;
    }
    None
}

/// Returns the first fault of `schema` as a JSON pointer.
fn find_fault(schema: &Value) -> Option<String> {
    let error = jsonschema::draft202012::meta::validate(schema).err()?;
    Some(error.instance_path().as_str().to_owned())
}

/// Translates keywords of earlier drafts.
fn upgrade_keywords(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(upgrade_keywords),
        Value::Object(fields) => {
            if fields.get("items").is_some_and(Value::is_array) {
                let rest = fields.remove("additionalItems");
                let first = fields.remove("items");
                fields.extend(first.map(|first| ("prefixItems".to_owned(), first)));
                fields.extend(rest.map(|rest| ("items".to_owned(), rest)));
            }
            for (limit, exclusive) in [
                ("minimum", "exclusiveMinimum"),
                ("maximum", "exclusiveMaximum"),
            ] {
                if fields.get(exclusive) == Some(&Value::Bool(true))
                    && let Some(number) = fields.remove(limit)
                {
                    fields.insert(exclusive.to_owned(), number);
                }
            }
            if let Some(Value::Array(names)) = fields.get_mut("required") {
                let mut known: Vec<Value> = Vec::new();
                names.retain(|name| !known.contains(name) && (known.push(name.clone()), true).1);
            }
            let schemas = fields
                .iter_mut()
                .filter(|(name, _)| !VALUE_KEYWORDS.contains(&name.as_str()));
            schemas.for_each(|(_, value)| upgrade_keywords(value));
        }
        _ => {}
    }
}

/// Removes the value at `place`; `None` if that is the whole schema.
fn remove_at(schema: &mut Value, place: &str) -> Option<()> {
    let (parent, name) = place.rsplit_once('/')?;
    match schema.pointer_mut(parent)? {
        Value::Object(fields) => {
            fields.remove(&name.replace("~1", "/").replace("~0", "~"))?;
        }
        Value::Array(items) => {
            let index: usize = name.parse().ok().filter(|index| *index < items.len())?;
            items.remove(index);
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Tool;
    use crate::engine::gateway::testing::turn;

    fn of(property: &Value) -> Option<Value> {
        let schema = json!({"type": "object", "properties": {"a": property}}).to_string();
        let result: Value = serde_json::from_str(&repaired(&schema)?).unwrap();
        Some(result["properties"]["a"].clone())
    }

    #[test]
    fn earlier_keywords_are_translated_and_faults_removed() {
        for (sent, result) in [
            (
                json!({"type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "null"}}),
                json!({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "null"}}),
            ),
            (
                json!({"minimum": 3, "exclusiveMinimum": true}),
                json!({"exclusiveMinimum": 3}),
            ),
            (
                json!({"maximum": 3, "exclusiveMaximum": false}),
                json!({"maximum": 3}),
            ),
            (
                json!({"type": "any", "description": "x"}),
                json!({"description": "x"}),
            ),
            (
                json!({"type": "string", "required": true}),
                json!({"type": "string"}),
            ),
            (json!({"required": ["b", "b"]}), json!({"required": ["b"]})),
            (
                json!({"anyOf": [{"type": "nothing"}, {"type": "null"}]}),
                json!({"anyOf": [{}, {"type": "null"}]}),
            ),
            (
                json!({"default": {"items": [1]}, "enum": 5}),
                json!({"default": {"items": [1]}}),
            ),
            (
                json!({"properties": {"x/y": {"type": 5}}}),
                json!({"properties": {"x/y": {}}}),
            ),
        ] {
            assert_eq!(of(&sent), Some(result), "{sent}");
        }
    }

    #[test]
    fn valid_schema_is_unchanged() {
        assert_eq!(
            of(&json!({"type": ["string", "null"], "pattern": "^a$", "x-own": 1})),
            None
        );
        assert_eq!(repaired("5"), None, "nothing of it would be left");
    }

    #[test]
    fn tools_are_repaired_by_typical_fault_or_all() {
        let tool = |schema: &str| Tool {
            name: "a".to_owned(),
            description: None,
            schema: schema.to_owned(),
            strict: false,
        };
        let mut turn = turn("m");
        turn.tools.list = vec![
            tool(r#"{"type":"object","properties":{"a":{"type":"any"}}}"#),
            tool(r#"{"type":"object","required":["a","a"]}"#),
        ];
        repair_suspicious(&mut turn);
        assert_eq!(
            turn.tools.list[0].schema,
            r#"{"properties":{"a":{}},"type":"object"}"#
        );
        assert!(repair_all(&mut turn));
        assert_eq!(
            turn.tools.list[1].schema,
            r#"{"required":["a"],"type":"object"}"#
        );
        assert!(!repair_all(&mut turn));
        assert!(is_refused(
            "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 (x)."
        ));
    }
}
