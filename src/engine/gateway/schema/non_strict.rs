//! Schemas of tools without strict mode.
//!
//! Anthropic takes any such schema, with restrictions at the top level: no combination of schemas,
//! and property names of a limited character set. The properties of combined schemas are merged,
//! the combination is described in words, and names are changed.

use std::collections::HashMap;
use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Node;
use super::is_property_name;
use super::limit_descriptions;
use super::parse;

/// Keywords that Anthropic refuses at the top level, and their description in words.
const COMBINATIONS: [(&str, &str); 3] = [
    ("allOf", "The input must keep to each of these schemas"),
    (
        "anyOf",
        "The input must keep to one or more of these schemas",
    ),
    (
        "oneOf",
        "The input must keep to exactly one of these schemas",
    ),
];
/// Maximum length of a property name.
const MAX_NAME_CHARACTERS: usize = 64;

/// Old property names with their new names.
pub(in crate::engine::gateway) type RenamedProperties = Vec<(String, String)>;

/// Schema in the form that Anthropic takes for unbound tools.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine::gateway) struct NonStrictSchema {
    pub(in crate::engine::gateway) json: String,
    /// Properties that have another name there, with the new one.
    pub(in crate::engine::gateway) renamed: RenamedProperties,
}

/// Converts the schema of a tool into a form that Anthropic takes; `None` if it is accepted as it
/// is, or too long.
pub(in crate::engine::gateway) fn to_non_strict(json: &str) -> Option<NonStrictSchema> {
    if !is_refused(json) {
        return None;
    }
    let mut root = parse(json)?;
    for (keyword, demand) in COMBINATIONS {
        if let Some(members) = root.remove(keyword) {
            combine(&mut root, &members, keyword == "allOf");
            limit_descriptions::append_description(&mut root, &format!("{demand}: {members}"));
        }
    }
    let renamed = rename(&mut root);
    Some(NonStrictSchema {
        json: root.to_string(),
        renamed,
    })
}

/// Converts the schema of a natively written tool. Returns the tool, its name and the renamed
/// properties; `None` if the schema may stay as it is.
pub(in crate::engine::gateway) fn to_non_strict_native_tool(
    json: &str,
) -> Option<(String, String, RenamedProperties)> {
    #[derive(Deserialize)]
    struct NativeToolSchema<'a> {
        name: String,
        #[serde(default)]
        strict: bool,
        #[serde(borrow)]
        input_schema: &'a RawValue,
    }
    let written: NativeToolSchema<'_> = serde_json::from_str(json).ok()?;
    let schema = to_non_strict(written.input_schema.get()).filter(|_| !written.strict)?;
    let mut tool = parse(json)?;
    tool.set("input_schema", parse(&schema.json)?);
    Some((tool.to_string(), written.name, schema.renamed))
}

/// True if the top level of the schema has anything that Anthropic refuses.
fn is_refused(json: &str) -> bool {
    #[derive(Deserialize)]
    struct TopLevel {
        #[serde(default)]
        properties: HashMap<String, IgnoredAny>,
        #[serde(rename = "allOf")]
        all_of: Option<IgnoredAny>,
        #[serde(rename = "anyOf")]
        any_of: Option<IgnoredAny>,
        #[serde(rename = "oneOf")]
        one_of: Option<IgnoredAny>,
    }
    serde_json::from_str::<TopLevel>(json).is_ok_and(|root| {
        root.all_of.or(root.any_of).or(root.one_of).is_some()
            || root.properties.keys().any(|name| !is_property_name(name))
    })
}

/// Merges the properties of `members` into `root`; the required ones only if `all` members must
/// hold.
fn combine(root: &mut Node, members: &Node, all: bool) {
    let members: Vec<Node> = members
        .items()
        .iter()
        .filter_map(|member| resolve_member(root, member))
        .collect();
    let mut properties = root
        .get("properties")
        .map(|known| known.fields().to_vec())
        .unwrap_or_default();
    let mut required = root
        .get("required")
        .map(|names| names.items().to_vec())
        .unwrap_or_default();
    for member in &members {
        let more = member
            .get("properties")
            .map(Node::fields)
            .unwrap_or_default();
        for (name, schema) in more {
            if properties.iter().all(|(known, _)| known != name) {
                properties.push((name.clone(), schema.clone()));
            }
        }
        let names = member.get("required").map(Node::items).unwrap_or_default();
        let new = names
            .iter()
            .filter(|name| all && !required.contains(name))
            .cloned();
        required.extend(new.collect::<Vec<_>>());
    }
    root.set("type", Node::from_text("object"));
    root.set("properties", Node::Object(properties));
    if !required.is_empty() {
        root.set("required", Node::List(required));
    }
}

/// Returns `member`, or the definition that it refers to.
fn resolve_member(root: &Node, member: &Node) -> Option<Node> {
    match member.get("$ref").and_then(Node::as_text) {
        Some(reference) => root.at(reference.strip_prefix('#')?).cloned(),
        None => Some(member.clone()),
    }
}

