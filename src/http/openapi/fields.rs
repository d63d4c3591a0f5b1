//! JSON Schemas of request fields, made from the tables of the decoders.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Support;

/// Keyword that says what becomes of a field.
pub(super) const HANDLING: &str = "x-switchboard-handling";
/// Keyword with the word of the field's table, where it says more than the handling.
const SUPPORT: &str = "x-switchboard-support";
/// Keyword with the values that are the same as leaving the field out.
const DEFAULTS: &str = "x-switchboard-same-as-absent";

/// Receiver of the tables of objects in fields.
pub(super) trait InnerObjects {
    /// Adds the object of `table`, called `name` unless it has a name; returns the reference to it.
    fn add(&mut self, name: String, table: &'static ObjectSchema) -> String;
}

impl InnerObjects for () {
    /// Keeps nothing: parameters contain no objects.
    fn add(&mut self, name: String, _table: &'static ObjectSchema) -> String {
        name
    }
}

/// Returns the schema of a field, whose objects are added to `objects`; names of new components
/// begin with `owner`. With `is_nullable`, `null` is allowed and counts as absent.
pub(super) fn schema(
    field: &Field,
    owner: &str,
    is_nullable: bool,
    objects: &mut dyn InnerObjects,
) -> Value {
    let mut schema = match field.support {
        Support::Refused => refused(field),
        _ => one_of(alternatives(field, owner, objects), is_nullable),
    };
    schema.insert("description".into(), plain(field.note).into());
    schema.insert(HANDLING.into(), handling(field.support).into());
    let word = match field.support {
        Support::Checked => Some("checked"),
        Support::Passed => Some("passed"),
        Support::Honoured | Support::Emulated | Support::Refused | Support::Ignored => None,
    };
    schema.extend(word.map(|word| (SUPPORT.to_owned(), word.into())));
    if field.support != Support::Refused && !field.no_op.is_empty() {
        schema.insert(DEFAULTS.into(), no_op_values(field).into());
    }
    Value::Object(schema)
}

/// Returns the schema of a parameter in the query or the headers.
pub(super) fn parameter(field: &Field) -> Value {
    let alternatives = alternatives(field, "", &mut ());
    Value::Object(one_of(alternatives, false))
}

/// Returns the word for what becomes of a field. What is checked has no effect; what is passed on
/// does at Anthropic what its documentation says.
pub(super) const fn handling(support: Support) -> &'static str {
    match support {
        Support::Honoured | Support::Passed => "honoured",
        Support::Emulated => "emulated",
        Support::Refused => "refused",
        Support::Ignored | Support::Checked => "ignored",
    }
}

/// Schema of a refused field: the values that equal its absence, and `null`.
fn refused(field: &Field) -> Map<String, Value> {
    let mut values = no_op_values(field);
    if values.is_empty() {
        return object(json!({"type": "null"}));
    }
    values.push(Value::Null);
    object(json!({"enum": values}))
}

fn no_op_values(field: &Field) -> Vec<Value> {
    let values = field.no_op.iter();
    values
        .filter_map(|value| serde_json::from_str(value).ok())
        .collect()
}

/// Combines the schemas of the alternatives of a value into one.
fn one_of(mut alternatives: Vec<Map<String, Value>>, is_nullable: bool) -> Map<String, Value> {
    let is_any = alternatives.iter().any(Map::is_empty);
    if is_any && alternatives.len() == 1 {
        return Map::new();
    }
    if is_nullable && alternatives.len() == 1 && add_null(&mut alternatives[0]) {
        return alternatives.remove(0);
    }
    if is_nullable && !is_any {
        alternatives.push(object(json!({"type": "null"})));
    }
    match alternatives.len() {
        1 => alternatives.remove(0),
        _ => object(json!({"anyOf": alternatives})),
    }
}

/// Adds `null` to a schema with a plain type; returns false if it has none.
fn add_null(schema: &mut Map<String, Value>) -> bool {
    let Some(Value::String(word)) = schema.get("type") else {
        return false;
    };
    let types = json!([word, "null"]);
    schema.insert("type".into(), types);
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.push(Value::Null);
    }
    true
}

