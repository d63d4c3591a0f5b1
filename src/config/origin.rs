//! Origins of values.

use std::path::PathBuf;

use super::environment::PREFIX;

/// Advice for a value out of its range.
pub(super) const SEE_DOCUMENT: &str = "docs/CONFIGURATION.md describes the key";

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
