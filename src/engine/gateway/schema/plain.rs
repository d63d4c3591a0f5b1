//! The schema of a tool whose input is not bound to it.
//!
//! Anthropic takes any such schema but for its top: no combination of schemas may stand there, and the names of properties have few
//! characters. The properties of combined schemas are put together, what they demand is told in words, and names are changed.

use std::collections::HashMap;
use std::collections::HashSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Node;
use super::is_name;
use super::parse;
use super::words;

/// Keywords that Anthropic refuses at the top, and how what they demand is told.
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
/// The longest name of a property.
const LONGEST_NAME: usize = 64;

/// Properties with their new names.
pub(in crate::engine::gateway) type Renamed = Vec<(String, String)>;

/// A schema in a form that Anthropic takes.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine::gateway) struct PlainSchema {
    /// The schema.
    pub(in crate::engine::gateway) json: String,
    /// Properties that have another name there, with the new one.
    pub(in crate::engine::gateway) renamed: Renamed,
}

/// The schema of a tool in a form that Anthropic takes. None for one that it takes as it is, and for what is too long to be looked
/// into.
pub(in crate::engine::gateway) fn plain(json: &str) -> Option<PlainSchema> {
    if !is_refused(json) {
        return None;
    }
    let mut root = parse(json)?;
    for (keyword, demand) in COMBINATIONS {
        if let Some(members) = root.remove(keyword) {
            combine(&mut root, &members, keyword == "allOf");
            words::add(&mut root, &format!("{demand}: {members}"));
        }
    }
    let renamed = rename(&mut root);
    Some(PlainSchema {
        json: root.to_string(),
        renamed,
    })
}

/// A tool that its caller has written, with a schema that Anthropic takes; its name, and its properties with their new names. None
/// where the schema may stay as it is.
pub(in crate::engine::gateway) fn plain_tool(json: &str) -> Option<(String, String, Renamed)> {
    #[derive(Deserialize)]
    struct Written<'a> {
        name: String,
        #[serde(default)]
        strict: bool,
        #[serde(borrow)]
        input_schema: &'a RawValue,
    }
    let written: Written<'_> = serde_json::from_str(json).ok()?;
    let schema = plain(written.input_schema.get()).filter(|_| !written.strict)?;
    let mut tool = parse(json)?;
    tool.set("input_schema", parse(&schema.json)?);
    Some((tool.to_string(), written.name, schema.renamed))
}

/// Whether Anthropic refuses the schema, as far as its top shows.
fn is_refused(json: &str) -> bool {
    #[derive(Deserialize)]
    struct Top {
        #[serde(default)]
        properties: HashMap<String, IgnoredAny>,
        #[serde(rename = "allOf")]
        all_of: Option<IgnoredAny>,
        #[serde(rename = "anyOf")]
        any_of: Option<IgnoredAny>,
        #[serde(rename = "oneOf")]
        one_of: Option<IgnoredAny>,
    }
    serde_json::from_str::<Top>(json).is_ok_and(|top| {
        top.all_of.or(top.any_of).or(top.one_of).is_some()
            || top.properties.keys().any(|name| !is_name(name))
    })
}

/// Gives `root` the properties of `members`; those that are required only where `all` of the members hold.
fn combine(root: &mut Node, members: &Node, all: bool) {
    let members: Vec<Node> = members
        .items()
        .iter()
        .filter_map(|member| resolved(root, member))
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
    root.set("type", Node::text("object"));
    root.set("properties", Node::Object(properties));
    if !required.is_empty() {
        root.set("required", Node::List(required));
    }
}

/// What `member` says, or what it refers to.
fn resolved(root: &Node, member: &Node) -> Option<Node> {
    match member.get("$ref").and_then(Node::as_text) {
        Some(reference) => root.at(reference.strip_prefix('#')?).cloned(),
        None => Some(member.clone()),
    }
}

/// Gives the properties names that Anthropic takes, and tells the old ones in their descriptions.
fn rename(root: &mut Node) -> Renamed {
    let mut properties = root
        .get("properties")
        .map(|known| known.fields().to_vec())
        .unwrap_or_default();
    let mut taken: HashSet<String> = properties.iter().map(|(name, _)| name.clone()).collect();
    let mut renamed = Vec::new();
    for (name, schema) in properties.iter_mut().filter(|(name, _)| !is_name(name)) {
        let new = free_name(name, &taken);
        taken.insert(new.clone());
        words::add(schema, &format!("Its name is {}.", Node::text(name)));
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
        found.map_or(item.clone(), |(_, new)| Node::text(new))
    };
    if !required.is_empty() {
        root.set(
            "required",
            Node::List(required.into_iter().map(new_name).collect()),
        );
    }
    renamed
}

/// A name like `name` of the characters that Anthropic takes, and none of `taken`.
fn free_name(name: &str, taken: &HashSet<String>) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    let clean: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .take(LONGEST_NAME - 6)
        .collect();
    let clean = if clean.is_empty() {
        "_".to_owned()
    } else {
        clean
    };
    let numbered = (2..).map(|number: u32| format!("{clean}_{number}"));
    std::iter::once(clean.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_of(json: &str) -> PlainSchema {
        plain(json).unwrap()
    }

    #[test]
    fn what_anthropic_takes_stays_as_it_is() {
        for json in [
            r#"{"type":"object","properties":{"a":{"anyOf":[{"type":"string"}]},"b.c-d_e":{}}}"#,
            r#"{"type":"object"}"#,
            "true",
        ] {
            assert_eq!(plain(json), None, "{json}");
        }
    }

    #[test]
    fn combinations_at_the_top_are_told_in_words() {
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
    fn names_that_anthropic_refuses_are_changed_and_stay_different() {
        let long = "n".repeat(70);
        let json = format!(
            r#"{{"type":"object","properties":{{"$filter":{{"type":"string","description":"d"}},"_filter":{{}},"é filter":{{}},"{long}":{{}},"":{{}}}},"required":["$filter","_filter"]}}"#
        );
        let schema = plain_of(&json);
        insta::assert_snapshot!(schema.json, @r#"{"type":"object","properties":{"_filter_2":{"type":"string","description":"d\n\nIts name is \"$filter\"."},"_filter":{},"__filter":{"description":"Its name is \"é filter\"."},"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn":{"description":"Its name is \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\"."},"_":{"description":"Its name is \"\"."}},"required":["_filter_2","_filter"]}"#);
        let new: Vec<_> = schema.renamed.iter().map(|(_, new)| new.as_str()).collect();
        assert_eq!(new, ["_filter_2", "__filter", &"n".repeat(58), "_"]);
        assert!(new.iter().all(|name| is_name(name)));
    }
}
