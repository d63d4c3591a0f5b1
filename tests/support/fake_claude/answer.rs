//! What the model is going to say.

use serde_json::Value;

use crate::session::{Job, Session};

/// An answer, cut into deltas.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) words: Vec<String>,
    /// The stop text that ended it.
    pub(crate) stop_sequence: Option<String>,
    /// The most deltas of one call.
    pub(crate) limit: usize,
}

impl Answer {
    /// As the modes and the applied settings want it.
    pub(crate) fn new(session: &Session, job: &Job) -> Self {
        let state = session.state();
        let text = if job.modes.on("echo") {
            Some(job.text.clone())
        } else if job.modes.on("echo_context") {
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

/// Ends `words` before the first text of `stops` in them, and tells which that was.
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
        let kept = left.min(word.len());
        word.truncate(kept);
        left -= kept;
    }
    words.retain(|word| !word.is_empty());
    Some(stop.to_owned())
}
