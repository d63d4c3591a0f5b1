//! Changes to the configuration files of clients, which keep everything else in the file.
//!
//! In TOML and YAML the lines stand between two marks, by which they are found again. JSON has no
//! comments, so there the names of the members are the marks.

use std::fmt::Write as _;

use toml::Table;
use toml::Value as TomlValue;

use super::json_text;
use super::json_text::JsonMember;
use super::json_text::JsonRefusal;
use super::marked_lines::LineFormat;
use super::marked_lines::MarkedLinesError;
use super::marked_lines::find_key;
use super::marked_lines::indent_lines;
use super::marked_lines::mark_lines;
use super::marked_lines::remove_marked_lines;

/// Change of a file, in the form of its format.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FileEdit {
    /// TOML: keys of the root, which stand before all tables, and tables.
    Toml { root: String, tables: String },
    /// YAML: keys of the mapping that the file is.
    YamlKeys(String),
    /// YAML: items of the list that the file is.
    YamlItems(String),
    /// YAML: items of the list `list` in the mapping that the file is. A file without it gets those
    /// keys of `others`, a line each, that it does not have.
    YamlList {
        list: &'static str,
        items: String,
        others: &'static [&'static str],
    },
    /// JSON: members of objects.
    Json(Vec<JsonMember>),
}

/// Reason why a file is not changed, in words that complete "it is not changed:".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct EditRefusal(String);

impl FileEdit {
    /// Returns `text` with the change, where `text` has none of an earlier one.
    ///
    /// # Errors
    /// Fails when the file has a key that the change sets, or a form in which the place for the
    /// change is not certain.
    pub(super) fn insert(&self, text: &str) -> Result<String, EditRefusal> {
        match self {
            Self::Toml { root, tables } => insert_toml(text, root, tables),
            Self::YamlKeys(keys) => insert_yaml_keys(text, keys),
            Self::YamlItems(items) => insert_yaml_items(text, items),
            Self::YamlList {
                list,
                items,
                others,
            } => insert_into_yaml_list(text, list, items, others),
            Self::Json(members) => {
                let mut text = text.to_owned();
                // Each one goes to the beginning of its object.
                for member in members.iter().rev() {
                    text = json_text::insert_member(&text, member)?;
                }
                Ok(text)
            }
        }
    }

    /// Returns `text` without the change; `original` is the file as it was before. Values may be
    /// others than those of this change.
    ///
    /// # Errors
    /// Fails when the change cannot be found for certain.
    pub(super) fn remove(&self, text: &str, original: &str) -> Result<String, EditRefusal> {
        let removed = match self {
            Self::Json(members) => return remove_members(text, members, original),
            Self::Toml { root, tables } => {
                remove_marked_lines(text, &format!("{root}{tables}"), LineFormat::Toml)
            }
            Self::YamlKeys(lines) | Self::YamlItems(lines) => {
                remove_marked_lines(text, lines, LineFormat::Yaml)
            }
            Self::YamlList {
                list,
                items,
                others,
            } => {
                let lines = format!("{}\n{list}:\n{items}", others.join("\n"));
                remove_marked_lines(text, &lines, LineFormat::Yaml)
            }
        };
        removed.map_err(EditRefusal::from)
    }

    /// Returns the lines of the change alone, for a user who puts them in by hand.
    pub(super) fn snippet(&self) -> String {
        match self {
            Self::Toml { root, tables } => format!("{root}{tables}"),
            Self::YamlKeys(lines) | Self::YamlItems(lines) => lines.clone(),
            Self::YamlList { list, items, .. } => format!("{list}:\n{}", indent_lines(items, "  ")),
            Self::Json(_) => self.insert("").unwrap_or_default(),
        }
    }
}

impl From<MarkedLinesError> for EditRefusal {
    fn from(error: MarkedLinesError) -> Self {
        Self(error.to_string())
    }
}

impl From<JsonRefusal> for EditRefusal {
    fn from(refusal: JsonRefusal) -> Self {
        Self(refusal.to_string())
    }
}

fn insert_toml(text: &str, root: &str, tables: &str) -> Result<String, EditRefusal> {
    let existing = parse_toml(text)?;
    let added = parse_toml(&format!("{root}{tables}"))?;
    if let Some(key) = common_key(&existing, &added, "") {
        return Err(is_set_already(&key));
    }
    let changed = append(
        &format!("{}{text}", mark_lines(root, "")),
        &mark_lines(tables, ""),
    );
    // Such as a table that the file has as an inline one.
    parse_toml(&changed).map_err(|_| refuse("its tables cannot be extended at its end"))?;
    Ok(changed)
}

