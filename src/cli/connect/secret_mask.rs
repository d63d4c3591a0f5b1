//! Masks over secrets in what is shown of files: terminals are recorded and shared.

use std::ops::Range;

use super::connection::NO_KEY;
use crate::config::CLIENT_KEY;

/// Text in place of a secret.
const MASK: &str = "***";
/// Endings of the names of secrets, in lower case.
const SECRET_NAMES: [&str; 8] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "credentials",
    "authorization",
];
/// Last word of the names of personal access tokens, in lower case.
const ACCESS_TOKEN: &str = "pat";
/// Prefixes of keys for the APIs of many vendors.
const KEY_PREFIXES: [&str; 6] = ["sk-", "ghp_", "github_pat_", "AIza", "gsk_", "xox"];
/// Text between the scheme of a URL and its user.
const AUTHORITY: &str = "://";
/// Beginning of an item of a list in YAML.
const ITEM: &str = "- ";
/// Minimum length of a key, prefix included; shorter words are ordinary ones.
const MIN_KEY_LENGTH: usize = 12;

/// Returns `text` without `key`, and without the other secrets that names and prefixes show.
pub(super) fn mask_secrets(text: &str, key: Option<&str>) -> String {
    let text = match key {
        Some(key) if !key.is_empty() => text.replace(key, MASK),
        _ => text.to_owned(),
    };
    text.split_inclusive('\n').map(mask_line).collect()
}

/// Returns a unified diff without `key` and the other secrets. Lines that stay are those of others:
/// values of environment variables in them are masked too.
pub(super) fn mask_diff(diff: &str, key: Option<&str>) -> String {
    let mut masked = String::new();
    let mut is_in_secrets = false;
    for line in mask_secrets(diff, key).split_inclusive('\n') {
        let Some(body) = line.strip_prefix([' ', '+', '-']) else {
            is_in_secrets = false;
            masked.push_str(line);
            continue;
        };
        let is_item = body.trim_start().starts_with(ITEM);
        is_in_secrets = is_secret_list(body) || (is_in_secrets && is_item);
        masked.push_str(&line[..1]);
        let shown = if is_in_secrets && is_item {
            mask_item(body)
        } else if line.starts_with(' ') {
            mask_variables(body, is_item)
        } else {
            body.to_owned()
        };
        masked.push_str(&shown);
    }
    masked
}

fn mask_line(line: &str) -> String {
    let line = mask_users(line);
    let line = mask_named_values(&line, is_secret_name);
    mask_keys(&line)
}

/// Masks what stands before the host of a URL: the password, or else the user.
fn mask_users(line: &str) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(AUTHORITY) {
        let (before, after) = rest.split_at(at + AUTHORITY.len());
        masked.push_str(before);
        rest = after;
        let is_end = |character: char| character.is_whitespace() || "/\"'".contains(character);
        let authority = after.split(is_end).next().unwrap_or_default();
        let Some((user, _)) = authority.rsplit_once('@') else {
            continue;
        };
        if let Some((name, _)) = user.split_once(':') {
            masked.push_str(name);
            masked.push(':');
        }
        masked.push_str(MASK);
        rest = &after[user.len()..];
    }
    masked.push_str(rest);
    masked
}

/// Masks the values of environment variables, also in an item such as `- NAME=value`.
fn mask_variables(body: &str, is_item: bool) -> String {
    match body.split_once('=') {
        Some((name, value)) if is_item => {
            let end = &value[value.trim_end().len()..];
            format!("{name}={MASK}{end}")
        }
        _ => mask_named_values(body, is_variable_name),
    }
}

/// Masks the text of an item of a list.
fn mask_item(body: &str) -> String {
    let indentation = body.len() - body.trim_start().len();
    let text = body.trim_end();
    let (before, end) = (&body[..indentation], &body[text.len()..]);
    format!("{before}{ITEM}{MASK}{end}")
}

/// True if a line ends with the name of secrets, whose list follows.
fn is_secret_list(body: &str) -> bool {
    let name = body.trim_end().strip_suffix(':');
    name.is_some_and(is_secret_name)
}

/// Masks the values whose names, at the end of the text before them, satisfy `is_masked`.
fn mask_named_values(line: &str, is_masked: fn(&str) -> bool) -> String {
    let mut masked = String::new();
    let mut rest = line;
    while let Some(at) = rest.find([':', '=']) {
        let after = &rest[at + 1..];
        masked.push_str(&rest[..=at]);
        let value = find_value(after);
        if is_masked(&rest[..at]) && is_secret_value(&after[value.clone()]) {
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
    let is_access_token = name
        .strip_suffix(ACCESS_TOKEN)
        .is_some_and(|rest| !rest.ends_with(char::is_alphanumeric));
    is_access_token || SECRET_NAMES.iter().any(|ending| name.ends_with(ending))
}

/// True if the name at the end of `text` is written as those of environment variables are.
fn is_variable_name(text: &str) -> bool {
    let name = text.trim_end().trim_end_matches(['"', '\'']);
    let is_in_name = |character: char| character.is_alphanumeric() || character == '_';
    let name = name.rsplit(|character: char| !is_in_name(character)).next();
    let name = name.unwrap_or_default();
    let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() > 1
        && name.bytes().all(is_upper)
        && !name.starts_with(|first: char| first.is_ascii_digit())
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
            let is_key = KEY_PREFIXES.iter().any(|prefix| word.starts_with(prefix));
            if is_key && word.len() >= MIN_KEY_LENGTH {
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
            ("GITHUB_PAT = \"abc\"\n", "GITHUB_PAT = \"***\"\n"),
            ("compat = \"abc\"\n", "compat = \"abc\"\n"),
            ("db_passwd: abc\n", "db_passwd: ***\n"),
            ("credentials: abc\n", "credentials: ***\n"),
            ("use ghp_0123456789 or xoxb-0123456789", "use *** or ***"),
            ("use AIza0123456789 or gsk_0123456789", "use *** or ***"),
            ("an xoxb word", "an xoxb word"),
            (
                "url = \"http://me:abc@host/a@b\"\n",
                "url = \"http://me:***@host/a@b\"\n",
            ),
            ("url = \"http://abc@host\"\n", "url = \"http://***@host\"\n"),
            ("url = \"http://host:80\"\n", "url = \"http://host:80\"\n"),
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

    #[test]
    fn lines_of_a_diff_that_stay_show_no_variables_and_no_listed_keys() {
        for (diff, shown) in [
            (" \"DB_URL\": \"abc\",\n", " \"DB_URL\": \"***\",\n"),
            (" env = { DB = 'abc' }\n", " env = { DB = '***' }\n"),
            (" - NAME=abc\n", " - NAME=***\n"),
            (" modelName: \"a\"\n", " modelName: \"a\"\n"),
            (
                "+\"BASE_URL\": \"http://x\"\n",
                "+\"BASE_URL\": \"http://x\"\n",
            ),
            (
                "@@ -1 +1 @@\n api-key:\n   - abc\n-  - def\n names:\n   - abc\n",
                "@@ -1 +1 @@\n api-key:\n   - ***\n-  - ***\n names:\n   - abc\n",
            ),
        ] {
            assert_eq!(mask_diff(diff, None), shown);
        }
    }
}
