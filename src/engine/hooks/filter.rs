//! Filter of the configuration: words and patterns that are redacted or refused, and limits.

use regex::NoExpand;
use regex::Regex;

use super::json_text::rewrite_json;

/// Members of Anthropic's content blocks that are no text: ids, types, encrypted data.
pub(super) const KEPT_MEMBERS: &[&str] = &[
    "data",
    "encrypted_content",
    "encrypted_index",
    "file_id",
    "id",
    "media_type",
    "name",
    "role",
    "signature",
    "tool_use_id",
    "type",
];
/// Replacement of a whole text that would be blank otherwise, which Claude refuses.
const BLANK_REPLACEMENT: &str = "[redacted]";

/// Compiled filter of one hook.
#[derive(Debug)]
pub(super) struct Filter {
    /// Alternation of all words and patterns; `None` if there are none.
    pub(super) patterns: Option<Regex>,
    /// Longest possible match in bytes; `None` if there is no limit.
    pub(super) longest_match: Option<usize>,
    /// Replacement of a match; `None` if a match refuses the turn.
    pub(super) replacement: Option<String>,
    /// Maximum characters of a prompt; `None` for no limit.
    pub(super) max_characters: Option<usize>,
    /// Authors whose texts of a prompt are looked at; empty for all.
    pub(super) roles: Vec<TextRole>,
}

/// Author of a text in a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextRole {
    /// Instructions.
    System,
    /// Messages of the user.
    User,
    /// Messages of the model, with its tool calls.
    Assistant,
    /// Results of tools.
    Tool,
}

/// Reason why a filter refuses a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FilterRefusal {
    /// A word or a pattern was found.
    Found,
    /// The prompt has more characters than it may have.
    TooLong(usize),
}

impl Filter {
    /// Returns `text` with its matches replaced; `None` if it has none.
    ///
    /// # Errors
    /// Fails on a match if the filter refuses.
    pub(super) fn rewrite(&self, text: &str) -> Result<Option<String>, FilterRefusal> {
        let Some(patterns) = self
            .patterns
            .as_ref()
            .filter(|patterns| patterns.is_match(text))
        else {
            return Ok(None);
        };
        let replacement = self.replacement.as_deref().ok_or(FilterRefusal::Found)?;
        let new = patterns.replace_all(text, NoExpand(replacement));
        Ok(Some(new.into_owned()))
    }

    /// Rewrites `text` in place, and returns true if it has changed.
    ///
    /// # Errors
    /// Fails on a match if the filter refuses.
    pub(super) fn apply_to_text(&self, text: &mut String) -> Result<bool, FilterRefusal> {
        let Some(new) = self.rewrite(text)? else {
            return Ok(false);
        };
        *text = new;
        if text.trim().is_empty() {
            BLANK_REPLACEMENT.clone_into(text);
        }
        Ok(true)
    }

    /// Rewrites the strings of `json` in place, except those of the members `kept`, and returns true
    /// if it has changed.
    ///
    /// # Errors
    /// Fails on a match if the filter refuses.
    pub(super) fn apply_to_json(
        &self,
        json: &mut String,
        kept: &[&str],
    ) -> Result<bool, FilterRefusal> {
        let mut rewrite = |text: &str| self.rewrite(text);
        let Some(new) = rewrite_json(json, kept, &mut rewrite)? else {
            return Ok(false);
        };
        *json = new;
        Ok(true)
    }

    /// True if texts of `role` are looked at.
    pub(super) fn looks_at(&self, role: TextRole) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }
}

impl FilterRefusal {
    /// Returns the code of the refusal.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Found => "forbidden_text",
            Self::TooLong(_) => "too_long",
        }
    }

    /// Returns the message for the client, which does not repeat what was found.
    pub(super) fn message(self, of_answer: bool) -> String {
        match (self, of_answer) {
            (Self::Found, false) => {
                "The request contains text that this server does not pass on.".to_owned()
            }
            (Self::Found, true) => {
                "The answer contains text that this server does not pass on.".to_owned()
            }
            (Self::TooLong(most), _) => {
                format!("The messages have more than {most} characters together. Shorten them.")
            }
        }
    }
}
