//! Stored form of items, and the bodies that list or refer to them.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::json;

use super::encrypted_content::EncryptedContent;
use super::id;
use super::types::Response;
use super::types::ResponseUsage;
use crate::api::openai::json as writing;
use crate::api::openai::list as pages;
use crate::domain::unix_now;

/// Gives the checked input of `response` its stored form: each item gets a type and an id, and
/// plain text becomes a content part.
pub fn from_input(response: &str, items: Vec<Value>) -> Vec<Value> {
    let name = |(number, mut item): (usize, Value)| {
        let fields = item.as_object_mut()?;
        // A `null` counts as an absent field.
        if fields.get("type").is_none_or(Value::is_null) {
            fields.insert("type".to_owned(), json!("message"));
        }
        let prefix = match fields["type"].as_str()? {
            "message" => "msg",
            "reasoning" => "rs",
            "compaction" => "cmp",
            "web_search_call" => "ws",
            "code_interpreter_call" => "ci",
            "mcp_call" => "mcp",
            "mcp_list_tools" => "mcpl",
            "custom_tool_call" => "ctc",
            "local_shell_call" => "lsh",
            "shell_call" => "sh",
            "apply_patch_call" => "apc",
            "additional_tools" => "at",
            "tool_search_call" => "tsc",
            _ => "fc",
        };
        if !fields.get("id").is_some_and(Value::is_string) {
            fields.insert(
                "id".to_owned(),
                json!(id::input_item_id(prefix, response, number)),
            );
        }
        if prefix != "cmp" {
            fields.entry("status").or_insert_with(|| json!("completed"));
        }
        if let Some(Value::String(text)) = fields.get("content") {
            let part = match fields.get("role").and_then(Value::as_str) {
                Some("assistant") => {
                    json!({"type": "output_text", "text": text, "annotations": []})
                }
                _ => json!({"type": "input_text", "text": text}),
            };
            fields.insert("content".to_owned(), json!([part]));
        }
        Some(item)
    };
    items.into_iter().enumerate().filter_map(name).collect()
}

/// Gives items that belong to no response the stored form of input items.
pub fn with_new_ids(items: Vec<Value>) -> Vec<Value> {
    from_input(&id::new_response_id(), items)
}

/// Replaces duplicate ids among `items`, and ids that are in `known`; of two equal ids the later is
/// replaced.
pub fn with_unique_ids(
    known: impl IntoIterator<Item = String>,
    mut items: Vec<Value>,
) -> Vec<Value> {
    let mut known: HashSet<String> = known.into_iter().collect();
    for item in &mut items {
        let Some(id) = item["id"].as_str() else {
            continue;
        };
        if !known.insert(id.to_owned()) {
            let prefix = id.split_once('_').map_or("item", |(prefix, _)| prefix);
            let new = format!("{prefix}_{}", uuid::Uuid::new_v4().simple());
            known.insert(new.clone());
            item["id"] = json!(new);
        }
    }
    items
}

/// Returns the output of `response` as input items of a later request.
pub fn from_output(response: &Response) -> Vec<Value> {
    response
        .output
        .iter()
        .filter_map(|item| serde_json::to_value(item).ok())
        .collect()
}

/// Returns the id to which `item` refers, if it is a reference.
pub fn reference_id(item: &Value) -> Option<&str> {
    let id = item.get("id")?.as_str()?;
    match item.get("type") {
        // The short form of a reference has neither a type nor a role.
        None => item.get("role").is_none().then_some(id),
        Some(kind) => (kind == "item_reference").then_some(id),
    }
}

/// Returns the body of a page of `items`.
pub fn list_body(items: &[&Value], has_more: bool) -> String {
    pages::body(items, |item| item["id"].as_str(), has_more)
}

/// Returns the body that confirms the deletion of a response.
pub fn deleted_body(id: &str) -> String {
    writing::to_string(&json!({"id": id, "object": "response", "deleted": true}))
}

/// Returns the body with a count of input tokens.
pub fn input_tokens_body(count: u64) -> String {
    writing::to_string(&json!({"object": "response.input_tokens", "input_tokens": count}))
}

/// Returns a compaction: one item that replaces the conversation. It holds all items unchanged,
/// and no model is involved.
pub fn compaction_body(items: Vec<Value>) -> String {
    let response = id::new_response_id();
    let item = json!({
        "id": id::output_item_id("cmp", &response, 0),
        "type": "compaction",
        "encrypted_content": EncryptedContent::Conversation(items).to_text(),
    });
    writing::to_string(&json!({
        "id": response,
        "object": "response.compaction",
        "created_at": unix_now(),
        "output": [item],
        "usage": ResponseUsage::default(),
    }))
}

impl Response {
    /// Serializes the response as JSON.
    pub fn to_json(&self) -> String {
        writing::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_with_absent_or_null_type_is_a_message() {
        let items = vec![
            json!({"role": "user", "content": "a"}),
            json!({"type": null, "role": "user", "content": "b"}),
            json!({"type": "message", "role": "user", "content": "c"}),
        ];
        let stored = from_input("resp_1", items);
        let types: Vec<_> = stored.iter().map(|item| &item["type"]).collect();
        assert_eq!(types, ["message", "message", "message"]);
    }
}
