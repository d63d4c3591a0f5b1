//! Lines of the conversation: what the server sends as user and, in a replay, as assistant.

use serde::Serialize;

use serde_json::value::RawValue;

use crate::domain::Part;
use crate::domain::Source;
use crate::domain::Thinking;

#[derive(Serialize)]
struct UserLine<'a> {
    r#type: &'static str,
    /// Keeps the CLI from reading commands, file mentions or shell lines into the text.
    client_composed: bool,
    uuid: &'a str,
    session_id: &'static str,
    parent_tool_use_id: Option<&'static str>,
    #[serde(rename = "shouldQuery", skip_serializing_if = "Option::is_none")]
    should_query: Option<bool>,
    message: UserMessage<'a>,
}

#[derive(Serialize)]
struct UserMessage<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
}

/// A content block of the Messages API.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: BlockSource<'a>,
    },
    Document {
        source: BlockSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Option<&'a RawValue>,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<Self>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BlockSource<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
    File { file_id: &'a str },
}

#[derive(Serialize)]
struct AssistantLine<'a> {
    r#type: &'static str,
    uuid: &'a str,
    session_id: &'static str,
    parent_tool_use_id: Option<&'static str>,
    message: AssistantMessage<'a>,
}

#[derive(Serialize)]
struct AssistantMessage<'a> {
    id: String,
    r#type: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Block<'a>>,
    stop_reason: &'static str,
    stop_sequence: Option<&'static str>,
    usage: NoUsage,
}

#[derive(Serialize)]
struct NoUsage {
    input_tokens: u64,
    output_tokens: u64,
}

/// A user message; with `query` the model answers it, without it only joins the transcript.
pub fn user_line(uuid: &str, parts: &[Part], query: bool) -> Vec<u8> {
    to_line(&UserLine {
        r#type: "user",
        client_composed: true,
        uuid,
        session_id: "",
        parent_tool_use_id: None,
        should_query: (!query).then_some(false),
        message: UserMessage { role: "user", content: blocks(parts) },
    })
}

/// An earlier answer of `model`, which joins the transcript.
pub fn assistant_line(uuid: &str, model: &str, parts: &[Part]) -> Vec<u8> {
    to_line(&AssistantLine {
        r#type: "assistant",
        uuid,
        session_id: "",
        parent_tool_use_id: None,
        message: AssistantMessage {
            id: format!("msg_{uuid}"),
            r#type: "message",
            role: "assistant",
            model,
            content: blocks(parts),
            stop_reason: "end_turn",
            stop_sequence: None,
            usage: NoUsage { input_tokens: 0, output_tokens: 0 },
        },
    })
}

fn blocks(parts: &[Part]) -> Vec<Block<'_>> {
    parts.iter().map(block).collect()
}

fn block(part: &Part) -> Block<'_> {
    match part {
        Part::Text(text) => Block::Text { text },
        Part::Image(image) => Block::Image { source: source(image) },
        Part::Document { source: document, title } => {
            Block::Document { source: source(document), title: title.as_deref() }
        }
        Part::Thinking(Thinking::Open { text, signature }) => Block::Thinking { thinking: text, signature },
        Part::Thinking(Thinking::Redacted(data)) => Block::RedactedThinking { data },
        // Whoever makes one has checked that its input is JSON.
        Part::ToolUse(call) => {
            Block::ToolUse { id: &call.id, name: &call.name, input: serde_json::from_str(&call.input).ok() }
        }
        Part::ToolResult(result) => Block::ToolResult {
            tool_use_id: &result.id,
            content: blocks(&result.parts),
            is_error: result.is_error,
        },
    }
}

fn source(source: &Source) -> BlockSource<'_> {
    match source {
        Source::Base64 { media_type, data } => BlockSource::Base64 { media_type, data },
        Source::Url(url) => BlockSource::Url { url },
        // Upstream's own word for it. It knows no file of this server, which reads them before a turn runs.
        Source::Upload { id, .. } => BlockSource::File { file_id: id },
    }
}

/// Serialises a line, its line feed included.
pub(super) fn to_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    if let Err(error) = serde_json::to_writer(&mut line, value) {
        // Only a map key that is no text can fail, and the types above have none.
        tracing::error!(%error, "a line of the protocol cannot be written");
        line.clear();
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::{assistant_line, user_line};
    use crate::domain::Part;
    use crate::domain::Source;

    #[test]
    fn parts_are_blocks_of_the_messages_api() {
        let data = Source::Base64 { media_type: "application/pdf".to_owned(), data: "JVBERi0=".to_owned() };
        let parts = [
            Part::Image(Source::Url("https://a/b.png".to_owned())),
            Part::Document { source: data, title: Some("a.pdf".to_owned()) },
        ];
        insta::assert_snapshot!(serde_json::to_string(&super::blocks(&parts)).unwrap(), @r#"[{"type":"image","source":{"type":"url","url":"https://a/b.png"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="},"title":"a.pdf"}]"#);
    }

    #[test]
    fn lines_have_the_form_the_cli_reads() {
        let parts = [Part::text("hi")];
        insta::assert_snapshot!(String::from_utf8(user_line("u1", &parts, true)).unwrap(), @r#"{"type":"user","client_composed":true,"uuid":"u1","session_id":"","parent_tool_use_id":null,"message":{"role":"user","content":[{"type":"text","text":"hi"}]}}"#);
        insta::assert_snapshot!(String::from_utf8(user_line("u2", &parts, false)).unwrap(), @r#"{"type":"user","client_composed":true,"uuid":"u2","session_id":"","parent_tool_use_id":null,"shouldQuery":false,"message":{"role":"user","content":[{"type":"text","text":"hi"}]}}"#);
        insta::assert_snapshot!(String::from_utf8(assistant_line("a1", "m", &parts)).unwrap(), @r#"{"type":"assistant","uuid":"a1","session_id":"","parent_tool_use_id":null,"message":{"id":"msg_a1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}"#);
    }
}
