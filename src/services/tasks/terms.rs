//! What an agent may do: its tools, and who answers its questions.

use serde::Deserialize;
use serde::Serialize;

use crate::engine::agent::Mode;

/// Every tool that an agent can have, by the CLI's names, each with the smallest preset that has it.
pub const TOOLS: &[(&str, Preset)] = &[
    ("Read", Preset::ReadOnly),
    ("Glob", Preset::ReadOnly),
    ("Grep", Preset::ReadOnly),
    ("Edit", Preset::Edit),
    ("Write", Preset::Edit),
    ("NotebookEdit", Preset::Edit),
    ("Bash", Preset::Full),
    ("WebFetch", Preset::Full),
    ("WebSearch", Preset::Full),
];

/// Tools and permissions that go together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Reading what is in the workspace. All else is denied.
    #[default]
    ReadOnly,
    /// Reading and changing files in the workspace. All else is asked.
    Edit,
    /// Everything, unasked.
    Full,
}

/// What becomes of a question, by the CLI's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// The caller is asked, also before a file is changed.
    Default,
    /// Files in the workspace are changed unasked; of all else the caller is asked.
    AcceptEdits,
    /// It only plans; what is asked is denied.
    Plan,
    /// What would be asked is denied.
    DontAsk,
    /// What would be asked is allowed.
    BypassPermissions,
}

/// Who answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answerer {
    Caller,
    Always,
    Never,
}

impl Preset {
    /// How its questions are answered.
    pub fn mode(self) -> PermissionMode {
        match self {
            Self::ReadOnly => PermissionMode::DontAsk,
            Self::Edit => PermissionMode::AcceptEdits,
            Self::Full => PermissionMode::BypassPermissions,
        }
    }

    /// Its tools, or those of `allow` if there are any, without those of `deny`. All of them must be known.
    ///
    /// # Errors
    /// With the name of a tool that is not known.
    pub fn tools(
        self,
        allow: Option<&[String]>,
        deny: &[String],
    ) -> Result<Vec<&'static str>, String> {
        let is_known = |name: &&String| TOOLS.iter().any(|(tool, _)| tool == name);
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
        Ok(TOOLS
            .iter()
            .filter(is_chosen)
            .map(|(tool, _)| *tool)
            .collect())
    }
}

impl PermissionMode {
    /// What the agent does unasked.
    pub(super) fn mode(self) -> Mode {
        match self {
            Self::AcceptEdits => Mode::AcceptEdits,
            Self::Plan => Mode::Plan,
            Self::Default | Self::DontAsk | Self::BypassPermissions => Mode::Default,
        }
    }

    pub(super) fn answerer(self) -> Answerer {
        match self {
            Self::Default | Self::AcceptEdits => Answerer::Caller,
            Self::Plan | Self::DontAsk => Answerer::Never,
            Self::BypassPermissions => Answerer::Always,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_grow_and_lists_have_the_last_word() {
        let names = |list: &[&str]| {
            list.iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let tools = |preset: Preset, allow: Option<&[&str]>, deny: &[&str]| {
            let allow = allow.map(names);
            preset
                .tools(allow.as_deref(), &names(deny))
                .map(|tools| tools.join(" "))
        };
        for (preset, allow, deny, chosen) in [
            (Preset::ReadOnly, None, &[][..], Ok("Read Glob Grep")),
            (
                Preset::Edit,
                None,
                &[],
                Ok("Read Glob Grep Edit Write NotebookEdit"),
            ),
            (
                Preset::Full,
                None,
                &["WebFetch", "WebSearch", "NotebookEdit"],
                Ok("Read Glob Grep Edit Write Bash"),
            ),
            (
                Preset::ReadOnly,
                Some(&["Bash", "Read"][..]),
                &[],
                Ok("Read Bash"),
            ),
            (Preset::Full, Some(&["Bash", "Read"]), &["Bash"], Ok("Read")),
            (Preset::Full, Some(&[]), &[], Ok("")),
            (Preset::Full, Some(&["Read", "--help"]), &[], Err("--help")),
            (Preset::Full, None, &["read"], Err("read")),
        ] {
            assert_eq!(
                tools(preset, allow, deny),
                chosen.map(str::to_owned).map_err(str::to_owned),
                "{preset:?} {allow:?} {deny:?}"
            );
        }
    }
}
