//! Rules of JSON schemas of structured answers and strict tools.

use serde_json::{Map, Value};

/// Maximum number of optional properties in all schemas of a request.
const MAX_OPTIONAL: usize = 24;
/// Maximum number of properties with several types in all schemas of a request.
const MAX_UNIONS: usize = 16;
/// Keywords that do not constrain the value.
const ANNOTATIONS: [&str; 6] = [
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "$comment",
];
/// Keywords not allowed beside `anyOf` or `allOf`.
const NOT_BESIDE_UNIONS: [&str; 5] = [
    "additionalProperties",
    "discriminator",
    "properties",
    "required",
    "type",
];
/// Unsupported keywords by type.
const UNSUPPORTED: [(&str, &str); 5] = [
    (
        "object",
        "dependentRequired dependentSchemas else if maxProperties minProperties patternProperties propertyNames then \
         unevaluatedProperties",
    ),
    (
        "array",
        "contains maxContains maxItems minContains prefixItems uniqueItems",
    ),
    ("string", "maxLength minLength"),
    (
        "integer",
        "exclusiveMaximum exclusiveMinimum maximum minimum multipleOf",
    ),
    (
        "number",
        "exclusiveMaximum exclusiveMinimum maximum minimum multipleOf",
    ),
];

/// Checks of all schemas of a request, which share common limits.
#[derive(Default)]
pub(crate) struct Schemas<'a> {
    optional: usize,
    unions: usize,
    /// Names of the references being followed, to detect cycles.
    path_of_references: Vec<&'a str>,
}

impl<'a> Schemas<'a> {
    /// Checks the schema at `path` and counts its properties.
    pub fn check(&mut self, path: &str, schema: &'a Value) -> Result<(), String> {
        self.check_node(schema)
            .and_then(|()| self.check_references(schema, schema))
            .map_err(|error| format!("{path}: {error}"))
    }

    /// Checks the totals of all schemas.
    pub fn finish(&self) -> Result<(), String> {
        let optional = self.optional;
        let unions = self.unions;
        if unions > MAX_UNIONS {
            return Err(format!(
                "Schemas contains too many parameters with union types ({unions} parameters with type arrays or anyOf). \
                 This causes exponential compilation cost. Reduce the number of nullable or union-typed parameters \
                 (limit: {MAX_UNIONS} parameters with unions)."
            ));
        }
        if optional > MAX_OPTIONAL {
            return Err(format!(
                "Schemas contains too many optional parameters ({optional}), which would make grammar compilation \
                 inefficient. Reduce the number of optional parameters in your tool schemas (limit: {MAX_OPTIONAL})."
            ));
        }
        Ok(())
    }

    fn check_node(&mut self, schema: &'a Value) -> Result<(), String> {
        let Some(node) = schema.as_object() else {
            return Ok(());
        };
        if node.keys().all(|key| ANNOTATIONS.contains(&key.as_str())) {
            return Err(
                "Empty schema ({}) that accepts any JSON value is not supported.".to_owned(),
            );
        }
        check_keywords(node)?;
        for kind in types(schema) {
            check_type_keywords(kind, node)?;
        }
        self.count_properties(node);
        children(node).try_for_each(|child| self.check_node(child))
    }

