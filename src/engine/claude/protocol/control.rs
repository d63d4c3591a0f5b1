//! Control requests: what the server asks of the process itself.

use std::collections::BTreeMap;

use serde::Serialize;

/// A control request, by its `subtype`.
#[derive(Debug, Serialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub enum Control<'a> {
    /// Opens the protocol. Comes first, once.
    #[serde(rename_all = "camelCase")]
    Initialize {
        /// Replaces the CLI's own system prompt for the life of the process.
        system_prompt: &'a [&'a str],
    },
    /// Opens the protocol with a process that has tools of its own. Comes first, once.
    #[serde(rename = "initialize", rename_all = "camelCase")]
    InitializeAgent {
        /// Added to the CLI's own system prompt.
        #[serde(skip_serializing_if = "Option::is_none")]
        append_system_prompt: Option<&'a str>,
    },
    /// Asks how much of the model's window the transcript of the process takes.
    GetContextUsage,
    /// Asks for the catalogue of models.
    ListModels,
    /// Changes settings of the process.
    ApplyFlagSettings {
        /// The settings; what is not named keeps its value.
        settings: FlagSettings<'a>,
    },
    /// Stops the running turn.
    Interrupt,
    /// Forgets a user message and all that came after it.
    RewindConversation {
        /// The `uuid` of the message to forget.
        target_message_uuid: &'a str,
        /// The `uuid` of the last user message.
        last_seen_user_message_uuid: &'a str,
    },
}

impl Control<'_> {
    /// The approximate size of the request in bytes.
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
    /// The id of the model of the next turns. The request `set_model` would do as well, but makes a call of its own,
    /// which is billed, to try an id that it does not know by an alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<&'a str>,
    /// The effort of thinking; `Some(None)` goes back to the model's default.
    #[serde(rename = "effortLevel", skip_serializing_if = "Option::is_none")]
    pub effort: Option<Option<&'static str>>,
    /// Environment variables the CLI reads anew on each turn; `None` unsets.
    pub env: BTreeMap<&'a str, Option<String>>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: &'static str,
    request_id: &'a str,
    request: &'a Control<'a>,
}

impl Control<'_> {
    /// The line to send, its line feed included.
    pub fn line(&self, request_id: &str) -> Vec<u8> {
        super::line::to_line(&Envelope {
            r#type: "control_request",
            request_id,
            request: self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Control, FlagSettings};

    fn text(control: &Control<'_>) -> String {
        String::from_utf8(control.line("7")).unwrap()
    }

    #[test]
    fn lines_have_the_form_the_cli_reads() {
        insta::assert_snapshot!(text(&Control::Initialize { system_prompt: &["be brief"] }), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"initialize","systemPrompt":["be brief"]}}"#);
        insta::assert_snapshot!(text(&Control::ListModels), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"list_models"}}"#);
        let env = [("A", Some("1".to_owned())), ("B", None)].into();
        insta::assert_snapshot!(text(&Control::ApplyFlagSettings { settings: FlagSettings { model: Some("m"), effort: Some(Some("low")), env } }), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"apply_flag_settings","settings":{"model":"m","effortLevel":"low","env":{"A":"1","B":null}}}}"#);
        insta::assert_snapshot!(text(&Control::RewindConversation { target_message_uuid: "a", last_seen_user_message_uuid: "b" }), @r#"{"type":"control_request","request_id":"7","request":{"subtype":"rewind_conversation","target_message_uuid":"a","last_seen_user_message_uuid":"b"}}"#);
    }
}
