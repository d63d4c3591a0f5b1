//! Lines of the conversation: what the server sends as user and, in a replay, as assistant.

use serde::Serialize;

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
    content: Vec<TextBlock<'a>>,
}

#[derive(Serialize)]
struct TextBlock<'a> {
    r#type: &'static str,
    text: &'a str,
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
    content: Vec<TextBlock<'a>>,
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
pub fn user_line(uuid: &str, texts: &[String], query: bool) -> Vec<u8> {
    to_line(&UserLine {
        r#type: "user",
        client_composed: true,
        uuid,
        session_id: "",
        parent_tool_use_id: None,
        should_query: (!query).then_some(false),
        message: UserMessage { role: "user", content: blocks(texts) },
    })
}

/// An earlier answer of `model`, which joins the transcript.
pub fn assistant_line(uuid: &str, model: &str, texts: &[String]) -> Vec<u8> {
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
            content: blocks(texts),
            stop_reason: "end_turn",
            stop_sequence: None,
            usage: NoUsage { input_tokens: 0, output_tokens: 0 },
        },
    })
}

fn blocks(texts: &[String]) -> Vec<TextBlock<'_>> {
    texts.iter().map(|text| TextBlock { r#type: "text", text }).collect()
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

    #[test]
    fn lines_have_the_form_the_cli_reads() {
        let texts = ["hi".to_owned()];
        insta::assert_snapshot!(String::from_utf8(user_line("u1", &texts, true)).unwrap(), @r#"{"type":"user","client_composed":true,"uuid":"u1","session_id":"","parent_tool_use_id":null,"message":{"role":"user","content":[{"type":"text","text":"hi"}]}}"#);
        insta::assert_snapshot!(String::from_utf8(user_line("u2", &texts, false)).unwrap(), @r#"{"type":"user","client_composed":true,"uuid":"u2","session_id":"","parent_tool_use_id":null,"shouldQuery":false,"message":{"role":"user","content":[{"type":"text","text":"hi"}]}}"#);
        insta::assert_snapshot!(String::from_utf8(assistant_line("a1", "m", &texts)).unwrap(), @r#"{"type":"assistant","uuid":"a1","session_id":"","parent_tool_use_id":null,"message":{"id":"msg_a1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":0,"output_tokens":0}}}"#);
    }
}