/// Renames properties that Anthropic does not take, and adds the old names to their descriptions.
fn rename(root: &mut Node) -> RenamedProperties {
    let mut properties = root
        .get("properties")
        .map(|known| known.fields().to_vec())
        .unwrap_or_default();
    let mut used_names: HashSet<String> = properties.iter().map(|(name, _)| name.clone()).collect();
    let mut renamed = Vec::new();
    for (name, schema) in properties
        .iter_mut()
        .filter(|(name, _)| !is_property_name(name))
    {
        let new = free_name(name, &used_names);
        used_names.insert(new.clone());
        limit_descriptions::append_description(
            schema,
            &format!("Its name is {}.", Node::from_text(name)),
        );
        renamed.push((std::mem::replace(name, new.clone()), new));
    }
    if renamed.is_empty() {
        return renamed;
    }
    root.set("properties", Node::Object(properties));
    let required = root
        .get("required")
        .map(|names| names.items().to_vec())
        .unwrap_or_default();
    let new_name = |item: Node| {
        let found = item
            .as_text()
            .and_then(|name| renamed.iter().find(|(old, _)| *old == name));
        found.map_or(item.clone(), |(_, new)| Node::from_text(new))
    };
    if !required.is_empty() {
        root.set(
            "required",
            Node::List(required.into_iter().map(new_name).collect()),
        );
    }
    renamed
}

/// Returns a name similar to `name`, of the accepted characters and not in `used_names`.
fn free_name(name: &str, used_names: &HashSet<String>) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    let clean: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .take(MAX_NAME_CHARACTERS - 6)
        .collect();
    let clean = if clean.is_empty() {
        "_".to_owned()
    } else {
        clean
    };
    let numbered = (2..).map(|number: u32| format!("{clean}_{number}"));
    std::iter::once(clean.clone())
        .chain(numbered)
        .find(|name| !used_names.contains(name))
        .unwrap_or(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(json: &str) -> NonStrictSchema {
        to_non_strict(json).unwrap()
    }

    #[test]
    fn accepted_schema_is_unchanged() {
        for json in [
            r#"{"type":"object","properties":{"a":{"anyOf":[{"type":"string"}]},"b.c-d_e":{}}}"#,
            r#"{"type":"object"}"#,
            "true",
        ] {
            assert_eq!(to_non_strict(json), None, "{json}");
        }
    }

    #[test]
    fn top_level_combinations_are_described_in_words() {
        let routes = plain_of(
            r#"{"type":"object","properties":{"route":{"type":"string"},"file":{"type":"string"}},"anyOf":[{"required":["route"]},{"required":["file"]}]}"#,
        );
        insta::assert_snapshot!(routes.json, @r##"{"type":"object","properties":{"route":{"type":"string"},"file":{"type":"string"}},"description":"The input must keep to one or more of these schemas: [{\"required\":[\"route\"]},{\"required\":[\"file\"]}]"}"##);
        let variants = plain_of(
            r##"{"oneOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"$ref":"#/$defs/b"}],"$defs":{"b":{"properties":{"b":{}}}}}"##,
        );
        insta::assert_snapshot!(variants.json, @r##"{"$defs":{"b":{"properties":{"b":{}}}},"type":"object","properties":{"a":{"type":"string"},"b":{}},"description":"The input must keep to exactly one of these schemas: [{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},\"required\":[\"a\"]},{\"$ref\":\"#/$defs/b\"}]"}"##);
        let all = plain_of(
            r#"{"type":"object","required":["x"],"properties":{"x":{}},"allOf":[{"properties":{"y":{}},"required":["y","x"]}]}"#,
        );
        insta::assert_snapshot!(all.json, @r##"{"type":"object","required":["x","y"],"properties":{"x":{},"y":{}},"description":"The input must keep to each of these schemas: [{\"properties\":{\"y\":{}},\"required\":[\"y\",\"x\"]}]"}"##);
    }

    #[test]
    fn refused_names_are_replaced_by_unique_ones() {
        let long = "n".repeat(70);
        let json = format!(
            r#"{{"type":"object","properties":{{"$filter":{{"type":"string","description":"d"}},"_filter":{{}},"é filter":{{}},"{long}":{{}},"":{{}}}},"required":["$filter","_filter"]}}"#
        );
        let schema = plain_of(&json);
        insta::assert_snapshot!(schema.json, @r#"{"type":"object","properties":{"_filter_2":{"type":"string","description":"d\n\nIts name is \"$filter\"."},"_filter":{},"__filter":{"description":"Its name is \"é filter\"."},"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn":{"description":"Its name is \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\"."},"_":{"description":"Its name is \"\"."}},"required":["_filter_2","_filter"]}"#);
        let new: Vec<_> = schema.renamed.iter().map(|(_, new)| new.as_str()).collect();
        assert_eq!(new, ["_filter_2", "__filter", &"n".repeat(58), "_"]);
        assert!(new.iter().all(|name| is_property_name(name)));
    }
}
