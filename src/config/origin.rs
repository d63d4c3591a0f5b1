//! Origins of values, and the refusal of values.

use std::path::PathBuf;
use std::time::Duration;

use super::environment::PREFIX;

/// Maximum duration of a setting, one year; longer ones would overflow clocks.
const MAX_SECONDS: u64 = 31_536_000;

/// Advice for a value out of its range.
pub(super) const SEE_DOCUMENT: &str = "docs/CONFIGURATION.md says what the key means";

/// Settings given on the command line, which override all others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLineFlags {
    /// Value of `--listen`: where to listen.
    pub listen: Option<String>,
    /// Value of `--data-dir`: the data directory.
    pub data_dir: Option<String>,
    /// Value of `--claude-bin`: the Claude CLI.
    pub claude_binary: Option<String>,
    /// Value of `--max-workers`: the pool size.
    pub max_workers: Option<u32>,
}

/// Origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SettingOrigin {
    /// Embedded `default.toml`.
    Default,
    /// Configuration file at this path.
    File(PathBuf),
    /// Environment variable, such as `SWITCHBOARD_SECTION__KEY`.
    Variable(String),
    /// Command-line flag.
    Flag(&'static str),
}

impl SettingOrigin {
    /// Returns how error messages name the value of `key` from this origin.
    pub(super) fn name(&self, key: &str) -> String {
        match self {
            Self::Default => key.to_owned(),
            Self::File(path) => format!("{}: {key}", path.display()),
            Self::Variable(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }

    /// Returns how notices name this origin.
    pub(super) fn source(&self) -> String {
        match self {
            Self::Default => "the default".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Variable(name) => name.clone(),
            Self::Flag(flag) => (*flag).to_owned(),
        }
    }

    /// Returns true for a variable without the `SWITCHBOARD_` prefix.
    pub(super) fn is_alias(&self) -> bool {
        matches!(self, Self::Variable(name) if !name.starts_with(PREFIX))
    }
}

/// Returns the name of the variable that sets `key`.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// Refusal of a value that has the right type but is not allowed.
#[derive(Debug)]
pub(super) struct SettingRefusal {
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: String,
}

impl SettingRefusal {
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

/// Validator of the values of one section.
pub(super) struct SettingCheck {
    section: &'static str,
}

impl SettingCheck {
    pub(super) fn section(section: &'static str) -> Self {
        Self { section }
    }

    pub(super) fn refuse(
        &self,
        key: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> SettingRefusal {
        SettingRefusal::new(format!("{}.{key}", self.section), message, hint)
    }

    pub(super) fn number(
        &self,
        key: &str,
        value: usize,
        allowed: std::ops::RangeInclusive<usize>,
    ) -> Result<(), SettingRefusal> {
        if allowed.contains(&value) {
            return Ok(());
        }
        let (least, most) = allowed.into_inner();
        let message = format!("{value} is not between {least} and {most}");
        Err(self.refuse(key, message, SEE_DOCUMENT))
    }

    pub(super) fn seconds(
        &self,
        key: &str,
        value: Duration,
        least: u64,
    ) -> Result<(), SettingRefusal> {
        let seconds = value.as_secs();
        if (least..=MAX_SECONDS).contains(&seconds) {
            return Ok(());
        }
        let message = format!("{seconds} is not between {least} and {MAX_SECONDS} seconds");
        Err(self.refuse(key, message, SEE_DOCUMENT))
    }
}
