//! Answers control requests.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::check;
use crate::models;
use crate::session::{Entry, EntryKind, Session, State};

/// Answers one request, in the thread that reads stdin.
pub(crate) fn answer(session: &Session, line: &Value) -> io::Result<()> {
    let id = line
        .get("request_id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let request = line.get("request").unwrap_or(&Value::Null);
    match request
        .get("subtype")
        .and_then(Value::as_str)
        .unwrap_or_default()
    {
        "initialize" => initialize(session, id, request),
        "list_models" => succeed(session, id, Some(&json!({"models": models::catalogue()}))),
        "set_model" => set_model(session, id, request),
        "apply_flag_settings" => {
            apply_settings(
                &mut session.state(),
                request.get("settings").unwrap_or(&Value::Null),
            );
            succeed(session, id, None)
        }
        "interrupt" => interrupt(session, id),
        "rewind_conversation" => rewind(session, id, request),
        other => {
            let text = format!("Unsupported control request subtype: {other}");
            fail(session, id, &text, "unsupported_request")
        }
    }
}

fn initialize(session: &Session, id: &str, request: &Value) -> io::Result<()> {
    let modes = &session.process_modes;
    std::thread::sleep(Duration::from_millis(modes.count("start_ms")));
    if modes.is_on("init_fails") {
        return fail(
            session,
            id,
            "Initialization failed: scripted",
            "initialize_failed",
        );
    }
    // A second `initialize` does not change the system prompt.
    let mut state = session.state();
    if state.system.is_null() {
        state.system = request
            .get("systemPrompt")
            .cloned()
            .unwrap_or_else(|| json!([]));
    }
    drop(state);
    session.write_line(&session.lines.ui_invalidate())?;
    let response = json!({
        "commands": [],
        "agents": [],
        "output_style": "default",
        "models": models::catalogue(),
        "account": {"tokenSource": "none", "apiKeySource": "ANTHROPIC_API_KEY", "apiProvider": "firstParty"},
        "pid": std::process::id(),
        "claude_code_version": session.lines.version(),
        "current_permission_mode": "default",
        "session_state": "idle",
        "capabilities": [],
    });
    succeed(session, id, Some(&response))
}

/// Sets the model. In a conversation, the change is added to it as a message.
fn set_model(session: &Session, id: &str, request: &Value) -> io::Result<()> {
    let name = request
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or("default");
    let mut state = session.state();
    let Some(model) = models::resolve(name) else {
        let response = json!({
            "subtype": "error",
            "request_id": id,
            "error": format!("Unable to validate model: {name}"),
            "error_code": "check_failed",
            "model": state.model,
        });
        drop(state);
        return respond(session, &response);
    };
    let changed = state.model != model;
    state.model.clone_from(&model);
    if changed && !state.history.is_empty() {
        let label = if name == "default" {
            model.clone()
        } else {
            format!("{name} ({model})")
        };
        let text = format!("<local-command-stdout>Set model to `{label}`</local-command-stdout>");
        let (uuid, line) = session.lines.inserted_message(&text, r#","isReplay":true"#);
        state.history.push(Entry {
            kind: EntryKind::Note,
            uuid,
            content: json!(text),
            text,
        });
        drop(state);
        session.write_line(&line)?;
    } else {
        drop(state);
    }
    succeed(session, id, Some(&json!({"model": model})))
}

fn apply_settings(state: &mut State, settings: &Value) {
    for (name, value) in settings
        .get("env")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        match value {
            Value::Null => state.env.remove(name),
            Value::String(text) => state.env.insert(name.clone(), text.clone()),
            other => state.env.insert(name.clone(), other.to_string()),
        };
    }
    if let Some(effort) = settings.get("effortLevel") {
        state.effort = effort.as_str().map(str::to_owned);
    }
    if let Some(model) = settings
        .get("model")
        .and_then(Value::as_str)
        .and_then(models::resolve)
    {
        state.model = model;
    }
}

/// Ends the running turn. Queued turns are listed in the response and run nevertheless.
fn interrupt(session: &Session, id: &str) -> io::Result<()> {
    let mut state = session.state();
    let ignored = state.modes.text("interrupt_ignored").map(str::to_owned);
    let still_queued: Vec<&str> = state.queue.iter().map(|job| job.uuid.as_str()).collect();
    let response = json!({"still_queued": still_queued});
    if session.journal.is_kept() {
        let event = json!({"running": state.running, "still_queued": still_queued});
        session.journal.write("interrupt", event);
    }
    if ignored
        .as_deref()
        .is_some_and(|ignored| ignored != "answered")
    {
        return Ok(());
    }
    // The lock is held until the response is written: the lines of the interrupted turn come after
    // it.
    succeed(session, id, Some(&response))?;
    if ignored.is_none() && state.running.is_some() {
        state.interrupted = true;
        session.wake();
    }
    Ok(())
}

fn rewind(session: &Session, id: &str, request: &Value) -> io::Result<()> {
    let modes = session.state().modes.clone();
    let is_checked = check::address(&session.state()).is_some();
    std::thread::sleep(Duration::from_millis(modes.count("rewind_slow_ms")));
    let name = |field: &str| request.get(field).and_then(Value::as_str);
    let target = name("target_message_uuid").unwrap_or_default();
    let outcome = match modes.text("rewind_fails").filter(|_| !is_checked) {
        Some("1") => Err("target_not_found"),
        Some(reason) => Err(reason),
        None => rewind_to(
            &mut session.state(),
            target,
            name("last_seen_user_message_uuid"),
        ),
    };
    let rewound = outcome.is_ok();
    let reason = outcome.as_ref().err().copied();
    if !is_checked {
        session
            .journal
            .write("rewind", json!({"rewound": rewound, "reason": reason}));
    }
    let response = match outcome {
        Ok((prefill, preceding)) => json!({
            "rewound": true,
            "targetMessageUuid": target,
            "prefillText": prefill,
            "precedingAssistantUuid": preceding,
        }),
        Err(reason) => json!({
            "rewound": false,
            "prefillText": null,
            "precedingAssistantUuid": null,
            "error": reason.replace('_', " "),
            "reason": reason,
        }),
    };
    succeed(session, id, Some(&response))
}

/// Removes the conversation from the first user message on. The real CLI rewinds to any other one
/// as well, which leaves a part of the conversation; no server does that, so it fails here.
fn rewind_to(
    state: &mut State,
    target: &str,
    last_seen: Option<&str>,
) -> Result<(String, Option<String>), &'static str> {
    if state.running.is_some() || !state.queue.is_empty() {
        return Err("turn_running");
    }
    let users = || {
        state
            .history
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.kind == EntryKind::User)
    };
    if !users().any(|(_, entry)| entry.uuid == target) {
        return Err("target_not_found");
    }
    let Some((first, entry)) = users().next().filter(|(_, entry)| entry.uuid == target) else {
        return Err("target_not_first");
    };
    let seen = users().position(|(_, entry)| Some(entry.uuid.as_str()) == last_seen);
    if seen.is_some_and(|seen| seen + 1 < users().count()) {
        return Err("unseen_later_turn");
    }
    let prefill = entry.text.clone();
    state.history.truncate(first);
    Ok((
        prefill,
        state.history.last().map(|entry| entry.uuid.clone()),
    ))
}

fn succeed(session: &Session, id: &str, response: Option<&Value>) -> io::Result<()> {
    let id = Value::from(id);
    let body = response
        .map(|response| format!(r#","response":{response}"#))
        .unwrap_or_default();
    let line = format!(
        r#"{{"type":"control_response","response":{{"subtype":"success","request_id":{id}{body}}}}}"#
    );
    session.write_line(&(line + "\n"))
}

fn fail(session: &Session, id: &str, error: &str, code: &str) -> io::Result<()> {
    respond(
        session,
        &json!({"subtype": "error", "request_id": id, "error": error, "error_code": code}),
    )
}

fn respond(session: &Session, response: &Value) -> io::Result<()> {
    session.write_line(&format!(
        "{{\"type\":\"control_response\",\"response\":{response}}}\n"
    ))
}
