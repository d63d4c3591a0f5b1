//! View of a Messages request: the parts that directives and rules need.

use serde_json::Value;

use crate::{directives::Directives, server_tools};

/// Prefix of text blocks that the CLI adds to user messages.
const REMINDER: &str = "<system-reminder>";

/// Request body with a model, messages and, if required, `max_tokens`.
pub(crate) struct Conversation<'a> {
    body: &'a Value,
    turn: &'a Value,
}

impl<'a> Conversation<'a> {
    /// Checks the required fields.
    ///
    /// # Errors
    /// The message of a 400 response.
    pub fn new(body: &'a Value, needs_max_tokens: bool) -> Result<Self, String> {
        if !body["model"].is_string() {
            return Err("model: Field required".to_owned());
        }
        if needs_max_tokens && body["max_tokens"].as_u64().unwrap_or(0) == 0 {
            return Err("max_tokens: a positive integer is required".to_owned());
        }
        match body["messages"].as_array() {
            None => Err("messages: Field required".to_owned()),
            Some(messages) if messages.is_empty() => {
                Err("messages: at least one message is required".to_owned())
            }
            Some(messages) => Ok(Self {
                body,
                turn: last_user_content(messages),
            }),
        }
    }

    pub fn body(&self) -> &'a Value {
        self.body
    }

    pub fn model(&self) -> &'a str {
        self.body["model"].as_str().unwrap_or_default()
    }

    pub fn max_tokens(&self) -> usize {
        self.body["max_tokens"]
            .as_u64()
            .and_then(|max| usize::try_from(max).ok())
            .unwrap_or(usize::MAX)
    }

    pub fn stop_sequences(&self) -> Vec<&'a str> {
        self.body["stop_sequences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// Returns the last text of the last user message.
    pub fn last_text(&self) -> &'a str {
        self.texts().last().copied().unwrap_or_default()
    }

    /// Returns the directives of the last text block that has any, or else of the last tool result,
    /// with that text.
    pub fn directives(&self) -> Result<Option<(Directives, &'a str)>, String> {
        let blocks = self.turn.as_array().into_iter().flatten();
        let results = blocks.filter(|block| block["type"] == "tool_result");
        let results = results.flat_map(|block| texts_of(&block["content"]));
        for text in results.chain(self.texts()).rev() {
            if let Some(directives) = Directives::parse(text)? {
                return Ok(Some((directives, text)));
            }
        }
        Ok(None)
    }

    /// Returns the joined tool results of the last user message; `None` without tool results.
    pub fn tool_results(&self) -> Option<String> {
        let blocks = self
            .turn
            .as_array()?
            .iter()
            .filter(|block| block["type"] == "tool_result");
        let results: Vec<String> = blocks
            .map(|block| texts_of(&block["content"]).join(" "))
            .collect();
        (!results.is_empty()).then(|| results.join("; "))
    }

    /// Returns the tool that `tool_choice` forces.
    ///
    /// With `any`, the first tool that the client runs, or else the first tool.
    pub fn forced_tool(&self) -> Option<&'a str> {
        let choice = &self.body["tool_choice"];
        match choice["type"].as_str()? {
            "tool" => choice["name"].as_str(),
            "any" => {
                let mut names = self.tool_names();
                names
                    .find(|name| !self.is_server_tool(name))
                    .or_else(|| self.tool_names().next())
            }
            _ => None,
        }
    }

    /// Returns the offered tool with this name.
    pub fn offered_tool(&self, name: &str) -> Option<&'a Value> {
        self.tools().find(|tool| tool["name"] == name)
    }

    /// True if the API itself runs the offered tool with this name.
    pub fn is_server_tool(&self, name: &str) -> bool {
        self.offered_tool(name)
            .is_some_and(server_tools::is_server_tool)
    }

    /// Returns the tools of the request; a tool with a type may lack a name or a schema.
    pub fn tools(&self) -> impl Iterator<Item = &'a Value> {
        self.body["tools"].as_array().into_iter().flatten()
    }

    /// Resolves `name` to an offered tool's name, with or without the client's prefix.
    pub fn offered_name(&self, name: &'a str) -> &'a str {
        let is_prefixed = |offered: &&str| {
            offered
                .strip_suffix(name)
                .is_some_and(|prefix| prefix.ends_with("__"))
        };
        let exact = self.tool_names().find(|offered| *offered == name);
        exact
            .or_else(|| self.tool_names().find(is_prefixed))
            .unwrap_or(name)
    }

    /// Returns the JSON schema that the answer must satisfy.
    pub fn output_schema(&self) -> Option<&'a Value> {
        let format = &self.body["output_config"]["format"];
        (format["type"] == "json_schema").then(|| &format["schema"])
    }

    /// Estimates the input tokens: a quarter of the characters in system, messages and tools, at
    /// least 1.
    pub fn estimated_tokens(&self) -> u64 {
        let characters: usize = ["system", "messages", "tools"]
            .iter()
            .map(|key| count_characters(&self.body[key]))
            .sum();
        u64::try_from(characters / 4).unwrap_or(u64::MAX).max(1)
    }

    fn texts(&self) -> Vec<&'a str> {
        texts_of(self.turn)
            .into_iter()
            .filter(|text| !is_reminder(text))
            .collect()
    }

    fn tool_names(&self) -> impl Iterator<Item = &'a str> {
        self.tools().filter_map(|tool| tool["name"].as_str())
    }
}

