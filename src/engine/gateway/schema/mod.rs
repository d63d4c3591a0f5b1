//! Conversion of a JSON Schema into the subset that Anthropic can enforce.
//!
//! Anthropic supports a part of JSON Schema and refuses the rest. A schema within it stays as it
//! is, byte for byte. In others, all objects are closed, `oneOf` becomes `anyOf`, `allOf` is
//! merged, tuples become lists, and limits move into descriptions, in words. A recursive schema, or
//! one that allows any value, has no such form.

pub(super) mod draft;
mod limit_descriptions;
mod node;
mod non_strict;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use node::Node;

pub(super) use non_strict::to_non_strict;
pub(super) use non_strict::to_non_strict_native_tool;

/// Maximum number of subschemas, those repeated by references included.
const MAX_SUBSCHEMAS: usize = 5000;

/// Maximum length of a schema that is converted, in bytes.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// Maximum number of values that are copied from definitions to their references.
const MAX_COPIED: usize = 50_000;

/// Maximum nesting depth of schemas.
const MAX_DEPTH: usize = 64;

/// Maximum number of optional properties, and of properties with several types, that Anthropic
/// takes.
const MAX_OPTIONAL: usize = 24;
const MAX_UNIONS: usize = 16;

/// Types implied by keywords, for schemas without a type.
const TYPES: [(&str, &[&str]); 4] = [
    (
        "object",
        &[
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "propertyNames",
        ],
    ),
    (
        "array",
        &[
            "items",
            "prefixItems",
            "minItems",
            "maxItems",
            "uniqueItems",
            "contains",
        ],
    ),
    (
        "number",
        &[
            "minimum",
            "maximum",
            "exclusiveMinimum",
            "exclusiveMaximum",
            "multipleOf",
        ],
    ),
    ("string", &["minLength", "maxLength", "pattern", "format"]),
];

/// Annotation keywords, which do not constrain the value. When schemas are merged, the first one
/// wins.
const ANNOTATIONS: [&str; 7] = [
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "$defs",
    "definitions",
];

/// Schema in the form that Anthropic takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EnforceableSchema {
    pub(super) json: String,
    /// Set if it allows values that the original forbids.
    pub(super) is_weaker: bool,
}

/// Converts a schema into the form that Anthropic takes; `None` if it has none, or is not a schema.
pub(super) fn to_enforceable(json: &str) -> Option<EnforceableSchema> {
    let root = parse(json)?;
    let mut reader = SchemaConverter {
        root: &root,
        open: vec!["#".to_owned()],
        known: HashSet::new(),
        steps: 0,
        copied: 0,
        depth: 0,
        is_weaker: false,
    };
    let schema = reader.convert(&root)?;
    let mut counts = SchemaCounts::default();
    counts.add(&schema);
    if schema.has("anyOf") || counts.optional > MAX_OPTIONAL || counts.unions > MAX_UNIONS {
        return None;
    }
    let json = if schema == root {
        json.to_owned()
    } else {
        schema.to_string()
    };
    Some(EnforceableSchema {
        json,
        is_weaker: reader.is_weaker,
    })
}

