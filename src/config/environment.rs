//! The variables the server was started with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::claude::SignIn;
use super::other_names::API_KEY;

/// With this begins every variable that is ours.
pub(super) const PREFIX: &str = "SWITCHBOARD_";

/// The variables the server was started with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// The environment of this process. Nothing else reads it.
///
/// A variable that is not UTF-8 is left out: none that matters here can be.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn environment() -> Environment {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

impl Environment {
    /// The value of a variable; `None` when it is not set or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// All variables but our own `SWITCHBOARD_` ones: what an allow-list for the workers that sign in by `sign_in` may pick
    /// from. A key under another name is there under its own.
    pub fn for_workers(&self, sign_in: SignIn) -> BTreeMap<String, String> {
        let theirs = self
            .variables
            .iter()
            .filter(|(name, _)| !name.starts_with(PREFIX));
        let key = self
            .other_api_key(sign_in)
            .map(|key| (API_KEY.of.to_owned(), key.to_owned()));
        theirs
            .map(|(name, value)| (name.clone(), value.clone()))
            .chain(key)
            .collect()
    }

    /// All variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Removes the variable `name`.
    pub(super) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Adds `variables`.
    pub(super) fn with(mut self, variables: Vec<(String, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    pub(super) fn ours(&self) -> impl Iterator<Item = (&str, &str)> {
        let ours = self
            .variables
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX));
        ours.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// `path` from the root on: `~` is the home directory, anything else relative starts where the server did.
    pub(super) fn absolute(&self, path: &Path) -> Option<PathBuf> {
        match path.strip_prefix("~") {
            Ok(rest) => self.path("HOME").map(|home| home.join(rest)),
            Err(_) => std::path::absolute(path).ok(),
        }
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }
}

impl fmt::Debug for Environment {
    /// Names only: the values hold keys and sign-ins.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_set()
            .entries(self.variables.keys())
            .finish()
    }
}
