//! The parts of a Messages request which the script looks at.

use serde_json::Value;

use crate::{directives::Directives, server_tools};

/// The CLI puts text of its own into user messages, in blocks which begin so.
const REMINDER: &str = "<system-reminder>";

/// A request body which has been checked as far as the real API's most common complaints go.
pub(crate) struct Conversation<'a> {
    body: &'a Value,
    turn: &'a Value,
}

impl<'a> Conversation<'a> {
    /// Checks the required fields; the error is the message of a 400.
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

    /// The last text of the last user message.
    pub fn last_text(&self) -> &'a str {
        self.texts().last().copied().unwrap_or_default()
    }

    /// The directives of the last text block which has any, or else of the last result of a tool, with that text.
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

    /// The results in the last user message, joined; `None` if it holds no tool result.
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

    /// The tool which `tool_choice` forces; of any, the first that the client runs, or else the first.
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

    /// The offered tool named `name`.
    pub fn offered(&self, name: &str) -> Option<&'a Value> {
        self.tools().find(|tool| tool["name"] == name)
    }

    /// Whether the API runs the offered tool named `name` itself.
    pub fn is_server_tool(&self, name: &str) -> bool {
        self.offered(name).is_some_and(server_tools::is_server_tool)
    }

    /// The tools of the request. Those with a type may lack a name or a schema.
    pub fn tools(&self) -> impl Iterator<Item = &'a Value> {
        self.body["tools"].as_array().into_iter().flatten()
    }

    /// The name of the offered tool which `name` means: itself, or with the prefix the client gave it.
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

    /// The JSON schema which the answer must satisfy.
    pub fn output_schema(&self) -> Option<&'a Value> {
        let format = &self.body["output_config"]["format"];
        (format["type"] == "json_schema").then(|| &format["schema"])
    }

    /// A quarter of the characters in system, messages and tools; at least 1.
    pub fn estimated_tokens(&self) -> u64 {
        let characters: usize = ["system", "messages", "tools"]
            .iter()
            .map(|key| characters(&self.body[key]))
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

/// The content of the last user message since the assistant's last, other than one of nothing but reminders.
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

/// The text of a string, or of each text block of a list.
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

/// Characters of all strings within `value`, without those that are no text: type names and encoded files.
fn characters(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.iter().map(characters).sum(),
        Value::Object(fields) => {
            let is_text =
                |key: &str| !matches!(key, "type" | "source" | "cache_control" | "signature");
            fields
                .iter()
                .filter(|(key, _)| is_text(key))
                .map(|(_, field)| characters(field))
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
    fn reminders_are_not_the_users_text() {
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
    fn tool_names_match_with_or_without_the_clients_prefix() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}],
            "tools": [{"name": "mcp__c__look_up"}, {"name": "up"}]});
        let conversation = Conversation::new(&body, false).unwrap();
        assert_eq!(conversation.offered_name("look_up"), "mcp__c__look_up");
        assert_eq!(conversation.offered_name("up"), "up");
        assert_eq!(conversation.offered_name("other"), "other");
    }

    #[test]
    fn the_estimate_counts_texts_only() {
        let body = json!({"model": "m", "system": "12345678", "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"data": "AAAAAAAAAAAAAAAAAAAAAAAA"}}]}]});
        // "user" is four characters, which makes three tokens with the eight of the system text.
        assert_eq!(
            Conversation::new(&body, false).unwrap().estimated_tokens(),
            3
        );
    }
}
