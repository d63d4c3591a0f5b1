//! Runs turns.

use serde_json::{Value, json};

use crate::answer::ScriptedAnswer;
use crate::faults;
use crate::lines::{self, ResultFields};
use crate::models::Tokens;
use crate::modes::Modes;
use crate::session::{Entry, EntryKind, Exit, Job, Session, Stop};

/// Number of times that the CLI itself asks the model to continue after the token limit.
const MAX_CONTINUATIONS: usize = 3;

/// Variable with the length of the conversation above which the CLI makes no call. A server sets it
/// so that none follows an answer.
const BLOCKING_LIMIT: &str = "CLAUDE_CODE_BLOCKING_LIMIT_OVERRIDE";

const CONTINUE_PROMPT: &str = "Output token limit hit. Resume directly — no apology, no recap of what you were doing. Pick up mid-thought if that is where the cut happened. Break remaining work into smaller pieces.";

/// Runs one turn after the other, until the process has to end.
pub(crate) fn run_all(session: &Session) {
    while let Some(job) = session.next_job() {
        match Turn::new(session, &job).run() {
            Ok(()) => {}
            Err(Stop::Exit(exit)) => return session.request_exit(exit),
            Err(Stop::Interrupted | Stop::Hung) => {
                session.state().unresponsive = true;
                return;
            }
        }
    }
    session.request_exit(Exit::Code(u8::from(session.state().last_failed)));
}

struct Turn<'a> {
    session: &'a Session,
    job: &'a Job,
    modes: &'a Modes,
    model: String,
    /// Usage of the calls so far.
    tokens: Tokens,
    /// Usage without that of an interrupted call, as in `usage` of the result.
    counted: Tokens,
    calls: u64,
    deltas: u64,
    /// Text of the current call.
    text: String,
    in_call: bool,
    stop_reason: Option<&'static str>,
}

/// Error of a model call.
struct ApiError {
    kind: String,
    status: Option<u64>,
    text: String,
}

impl<'a> Turn<'a> {
    fn new(session: &'a Session, job: &'a Job) -> Self {
        Self {
            session,
            job,
            modes: &job.modes,
            model: session.state().model.clone(),
            tokens: Tokens::default(),
            counted: Tokens::default(),
            calls: 0,
            deltas: 0,
            text: String::new(),
            in_call: false,
            stop_reason: None,
        }
    }

