//! Calls of the start check: when settings name another address, the calls are made there, as by
//! the real CLI.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::session::{Job, Session, State};

const BASE_URL: &str = "ANTHROPIC_BASE_URL";
/// Variable with the fields that settings add to the body of a call.
pub(crate) const EXTRA_BODY: &str = "CLAUDE_CODE_EXTRA_BODY";

/// Returns the host, port and path to which settings direct the calls, if they do.
pub(crate) fn address(state: &State) -> Option<String> {
    state
        .env
        .get(BASE_URL)?
        .strip_prefix("http://")
        .map(str::to_owned)
}

/// Returns the fields for the body, if settings add messages to it.
pub(crate) fn body(state: &State) -> Option<Value> {
    let body: Value = serde_json::from_str(state.env.get(EXTRA_BODY)?).ok()?;
    body.get("messages").is_some().then_some(body)
}

/// Returns the content of the last message of that body, which the model has to answer.
pub(crate) fn prompt_of_body(state: &State) -> Option<Value> {
    body(state)?["messages"]
        .as_array()?
        .last()?
        .get("content")
        .cloned()
}

/// Makes the calls of `job` at `address`: one, and with the mode `calls_again` another one after an
/// answer that was cut off.
pub(crate) fn call(session: &Session, job: &Job, address: &str) -> io::Result<()> {
    let body = session
        .state()
        .env
        .get(EXTRA_BODY)
        .cloned()
        .unwrap_or_else(|| "{}".to_owned());
    let own = json!({"messages": [{"role": "user", "content": job.content}]}).to_string();
    let ignores_body = session.process_modes.is_on("body_ignored");
    let body = if ignores_body { own } else { body };
    let answer = post(address, &body)?;
    if answer.contains("max_tokens") && session.process_modes.is_on("calls_again") {
        post(address, &body)?;
    }
    Ok(())
}

fn post(address: &str, body: &str) -> io::Result<String> {
    let (host, path) = address.split_once('/').unwrap_or((address, ""));
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "POST /{path}/v1/messages?beta=true HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
