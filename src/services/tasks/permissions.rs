//! Permissions of an agent: its tools, and the policy for its permission requests.

use serde::Deserialize;
use serde::Serialize;

use crate::engine::agent::AgentMode;

/// Tools that agents can have, by the CLI's names, each with the smallest preset that includes it.
pub const AGENT_TOOLS: &[(&str, ToolPreset)] = &[
    ("Read", ToolPreset::ReadOnly),
    ("Glob", ToolPreset::ReadOnly),
    ("Grep", ToolPreset::ReadOnly),
    ("Edit", ToolPreset::Edit),
    ("Write", ToolPreset::Edit),
    ("NotebookEdit", ToolPreset::Edit),
    ("Bash", ToolPreset::Full),
    ("WebFetch", ToolPreset::Full),
    ("WebSearch", ToolPreset::Full),
];

/// Preset of tools with a matching permission policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolPreset {
    /// Read files in the workspace. Everything else is denied.
    #[default]
    ReadOnly,
    /// Read and change files in the workspace. The caller is asked for everything else.
    Edit,
    /// Use all tools, without permission requests.
    Full,
}

/// Policy for permission requests, by the CLI's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// Ask the caller, also before files are changed.
    Default,
    /// Change files in the workspace without asking; ask the caller for everything else.
    AcceptEdits,
    /// Plan only, and deny permission requests.
    Plan,
    /// Deny permission requests.
    DontAsk,
    /// Allow permission requests.
    BypassPermissions,
}

/// Source of the answer to a permission request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApprovalPolicy {
    AskCaller,
    Allow,
    Deny,
}

impl ToolPreset {
    /// Returns the permission policy of the preset.
    pub fn permission_mode(self) -> PermissionMode {
        match self {
            Self::ReadOnly => PermissionMode::DontAsk,
            Self::Edit => PermissionMode::AcceptEdits,
            Self::Full => PermissionMode::BypassPermissions,
        }
    }

    /// Returns the tools of the preset, or those of `allow` if given, without those of `deny`.
    ///
    /// # Errors
    /// Fails when a name in `allow` or `deny` is unknown; the error is that name.
    pub fn tools(
        self,
        allow: Option<&[String]>,
        deny: &[String],
    ) -> Result<Vec<&'static str>, String> {
        let is_known = |name: &&String| AGENT_TOOLS.iter().any(|(tool, _)| tool == name);
        if let Some(unknown) = allow
            .unwrap_or_default()
            .iter()
            .chain(deny)
            .find(|name| !is_known(name))
        {
            return Err(unknown.clone());
        }
        let is_chosen = |(tool, preset): &&(&'static str, Self)| {
            let is_allowed = match allow {
                Some(allow) => allow.iter().any(|name| name == tool),
                None => *preset <= self,
            };
            is_allowed && !deny.iter().any(|name| name == tool)
        };
        Ok(AGENT_TOOLS
            .iter()
            .filter(is_chosen)
            .map(|(tool, _)| *tool)
            .collect())
    }
}

impl PermissionMode {
    /// Returns the name of the policy in the API, which is the CLI's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::AcceptEdits => "acceptEdits",
            Self::Plan => "plan",
            Self::DontAsk => "dontAsk",
            Self::BypassPermissions => "bypassPermissions",
        }
    }

    /// Returns the permission mode of the agent itself.
    pub(super) fn agent_mode(self) -> AgentMode {
        match self {
            Self::AcceptEdits => AgentMode::AcceptEdits,
            Self::Plan => AgentMode::Plan,
            Self::Default | Self::DontAsk | Self::BypassPermissions => AgentMode::Default,
        }
    }

    pub(super) fn approval_policy(self) -> ApprovalPolicy {
        match self {
            Self::Default | Self::AcceptEdits => ApprovalPolicy::AskCaller,
            Self::Plan | Self::DontAsk => ApprovalPolicy::Deny,
            Self::BypassPermissions => ApprovalPolicy::Allow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preset_tools_are_overridden_by_allow_and_deny_lists() {
        let names = |list: &[&str]| {
            list.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let tools = |preset: ToolPreset, allow: Option<&[&str]>, deny: &[&str]| {
            let allow = allow.map(names);
            preset
                .tools(allow.as_deref(), &names(deny))
                .map(|tools| tools.join(" "))
        };
        for (preset, allow, deny, chosen) in [
            (ToolPreset::ReadOnly, None, &[][..], Ok("Read Glob Grep")),
            (
                ToolPreset::Edit,
                None,
                &[],
                Ok("Read Glob Grep Edit Write NotebookEdit"),
            ),
            (
                ToolPreset::Full,
                None,
                &["WebFetch", "WebSearch", "NotebookEdit"],
                Ok("Read Glob Grep Edit Write Bash"),
            ),
            (
                ToolPreset::ReadOnly,
                Some(&["Bash", "Read"][..]),
                &[],
                Ok("Read Bash"),
            ),
            (
                ToolPreset::Full,
                Some(&["Bash", "Read"]),
                &["Bash"],
                Ok("Read"),
            ),
            (ToolPreset::Full, Some(&[]), &[], Ok("")),
            (
                ToolPreset::Full,
                Some(&["Read", "--help"]),
                &[],
                Err("--help"),
            ),
            (ToolPreset::Full, None, &["read"], Err("read")),
        ] {
            assert_eq!(
                tools(preset, allow, deny),
                chosen.map(str::to_owned).map_err(str::to_owned),
                "{preset:?} {allow:?} {deny:?}"
            );
        }
    }
}