    fn run(mut self) -> Result<(), Stop> {
        let uuid = &self.job.uuid;
        self.session
            .write_line(&self.session.lines.lifecycle(uuid, "started"))?;
        self.remember(
            EntryKind::User,
            uuid.clone(),
            self.job.content.clone(),
            self.job.text.clone(),
        );
        self.session
            .write_line(&self.session.lines.init(uuid, &self.model))?;
        let checked_at = crate::check::address(&self.session.state());
        if let Some(address) = checked_at {
            self.session
                .write_line(&self.session.lines.requesting(uuid))?;
            if self.modes.is_on("check_hangs") {
                return Err(self.session.stall());
            }
            if !self.modes.is_on("base_url_ignored") {
                crate::check::call(self.session, self.job, &address)?;
            }
            self.session.state().running = None;
            return Ok(self
                .session
                .write_line(&self.session.lines.lifecycle(uuid, "completed"))?);
        }
        if !self.job.query {
            return self.end("", "completed", r#""result":"""#.to_owned(), false);
        }
        match self.make_calls() {
            Err(Stop::Interrupted) => self.end_interrupted(),
            Err(stop) => {
                self.record(
                    if matches!(stop, Stop::Hung) {
                        "hung"
                    } else {
                        "died"
                    },
                    0.0,
                );
                Err(stop)
            }
            Ok(None) => {
                let body_fields = format!(
                    r#""api_error_status":null,"result":{}"#,
                    Value::from(self.text.as_str())
                );
                let is_error = self.modes.is_on("result_is_error");
                self.end(
                    "completed",
                    if is_error { "error" } else { "completed" },
                    body_fields,
                    is_error,
                )
            }
            Ok(Some(error)) => self.end_failed(&error),
        }
    }

    /// Makes the model calls of the turn. Returns the API error that ends it, if any.
    fn make_calls(&mut self) -> Result<Option<ApiError>, Stop> {
        faults::apply_in_turn(self.modes, &self.session.journal);
        self.session
            .write_line(&self.session.lines.requesting(&self.job.uuid))?;
        if self.modes.directive("exit_at_start").is_some() {
            return Err(Stop::Exit(self.modes.exit()));
        }
        let kind = self.modes.text("api_error").map(str::to_owned);
        let status = self
            .modes
            .number("api_error_status")
            .or_else(|| status_of(kind.as_deref().unwrap_or("")));
        let retries = self.modes.count("api_retry");
        for attempt in 1..=retries {
            let error = kind.as_deref().unwrap_or("overloaded");
            let line = self
                .session
                .lines
                .api_retry(attempt, retries, status.unwrap_or(529), error);
            self.session.write_line(&line)?;
        }
        self.session.pause(self.modes.count("ttft_ms"))?;
        if let Some(kind) = kind {
            let text = self.modes.text("api_error_text").map(str::to_owned);
            let text =
                text.unwrap_or_else(|| format!("API Error: {} scripted", status.unwrap_or(0)));
            self.stop_reason = Some("stop_sequence");
            return Ok(Some(ApiError { kind, status, text }));
        }
        let answer = ScriptedAnswer::new(self.session, self.job);
        let mut rest = answer.words.as_slice();
        for call in 0..=MAX_CONTINUATIONS {
            let (now, later) = rest.split_at(rest.len().min(answer.limit));
            rest = later;
            self.call(now, rest.is_empty(), answer.stop_sequence.as_deref())?;
            if rest.is_empty() {
                return Ok(None);
            }
            if self.session.state().env.contains_key(BLOCKING_LIMIT) {
                self.stop_reason = Some("stop_sequence");
                let text = "Prompt is too long".to_owned();
                return Ok(Some(ApiError {
                    kind: "invalid_request".to_owned(),
                    status: None,
                    text,
                }));
            }
            if call < MAX_CONTINUATIONS {
                self.session.write_line(
                    &self
                        .session
                        .lines
                        .inserted_message(CONTINUE_PROMPT, r#","isSynthetic":true"#)
                        .1,
                )?;
                self.session
                    .write_line(&self.session.lines.requesting(&self.job.uuid))?;
                self.session.pause(self.modes.count("ttft_ms").max(5))?;
            }
        }
        self.stop_reason = Some("stop_sequence");
        let text = format!(
            "API Error: Claude's response exceeded the {} output token maximum. To configure this behavior, set the CLAUDE_CODE_MAX_OUTPUT_TOKENS environment variable.",
            answer.limit
        );
        Ok(Some(ApiError {
            kind: "max_output_tokens".to_owned(),
            status: None,
            text,
        }))
    }

    /// Writes the lines of one model call, which answers `words`.
    fn call(
        &mut self,
        words: &[String],
        is_last: bool,
        stop_sequence: Option<&str>,
    ) -> Result<(), Stop> {
        let lines = &self.session.lines;
        let number = |mode, default| self.modes.number(mode).unwrap_or(default);
        let prompt = Tokens {
            input: number("input_tokens", 10),
            cache_write: number("cache_write_tokens", 3),
            cache_read: number("cache_read_tokens", 4),
            output: 0,
        };
        self.calls += 1;
        self.tokens.add(prompt);
        self.text.clear();
        self.in_call = true;
        self.session
            .write_line(&lines.message_start(&self.job.uuid, &self.model, prompt))?;
        let block =
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
        self.session.write_line(&lines.event(block, ""))?;
        let gap = self.modes.count("gap_ms");
        for (index, word) in words.iter().enumerate() {
            self.session.pause(if index == 0 { 0 } else { gap })?;
            self.checkpoint(false)?;
            self.session.write_line(&lines.delta(word))?;
            self.deltas += 1;
            self.tokens.output += 1;
            self.text.push_str(word);
        }
        self.checkpoint(is_last)?;
        self.session.pause(0)?;
        self.session
            .write_line(&lines.assistant(&self.model, &self.text, prompt, false))?;
        let content = json!([{"type": "text", "text": self.text}]);
        self.remember(
            EntryKind::Assistant,
            lines.uuid(),
            content,
            self.text.clone(),
        );
        self.session
            .write_line(&lines.event(r#"{"type":"content_block_stop","index":0}"#, ""))?;
        let reason = match (is_last, stop_sequence) {
            (false, _) => "max_tokens",
            (true, Some(_)) => "stop_sequence",
            (true, None) => "end_turn",
        };
        let sequence = json!(stop_sequence.filter(|_| is_last));
        self.stop_reason = Some(reason);
        self.in_call = false;
        self.counted = self.tokens;
        self.session
            .write_line(&lines.event(&message_delta(reason, &sequence, words.len()), ""))?;
        self.session
            .write_line(&lines.event(r#"{"type":"message_stop"}"#, ""))?;
        if is_last && self.modes.is_on("no_result") {
            return Err(self.session.stall());
        }
        Ok(())
    }

    /// Applies the faults that are due after the deltas sent so far.
    fn checkpoint(&self, at_end: bool) -> Result<(), Stop> {
        let session = self.session;
        let is_due = |mode| self.modes.number(mode) == Some(self.deltas);
        if is_due("stall_at") {
            return Err(session.stall());
        }
        if is_due("crash_at") {
            return Err(Stop::Exit(self.modes.exit()));
        }
        if is_due("bad_json_at") {
            session.write_line(
                "{\"type\":\"stream_event\",\"event\":{\"type\":\"content_block_delta\",\n",
            )?;
        }
        if is_due("truncate_line_at") {
            let line = session.lines.delta("truncated");
            session.write_line(&line[..line.len() / 2])?;
            std::io::Write::flush(&mut std::io::stdout())?;
            return Err(Stop::Exit(self.modes.exit()));
        }
        if let Some(kind) = self.modes.text("interleave_session") {
            for line in session.lines.foreign(kind == "result") {
                session.write_line(&line)?;
            }
        }
        let fault_at = self.modes.number("fault_at").unwrap_or(1);
        if self.deltas == fault_at || (at_end && self.deltas < fault_at) {
            faults::write_faulty_lines(session, self.modes)?;
        }
        Ok(())
    }

    fn end_interrupted(mut self) -> Result<(), Stop> {
        let lines = &self.session.lines;
        if self.in_call && !self.text.is_empty() {
            self.session.write_line(&lines.assistant(
                &self.model,
                &self.text,
                Tokens::default(),
                true,
            ))?;
            let content = json!([{"type": "text", "text": self.text}]);
            self.remember(
                EntryKind::Assistant,
                lines.uuid(),
                content,
                self.text.clone(),
            );
        }
        let text = "[Request interrupted by user]";
        let (uuid, line) = lines.inserted_message(text, "");
        self.session.write_line(&line)?;
        self.remember(
            EntryKind::Note,
            uuid,
            json!([{"type": "text", "text": text}]),
            text.to_owned(),
        );
        if self.in_call {
            self.stop_reason = None;
            self.session
                .write_line(&lines.event(r#"{"type":"content_block_stop","index":0}"#, ""))?;
            let event = r#"{"type":"message_delta","delta":{"container":null,"stop_details":null,"stop_reason":null,"stop_sequence":null}}"#;
            self.session.write_line(&lines.event(event, ""))?;
            self.session
                .write_line(&lines.event(r#"{"type":"message_stop"}"#, ""))?;
        }
        let reason = self.stop_reason.unwrap_or("null");
        let body_fields = format!(
            r#""errors":["[ede_diagnostic] result_type=user last_content_type=n/a stop_reason={reason}"]"#
        );
        self.end("aborted_streaming", "interrupted", body_fields, true)
    }

    fn end_failed(self, error: &ApiError) -> Result<(), Stop> {
        let status = json!(error.status);
        let more = match error.status {
            Some(_) => format!(r#","api_error_status":{status},"api_error_type":"api_error""#),
            None => format!(r#","api_error":{}"#, Value::from(error.kind.as_str())),
        };
        self.session
            .write_line(
                &self
                    .session
                    .lines
                    .failed_assistant(&error.text, &error.kind, &more),
            )?;
        let text = Value::from(error.text.as_str());
        let more = more.replacen(&format!(r#","api_error_status":{status}"#), "", 1);
        let body_fields = format!(r#""api_error_status":{status}{more},"result":{text}"#);
        self.end("api_error", "error", body_fields, true)
    }

    /// Writes the result line, and after it the end of the lifecycle.
    fn end(
        self,
        terminal: &str,
        outcome: &str,
        body_fields: String,
        is_error: bool,
    ) -> Result<(), Stop> {
        let hangs = self.job.query && self.modes.is_on("hang_after_result");
        let cost = self
            .modes
            .text("cost_usd")
            .and_then(|cost| cost.parse().ok());
        let cost = if self.calls == 0 {
            0.0
        } else {
            cost.unwrap_or_else(|| self.tokens.cost(&self.model))
        };
        let line = {
            let mut state = self.session.state();
            state.unresponsive |= hangs;
            if self.calls > 0 {
                let spent = state.spent.entry(self.model.clone()).or_default();
                spent.0.add(self.tokens);
                spent.1 += cost;
            }
            let total = state
                .spent
                .values()
                .fold(0.0, |total, (_, cost)| total + cost);
            let usage = state.spent.iter();
            let usage: Vec<String> = usage
                .map(|(model, spent)| lines::model_usage(model, spent.0, &self.cost_json(spent.1)))
                .collect();
            let since = lines::model_usage(&self.model, self.tokens, &self.cost_json(cost));
            state.results += 1;
            state.last_failed = is_error;
            self.session.lines.result(&ResultFields {
                uuid: &self.job.uuid,
                stop_reason: json!(self.stop_reason).to_string(),
                terminal_reason: terminal,
                is_error,
                subtype: if outcome == "interrupted" {
                    "error_during_execution"
                } else {
                    "success"
                },
                body_fields,
                tokens: self.counted,
                turns: self.turns(outcome),
                total_cost: self.cost_json(total),
                model_usage: usage.join(","),
                model_usage_since: if self.calls > 0 { since } else { String::new() },
                index: state.results - 1,
            })
        };
        self.session.write_line(&line)?;
        if self.modes.is_on("dup_result") {
            self.session.write_line(&line)?;
        }
        if self.job.query {
            self.record(if hangs { "hung" } else { outcome }, cost);
        }
        if hangs {
            return Err(Stop::Hung);
        }
        let mut state = self.session.state();
        state.running = None;
        state.interrupted = false;
        drop(state);
        let state = if outcome == "completed" {
            "completed"
        } else {
            "cancelled"
        };
        Ok(self
            .session
            .write_line(&self.session.lines.lifecycle(&self.job.uuid, state))?)
    }

    /// Returns the number of turns as the CLI counts them: an interrupted call and the interrupt
    /// itself are turns too.
    fn turns(&self, outcome: &str) -> u64 {
        match outcome {
            "interrupted" => self.calls - u64::from(self.in_call) + 2,
            _ if self.job.query => self.calls.max(1),
            _ => 0,
        }
    }

    /// Returns a cost as JSON, or as the faulty value that the modes ask for.
    fn cost_json(&self, cost: f64) -> String {
        match self.modes.text("nan_cost") {
            Some("bare") => "NaN".to_owned(),
            Some("huge") => "1e999".to_owned(),
            Some(_) => "null".to_owned(),
            None if self.modes.is_on("negative_cost") => json!(-1.0 - cost).to_string(),
            None => json!(cost).to_string(),
        }
    }

    fn remember(&self, kind: EntryKind, uuid: String, content: Value, text: String) {
        self.session.state().history.push(Entry {
            kind,
            uuid,
            content,
            text,
        });
    }

    fn record(&self, outcome: &str, cost: f64) {
        if self.session.journal.is_kept() {
            let event = json!({
                "uuid": self.job.uuid,
                "outcome": outcome,
                "model": self.model,
                "deltas": self.deltas,
                "upstream_calls": self.calls,
                "cost_usd": cost,
                "unknown_directives": self.modes.unknown_directives(),
            });
            self.session.journal.write("turn", event);
        }
    }
}

fn message_delta(reason: &str, sequence: &Value, output: usize) -> String {
    format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":{sequence}}},"usage":{{"output_tokens":{output}}}}}"#
    )
}

fn status_of(kind: &str) -> Option<u64> {
    Some(match kind {
        "authentication_failed" | "verification_required" => 401,
        "billing_error" => 402,
        "oauth_org_not_allowed" | "account_on_hold" => 403,
        "model_not_found" => 404,
        "invalid_request" => 400,
        "rate_limit" => 429,
        "server_error" => 500,
        "overloaded" => 529,
        _ => return None,
    })
}