/// Returns the content of the last user message after the assistant's last message.
///
/// Messages that consist of reminders only are skipped.
fn last_user_content(messages: &[Value]) -> &Value {
    let since_answer = messages
        .iter()
        .rev()
        .take_while(|message| message["role"] != "assistant");
    since_answer
        .filter(|message| message["role"] == "user")
        .map(|message| &message["content"])
        .find(|content| match content {
            Value::Array(blocks) => blocks
                .iter()
                .any(|block| !block["text"].as_str().is_some_and(is_reminder)),
            content => !content.as_str().is_some_and(is_reminder),
        })
        .unwrap_or(&Value::Null)
}

fn is_reminder(text: &str) -> bool {
    text.trim_start().starts_with(REMINDER)
}

/// Returns the text of a string, or of each text block of a list.
fn texts_of(content: &Value) -> Vec<&str> {
    match content {
        Value::String(text) => vec![text],
        Value::Array(blocks) => blocks
            .iter()
            .filter(|block| block["type"] == "text")
            .filter_map(|block| block["text"].as_str())
            .collect(),
        _ => Vec::new(),
    }
}

/// Counts the characters of all strings in `value`, except type names and encoded files.
pub(crate) fn count_characters(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.iter().map(count_characters).sum(),
        Value::Object(fields) => {
            let is_text =
                |key: &str| !matches!(key, "type" | "source" | "cache_control" | "signature");
            fields
                .iter()
                .filter(|(key, _)| is_text(key))
                .map(|(_, field)| count_characters(field))
                .sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reminder_blocks_are_ignored() {
        let body = json!({"model": "m", "max_tokens": 1, "messages": [
            {"role": "user", "content": "[[tokens=1]]"},
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": [
                {"type": "text", "text": "real [[tokens=2]]"},
                {"type": "text", "text": "plain"},
                {"type": "text", "text": "<system-reminder>[[tokens=3]]</system-reminder>"}]},
            {"role": "user", "content": "<system-reminder>date</system-reminder>"}]});
        let conversation = Conversation::new(&body, true).unwrap();
        assert_eq!(conversation.last_text(), "plain");
        assert_eq!(
            conversation.directives().unwrap().unwrap().1,
            "real [[tokens=2]]"
        );
    }

    #[test]
    fn tool_name_matches_with_or_without_the_clients_prefix() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}],
            "tools": [{"name": "mcp__c__look_up"}, {"name": "up"}]});
        let conversation = Conversation::new(&body, false).unwrap();
        assert_eq!(conversation.offered_name("look_up"), "mcp__c__look_up");
        assert_eq!(conversation.offered_name("up"), "up");
        assert_eq!(conversation.offered_name("other"), "other");
    }

    #[test]
    fn token_estimate_counts_text_only() {
        let body = json!({"model": "m", "system": "12345678", "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"data": "AAAAAAAAAAAAAAAAAAAAAAAA"}}]}]});
        // Four characters of "user" and eight of the system text make three tokens.
        assert_eq!(
            Conversation::new(&body, false).unwrap().estimated_tokens(),
            3
        );
    }
}
