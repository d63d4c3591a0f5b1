//! Messages of a chat, and what a line of input means.

use serde_json::Value;
use serde_json::json;

/// Conversation so far, and the model that is asked next.
#[derive(Debug)]
pub(super) struct ChatTranscript {
    model: String,
    messages: Vec<Value>,
}

/// Meaning of a line of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ChatInput<'l> {
    /// Prompt for the model.
    Prompt(&'l str),
    /// Change to the model of this name.
    SetModel(&'l str),
    /// Request for the name of the model.
    ShowModel,
    /// Begin of a new conversation.
    Clear,
    /// Request for the list of commands.
    Help,
    /// End of the chat.
    Quit,
    /// Command that does not exist.
    Unknown(&'l str),
    /// Blank line.
    Nothing,
}

impl ChatTranscript {
    /// Creates an empty conversation with `model`.
    pub(super) fn new(model: String) -> Self {
        Self {
            model,
            messages: Vec::new(),
        }
    }

    /// Name of the model that is asked next.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// Changes the model for the prompts that follow.
    pub(super) fn set_model(&mut self, name: &str) {
        name.clone_into(&mut self.model);
    }

    /// Forgets all messages.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Adds a prompt and its answer.
    pub(super) fn add(&mut self, prompt: &str, answer: &str) {
        self.messages.push(message("user", prompt));
        self.messages.push(message("assistant", answer));
    }

    /// Returns the request that continues the conversation with `prompt`.
    pub(super) fn request_body(&self, prompt: &str) -> Value {
        let mut messages = self.messages.clone();
        messages.push(message("user", prompt));
        json!({
            "model": self.model,
            "messages": messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    }
}

impl<'l> ChatInput<'l> {
    /// Parses a line. A first word of a slash and letters is a command; other lines that begin with
    /// a slash, such as paths, are prompts.
    pub(super) fn parse(line: &'l str) -> Self {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = word.strip_prefix('/').unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return if line.is_empty() {
                Self::Nothing
            } else {
                Self::Prompt(line)
            };
        }
        match (name, rest.trim()) {
            ("model", "") => Self::ShowModel,
            ("model", model) => Self::SetModel(model),
            ("clear", _) => Self::Clear,
            ("help", _) => Self::Help,
            ("quit" | "exit", _) => Self::Quit,
            _ => Self::Unknown(word),
        }
    }
}

fn message(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_prompts_or_commands() {
        for (line, input) in [
            ("  Hello there ", ChatInput::Prompt("Hello there")),
            (
                "/etc/hosts: what is it?",
                ChatInput::Prompt("/etc/hosts: what is it?"),
            ),
            ("/ is the root", ChatInput::Prompt("/ is the root")),
            ("/model", ChatInput::ShowModel),
            ("/model  opus ", ChatInput::SetModel("opus")),
            ("/clear", ChatInput::Clear),
            ("/help me", ChatInput::Help),
            ("/quit", ChatInput::Quit),
            ("/exit", ChatInput::Quit),
            ("/modle opus", ChatInput::Unknown("/modle")),
            (" \t", ChatInput::Nothing),
        ] {
            assert_eq!(ChatInput::parse(line), input, "{line:?}");
        }
    }

    #[test]
    fn request_has_all_messages_and_asks_for_usage() {
        let mut conversation = ChatTranscript::new("sonnet".to_owned());
        conversation.add("one", "two");
        conversation.set_model("opus");
        let body = conversation.request_body("three");
        let expected = json!({
            "model": "opus",
            "messages": [
                {"role": "user", "content": "one"},
                {"role": "assistant", "content": "two"},
                {"role": "user", "content": "three"},
            ],
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        assert_eq!(body, expected);
        conversation.clear();
        let body = conversation.request_body("four");
        assert_eq!(body["messages"].as_array().map(Vec::len), Some(1));
    }
}
