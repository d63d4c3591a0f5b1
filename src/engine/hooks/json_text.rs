//! Strings inside JSON text, read without their escapes and rewritten in place.
//!
//! Works on JSON that is cut off in the middle as well, such as the input of a tool call that met
//! the token limit.

use std::borrow::Cow;
use std::str::Chars;

/// Rewrites the strings, the names and the numbers in `json`: `rewrite` gets each without escapes,
/// and returns what replaces it, if anything.
///
/// Values of the names in `kept` are left as they are.
/// Returns `None` if nothing was replaced. A replaced number becomes a string.
pub(super) fn rewrite_json<E>(
    json: &str,
    kept: &[&str],
    rewrite: &mut impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let mut rewritten = String::new();
    let mut copied = 0;
    let mut position = 0;
    let mut name = String::new();
    while let Some(token) = next_token(json, position) {
        position = token.end;
        let is_name = token.is_string && token.is_closed && is_before_colon(&json[token.end..]);
        let is_kept = !is_name && kept.contains(&name.as_str());
        let new = if is_kept { None } else { rewrite(&token.text)? };
        if is_name {
            name = token.text.into_owned();
        }
        if let Some(new) = new {
            rewritten.push_str(&json[copied..token.start]);
            let literal = serde_json::Value::String(new).to_string();
            let is_whole = token.is_closed || !token.is_string;
            let end = literal.len() - usize::from(!is_whole);
            rewritten.push_str(&literal[..end]);
            copied = token.end;
        }
    }
    if copied == 0 {
        return Ok(None);
    }
    rewritten.push_str(&json[copied..]);
    Ok(Some(rewritten))
}

/// String or number in JSON text.
struct Token<'a> {
    start: usize,
    end: usize,
    /// Text of a string without escapes, or the digits of a number.
    text: Cow<'a, str>,
    is_string: bool,
    /// False for a string that has no end.
    is_closed: bool,
}

/// Finds the first string or number at or behind `position`.
fn next_token(json: &str, position: usize) -> Option<Token<'_>> {
    let is_start = |byte: u8| matches!(byte, b'"' | b'-' | b'0'..=b'9');
    let bytes = json.as_bytes();
    let start = position + bytes[position..].iter().position(|byte| is_start(*byte))?;
    if bytes[start] != b'"' {
        let is_inside = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let length = bytes[start..]
            .iter()
            .take_while(|byte| is_inside(byte))
            .count();
        let end = start + length;
        return Some(Token {
            start,
            end,
            text: Cow::Borrowed(&json[start..end]),
            is_string: false,
            is_closed: true,
        });
    }
    let mut end = start + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        // An escaped quote does not end the string.
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let is_closed = end < bytes.len();
    // An escape may be cut off behind its backslash.
    let content_end = end.min(bytes.len());
    Some(Token {
        start,
        end: content_end + usize::from(is_closed),
        text: unescape(json.get(start + 1..content_end).unwrap_or_default()),
        is_string: true,
        is_closed,
    })
}

fn is_before_colon(rest: &str) -> bool {
    rest.trim_start().starts_with(':')
}

/// Returns the text of the content of a JSON string. An escape that is cut off is left out, and half
/// a surrogate pair becomes U+FFFD.
fn unescape(content: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', content.as_bytes()).is_none() {
        return Cow::Borrowed(content);
    }
    let mut text = String::with_capacity(content.len());
    let mut characters = content.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r') => text.push('\r'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('u') => text.extend(unicode_escape(&mut characters)),
            Some(other) => text.push(other),
            None => {}
        }
    }
    Cow::Owned(text)
}

/// Reads the digits of a `\u` escape, and the second half of a pair.
fn unicode_escape(characters: &mut Chars<'_>) -> Option<char> {
    let first = hex_unit(characters)?;
    if !(0xD800..0xDC00).contains(&first) {
        return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut ahead = characters.clone();
    if ahead.next() == Some('\\') && ahead.next() == Some('u') {
        let second = hex_unit(&mut ahead)?;
        if (0xDC00..0xE000).contains(&second) {
            *characters = ahead;
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            return char::from_u32(code);
        }
    }
    Some(char::REPLACEMENT_CHARACTER)
}

fn hex_unit(characters: &mut Chars<'_>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + characters.next()?.to_digit(16)?;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn masked(json: &str, kept: &[&str]) -> Option<String> {
        let mut rewrite = |text: &str| {
            let has = text.contains("word") || text.contains("4242");
            Ok::<_, Infallible>(has.then(|| text.replace("word", "*").replace("4242", "#")))
        };
        rewrite_json(json, kept, &mut rewrite).unwrap()
    }

    #[test]
    fn strings_names_and_numbers_are_rewritten_and_the_rest_is_kept() {
        for (json, expected) in [
            (r#"{"a": "no", "b": [1.50, true]}"#, None),
            (
                r#"{"a": "a word", "b": 1.50}"#,
                Some(r#"{"a": "a *", "b": 1.50}"#),
            ),
            (
                r#"{"\u0077ord": "\"\u0077\u006frd\""}"#,
                Some(r#"{"*": "\"*\""}"#),
            ),
            (r#"{"card": 42421}"#, Some(r##"{"card": "#1"}"##)),
            (
                r#"{"id": "word", "x": "word"}"#,
                Some(r#"{"id": "word", "x": "*"}"#),
            ),
            (r#""\ud83d\ude00 word""#, Some("\"😀 *\"")),
            (r#""\ud83d word""#, Some("\"\u{fffd} *\"")),
        ] {
            assert_eq!(masked(json, &["id"]).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn json_that_is_cut_off_is_rewritten_up_to_its_end() {
        for (json, expected) in [
            (r#"{"a": "a \u0077ord and"#, Some(r#"{"a": "a * and"#)),
            (r#"{"a": "word\"#, Some(r#"{"a": "*"#)),
            (r#"{"a": "word\u00"#, Some(r#"{"a": "*"#)),
            (r#"{"a": "wor\u00"#, None),
            (r#"{"a": 4242"#, Some(r##"{"a": "#""##)),
            ("", None),
        ] {
            assert_eq!(masked(json, &[]).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn text_with_any_characters_survives() {
        proptest::proptest!(|(text: String)| {
            let json = serde_json::Value::String(text.clone()).to_string();
            let mut seen = None;
            let mut see = |text: &str| {
                seen = Some(text.to_owned());
                Ok::<_, Infallible>(None)
            };
            rewrite_json(&json, &[], &mut see).unwrap();
            proptest::prop_assert_eq!(seen, Some(text));
        });
    }
}
