//! Masks over secrets in what is shown of files: terminals are recorded and shared.

use std::ops::Range;

use super::connection::NO_KEY;
use crate::config::CLIENT_KEY;

/// Text in place of a secret.
const MASK: &str = "***";
/// Endings of the names of secrets, in lower case.
const SECRET_NAMES: [&str; 5] = ["key", "token", "secret", "password", "authorization"];
/// Prefix of keys for the APIs of many vendors.
const KEY_PREFIX: &str = "sk-";
/// Minimum length of a key, prefix included; shorter words are ordinary ones.
const MIN_KEY_LENGTH: usize = 12;

/// Returns `text` without `key`, and without the other secrets that names and prefixes show.
pub(super) fn mask_secrets(text: &str, key: Option<&str>) -> String {
    let text = match key {
        Some(key) if !key.is_empty() => text.replace(key, MASK),
        _ => text.to_owned(),
    };
    let lines = text.split_inclusive('\n').map(mask_named_values);
    lines.map(|line| mask_keys(&line)).collect()
}

/// Masks the values of names such as `apiKey`.
fn mask_named_values(line: &str) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(at) = rest.find([':', '=']) {
        let after = &rest[at + 1..];
        masked.push_str(&rest[..=at]);
        let value = find_value(after);
        if is_secret_name(&rest[..at]) && is_secret_value(&after[value.clone()]) {
            masked.push_str(&after[..value.start]);
            masked.push_str(MASK);
            rest = &after[value.end..];
        } else {
            rest = after;
        }
    }
    masked.push_str(rest);
    masked
}

/// True if the name at the end of `text` is that of a secret.
fn is_secret_name(text: &str) -> bool {
    let name = text.trim_end().trim_end_matches(['"', '\'']);
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|ending| name.ends_with(ending))
}

/// False for values that only say where a key is, or that there is none.
fn is_secret_value(value: &str) -> bool {
    let is_object = value.is_empty() || value.starts_with('{');
    !is_object && value != NO_KEY && !value.contains(CLIENT_KEY)
}

/// Returns the place of the value at the beginning of `text`, without quotes; one without quotes
/// goes to the end of the line.
fn find_value(text: &str) -> Range<usize> {
    let start = text.len() - text.trim_start().len();
    let value = &text[start..];
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let start = start + 1;
            start..start + find_quote(&text[start..], quote)
        }
        _ => start..start + value.trim_end().len(),
    }
}

/// Returns the position of the first `quote` without a backslash before it, or the end.
fn find_quote(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let closing = text.char_indices().find(|(_, character)| {
        let closes = *character == quote && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        closes
    });
    closing.map_or(text.trim_end().len(), |(at, _)| at)
}

/// Masks words that are keys by their prefix.
fn mask_keys(line: &str) -> String {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    line.split_inclusive(|character: char| !is_word(character))
        .map(|piece| {
            let word = piece.trim_end_matches(|character: char| !is_word(character));
            if word.starts_with(KEY_PREFIX) && word.len() >= MIN_KEY_LENGTH {
                format!("{MASK}{}", &piece[word.len()..])
            } else {
                piece.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_other_values_shown() {
        for (line, shown) in [
            ("-openai-api-key: \"old\"\n", "-openai-api-key: \"***\"\n"),
            ("    apiKey: bare # note\n", "    apiKey: ***\n"),
            (
                "{\"A_TOKEN\": \"a\\\"b\", \"URL\": \"http://x\", \"n\": 1}\n",
                "{\"A_TOKEN\": \"***\", \"URL\": \"http://x\", \"n\": 1}\n",
            ),
            ("Authorization = 'Bearer x'\n", "Authorization = '***'\n"),
            ("api-key: openai=sk-ant-0123456789\n", "api-key: ***\n"),
            (" - openai=sk-ant-0123456789\n", " - openai=***\n"),
            ("a given one", "a *** one"),
            (
                "env_key = \"SWITCHBOARD_API_KEY\"\n",
                "env_key = \"SWITCHBOARD_API_KEY\"\n",
            ),
            (
                "\"apiKey\": \"{env:SWITCHBOARD_API_KEY}\",\n",
                "\"apiKey\": \"{env:SWITCHBOARD_API_KEY}\",\n",
            ),
            ("\"key\": {\"a\": 1}\n", "\"key\": {\"a\": 1}\n"),
            ("api_key:\n", "api_key:\n"),
            ("max_tokens = 5\n", "max_tokens = 5\n"),
        ] {
            assert_eq!(mask_secrets(line, Some("given")), shown);
        }
        assert_eq!(mask_secrets("a", Some("")), "a");
    }
}
