//! Merges files, variables and flags over the defaults, and records the origin of each value.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::DEFAULTS;
use super::environment::{Environment, PREFIX};
use super::error::Error;
use super::origin::{CommandLineFlags, SEE_DOCUMENT, SettingOrigin, variable_of};
use super::value;

/// Tables with free keys; a later layer adds entries to them instead of replacing them.
const FREE_TABLES: &[&str] = &["models.aliases", "models.restrictions", "pricing.models"];
/// Sections of tables with free names, `[section.NAME]`; a later layer adds tables, and replaces
/// those of the same names.
const TABLE_SECTIONS: &[&str] = &["upstreams"];
/// Lists of tables; a later layer replaces the whole list.
const TABLE_LISTS: &[&str] = &[
    "end_users.list",
    "fallbacks.list",
    "hooks.list",
    "sign_ins.list",
];
/// Short aliases of the variables that their keys imply.
const VARIABLE_ALIASES: &[(&str, &str)] = &[("SWITCHBOARD_ADMIN_KEY", "admin.key")];
/// Names of keys, in any section, whose values are never printed.
const SECRET_NAMES: &[&str] = &["headers", "key", "keys", "password", "secret", "token"];
/// Name of keys, in any section, whose URLs may have credentials or a key in the query.
const URL_NAME: &str = "endpoint";
const MASK: &str = "***";

/// Layers merged so far.
pub(super) struct SettingLayers {
    /// Known keys with their defaults.
    known: BTreeMap<String, Value>,
    merged: Table,
    /// Origins that set each key; the last one wins.
    origins: BTreeMap<String, Vec<SettingOrigin>>,
}

