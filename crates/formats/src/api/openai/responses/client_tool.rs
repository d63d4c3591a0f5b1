//! Client tools: their identity for the client, and the function name under which Claude knows
//! each.

use std::collections::HashMap;
use std::fmt::Write as _;

use sha2::Digest as _;
use sha2::Sha256;

/// Maximum length of a tool name at Anthropic.
pub(super) const MAX_NAME_LENGTH: usize = 128;
/// Separator between a namespace and the name of its tool.
const SEPARATOR: &str = "__";

/// Value of `execution` for a tool search that the client executes.
pub(super) const EXECUTED_BY_CLIENT: &str = "client";

/// Kind of a client tool, which decides the item type of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientToolKind {
    /// Calls are `function_call` items.
    Function,
    /// Calls are `custom_tool_call` items.
    Custom,
    /// Calls are `local_shell_call` items.
    LocalShell,
    /// Calls are `shell_call` items.
    Shell,
    /// Calls are `apply_patch_call` items.
    ApplyPatch,
    /// Calls are `tool_search_call` items; the client searches tools that it has not offered yet.
    ToolSearch,
}

/// Identity of a tool for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientTool {
    pub(super) kind: ClientToolKind,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

/// Tools of a request as the client knows them, indexed by the names under which Claude knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolNames {
    tools: HashMap<String, ClientTool>,
    /// Names for Claude by the name that the client uses.
    by_name: HashMap<String, Vec<String>>,
    /// Names for Claude by namespace.
    by_namespace: HashMap<String, Vec<String>>,
}

impl ToolNames {
    /// Adds a tool; plain functions without a namespace need no entry.
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

    /// Returns the tool that Claude knows as `name`; a plain function if it has no entry.
    pub(super) fn find(&self, name: &str) -> ClientTool {
        let function = || ClientTool {
            kind: ClientToolKind::Function,
            namespace: None,
            name: name.to_owned(),
        };
        self.tools.get(name).cloned().unwrap_or_else(function)
    }

    /// Returns the names of the custom tools for Claude.
    pub(in crate::api::openai) fn custom_tools(&self) -> Vec<String> {
        let custom = self
            .tools
            .iter()
            .filter(|(_, tool)| tool.kind == ClientToolKind::Custom);
        custom.map(|(name, _)| name.clone()).collect()
    }

    /// Returns the names of the tools of `namespace` for Claude.
    pub(super) fn claude_names_in(&self, namespace: &str) -> impl Iterator<Item = &str> {
        self.by_namespace
            .get(namespace)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// Returns the name for Claude of the tool `name` in `namespace`. Without a namespace, a tool
    /// of any namespace matches if it is the only one of that name.
    pub(super) fn claude_name_of(&self, namespace: Option<&str>, name: &str) -> Option<&str> {
        let named = self.by_name.get(name)?;
        let is_it = |known: &&String| self.find(known).namespace.as_deref() == namespace;
        match named.iter().find(is_it) {
            Some(known) => Some(known),
            None if namespace.is_none() && named.len() == 1 => named.first().map(String::as_str),
            None => None,
        }
    }
}

/// Builds the name for Claude of the tool `name` in `namespace`: stable across requests, and valid
/// at Anthropic.
pub(super) fn claude_name(namespace: Option<&str>, name: &str) -> String {
    let Some(namespace) = namespace else {
        return name.to_owned();
    };
    let fit = |character: char| {
        if is_name_character(character) {
            character
        } else {
            '_'
        }
    };
    let whole = [namespace, SEPARATOR, name].concat();
    let known: String = whole.chars().map(fit).collect();
    if known.len() > MAX_NAME_LENGTH {
        with_hash_suffix(known, &whole)
    } else {
        known
    }
}

/// Builds the name for Claude of a tool whose regular name is taken by another.
pub(super) fn distinct_claude_name(namespace: Option<&str>, name: &str) -> String {
    with_hash_suffix(
        claude_name(namespace, name),
        &format!("{namespace:?} {name}"),
    )
}

/// Appends hash digits of `whole` to `known`, which is cut to the maximum length.
fn with_hash_suffix(mut known: String, whole: &str) -> String {
    const DIGITS: usize = 8;
    // Names are ASCII, so every index is a character boundary.
    known.truncate(MAX_NAME_LENGTH - DIGITS - 1);
    known.push('_');
    for byte in Sha256::digest(whole).iter().take(DIGITS / 2) {
        let _ = write!(known, "{byte:02x}");
    }
    known
}

/// True if a tool name may contain `character`.
pub(super) fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaced_tool_names_are_valid_and_distinct() {
        assert_eq!(claude_name(None, "f"), "f");
        assert_eq!(
            claude_name(Some("mcp__wx"), "get_weather"),
            "mcp__wx__get_weather"
        );
        assert_eq!(claude_name(Some("a b"), "c"), "a_b__c");
        let long = claude_name(Some(&"n".repeat(100)), &"t".repeat(100));
        let other = claude_name(Some(&"n".repeat(100)), &"t".repeat(101));
        assert_eq!(
            (long.len(), other.len()),
            (MAX_NAME_LENGTH, MAX_NAME_LENGTH)
        );
        assert_ne!(long, other);
        assert_eq!(long, claude_name(Some(&"n".repeat(100)), &"t".repeat(100)));
    }
}
