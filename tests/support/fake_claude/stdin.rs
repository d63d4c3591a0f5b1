//! Reads stdin: queues user lines for the turn thread, and answers control requests at once, also
//! during a turn.

use std::io::{self, BufRead as _, Write as _};

use serde_json::Value;

use crate::check;
use crate::control;
use crate::session::{Entry, EntryKind, Exit, Job, Session};

/// Reads until stdin ends or contains a line that is not JSON.
pub(crate) fn read(session: &Session) {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        match stdin.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return handle_eof(session),
            Ok(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Ok(_) => {
                let Ok(value) = serde_json::from_slice::<Value>(&line) else {
                    // The process ends in any case.
                    let _ = writeln!(io::stderr(), "Error parsing streaming input line");
                    return session.request_exit(Exit::Code(1));
                };
                if check::address(&session.state()).is_none() {
                    session.journal.line(&value);
                }
                if handle_line(session, value).is_err() {
                    return session.request_exit(Exit::Code(1));
                }
            }
        }
    }
}

fn handle_eof(session: &Session) {
    let mut state = session.state();
    let is_ignored = state.modes.is_on("ignore_stdin_eof");
    session.journal.eof(is_ignored);
    if is_ignored {
        return;
    }
    let busy = state.running.is_some() || !state.queue.is_empty();
    if busy && !state.unresponsive && state.modes.is_on("finish_on_eof") {
        state.exit_when_idle = true;
        session.wake();
    } else {
        session.request_exit(Exit::Code(u8::from(state.last_failed)));
    }
}

fn handle_line(session: &Session, line: Value) -> io::Result<()> {
    if session.state().unresponsive {
        return Ok(());
    }
    match line.get("type").and_then(Value::as_str) {
        Some("control_request") => control::answer(session, &line),
        Some("user") => queue_user_line(session, line),
        Some("assistant") => add_assistant_message(session, line),
        _ => Ok(()),
    }
}

fn queue_user_line(session: &Session, mut line: Value) -> io::Result<()> {
    let (uuid, content) = take_uuid_and_content(session, &mut line);
    let known = |state: &crate::session::State| {
        state.history.iter().any(|entry| entry.uuid == uuid)
            || state.queue.iter().any(|job| job.uuid == uuid)
    };
    if known(&session.state()) {
        return Ok(());
    }
    let query = line.get("shouldQuery") != Some(&Value::Bool(false));
    let is_checked = check::address(&session.state()).is_some();
    let of_body = check::prompt_of_body(&session.state()).filter(|_| query && !is_checked);
    let content = of_body.unwrap_or(content);
    let text = text_of(&content);
    let modes = &session.process_modes;
    let modes = if query && !is_checked {
        modes.with_directives(&text)
    } else {
        modes.clone()
    };
    session.write_line(&session.lines.lifecycle(&uuid, "queued"))?;
    session.state().queue.push_back(Job {
        uuid,
        content,
        text,
        query,
        modes,
    });
    session.wake();
    Ok(())
}

/// Adds an earlier answer to the conversation at once, past the queue.
fn add_assistant_message(session: &Session, mut line: Value) -> io::Result<()> {
    let (uuid, content) = take_uuid_and_content(session, &mut line);
    let line = session.lines.lifecycle(&uuid, "completed");
    let entry = Entry {
        kind: EntryKind::Assistant,
        uuid,
        text: text_of(&content),
        content,
    };
    session.state().history.push(entry);
    session.write_line(&line)
}

fn take_uuid_and_content(session: &Session, line: &mut Value) -> (String, Value) {
    let uuid = line.get("uuid").and_then(Value::as_str).map(str::to_owned);
    let content = line
        .pointer_mut("/message/content")
        .map(Value::take)
        .unwrap_or_default();
    (uuid.unwrap_or_else(|| session.lines.uuid()), content)
}

/// Returns the texts of a message, joined by newlines.
fn text_of(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let blocks = content.as_array().into_iter().flatten();
    let texts: Vec<&str> = blocks
        .filter_map(|block| block.get("text")?.as_str())
        .collect();
    texts.join("\n")
}
