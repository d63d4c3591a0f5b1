//! Models and their names.

use std::fmt;

/// A name of a model as a caller or the configuration gives it: an id (`claude-sonnet-5-5`) or an alias.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelName(String);

impl ModelName {
    /// Takes any text; whether such a model exists is the gateway's question.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A model of the CLI's catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The alias the CLI knows it by: `sonnet`.
    pub alias: String,
    /// The id it stands for: `claude-sonnet-5-5`.
    pub id: String,
    /// `Sonnet`, for people.
    pub display_name: String,
}
