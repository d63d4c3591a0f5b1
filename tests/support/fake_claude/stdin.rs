//! Reads stdin: hands user lines to the player and answers controls at once, also during a turn.

use std::io::{self, BufRead as _, Write as _};

use serde_json::Value;

use crate::check;
use crate::control;
use crate::session::{Entry, EntryKind, Exit, Job, Session};

/// Reads until stdin ends or holds something that is no line of the protocol.
pub(crate) fn read(session: &Session) {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        match stdin.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return end(session),
            Ok(_) if line.iter().all(u8::is_ascii_whitespace) => {}
            Ok(_) => {
                let Ok(value) = serde_json::from_slice::<Value>(&line) else {
                    // The process ends in any case.
                    let _ = writeln!(io::stderr(), "Error parsing streaming input line");
                    return session.leave(Exit::Code(1));
                };
                if check::address(&session.state()).is_none() {
                    session.journal.line(&value);
                }
                if take(session, value).is_err() {
                    return session.leave(Exit::Code(1));
                }
            }
        }
    }
}

fn end(session: &Session) {
    session.journal.eof();
    let mut state = session.state();
    if state.modes.on("ignore_stdin_eof") {
        return;
    }
    let busy = state.running.is_some() || !state.queue.is_empty();
    if busy && !state.deaf && state.modes.on("finish_on_eof") {
        state.leave_when_idle = true;
        session.wake();
    } else {
        session.leave(Exit::Code(u8::from(state.last_failed)));
    }
}

fn take(session: &Session, line: Value) -> io::Result<()> {
    if session.state().deaf {
        return Ok(());
    }
    match line.get("type").and_then(Value::as_str) {
        Some("control_request") => control::answer(session, &line),
        Some("user") => take_user(session, line),
        Some("assistant") => take_assistant(session, line),
        _ => Ok(()),
    }
}

fn take_user(session: &Session, mut line: Value) -> io::Result<()> {
    let (uuid, content) = message(session, &mut line);
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
    session.say(&session.lines.lifecycle(&uuid, "queued"))?;
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

/// An earlier answer goes into the conversation at once, past the queue.
fn take_assistant(session: &Session, mut line: Value) -> io::Result<()> {
    let (uuid, content) = message(session, &mut line);
    let line = session.lines.lifecycle(&uuid, "completed");
    let entry = Entry {
        kind: EntryKind::Assistant,
        uuid,
        text: text_of(&content),
        content,
    };
    session.state().history.push(entry);
    session.say(&line)
}

fn message(session: &Session, line: &mut Value) -> (String, Value) {
    let uuid = line.get("uuid").and_then(Value::as_str).map(str::to_owned);
    let content = line
        .pointer_mut("/message/content")
        .map(Value::take)
        .unwrap_or_default();
    (uuid.unwrap_or_else(|| session.lines.uuid()), content)
}

/// The texts of a message, one below the other.
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
