//! Rules of the content blocks of messages and of the system prompt.

use serde_json::Value;

use super::{images, is_word};

/// Block with its path, such as `messages.1.content.0`.
type BlockWithPath<'a> = (String, &'a Value);

/// Rejects empty content, thinking without a signature, and invalid images.
pub(crate) fn check(body: &Value) -> Result<(), String> {
    for (path, block) in blocks_of(&body["system"], "system") {
        check_text(&path, block, "system")?;
    }
    let messages = body["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (index, message) in messages.iter().enumerate() {
        let is_last_answer = index + 1 == messages.len() && message["role"] == "assistant";
        if !is_last_answer {
            check_not_empty(index, message)?;
        }
        for (path, block) in blocks_of(&message["content"], &format!("messages.{index}.content")) {
            check_block(&path, block)?;
        }
    }
    check_prefill(messages)
}

/// Returns the blocks of a list with their paths; a plain text has none.
pub(super) fn blocks_of<'a>(content: &'a Value, path: &str) -> Vec<BlockWithPath<'a>> {
    let blocks = content.as_array().into_iter().flatten();
    blocks
        .enumerate()
        .map(|(index, block)| (format!("{path}.{index}"), block))
        .collect()
}

fn check_not_empty(index: usize, message: &Value) -> Result<(), String> {
    let is_empty = match &message["content"] {
        Value::String(text) if !text.is_empty() && text.trim().is_empty() => {
            return Err(
                "messages: text content blocks must contain non-whitespace text".to_owned(),
            );
        }
        Value::String(text) => text.is_empty(),
        Value::Array(blocks) => blocks.is_empty(),
        _ => return Err(format!("messages.{index}.content: Field required")),
    };
    match message["role"].as_str() {
        Some("user") if is_empty => Err(format!(
            "messages.{index}: user messages must have non-empty content"
        )),
        Some("assistant") if is_empty => Err(format!(
            "messages.{index}: all messages must have non-empty content except for the optional final assistant message"
        )),
        _ => Ok(()),
    }
}

fn check_block(path: &str, block: &Value) -> Result<(), String> {
    match block["type"].as_str() {
        Some("text") => check_text(path, block, "messages"),
        Some("image") => images::check(&format!("{path}.image"), &block["source"]),
        Some("thinking") => check_signature(path, block),
        Some("tool_use") => check_call(path, block),
        Some("tool_result") => {
            let nested = blocks_of(&block["content"], &format!("{path}.tool_result.content"));
            let mut images = nested.iter().filter(|(_, block)| block["type"] == "image");
            images.try_for_each(|(path, block)| {
                images::check(&format!("{path}.image"), &block["source"])
            })
        }
        _ => Ok(()),
    }
}

/// Rejects an empty text; `list` is the path of the whole list, which the API names in the error.
fn check_text(path: &str, block: &Value, list: &str) -> Result<(), String> {
    let text = block["text"].as_str().unwrap_or_default();
    if !text.trim().is_empty() {
        return Ok(());
    }
    if block["cache_control"].is_object() && text.is_empty() {
        return Err(format!(
            "{path}.text: cache_control cannot be set for empty text blocks"
        ));
    }
    let wanted = if text.is_empty() {
        "be non-empty"
    } else {
        "contain non-whitespace text"
    };
    Err(format!("{list}: text content blocks must {wanted}"))
}

fn check_signature(path: &str, block: &Value) -> Result<(), String> {
    match block["signature"].as_str() {
        None => Err(format!("{path}.thinking.signature: Field required")),
        Some("") => Err(format!("{path}: Invalid `signature` in `thinking` block")),
        Some(_) => Ok(()),
    }
}

fn check_call(path: &str, block: &Value) -> Result<(), String> {
    let id = block["id"].as_str().unwrap_or_default();
    if !is_word(id, usize::MAX, "_-") {
        return Err(format!(
            "{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        ));
    }
    if block["input"].is_object() {
        return Ok(());
    }
    Err(format!(
        "{path}.tool_use.input: Input should be a valid dictionary"
    ))
}

/// Rejects an assistant prefill that ends with whitespace.
fn check_prefill(messages: &[Value]) -> Result<(), String> {
    let last = messages
        .last()
        .filter(|message| message["role"] == "assistant");
    let text = last.and_then(|message| match &message["content"] {
        Value::Array(blocks) => blocks.last().and_then(|block| block["text"].as_str()),
        content => content.as_str(),
    });
    if text.is_some_and(|text| text.ends_with(char::is_whitespace)) {
        return Err(
            "messages: final assistant content cannot end with trailing whitespace".to_owned(),
        );
    }
    Ok(())
}