/// True if the schema's type is a list.
pub(super) fn is_list(json: &str) -> bool {
    parse(json).is_some_and(|root| {
        root.get("type")
            .is_some_and(|kind| kind.is_literal(r#""array""#))
    })
}

/// Parses the schema; `None` if it is too long.
fn parse(json: &str) -> Option<Node> {
    if json.len() <= MAX_SCHEMA_BYTES {
        Node::parse(json)
    } else {
        None
    }
}

/// Converter of one schema.
struct SchemaConverter<'a> {
    root: &'a Node,
    /// References on the path to the current position, to detect recursion.
    open: Vec<String>,
    /// References that have been visited.
    known: HashSet<String>,
    steps: usize,
    copied: usize,
    depth: usize,
    is_weaker: bool,
}

impl SchemaConverter<'_> {
    fn convert(&mut self, node: &Node) -> Option<Node> {
        self.steps += 1;
        if self.steps > MAX_SUBSCHEMAS
            || self.depth >= MAX_DEPTH
            || !matches!(node, Node::Object(_))
        {
            return None;
        }
        let open = self.open.len();
        self.depth += 1;
        let schema = self
            .flatten(node.clone())
            .and_then(|flat| self.convert_flattened(flat));
        self.depth -= 1;
        self.open.truncate(open);
        schema
    }

    /// Merges `allOf` into `node`, and replaces references other than those to definitions.
    fn flatten(&mut self, mut node: Node) -> Option<Node> {
        if let Some(reference) = node.get("$ref") {
            let reference = reference.as_text()?;
            let is_alone = node
                .fields()
                .iter()
                .all(|(name, _)| name == "$ref" || ANNOTATIONS.contains(&&**name));
            if is_alone && is_definition(&reference) {
                self.check_definition(&reference)?;
                return Some(node);
            }
            node.remove("$ref");
            let target = self.resolve(&reference)?;
            node = merge(node, self.flatten(target)?)?;
        }
        let Some(all_of) = node.remove("allOf") else {
            return Some(node);
        };
        all_of.items().iter().try_fold(node, |node, member| {
            let member = match member.get("$ref").and_then(Node::as_text) {
                Some(reference) if member.fields().len() == 1 => self.resolve(&reference)?,
                _ => member.clone(),
            };
            merge(node, self.flatten(member)?)
        })
    }

    /// Checks the definition that `reference` names.
    fn check_definition(&mut self, reference: &str) -> Option<()> {
        if self.known.contains(reference) {
            return Some(());
        }
        let open = self.open.len();
        let target = self.resolve(reference)?;
        self.convert(&target)?;
        self.open.truncate(open);
        self.known.insert(reference.to_owned());
        Some(())
    }

    /// Resolves `reference`; `None` for one that leads outside the schema, or is recursive.
    fn resolve(&mut self, reference: &str) -> Option<Node> {
        let target = self.root.at(reference.strip_prefix('#')?)?;
        self.copied += target.size(MAX_COPIED);
        if self.copied > MAX_COPIED {
            return None;
        }
        let target = target.clone();
        if self.open.iter().any(|open| open == reference) || self.open.len() >= MAX_DEPTH {
            return None;
        }
        self.open.push(reference.to_owned());
        Some(target)
    }

    fn convert_flattened(&mut self, mut node: Node) -> Option<Node> {
        if node.has("oneOf") {
            self.is_weaker = true;
            node = rename_field(node, "oneOf", "anyOf")?;
        }
        node = self.convert_items(node)?;
        node = with_implied_type(node)?;
        let is_plain = |list: &Node| {
            list.items()
                .iter()
                .all(|item| matches!(item, Node::Plain(_)))
        };
        if node.get("enum").is_some_and(|list| !is_plain(list))
            || node
                .get("const")
                .is_some_and(|value| !matches!(value, Node::Plain(_)))
        {
            return None;
        }
        for name in ["properties", "$defs", "definitions"] {
            self.convert_fields(&mut node, name)?;
        }
        if let Some(members) = node.get("anyOf") {
            let members = members.items().to_vec();
            let members = members
                .iter()
                .map(|member| self.convert(member))
                .collect::<Option<_>>()?;
            node.set("anyOf", Node::List(members));
        }
        close_object(&mut node)?;
        self.is_weaker |= limit_descriptions::move_limits_to_description(&mut node);
        Some(node)
    }

    fn convert_fields(&mut self, node: &mut Node, name: &str) -> Option<()> {
        let Some(fields) = node.get(name).map(|fields| fields.fields().to_vec()) else {
            return Some(());
        };
        let mut schemas = Vec::new();
        for (key, schema) in fields {
            if name == "properties" && !is_property_name(&key) {
                return None;
            }
            // References inside a definition may lead back to it.
            let open = self.open.len();
            if name != "properties" {
                self.open.push(format!("#/{name}/{key}"));
            }
            let schema = self.convert(&schema)?;
            self.open.truncate(open);
            schemas.push((key, schema));
        }
        node.set(name, Node::Object(schemas));
        Some(())
    }

    /// Converts the keywords about the items of a list.
    fn convert_items(&mut self, mut node: Node) -> Option<Node> {
        if matches!(node.get("items"), Some(Node::List(_))) {
            node = rename_field(node, "items", "prefixItems")?;
            if let Some(further) = node.remove("additionalItems") {
                node.set("items", further);
            }
        }
        let mut members: Vec<Node> = Vec::new();
        let prefix = node
            .get("prefixItems")
            .map(|prefix| prefix.items().to_vec());
        let further = node.get("items").cloned();
        let is_any =
            |items: &Node| items.is_literal("true") || (*items == Node::Object(Vec::new()));
        for item in prefix.iter().flatten().chain(&further) {
            if is_any(item) || (prefix.is_some() && item.is_literal("false")) {
                continue;
            }
            let item = self.convert(item)?;
            if !members.contains(&item) {
                members.push(item);
            }
        }
        match members.len() {
            0 => {
                node.remove("items");
            }
            1 => node.set("items", members.remove(0)),
            _ => node.set(
                "items",
                Node::Object(vec![("anyOf".to_owned(), Node::List(members))]),
            ),
        }
        Some(node)
    }
}

/// True if `reference` names a definition of the schema.
fn is_definition(reference: &str) -> bool {
    let name = reference
        .strip_prefix("#/$defs/")
        .or_else(|| reference.strip_prefix("#/definitions/"));
    name.is_some_and(|name| !name.contains('/'))
}