impl SettingLayers {
    pub(super) fn defaults() -> Result<Self, Error> {
        let merged = parse("default.toml", DEFAULTS)?;
        let mut known = BTreeMap::new();
        collect_known(&merged, "", &mut known);
        Ok(Self {
            known,
            merged,
            origins: BTreeMap::new(),
        })
    }

    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let table = parse(&path.display().to_string(), &text)?;
        self.add_table(table, "", &SettingOrigin::File(path.to_owned()))
    }

    fn add_table(
        &mut self,
        table: Table,
        prefix: &str,
        origin: &SettingOrigin,
    ) -> Result<(), Error> {
        for (name, found) in table {
            let key = match format!("{prefix}{name}") {
                key if is_list_of_section(&key, &found) => format!("{key}.list"),
                key => key,
            };
            let inside = format!("{key}.");
            if let Some(default) = self.known.get(&key) {
                let fits = if TABLE_LISTS.contains(&key.as_str()) {
                    value::is_table_list(&found)
                } else if TABLE_SECTIONS.contains(&key.as_str()) {
                    value::is_table_section(&found)
                } else {
                    value::fits(default, &found)
                };
                if !fits {
                    let name = origin.name(&key);
                    let found = value::describe_found(&found);
                    return Err(wrong_type(&key, name, default, found));
                }
                self.set(&key, found, origin.clone());
            } else if !self.known.keys().any(|known| known.starts_with(&inside)) {
                let nearest = value::nearest(&key, self.known.keys().map(String::as_str));
                let nearest = nearest.map(ToOwned::to_owned);
                return Err(Error::Unknown {
                    name: origin.name(&key),
                    nearest,
                });
            } else if let Value::Table(found) = found {
                self.add_table(found, &inside, origin)?;
            } else {
                let name = origin.name(&key);
                let expected = format!("a section, [{key}]");
                return Err(Error::WrongType {
                    name,
                    expected,
                    found: value::describe_found(&found).to_owned(),
                });
            }
        }
        Ok(())
    }

    pub(super) fn add_variables(&mut self, environment: &Environment) -> Result<(), Error> {
        for (name, text) in environment.ours() {
            let is_named = |key: &str| {
                variable_of(key) == name
                    || VARIABLE_ALIASES
                        .iter()
                        .any(|(also, of)| *also == name && *of == key)
            };
            let Some((key, default)) = self.known.iter().find(|(key, _)| is_named(key)) else {
                let key = name
                    .trim_start_matches(PREFIX)
                    .replace("__", ".")
                    .to_lowercase();
                let nearest =
                    value::nearest(&key, self.known.keys().map(String::as_str)).map(variable_of);
                return Err(Error::Unknown {
                    name: name.to_owned(),
                    nearest,
                });
            };
            let parsed = if TABLE_LISTS.contains(&key.as_str()) {
                value::parse_table_list(text)
            } else if TABLE_SECTIONS.contains(&key.as_str()) {
                value::parse_table_section(text)
            } else {
                value::parse(default, text)
            };
            let value = parsed.map_err(|found| wrong_type(key, name.to_owned(), default, found))?;
            self.set(
                &key.clone(),
                value,
                SettingOrigin::Variable(name.to_owned()),
            );
        }
        Ok(())
    }

    pub(super) fn add_flags(&mut self, flags: &CommandLineFlags) {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let given = [
            ("server.listen", "--listen", text(&flags.listen)),
            ("server.data_dir", "--data-dir", text(&flags.data_dir)),
            ("claude.binary", "--claude-bin", text(&flags.claude_binary)),
            (
                "pool.max_workers",
                "--max-workers",
                flags
                    .max_workers
                    .map(|number| Value::Integer(number.into())),
            ),
        ];
        for (key, flag, value) in given {
            if let Some(value) = value {
                self.set(key, value, SettingOrigin::Flag(flag));
            }
        }
    }

    /// Sets `key` from an alias variable unless another origin has set it. `read` converts the
    /// text, given the default.
    pub(super) fn add_alias(
        &mut self,
        variable: &str,
        key: &str,
        read: impl FnOnce(&Value) -> Result<Value, Error>,
    ) -> Result<(), Error> {
        let origin = SettingOrigin::Variable(variable.to_owned());
        if let Some(origins) = self.origins.get_mut(key) {
            origins.insert(0, origin);
            return Ok(());
        }
        if let Some(default) = self.known.get(key) {
            let value = read(default)?;
            self.set(key, value, origin);
        }
        Ok(())
    }

    /// Returns a notice for each key that was set more than once or by an alias variable.
    pub(super) fn notices(&self) -> Vec<String> {
        let known_origins = self.origins.iter().filter(|(key, _)| !is_extended(key));
        let notice = |(key, origins): (&String, &Vec<SettingOrigin>)| {
            let (winner, others) = origins.split_last()?;
            let mut text = format!("{key}: {} counts", winner.source());
            if !others.is_empty() {
                let others: Vec<_> = others.iter().rev().map(SettingOrigin::source).collect();
                text.push_str(&format!(", not {}", others.join(", ")));
            }
            (winner.is_alias() || !others.is_empty()).then_some(text)
        };
        known_origins.filter_map(notice).collect()
    }

    /// Returns the text at `key`; empty if there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        let value = key
            .split_once('.')
            .and_then(|(section, name)| self.merged.get(section)?.get(name)?.as_str());
        value.unwrap_or_default()
    }

    /// Replaces the value of `key`, which keeps its origin.
    pub(super) fn replace(&mut self, key: &str, value: Value) {
        merge_value(&mut self.merged, key, value, false);
    }

    /// Reads the merged values of `section` as the settings of one part. Several parts may read the
    /// same section.
    ///
    /// # Errors
    /// Fails when a value is not allowed.
    pub(super) fn section<T: DeserializeOwned>(&self, section: &str) -> Result<T, Error> {
        let values = self.merged.get(section).cloned();
        let values = values.unwrap_or_else(|| Value::Table(Table::new()));
        serde_path_to_error::deserialize(values).map_err(|error| {
            let message = error.inner().message();
            if let Some((field, known)) = unknown_field(message) {
                let nearest = value::nearest(field, known.into_iter()).map(ToOwned::to_owned);
                let name = self.name_of(&format!("{section}.{}", error.path()));
                return Error::Unknown { name, nearest };
            }
            let text = message.replace("unknown variant", "unknown value");
            // A reader's own error has its advice on a second line.
            let (message, hint) = text.split_once('\n').unwrap_or((&text, SEE_DOCUMENT));
            Error::Refused {
                name: self.name_of(&format!("{section}.{}", error.path())),
                message: message.to_owned(),
                hint: hint.to_owned(),
            }
        })
    }

    /// Renders the merged values as a TOML configuration file, with `***` for secrets.
    pub(super) fn to_toml(&self) -> String {
        let mut printed = self.merged.clone();
        // Free names of tables are no names of keys, and no upstream has a secret in the settings.
        let sections = printed
            .iter_mut()
            .filter(|(section, _)| !TABLE_SECTIONS.contains(&section.as_str()));
        for section in sections.filter_map(|(_, value)| value.as_table_mut()) {
            for (_, value) in section
                .iter_mut()
                .filter(|(name, _)| SECRET_NAMES.contains(&name.as_str()))
            {
                mask(value);
            }
            if let Some(Value::String(url)) = section.get_mut(URL_NAME) {
                *url = without_credentials(url);
            }
        }
        printed.to_string()
    }

    /// Returns the display name of the value at `path`, a key or a position inside its value.
    pub(super) fn name_of(&self, path: &str) -> String {
        let is_inside = |key: &str| {
            path.strip_prefix(key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let origin = self
            .origins
            .iter()
            .find(|(key, _)| is_inside(key))
            .and_then(|(_, origins)| origins.last());
        origin.unwrap_or(&SettingOrigin::Default).name(path)
    }

    fn set(&mut self, key: &str, value: Value, origin: SettingOrigin) {
        merge_value(&mut self.merged, key, value, is_extended(key));
        self.origins.entry(key.to_owned()).or_default().push(origin);
    }
}

fn parse(name: &str, text: &str) -> Result<Table, Error> {
    text.parse::<Table>().map_err(|error: toml::de::Error| {
        // The parser's full message quotes the offending line, which may hold a secret.
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let place = format!("{name}:{}", before.matches('\n').count() + 1);
        Error::Syntax {
            place,
            message: error.message().replace('\n', ", "),
        }
    })
}

/// True if a later layer adds entries to the table at `key`.
fn is_extended(key: &str) -> bool {
    FREE_TABLES.contains(&key) || TABLE_SECTIONS.contains(&key)
}

/// Sets `key` to `value`, or with `adds` extends the table at `key`.
fn merge_value(table: &mut Table, key: &str, value: Value, adds: bool) {
    if let Some((section, rest)) = key.split_once('.') {
        if let Some(Value::Table(inner)) = table.get_mut(section) {
            merge_value(inner, rest, value, adds);
        }
        return;
    }
    match (table.get_mut(key), value) {
        (Some(Value::Table(existing)), Value::Table(added)) if adds => existing.extend(added),
        (_, value) => {
            table.insert(key.to_owned(), value);
        }
    }
}

/// Replaces the texts in `value` by asterisks.
fn mask(value: &mut Value) {
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => *value = Value::String(MASK.to_owned()),
    }
}

