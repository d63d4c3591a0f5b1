//! Parser of keys and values of directives.

use std::str::FromStr;

use serde_json::Value;

/// Splits `text` after its leading key, which may be empty.
pub(crate) fn split_key(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Parses the value of `key` and returns it with the rest of the text.
pub(crate) fn read_value<'a>(key: &str, written: &'a str) -> Result<(String, &'a str), String> {
    if matches!(key, "input" | "block" | "delta") {
        return read_object(key, written);
    }
    if let Some(quoted) = written.strip_prefix('"') {
        return read_quoted(quoted)
            .ok_or_else(|| format!("directive `{key}`: the closing quote is missing"));
    }
    let space = written.find(char::is_whitespace).unwrap_or(written.len());
    let end = written.find("]]").unwrap_or(written.len()).min(space);
    Ok((written[..end].to_owned(), &written[end..]))
}

fn read_quoted(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[index + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

/// Splits off a JSON object, which may itself contain `]]`, as written.
fn read_object<'a>(key: &str, written: &'a str) -> Result<(String, &'a str), String> {
    let mut values = serde_json::Deserializer::from_str(written).into_iter::<Value>();
    match values.next() {
        Some(Ok(Value::Object(_))) => {
            let (object, rest) = written.split_at(values.byte_offset());
            Ok((object.to_owned(), rest))
        }
        Some(Err(error)) => Err(format!("directive `{key}`: {error}")),
        _ => Err(format!("directive `{key}`: expected a JSON object")),
    }
}

/// Parses a value from [`read_value`] as JSON object; the value of a bare word is no object.
pub(crate) fn object(key: &str, value: &str) -> Result<Value, String> {
    serde_json::from_str(value).map_err(|_| format!("directive `{key}`: expected a JSON object"))
}

/// Parses the value of `key` as a whole number.
pub(crate) fn number<T: FromStr>(key: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("directive `{key}`: expected a whole number, got `{value}`"))
}
