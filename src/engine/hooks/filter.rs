//! Filter of the configuration: words and patterns that are redacted or refused, and limits.

use regex::NoExpand;
use regex::Regex;
use serde_json::Value;

use super::json_text::JsonForm;
use super::json_text::rewrite_json;

/// Members of Anthropic's content blocks whose values are no text: ids, types, encrypted data.
const NON_TEXT_MEMBERS: &[&str] = &[
    "encrypted_content",
    "encrypted_index",
    "file_id",
    "id",
    "media_type",
    "name",
    "role",
    "server_name",
    "signature",
    "tool_id",
    "tool_use_id",
    "type",
    DATA_MEMBER,
];
/// Member with the data of a file: base64, or the text itself.
const DATA_MEMBER: &str = "data";

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
    /// Authors whose texts in a prompt are filtered; empty for all.
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
    /// The prompt has more characters than the maximum, which is given.
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
        Ok(true)
    }

    /// Rewrites the content of `json`, which has `form`, in place, and returns true if it has changed.
    ///
    /// # Errors
    /// Fails on a match if the filter refuses.
    pub(super) fn apply_to_json(
        &self,
        json: &mut String,
        form: JsonForm,
    ) -> Result<bool, FilterRefusal> {
        let mut rewrite = |text: &str| self.rewrite(text);
        let Some(new) = rewrite_json(json, form, &mut rewrite)? else {
            return Ok(false);
        };
        *json = new;
        Ok(true)
    }

    /// True if texts of `role` are filtered.
    pub(super) fn looks_at(&self, role: TextRole) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }
}

/// Returns the form of a content block, or of a delta of one.
pub(super) fn block_form(json: &str) -> JsonForm {
    // The data of a file stays unfiltered only if it is known to be no text.
    let has_text = match serde_json::from_str::<Value>(json) {
        Ok(block) => has_text_source(&block),
        Err(_) => true,
    };
    let unfiltered = if has_text {
        NON_TEXT_MEMBERS
            .split_last()
            .map_or(NON_TEXT_MEMBERS, |(_, others)| others)
    } else {
        NON_TEXT_MEMBERS
    };
    JsonForm::Block { unfiltered }
}

/// True if `value` contains a source of plain text, whose data is the text itself.
fn has_text_source(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_text_source),
        Value::Object(members) => {
            let is_text = members.get("type").is_some_and(|kind| kind == "text");
            let has_data = members.contains_key(DATA_MEMBER);
            (is_text && has_data) || members.values().any(has_text_source)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
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
            (Self::TooLong(max), _) => {
                format!("The messages have more than {max} characters together. Shorten them.")
            }
        }
    }
}
