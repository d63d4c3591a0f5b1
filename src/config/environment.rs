//! Environment variables of the server process.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::variable_aliases::API_KEY;
use crate::engine::claude::SignInMethod;

/// Prefix of the server's own variables.
pub(super) const PREFIX: &str = "SWITCHBOARD_";

/// Variable with the key that commands send as clients of a server; no setting of the server.
pub const CLIENT_KEY: &str = "SWITCHBOARD_API_KEY";

/// Variable with the address at which the Python client finds a server; no setting of the server.
const CLIENT_URL: &str = "SWITCHBOARD_BASE_URL";

/// Environment variables that the server was started with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// Reads the environment of this process; nothing else in the program does.
///
/// Variables that are not UTF-8 are left out: no variable that matters here can be one.
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
    /// Returns the value of a variable; `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Returns all variables except the `SWITCHBOARD_` ones: the set from which an allow-list for
    /// workers with this `sign_in` may pick. An API key given under its alias appears under its
    /// usual name.
    pub fn for_workers(&self, sign_in: SignInMethod) -> BTreeMap<String, String> {
        let theirs = self
            .variables
            .iter()
            .filter(|(name, _)| !name.starts_with(PREFIX));
        let key = self
            .alias_api_key(sign_in)
            .map(|key| (API_KEY.target.to_owned(), key.to_owned()));
        theirs
            .map(|(name, value)| (name.clone(), value.clone()))
            .chain(key)
            .collect()
    }

    /// Iterates over all variables.
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
        let ours = self.variables.iter().filter(|(name, _)| {
            name.starts_with(PREFIX) && ![CLIENT_KEY, CLIENT_URL].contains(&name.as_str())
        });
        ours.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the value of a variable as a path; `None` if it is unset or empty.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// Makes `path` absolute: `~` is the home directory, other relative paths start in the working
    /// directory.
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
    /// Shows names only: the values hold keys and sign-ins.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_set()
            .entries(self.variables.keys())
            .finish()
    }
}
