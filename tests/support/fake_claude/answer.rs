//! The scripted answer of the model.

use serde_json::Value;

use crate::session::{Job, Session};

/// Answer of the model, split into deltas.
#[derive(Debug)]
pub(crate) struct ScriptedAnswer {
    pub(crate) words: Vec<String>,
    /// Stop sequence that ended the answer.
    pub(crate) stop_sequence: Option<String>,
    /// Maximum number of deltas in one call.
    pub(crate) limit: usize,
}

impl ScriptedAnswer {
    /// Builds the answer from the modes and the applied settings.
    pub(crate) fn new(session: &Session, job: &Job) -> Self {
        let state = session.state();
        let text = if job.modes.is_on("echo") {
            Some(job.text.clone())
        } else if job.modes.is_on("echo_context") {
            Some(state.context().to_string())
        } else {
            job.modes.text("echo_env").map(|name| {
                let value = state.env.get(name).or_else(|| session.variables.get(name));
                value.cloned().unwrap_or_else(|| "(unset)".to_owned())
            })
        };
        let mut words: Vec<String> = match text {
            Some(text) => text
                .split_inclusive(char::is_whitespace)
                .map(str::to_owned)
                .collect(),
            None => (0..job.modes.number("tokens").unwrap_or(5))
                .map(|index| format!("w{index} "))
                .collect(),
        };
        let limit = state
            .env
            .get("CLAUDE_CODE_MAX_OUTPUT_TOKENS")
            .and_then(|limit| limit.parse().ok());
        let body = state.env.get("CLAUDE_CODE_EXTRA_BODY");
        let body = body.and_then(|body| serde_json::from_str::<Value>(body).ok());
        let stops = body
            .as_ref()
            .and_then(|body| body.get("stop_sequences")?.as_array());
        let stops = stops.into_iter().flatten().filter_map(Value::as_str);
        Self {
            stop_sequence: cut_at_first(&mut words, stops),
            words,
            limit: limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX),
        }
    }
}

/// Cuts `words` before the first occurrence of one of `stops`, and returns that one.
fn cut_at_first<'s>(
    words: &mut Vec<String>,
    stops: impl Iterator<Item = &'s str>,
) -> Option<String> {
    let mut stops = stops.filter(|stop| !stop.is_empty()).peekable();
    stops.peek()?;
    let text = words.concat();
    let (at, stop) = stops
        .filter_map(|stop| Some((text.find(stop)?, stop)))
        .min_by_key(|(at, _)| *at)?;
    let mut left = at;
    for word in words.iter_mut() {
        let length = left.min(word.len());
        word.truncate(length);
        left -= length;
    }
    words.retain(|word| !word.is_empty());
    Some(stop.to_owned())
}
