//! Control requests of the server to a CLI process.

use std::collections::BTreeMap;

use serde::Serialize;

/// Control request, by its `subtype`.
#[derive(Debug, Serialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub enum ControlRequest<'a> {
    /// Opens the protocol of a chat worker. Must be the first request, and is sent once.
    #[serde(rename_all = "camelCase")]
    Initialize {
        /// System prompt that replaces the CLI's own for the life of the process.
        system_prompt: &'a [&'a str],
    },
    /// Opens the protocol of an agent. Must be the first request, and is sent once.
    #[serde(rename = "initialize", rename_all = "camelCase")]
    InitializeAgent {
        /// Text appended to the CLI's own system prompt.
        #[serde(skip_serializing_if = "Option::is_none")]
        append_system_prompt: Option<&'a str>,
    },
    /// Asks for the number of tokens in the process's transcript.
    GetContextUsage,
    /// Asks for the catalogue of models.
    ListModels,
    /// Changes settings of the process.
    ApplyFlagSettings {
        /// Settings to change; the others keep their values.
        settings: FlagSettings<'a>,
    },
    /// Interrupts the running turn.
    Interrupt,
    /// Removes a user message and everything after it from the transcript.
    RewindConversation {
        /// `uuid` of the message to remove.
        target_message_uuid: &'a str,
        /// `uuid` of the last user message.
        last_seen_user_message_uuid: &'a str,
    },
}

impl ControlRequest<'_> {
    /// Returns the approximate size of the request in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::ApplyFlagSettings { settings } => {
                settings.env.values().flatten().map(String::len).sum()
            }
            _ => 0,
        }
    }
}

/// Settings of a running process.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlagSettings<'a> {
    /// Id of the model of the next turns. Not `set_model`, which makes a billed call to validate an
    /// id that it does not know by an alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// Thinking effort; `Some(None)` restores the model's default.
    #[serde(rename = "effortLevel", skip_serializing_if = "Option::is_none")]
    pub effort: Option<Option<&'static str>>,
    /// Environment variables that the CLI reads again in each turn; `None` unsets one.
    pub env: BTreeMap<&'a str, Option<String>>,
}

#[derive(Serialize)]
struct ControlRequestLine<'a> {
    r#type: &'static str,
    request_id: &'a str,
    request: &'a ControlRequest<'a>,
}

impl ControlRequest<'_> {
    /// Returns the line to send, with its line feed.
    pub fn line(&self, request_id: &str) -> Vec<u8> {
        super::line::to_line(&ControlRequestLine {
            r#type: "control_request",
            request_id,
            request: self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ControlRequest, FlagSettings};

    fn text(control: &ControlRequest<'_>) -> String {
        String::from_utf8(control.line("7")).unwrap()
    }

    #[test]
    fn control_lines_have_the_format_of_the_cli() {
        insta::assert_snapshot!(text(&ControlRequest::Initialize { system_prompt: &["be brief"] }), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"initialize","systemPrompt":["be brief"]}}"#);
        insta::assert_snapshot!(text(&ControlRequest::ListModels), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"list_models"}}"#);
        let env = [("A", Some("1".to_owned())), ("B", None)].into();
        insta::assert_snapshot!(text(&ControlRequest::ApplyFlagSettings { settings: FlagSettings { model: Some("m"), effort: Some(Some("low")), env } }), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"apply_flag_settings","settings":{"model":"m","effortLevel":"low","env":{"A":"1","B":null}}}}"#);
        insta::assert_snapshot!(text(&ControlRequest::RewindConversation { target_message_uuid: "a", last_seen_user_message_uuid: "b" }), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"rewind_conversation","target_message_uuid":"a","last_seen_user_message_uuid":"b"}}"#);
    }
}