fn parse_toml(text: &str) -> Result<Table, EditRefusal> {
    text.parse()
        .map_err(|_| refuse("it is not valid TOML as it is"))
}

/// Returns a key that both tables set; tables in both are compared key by key.
fn common_key(existing: &Table, added: &Table, prefix: &str) -> Option<String> {
    added.iter().find_map(|(name, value)| {
        let key = format!("{prefix}{name}");
        match (existing.get(name)?, value) {
            (TomlValue::Table(existing), TomlValue::Table(added)) => {
                common_key(existing, added, &format!("{key}."))
            }
            _ => Some(key),
        }
    })
}

fn insert_yaml_keys(text: &str, keys: &str) -> Result<String, EditRefusal> {
    let existing = yaml_keys(text)?;
    let added = yaml_keys(keys)?;
    if let Some(key) = added.iter().find(|key| existing.contains(key)) {
        return Err(is_set_already(key));
    }
    Ok(append(text, &mark_lines(keys, "")))
}

fn insert_yaml_items(text: &str, items: &str) -> Result<String, EditRefusal> {
    let mut outer = outer_yaml_lines(text)?.into_iter();
    if outer.any(|line| line != "-" && !line.starts_with("- ")) {
        return Err(refuse("it is not a list with an item on each `- `"));
    }
    Ok(append(text, &mark_lines(items, "")))
}

fn insert_into_yaml_list(
    text: &str,
    list: &str,
    items: &str,
    others: &[&str],
) -> Result<String, EditRefusal> {
    let existing = yaml_keys(text)?;
    if !existing.contains(&list) {
        let mut lines = String::new();
        for line in others {
            let key = line.split(':').next().unwrap_or_default();
            if !existing.contains(&key) {
                let _ = writeln!(lines, "{line}");
            }
        }
        let _ = write!(lines, "{list}:\n{}", indent_lines(items, "  "));
        return Ok(append(text, &mark_lines(&lines, "")));
    }
    let refused = || {
        refuse(&format!(
            "its `{list}` is not a list with an item on each `- `"
        ))
    };
    let heading = format!("{list}:");
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        if line.trim_end() == heading {
            let (before, after) = text.split_at(end);
            let first = after.lines().find(|line| !is_blank_yaml(line));
            let item = first.filter(|line| line.trim_start().starts_with("- "));
            let item = item.ok_or_else(refused)?;
            let indent = &item[..item.len() - item.trim_start().len()];
            return Ok(format!("{before}{}{after}", mark_lines(items, indent)));
        }
    }
    Err(refused())
}

/// Returns the keys of the mapping that a YAML file is.
///
/// # Errors
/// Fails when a line in the first column is neither a key nor an item of a list below one, such as
/// in a file that is JSON, a list, or several documents.
fn yaml_keys(text: &str) -> Result<Vec<&str>, EditRefusal> {
    let mut keys = Vec::new();
    for line in outer_yaml_lines(text)? {
        match find_key(line, ':') {
            Some(key) => keys.push(key),
            None if line.starts_with("- ") && !keys.is_empty() => {}
            None => return Err(refuse("it is not a list of keys, `KEY: VALUE`")),
        }
    }
    Ok(keys)
}

/// Returns the lines of YAML that begin in the first column, without comments and without the mark
/// of the first document, which every file may have.
///
/// # Errors
/// Fails when the file has a second document, or begins in another column.
fn outer_yaml_lines(text: &str) -> Result<Vec<&str>, EditRefusal> {
    let mut outer = Vec::new();
    for line in text.lines().filter(|line| !is_blank_yaml(line)) {
        if line.starts_with([' ', '\t']) {
            if outer.is_empty() {
                return Err(refuse("its first line is indented"));
            }
        } else if line.trim_end() != "---" {
            outer.push(line);
        } else if !outer.is_empty() {
            return Err(refuse("it has several documents"));
        }
    }
    Ok(outer)
}

fn is_blank_yaml(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// Appends `block` to the lines of `text`.
fn append(text: &str, block: &str) -> String {
    let newline = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{newline}{block}")
}

fn remove_members(
    text: &str,
    members: &[JsonMember],
    original: &str,
) -> Result<String, EditRefusal> {
    let mut text = text.to_owned();
    // From the last one, whose place behind the one before it tells whose it is.
    for member in members.iter().rev() {
        text = json_text::remove_member(&text, member, original)?;
    }
    Ok(text)
}

fn is_set_already(key: &str) -> EditRefusal {
    EditRefusal(format!("`{key}` is set already"))
}

fn refuse(reason: &str) -> EditRefusal {
    EditRefusal(reason.to_owned())
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
