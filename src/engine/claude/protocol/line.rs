//! User lines: messages that the server writes as the user of a process.

use serde::Serialize;

use serde_json::value::RawValue;

#[derive(Serialize)]
struct UserLine<'a> {
    r#type: &'static str,
    /// Keeps the CLI from interpreting commands, file mentions or shell lines in the text.
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
    content: UserContent<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum UserContent<'a> {
    Text(&'a str),
    Blocks(&'a RawValue),
}

/// Returns the line of a user message with one text, which the model answers.
pub fn prompt_line(uuid: &str, text: &str) -> Vec<u8> {
    user_line(uuid, UserContent::Text(text), None)
}

/// Returns the line of a user message with the content blocks `blocks`, which is only added to the
/// transcript.
pub fn transcript_line(uuid: &str, blocks: &RawValue) -> Vec<u8> {
    user_line(uuid, UserContent::Blocks(blocks), Some(false))
}

fn user_line(uuid: &str, content: UserContent<'_>, should_query: Option<bool>) -> Vec<u8> {
    to_line(&UserLine {
        r#type: "user",
        client_composed: true,
        uuid,
        session_id: "",
        parent_tool_use_id: None,
        should_query,
        message: UserMessage {
            role: "user",
            content,
        },
    })
}

/// Serialises a line, with its line feed.
pub(super) fn to_line(value: &impl Serialize) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    if let Err(error) = serde_json::to_writer(&mut line, value) {
        // Only a map key that is not a string can fail, and the types above have none.
        tracing::error!(%error, "protocol line not serialized");
        line.clear();
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_lines_have_the_format_of_the_cli() {
        insta::assert_snapshot!(String::from_utf8(prompt_line("u1", ".")).unwrap(), @r#"{"type":"user","client_composed":true,"uuid":"u1","session_id":"","parent_tool_use_id":null,"message":{"role":"user","content":"."}}"#);
        let blocks = RawValue::from_string(r#"[{"type":"text","text":"hi"}]"#.to_owned()).unwrap();
        insta::assert_snapshot!(String::from_utf8(transcript_line("u2", &blocks)).unwrap(), @r#"{"type":"user","client_composed":true,"uuid":"u2","session_id":"","parent_tool_use_id":null,"shouldQuery":false,"message":{"role":"user","content":[{"type":"text","text":"hi"}]}}"#);
    }
}
