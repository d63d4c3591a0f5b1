//! Where a value came from, and how it is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::PREFIX;

/// No setting of a time makes sense above a year; longer ones overflow clocks.
const MOST_SECONDS: u64 = 31_536_000;

/// What to do about a value out of its range.
pub(super) const SEE_DOCUMENT: &str = "docs/CONFIGURATION.md says what the key means";

/// The settings given on the command line, which go before all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<String>,
    /// `--claude-bin`
    pub claude_binary: Option<String>,
    /// `--max-workers`
    pub max_workers: Option<u32>,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// `default.toml`.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// A variable of the environment: `SWITCHBOARD_SECTION__KEY`.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl Origin {
    /// How to call the value of `key` that came from here.
    pub(super) fn name(&self, key: &str) -> String {
        match self {
            Self::Default => key.to_owned(),
            Self::File(path) => format!("{}: {key}", path.display()),
            Self::Variable(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }

    /// How to call where it came from.
    pub(super) fn source(&self) -> String {
        match self {
            Self::Default => "the default".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Variable(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }

    /// Whether it is a variable without a name of our own.
    pub(super) fn is_other_name(&self) -> bool {
        matches!(self, Self::Variable(name) if !name.starts_with(PREFIX))
    }
}

/// The variable that sets `key`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// A value of the right type that makes no sense.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Refusal {
    pub(super) fn new(
        key: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Checks the values of one section.
pub(super) struct Check {
    section: &'static str,
}

impl Check {
    pub(super) fn section(section: &'static str) -> Self {
        Self { section }
    }

    pub(super) fn refuse(
        &self,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Refusal {
        Refusal::new(format!("{}.{key}", self.section), message, hint)
    }

    pub(super) fn number(
        &self,
        key: &str,
        value: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) -> Result<(), Refusal> {
        if allowed.contains(&value) {
            return Ok(());
        }
        let (least, most) = allowed.into_inner();
        let message = format!("{value} is not between {least} and {most}");
        Err(self.refuse(key, message, SEE_DOCUMENT))
    }

    pub(super) fn seconds(&self, key: &str, value: Duration, least: u64) -> Result<(), Refusal> {
        let seconds = value.as_secs();
        if (least..=MOST_SECONDS).contains(&seconds) {
            return Ok(());
        }
        let message = format!("{seconds} is not between {least} and {MOST_SECONDS} seconds");
        Err(self.refuse(key, message, SEE_DOCUMENT))
    }
}