/// True if Anthropic takes the property name.
fn is_property_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_plain)
}

/// Renames the field `old` to `new`, at its position; `None` if `new` exists.
fn rename_field(node: Node, old: &str, new: &str) -> Option<Node> {
    if node.has(new) {
        return None;
    }
    let Node::Object(fields) = node else {
        return None;
    };
    let rename =
        |(name, value): (String, Node)| (if name == old { new.to_owned() } else { name }, value);
    Some(Node::Object(fields.into_iter().map(rename).collect()))
}

/// Adds the implied type to a schema without one; `None` if any type would do.
fn with_implied_type(node: Node) -> Option<Node> {
    if ["type", "enum", "const", "anyOf", "$ref"]
        .iter()
        .any(|name| node.has(name))
    {
        return Some(node);
    }
    let is_of = |keywords: &[&str]| keywords.iter().any(|name| node.has(name));
    let (kind, _) = TYPES.iter().find(|(_, keywords)| is_of(keywords))?;
    let Node::Object(mut fields) = node else {
        return None;
    };
    fields.insert(0, ("type".to_owned(), Node::from_text(kind)));
    Some(Node::Object(fields))
}

/// Closes an object; `None` if it may have any field, or must have one that it does not name.
fn close_object(node: &mut Node) -> Option<()> {
    let kind = node.get("type");
    let is_object = |kind: &Node| kind.is_literal(r#""object""#);
    let is_object = kind.is_some_and(|kind| is_object(kind) || kind.items().iter().any(is_object));
    if !is_object && !node.has("properties") {
        return Some(());
    }
    let names = node.get("properties").map(Node::fields).unwrap_or_default();
    let is_open = !node
        .get("additionalProperties")
        .is_some_and(|more| more.is_literal("false"));
    if names.is_empty() && is_open {
        return None;
    }
    let is_named = |name: &Node| {
        name.as_text()
            .is_some_and(|name| names.iter().any(|(key, _)| *key == name))
    };
    if !node
        .get("required")
        .is_none_or(|required| required.items().iter().all(is_named))
    {
        return None;
    }
    node.set("additionalProperties", Node::false_value());
    Some(())
}

/// Merges two schemas into one that means both; `None` if they conflict, or if that cannot be
/// decided.
fn merge(mut node: Node, other: Node) -> Option<Node> {
    let Node::Object(fields) = other else {
        return None;
    };
    for (name, value) in fields {
        match (name.as_str(), node.get(&name)) {
            (_, None) => node.set(&name, value),
            (_, Some(old)) if *old == value => {}
            ("additionalProperties", Some(_)) => node.set(&name, Node::false_value()),
            ("properties", Some(old)) => {
                let merged = merge_fields(old.clone(), value)?;
                node.set(&name, merged);
            }
            ("required", Some(Node::List(old))) => {
                let more: Vec<Node> = value
                    .items()
                    .iter()
                    .filter(|item| !old.contains(item))
                    .cloned()
                    .collect();
                let all = old.iter().cloned().chain(more).collect();
                node.set(&name, Node::List(all));
            }
            (note, Some(_)) if ANNOTATIONS.contains(&note) => {}
            _ => return None,
        }
    }
    Some(node)
}

fn merge_fields(mut node: Node, other: Node) -> Option<Node> {
    let Node::Object(fields) = other else {
        return None;
    };
    for (name, value) in fields {
        match node.get(&name) {
            None => node.set(&name, value),
            Some(old) if *old == value => {}
            Some(_) => return None,
        }
    }
    Some(node)
}

/// Counts of a schema that Anthropic limits.
#[derive(Default)]
struct SchemaCounts {
    optional: usize,
    unions: usize,
}

impl SchemaCounts {
    fn add(&mut self, node: &Node) {
        let properties = node.get("properties").map(Node::fields).unwrap_or_default();
        let required = node.get("required").map(Node::items).unwrap_or_default();
        let is_required = |name: &str| {
            required
                .iter()
                .any(|item| item.as_text().as_deref() == Some(name))
        };
        self.optional += properties
            .iter()
            .filter(|(name, _)| !is_required(name))
            .count();
        let is_union = |schema: &Node| {
            schema.has("anyOf") || matches!(schema.get("type"), Some(Node::List(_)))
        };
        self.unions += properties
            .iter()
            .filter(|(_, schema)| is_union(schema))
            .count();
        let definitions = ["$defs", "definitions"]
            .iter()
            .filter_map(|name| node.get(name));
        let inner = definitions
            .flat_map(Node::fields)
            .chain(properties)
            .map(|(_, schema)| schema);
        let members = node.get("anyOf").map(Node::items).unwrap_or_default();
        for schema in inner.chain(members).chain(node.get("items")) {
            self.add(schema);
        }
    }
}
