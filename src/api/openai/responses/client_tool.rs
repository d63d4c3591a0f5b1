//! Tools that the client runs, as the client knows them. Claude knows them all as functions.

use std::collections::HashMap;
use std::fmt::Write as _;

use sha2::Digest as _;
use sha2::Sha256;

/// The longest name that upstream takes.
pub(super) const LONGEST_NAME: usize = 128;
/// What stands between a namespace and the name of its tool.
const SEPARATOR: &str = "__";

/// Who runs a search for tools that Claude can call.
pub(super) const BY_CLIENT: &str = "client";

/// How the calls of a tool are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `function_call`.
    Function,
    /// `custom_tool_call`.
    Custom,
    /// `local_shell_call`.
    LocalShell,
    /// `shell_call`.
    Shell,
    /// `apply_patch_call`.
    ApplyPatch,
    /// `tool_search_call`: a search among tools that the client has not offered yet.
    ToolSearch,
}

/// A tool as the client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientTool {
    pub(super) form: Form,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// The tools of a request as the client knows them, by the names under which Claude does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolNames {
    tools: HashMap<String, ClientTool>,
    /// What Claude calls those of each name that the client uses.
    by_name: HashMap<String, Vec<String>>,
    /// What Claude calls those of each namespace.
    by_namespace: HashMap<String, Vec<String>>,
}

impl ToolNames {
    /// Adds a tool that is more than a function with its own name.
    pub(super) fn add(&mut self, known_as: &str, tool: ClientTool) {
        self.by_name
            .entry(tool.name.clone())
            .or_default()
            .push(known_as.to_owned());
        if let Some(namespace) = &tool.namespace {
            self.by_namespace
                .entry(namespace.clone())
                .or_default()
                .push(known_as.to_owned());
        }
        self.tools.insert(known_as.to_owned(), tool);
    }

    /// The tool that Claude knows as `name`.
    pub(super) fn find(&self, name: &str) -> ClientTool {
        let function = || ClientTool {
            form: Form::Function,
            namespace: None,
            name: name.to_owned(),
        };
        self.tools.get(name).cloned().unwrap_or_else(function)
    }

    /// What Claude calls the tools that take a text.
    pub(in crate::api::openai) fn custom(&self) -> Vec<String> {
        let custom = self
            .tools
            .iter()
            .filter(|(_, tool)| tool.form == Form::Custom);
        custom.map(|(name, _)| name.clone()).collect()
    }

    /// What Claude calls the tools of `namespace`.
    pub(super) fn within(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.by_namespace
            .get(namespace)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// What Claude calls the tool `name` of `namespace`. Without a namespace it may be one of any, if there is only one.
    pub(super) fn known(&self, namespace: Option<&str>, name: &str) -> Option<&str> {
        let named = self.by_name.get(name)?;
        let is_it = |known: &&String| self.find(known).namespace.as_deref() == namespace;
        match named.iter().find(is_it) {
            Some(known) => Some(known),
            None if namespace.is_none() && named.len() == 1 => named.first().map(String::as_str),
            None => None,
        }
    }
}

/// What Claude calls the tool `name` of `namespace`: the same in every request, and a name that upstream takes.
pub(super) fn known_as(namespace: Option<&str>, name: &str) -> String {
    let Some(namespace) = namespace else {
        return name.to_owned();
    };
    let fit = |character: char| if is_fit(character) { character } else { '_' };
    let whole = [namespace, SEPARATOR, name].concat();
    let known: String = whole.chars().map(fit).collect();
    if known.len() > LONGEST_NAME {
        with_digits(known, &whole)
    } else {
        known
    }
}

/// What Claude calls the tool `name` of `namespace` where another tool is called what [`known_as`] says.
pub(super) fn known_apart(namespace: Option<&str>, name: &str) -> String {
    with_digits(known_as(namespace, name), &format!("{namespace:?} {name}"))
}

/// `known`, cut where it is too long, with digits at its end that tell `whole`.
fn with_digits(mut known: String, whole: &str) -> String {
    const DIGITS: usize = 8;
    known.truncate(LONGEST_NAME - DIGITS - 1);
    known.push('_');
    for byte in Sha256::digest(whole).iter().take(DIGITS / 2) {
        let _ = write!(known, "{byte:02x}");
    }
    known
}

/// Whether a name may hold `character`.
pub(super) fn is_fit(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_namespace_is_one_that_upstream_takes() {
        assert_eq!(known_as(None, "f"), "f");
        assert_eq!(
            known_as(Some("mcp__wx"), "get_weather"),
            "mcp__wx__get_weather"
        );
        assert_eq!(known_as(Some("a b"), "c"), "a_b__c");
        let long = known_as(Some(&"n".repeat(100)), &"t".repeat(100));
        let other = known_as(Some(&"n".repeat(100)), &"t".repeat(101));
        assert_eq!((long.len(), other.len()), (LONGEST_NAME, LONGEST_NAME));
        assert_ne!(long, other);
        assert_eq!(long, known_as(Some(&"n".repeat(100)), &"t".repeat(100)));
    }
}