    fn count_properties(&mut self, node: &Map<String, Value>) {
        let required = node.get("required").and_then(Value::as_array);
        let is_required =
            |key: &str| required.is_some_and(|names| names.iter().any(|name| name == key));
        for (key, property) in node
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            self.optional += usize::from(!is_required(key));
            self.unions += usize::from(property["type"].is_array() || property["anyOf"].is_array());
        }
    }

    /// Follows all references from `schema` and rejects cycles.
    fn check_references(&mut self, schema: &'a Value, root: &'a Value) -> Result<(), String> {
        let Some(node) = schema.as_object() else {
            return Ok(());
        };
        if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or(reference);
            if let Some(start) = self
                .path_of_references
                .iter()
                .position(|known| *known == name)
            {
                let cycle = [&self.path_of_references[start..], &[name]]
                    .concat()
                    .join(" -> ");
                return Err(format!(
                    "Circular reference detected in schema definitions: {cycle}"
                ));
            }
            if let Some(target) = reference
                .strip_prefix('#')
                .and_then(|pointer| root.pointer(pointer))
            {
                self.path_of_references.push(name);
                self.check_references(target, root)?;
                self.path_of_references.pop();
            }
        }
        let is_definition =
            |child: &&Value| !definitions(node).any(|definition| std::ptr::eq(definition, *child));
        children(node)
            .filter(is_definition)
            .try_for_each(|child| self.check_references(child, root))
    }
}

/// Checks the keywords that apply to all types.
fn check_keywords(node: &Map<String, Value>) -> Result<(), String> {
    if node.contains_key("oneOf") {
        return Err("Schema type 'oneOf' is not supported".to_owned());
    }
    if node.contains_key("not") {
        return Err("Schema keyword 'not' is not supported".to_owned());
    }
    if node.contains_key("anyOf") || node.contains_key("allOf") {
        let beside: Vec<_> = NOT_BESIDE_UNIONS
            .into_iter()
            .filter(|key| node.contains_key(*key))
            .collect();
        if !beside.is_empty() {
            return Err(format!(
                "For 'anyOf', '{}' is not supported",
                beside.join(", ")
            ));
        }
    }
    Ok(())
}

/// Returns the types of a schema; a schema with properties is an object.
fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ if schema["properties"].is_object() => vec!["object"],
        _ => Vec::new(),
    }
}

/// Checks the keywords of a schema that allows the type `kind`.
fn check_type_keywords(kind: &str, node: &Map<String, Value>) -> Result<(), String> {
    if node.get("items").is_some_and(Value::is_array) {
        return Err(
            "Array types must be specified with a single object schema for 'items'.".to_owned(),
        );
    }
    let keywords = UNSUPPORTED
        .iter()
        .find(|(name, _)| *name == kind)
        .map_or("", |(_, keywords)| keywords);
    let used: Vec<_> = keywords
        .split_whitespace()
        .filter(|keyword| node.contains_key(*keyword))
        .collect();
    match used.as_slice() {
        [] => {}
        [one] => {
            return Err(format!(
                "For '{kind}' type, property '{one}' is not supported"
            ));
        }
        _ => {
            return Err(format!(
                "For '{kind}' type, properties {} are not supported",
                used.join(", ")
            ));
        }
    }
    if kind == "array"
        && node
            .get("minItems")
            .and_then(Value::as_u64)
            .is_some_and(|min| min > 1)
    {
        return Err(
            "For 'array' type, 'minItems' values other than 0 or 1 are not supported".to_owned(),
        );
    }
    if kind != "object" {
        return Ok(());
    }
    match node.get("additionalProperties") {
        Some(Value::Bool(false)) => Ok(()),
        Some(Value::Object(_)) => Err(
            "For 'object' type, 'additionalProperties: object' is not supported. Please set \
                                       'additionalProperties' to false"
                .to_owned(),
        ),
        _ => Err(
            "For 'object' type, 'additionalProperties' must be explicitly set to false".to_owned(),
        ),
    }
}

/// Returns the direct subschemas of a schema.
fn children(node: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let properties = node
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    let lists = ["anyOf", "allOf"]
        .into_iter()
        .filter_map(|key| node.get(key)?.as_array())
        .flatten();
    properties
        .map(|(_, child)| child)
        .chain(definitions(node))
        .chain(lists)
        .chain(node.get("items"))
}

/// Returns the named definitions of a schema.
fn definitions(node: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let maps = ["$defs", "definitions"]
        .into_iter()
        .filter_map(|key| node.get(key)?.as_object());
    maps.flatten().map(|(_, definition)| definition)
}
