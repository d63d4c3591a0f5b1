//! `[hooks]`: the hooks of the configuration, and what each may see and do.

use std::time::Duration;

use serde::Deserialize;

use super::filter::TextRole;
use super::wire::HookPoint;

/// Hooks of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Folder whose executable files are hooks; empty for none.
    pub programs: String,
    /// Hooks, in the order in which they see a request.
    pub list: Vec<HookConfig>,
}

/// Configuration of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// Name in logs, metrics and headers.
    pub name: String,
    /// Kind of the hook.
    pub kind: HookKind,
    /// Points at which the hook is called.
    pub points: Vec<HookPoint>,
    /// Words that a filter looks for, in upper or lower case.
    #[serde(default)]
    pub words: Vec<String>,
    /// Regular expressions that a filter looks for.
    #[serde(default)]
    pub patterns: Vec<String>,
    /// Action of a filter on a match.
    #[serde(default)]
    pub then: FilterThen,
    /// Replacement of what a filter redacts.
    #[serde(default = "default_replacement")]
    pub replacement: String,
    /// Maximum characters of the messages that a filter looks at; 0 for no limit.
    #[serde(default)]
    pub max_characters: usize,
    /// Authors whose messages a filter looks at; empty for all.
    #[serde(default)]
    pub roles: Vec<TextRole>,
    /// Address of an HTTP hook: `http://...`, `https://...` or `unix:/path`.
    #[serde(default)]
    pub url: String,
    /// Command of a program, with its arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// Access to the messages of the request.
    #[serde(default)]
    pub prompt: HookAccess,
    /// Access to the answer.
    #[serde(default)]
    pub answer: HookAccess,
    /// Access to the end user that the request names.
    #[serde(default)]
    pub user: HookAccess,
    /// Models that the hook is for, as callers write them, with `*` and `?`; empty for all.
    #[serde(default)]
    pub models: Vec<String>,
    /// Projects that the hook is for, by id or name; empty for all.
    #[serde(default)]
    pub projects: Vec<String>,
    /// APIs that the hook is for; empty for all.
    #[serde(default)]
    pub surfaces: Vec<String>,
    /// Timeout of a call, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
    /// Result of a turn when the hook fails; by default refused if the hook decides.
    #[serde(default)]
    pub on_failure: Option<OnFailure>,
    /// Mode in which answers pass the hook; by default `window` for a filter, otherwise `tap`.
    #[serde(default)]
    pub stream: Option<StreamMode>,
    /// Maximum number of calls at a time.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: usize,
}

/// Kind of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookKind {
    /// Words, patterns and limits of the configuration.
    Filter,
    /// Service that is called over HTTP.
    Http,
    /// Program that answers lines of JSON.
    Program,
}

/// Action of a filter on a match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterThen {
    /// Replace the match.
    #[default]
    Redact,
    /// Refuse the request or the answer.
    Refuse,
}

/// Access of a hook to a part of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookAccess {
    /// The hook does not see it.
    #[default]
    None,
    /// The hook sees it.
    Read,
    /// The hook sees it, and may replace it.
    Write,
}

/// Result of a turn whose hook fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The turn is refused.
    Refuse,
    /// The turn goes on as if the hook were not there.
    Pass,
}

/// Mode in which an answer passes a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamMode {
    /// The hook is notified of the answer at its end, and delays nothing.
    Tap,
    /// The answer is held back as far as the longest match needs.
    Window,
    /// The answer is sent once the hook has seen all of it.
    Whole,
}

fn default_replacement() -> String {
    "***".to_owned()
}

const fn default_timeout_ms() -> u64 {
    500
}

const fn default_max_in_flight() -> usize {
    64
}

impl HookConfig {
    /// Creates the hook of an executable file that the list does not name: it may see and replace
    /// messages, and is notified of answers.
    pub(super) fn of_program(name: String, command: Vec<String>) -> Self {
        Self {
            name,
            kind: HookKind::Program,
            points: vec![HookPoint::Before, HookPoint::After],
            words: Vec::new(),
            patterns: Vec::new(),
            then: FilterThen::default(),
            replacement: default_replacement(),
            max_characters: 0,
            roles: Vec::new(),
            url: String::new(),
            command,
            prompt: HookAccess::Write,
            answer: HookAccess::Read,
            user: HookAccess::None,
            models: Vec::new(),
            projects: Vec::new(),
            surfaces: Vec::new(),
            timeout_ms: default_timeout_ms(),
            on_failure: None,
            stream: None,
            max_in_flight: default_max_in_flight(),
        }
    }

    /// True if the hook is called at `point`.
    pub(super) fn is_at(&self, point: HookPoint) -> bool {
        self.points.contains(&point)
    }

    /// Returns the timeout of a call.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Returns the mode in which answers pass the hook.
    pub(super) fn stream_mode(&self) -> StreamMode {
        let usual = match self.kind {
            HookKind::Filter => StreamMode::Window,
            HookKind::Http | HookKind::Program => StreamMode::Tap,
        };
        self.stream.unwrap_or(usual)
    }

    /// Returns the result of a turn when the hook fails at `point`: refused by default if the hook
    /// decides there.
    pub fn failure_at(&self, point: HookPoint) -> OnFailure {
        let decides = match point {
            HookPoint::Before => true,
            HookPoint::After => self.stream_mode() != StreamMode::Tap,
            HookPoint::Error | HookPoint::Event => return OnFailure::Pass,
        };
        match (decides, self.on_failure) {
            (false, _) => OnFailure::Pass,
            (true, Some(chosen)) => chosen,
            (true, None) => OnFailure::Refuse,
        }
    }
}