/// Returns the schemas of what the value may be, without `null`. An empty one allows anything.
fn alternatives(
    field: &Field,
    owner: &str,
    objects: &mut dyn InnerObjects,
) -> Vec<Map<String, Value>> {
    let text = || {
        let mut text = object(json!({"type": "string"}));
        if !field.one_of.is_empty() {
            text.insert("enum".into(), field.one_of.into());
        }
        text
    };
    let mut inner = || inner_objects(field, owner, objects);
    match field.field_type {
        FieldType::Any if field.inner.is_none() => vec![Map::new()],
        // An object by its table, or a list.
        FieldType::Any => [inner(), vec![array(field, Vec::new())]].concat(),
        FieldType::Bool => vec![object(json!({"type": "boolean"}))],
        FieldType::Text => vec![text()],
        FieldType::Integer(min, max) => vec![integer(min, max)],
        FieldType::BoolOrInteger(min, max) => {
            vec![object(json!({"type": "boolean"})), integer(min, max)]
        }
        FieldType::Number(min, max) => {
            vec![object(
                json!({"type": "number", "minimum": min, "maximum": max}),
            )]
        }
        FieldType::Array => vec![array(field, inner())],
        FieldType::Object => objects_of(field, inner()),
        FieldType::Identifier(max) => {
            let pattern = format!("^[A-Za-z0-9_-]{{1,{max}}}$");
            vec![object(json!({"type": "string", "pattern": pattern}))]
        }
        FieldType::TextOrArray => vec![text(), array(field, inner())],
        FieldType::TextOrObject => [vec![text()], objects_of(field, inner())].concat(),
        FieldType::TextOrNumber => vec![text(), object(json!({"type": "number"}))],
    }
}

fn inner_objects(
    field: &Field,
    owner: &str,
    objects: &mut dyn InnerObjects,
) -> Vec<Map<String, Value>> {
    field
        .tables()
        .map(|(kind, table)| {
            let name = [owner, &pascal_case(field.name), &pascal_case(kind)].concat();
            object(json!({"$ref": objects.add(name, table)}))
        })
        .collect()
}

fn array(field: &Field, inner: Vec<Map<String, Value>>) -> Map<String, Value> {
    let mut array = object(json!({"type": "array"}));
    let items = match inner.len() {
        0 if field.holds_texts => object(json!({"type": "string"})),
        0 => return array,
        _ => one_of(inner, false),
    };
    array.insert("items".into(), items.into());
    array
}

fn objects_of(field: &Field, inner: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    if !inner.is_empty() {
        return inner;
    }
    let values = if field.holds_texts {
        json!({"type": "string"})
    } else {
        json!(true)
    };
    vec![object(
        json!({"type": "object", "additionalProperties": values}),
    )]
}

/// Schema of an integer; bounds of 64 bits are left out, because many tools read numbers as floats.
fn integer(min: i64, max: i64) -> Map<String, Value> {
    let mut schema = object(json!({"type": "integer"}));
    if min != i64::MIN {
        schema.insert("minimum".into(), min.into());
    }
    if max != i64::MAX {
        schema.insert("maximum".into(), max.into());
    }
    if max > i64::from(i32::MAX) {
        schema.insert("format".into(), "int64".into());
    }
    schema
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// Returns the name in upper camel case: `ToolChoice` of `tool_choice`.
fn pascal_case(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    words
        .filter_map(|word| {
            let first = word.get(..1)?.to_ascii_uppercase();
            Some(first + &word[1..])
        })
        .collect()
}

/// Returns a note without its links, whose targets are pages of the documentation.
pub(super) fn plain(note: &str) -> String {
    let mut plain = String::new();
    let mut rest = note;
    while let Some((before, link)) = rest.split_once('[') {
        let target = link
            .split_once("](")
            .and_then(|(text, target)| Some((text, target.split_once(')')?.1)));
        plain.push_str(before);
        match target {
            Some((text, after)) if !text.contains(['[', '`']) => {
                plain.push_str(text);
                rest = after;
            }
            _ => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
