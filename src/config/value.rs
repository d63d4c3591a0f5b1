//! Types of values: the type of a key follows from its default.

use strsim::levenshtein;
use toml::{Table, Value};

/// Maximum of a number; negative ones are not allowed either.
const MAX_NUMBER: i64 = u32::MAX as i64;

/// Describes the type of a key with this default, in words.
pub(super) fn describe_expected(default: &Value) -> String {
    match default {
        Value::String(_) => "a text".to_owned(),
        Value::Integer(example) => format!("a whole number, such as {example}"),
        Value::Float(example) => format!("a number, such as {example}"),
        Value::Boolean(_) => "true or false".to_owned(),
        Value::Datetime(_) => "a date".to_owned(),
        Value::Array(_) => "a list of texts, such as [\"a\", \"b\"]".to_owned(),
        Value::Table(_) => "a table of texts, such as { \"gpt-4o\" = \"opus\" }".to_owned(),
    }
}

/// Describes the type of `value`, in words; never the value itself, which may be a secret.
pub(super) fn describe_found(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(number) if *number < 0 => "a negative number",
        Value::Integer(number) if *number > MAX_NUMBER => "a number that is too large",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list of something else",
        Value::Table(_) => "a table of something else",
    }
}

/// Returns true if `value` has the type of `default`. Lists and tables hold strings.
pub(super) fn fits(default: &Value, value: &Value) -> bool {
    match (default, value) {
        (Value::Integer(_), Value::Integer(number)) => (0..=MAX_NUMBER).contains(number),
        (Value::Array(_), Value::Array(items)) => items.iter().all(Value::is_str),
        (Value::Table(_), Value::Table(table)) => table.values().all(Value::is_str),
        _ => default.same_type(value),
    }
}

/// Returns true if `value` is a list of tables.
pub(super) fn is_table_list(value: &Value) -> bool {
    matches!(value, Value::Array(items) if items.iter().all(Value::is_table))
}

/// Returns true if `value` is a table of tables.
pub(super) fn is_table_section(value: &Value) -> bool {
    matches!(value, Value::Table(tables) if tables.values().all(Value::is_table))
}

/// Parses the text of a variable as a list of tables; an empty text is an empty list.
///
/// # Errors
/// Returns the type that was found instead, in words.
pub(super) fn parse_table_list(text: &str) -> Result<Value, &'static str> {
    let value = parse_or_empty(text, Value::Array(Vec::new()));
    value.filter(is_table_list).ok_or("another text")
}

/// Parses the text of a variable as a table of tables; an empty text is an empty table.
///
/// # Errors
/// Returns the type that was found instead, in words.
pub(super) fn parse_table_section(text: &str) -> Result<Value, &'static str> {
    let value = parse_or_empty(text, Value::Table(Table::new()));
    value.filter(is_table_section).ok_or("another text")
}

/// Parses the text of a variable as a value of TOML; an empty text is `empty`. Returns `None` if it
/// is no value.
fn parse_or_empty(text: &str, empty: Value) -> Option<Value> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Some(empty);
    }
    let mut table = format!("value = {trimmed}").parse::<Table>().ok()?;
    table.remove("value").filter(|_| table.is_empty())
}

/// Parses the text of a variable as the type of `default`.
///
/// # Errors
/// Returns the type that was found instead, in words.
pub(super) fn parse(default: &Value, text: &str) -> Result<Value, &'static str> {
    let trimmed = text.trim();
    let value = match default {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Array(_) if !trimmed.starts_with('[') => {
            let items = trimmed
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => {
            let mut table: Table = format!("value = {trimmed}")
                .parse()
                .map_err(|_| "another text")?;
            table
                .remove("value")
                .filter(|_| table.is_empty())
                .ok_or("another text")?
        }
    };
    if fits(default, &value) {
        Ok(value)
    } else {
        Err(describe_found(&value))
    }
}

/// Returns the known key most similar to `name`, if one is similar enough. Both are dotted keys.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let score = |key: &&str| levenshtein(name, key).min(levenshtein(&last(name), &last(key)) + 1);
    // Among keys whose last part is equally similar, the one whose section matches better wins.
    known
        .min_by_key(|key| (score(key), levenshtein(name, key)))
        .filter(|key| score(key) <= 1 + name.len() / 4)
}

#[cfg(test)]
mod tests {
    use super::{nearest, parse};
    use toml::Value;

    #[test]
    fn variable_is_parsed_by_the_type_of_the_default() {
        let list = Value::Array(Vec::new());
        let number = Value::Integer(5);
        let table = Value::Table(toml::Table::new());
        let read = |default: &Value, text| parse(default, text).ok().map(|value| value.to_string());
        assert_eq!(read(&number, " 3 ").as_deref(), Some("3"));
        assert_eq!(read(&number, "three"), None);
        assert_eq!(read(&number, "-3"), None);
        assert_eq!(read(&number, "3\nother = 4"), None);
        assert_eq!(
            read(&Value::Boolean(false), "true").as_deref(),
            Some("true")
        );
        assert_eq!(read(&Value::Boolean(false), "yes"), None);
        assert_eq!(read(&list, "a, b,").as_deref(), Some(r#"["a", "b"]"#));
        assert_eq!(read(&list, r#"["a,b"]"#).as_deref(), Some(r#"["a,b"]"#));
        assert_eq!(read(&list, "[1]"), None);
        assert_eq!(read(&list, "").as_deref(), Some("[]"));
        assert_eq!(
            read(&table, r#"{"gpt-4o" = "opus"}"#).as_deref(),
            Some(r#"{ gpt-4o = "opus" }"#)
        );
        assert_eq!(read(&table, "gpt-4o=opus"), None);
    }

    #[test]
    fn nearest_key_is_found_across_sections_and_separators() {
        let known = || ["pool.max_workers", "pool.max_turns", "server.listen"].into_iter();
        assert_eq!(
            nearest("pool.max_worker", known()),
            Some("pool.max_workers")
        );
        assert_eq!(
            nearest("server.max_workers", known()),
            Some("pool.max_workers")
        );
        assert_eq!(
            nearest("pool_max_workers", known()),
            Some("pool.max_workers")
        );
        assert_eq!(nearest("entirely.different", known()), None);
    }
}
