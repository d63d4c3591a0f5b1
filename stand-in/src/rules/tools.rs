//! Rules of the tools of a request and of `tool_choice`.

use std::collections::HashSet;

use serde_json::Value;

use super::{is_word, schemas::Schemas};

const MAX_NAME_CHARS: usize = 128;
const MAX_KEY_CHARS: usize = 64;

/// Rejects invalid names and schemas, and a `tool_choice` without tools.
pub(crate) fn check<'a>(body: &'a Value, schemas: &mut Schemas<'a>) -> Result<(), String> {
    let tools = body["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if tools.is_empty() && body["tool_choice"].is_object() {
        return Err("tool_choice may only be specified while providing tools.".to_owned());
    }
    let mut names = HashSet::new();
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("tools.{index}.custom");
        if matches!(tool["type"].as_str(), None | Some("custom")) {
            check_custom_tool(&path, tool)?;
        }
        if tool["name"]
            .as_str()
            .is_some_and(|name| !names.insert(name))
        {
            return Err("tools: Tool names must be unique.".to_owned());
        }
        if tool["strict"] == true {
            schemas.check(&path, &tool["input_schema"])?;
        }
    }
    Ok(())
}

/// Checks a tool that the client defines.
fn check_custom_tool(path: &str, tool: &Value) -> Result<(), String> {
    let name = tool["name"].as_str().unwrap_or_default();
    if !is_word(name, MAX_NAME_CHARS, "_-") {
        return Err(format!(
            "{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,{MAX_NAME_CHARS}}}$'"
        ));
    }
    let schema = &tool["input_schema"];
    if !schema.is_object() {
        return Err(format!("{path}.input_schema: Field required"));
    }
    if ["oneOf", "allOf", "anyOf"]
        .iter()
        .any(|keyword| schema.get(keyword).is_some())
    {
        return Err(format!(
            "{path}.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
        ));
    }
    let mut keys = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key);
    if keys.any(|key| !is_word(key, MAX_KEY_CHARS, "_.-")) {
        return Err(format!(
            "{path}.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,{MAX_KEY_CHARS}}}$'"
        ));
    }
    Ok(())
}