/// Returns `url` with asterisks in place of its credentials and of its query, which may be a key.
fn without_credentials(url: &str) -> String {
    let (base, query) = match url.split_once('?') {
        Some((base, _)) => (base, format!("?{MASK}")),
        None => (url, String::new()),
    };
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}://{MASK}@{rest}{query}"),
        None => format!("{base}{query}"),
    }
}

fn collect_known(table: &Table, prefix: &str, known: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) if !is_extended(&key) => {
                collect_known(inner, &format!("{key}."), known);
            }
            _ => {
                known.insert(key, value.clone());
            }
        }
    }
}

/// True if a section is written as its list of tables: `[[sign_ins]]` for `[[sign_ins.list]]`.
fn is_list_of_section(key: &str, found: &Value) -> bool {
    found.is_array() && TABLE_LISTS.contains(&format!("{key}.list").as_str())
}

/// Error: the value of `key`, which messages call `name`, has another type than `default`.
fn wrong_type(key: &str, name: String, default: &Value, found: &str) -> Error {
    let expected = if TABLE_LISTS.contains(&key) {
        format!("tables, [[{key}]]")
    } else if TABLE_SECTIONS.contains(&key) {
        format!("tables, [{key}.NAME]")
    } else {
        value::describe_expected(default)
    };
    Error::WrongType {
        name,
        expected,
        found: found.to_owned(),
    }
}

/// Returns the unknown field that a message of serde is about, with the known ones. Serde has no
/// other form of it.
fn unknown_field(message: &str) -> Option<(&str, Vec<&str>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (field, rest) = rest.split_once('`')?;
    // Between the backticks of the list: every second piece.
    let known = rest.split('`').skip(1).step_by(2).collect();
    Some((field, known))
}

#[cfg(test)]
mod tests {
    use super::SettingLayers;
    use super::TABLE_SECTIONS;
    use crate::config::Settings;

    #[test]
    fn every_key_is_read_by_a_part() {
        let known = SettingLayers::defaults().unwrap().known;
        for key in known.keys() {
            // Such a section is empty by default, and so can be left out.
            if TABLE_SECTIONS.contains(&key.as_str()) {
                continue;
            }
            let mut layers = SettingLayers::defaults().unwrap();
            layers.replace("server.data_dir", toml::Value::String("/data".to_owned()));
            assert!(Settings::read(&layers).is_ok());
            let (section, name) = key.split_once('.').unwrap();
            layers.merged[section].as_table_mut().unwrap().remove(name);
            assert!(Settings::read(&layers).is_err(), "nothing reads {key}");
        }
    }
}
