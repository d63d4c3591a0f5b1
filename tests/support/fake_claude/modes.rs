//! Modes from the environment and from the directives in a prompt.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::session::Exit;

const PREFIX: &str = "FAKE_CLAUDE_";

/// Set for the second start of `ignore_sigterm`.
pub(crate) const SIGTERM_IS_IGNORED: &str = "FAKE_CLAUDE_SIGTERM_IS_IGNORED";

const KNOWN_MODES: &[&str] = &[
    "api_error",
    "api_error_status",
    "api_error_text",
    "api_retry",
    "bad_json_at",
    "base_url_ignored",
    "body_ignored",
    "cache_read_tokens",
    "cache_write_tokens",
    "calls_again",
    "check_hangs",
    "cost_usd",
    "crash_at",
    "deep_nesting",
    "dup_result",
    "duplicate_keys",
    "echo",
    "echo_context",
    "echo_env",
    "exit_at_start",
    "exit_code",
    "fault_at",
    "finish_on_eof",
    "gap_ms",
    "hang_after_result",
    "ignore_sigterm",
    "ignore_stdin_eof",
    "init_fails",
    "input_tokens",
    "interleave_session",
    "interrupt_ignored",
    "invalid_utf8",
    "line_bytes",
    "nan_cost",
    "negative_cost",
    "no_newline",
    "no_result",
    "noise_on_stdout",
    "nul_bytes",
    "queue_ms",
    "result_is_error",
    "rewind_fails",
    "rewind_slow_ms",
    "signal",
    "spawn_grandchild",
    "stall_at",
    "start_ms",
    "stderr_flood",
    "tokens",
    "truncate_line_at",
    "ttft_ms",
];

/// Environment of the process.
#[derive(Debug)]
pub(crate) struct Environment {
    /// Names of all variables, except that of the second start.
    pub(crate) names: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    /// Version that the process reports.
    pub(crate) version: String,
    /// Path of the journal.
    pub(crate) journal: Option<String>,
    /// Set in the second start of `ignore_sigterm`.
    pub(crate) sigterm_is_ignored: bool,
}

impl Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "the process under test, outside the server"
    )]
    pub(crate) fn read() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .map(|(name, value)| {
                (
                    name.to_string_lossy().into_owned(),
                    value.to_string_lossy().into_owned(),
                )
            })
            .collect();
        Self {
            names: variables
                .keys()
                .filter(|name| *name != SIGTERM_IS_IGNORED)
                .cloned()
                .collect(),
            version: variables
                .get("FAKE_CLAUDE_VERSION")
                .cloned()
                .unwrap_or_else(|| "2.1.329".to_owned()),
            journal: variables.get("FAKE_CLAUDE_JOURNAL").cloned(),
            sigterm_is_ignored: variables.contains_key(SIGTERM_IS_IGNORED),
            variables,
        }
    }
}

/// Modes in effect: those of the process, overridden by those of one prompt.
#[derive(Debug, Clone)]
pub(crate) struct Modes {
    process: Arc<BTreeMap<String, String>>,
    directives: Vec<(String, String)>,
}

impl Modes {
    /// Reads the modes that the environment sets. The error is the name of an unknown variable.
    pub(crate) fn from_environment(environment: &Environment) -> Result<Self, String> {
        let mut process = BTreeMap::new();
        for (name, value) in &environment.variables {
            let Some(mode) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if matches!(mode, "VERSION" | "JOURNAL" | "SIGTERM_IS_IGNORED") {
                continue;
            }
            let mode = mode.to_ascii_lowercase();
            if !KNOWN_MODES.contains(&mode.as_str()) {
                return Err(name.clone());
            }
            process.insert(mode, value.clone());
        }
        Ok(Self {
            process: Arc::new(process),
            directives: Vec::new(),
        })
    }

    /// Returns these modes, overridden by the directives of `prompt`.
    pub(crate) fn with_directives(&self, prompt: &str) -> Self {
        let mut directives = Vec::new();
        let mut rest = prompt;
        while let Some((_, after)) = rest.split_once("[[") {
            let Some((inside, behind)) = after.split_once("]]") else {
                break;
            };
            directives.extend(split_words(inside).into_iter().map(
                |word| match word.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    None => (word, "1".to_owned()),
                },
            ));
            rest = behind;
        }
        Self {
            process: Arc::clone(&self.process),
            directives,
        }
    }

    /// Returns the names of directives that are not modes.
    pub(crate) fn unknown_directives(&self) -> Vec<&str> {
        let names = self.directives.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !KNOWN_MODES.contains(name)).collect()
    }

    /// Returns the value that the prompt sets, for modes that the process has applied at its start.
    pub(crate) fn directive(&self, mode: &str) -> Option<&str> {
        debug_assert!(KNOWN_MODES.contains(&mode), "{mode} is not listed");
        let found = self.directives.iter().rev().find(|(name, _)| name == mode);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| *value != "0")
    }

    /// Returns the value of a mode that is on.
    pub(crate) fn text(&self, mode: &str) -> Option<&str> {
        debug_assert!(KNOWN_MODES.contains(&mode), "{mode} is not listed");
        self.value_of(mode).filter(|value| *value != "0")
    }

    pub(crate) fn is_on(&self, mode: &str) -> bool {
        self.text(mode).is_some()
    }

    /// Returns the number or size that is set for a mode.
    pub(crate) fn number(&self, mode: &str) -> Option<u64> {
        debug_assert!(KNOWN_MODES.contains(&mode), "{mode} is not listed");
        self.value_of(mode).and_then(parse_size)
    }

    /// Returns the same as [`Self::number`], or 0 if none is set.
    pub(crate) fn count(&self, mode: &str) -> u64 {
        self.number(mode).unwrap_or(0)
    }

    /// Returns the exit code or the signal for a crash.
    pub(crate) fn exit(&self) -> Exit {
        match self.text("signal").and_then(parse_signal) {
            Some(signal) => Exit::Signal(signal),
            None => Exit::Code(
                self.number("exit_code")
                    .and_then(|code| u8::try_from(code).ok())
                    .unwrap_or(1),
            ),
        }
    }

    fn value_of(&self, mode: &str) -> Option<&str> {
        let directive = self.directives.iter().rev().find(|(name, _)| name == mode);
        directive
            .map(|(_, value)| value)
            .or_else(|| self.process.get(mode))
            .map(String::as_str)
    }
}

/// Splits at white space outside double quotes, and drops the quotes.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            blank if blank.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// Parses a number with an optional unit: `12`, `64k` or `10M`.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn parse_signal(text: &str) -> Option<i32> {
    Some(match text.trim_start_matches("SIG") {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "BUS" => 7,
        "KILL" => 9,
        "SEGV" => 11,
        "PIPE" => 13,
        "TERM" => 15,
        number => return number.parse().ok(),
    })
}
