//! Strings inside JSON text, read without their escapes and rewritten in place.
//!
//! Works on JSON that is cut off in the middle as well, such as the input of a tool call that met
//! the token limit.

use std::borrow::Cow;
use std::convert::Infallible;
use std::str::Chars;

/// Member of blocks whose value has no known form: the input of a tool.
const FREE_MEMBER: &str = "input";

/// Form of JSON, which decides which parts are content that may be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonForm {
    /// Any form: strings, names and numbers are content.
    Free,
    /// Content block. Member names, and the values of the members in `unfiltered`, are no content,
    /// except inside the input of a tool.
    Block { unfiltered: &'static [&'static str] },
}

/// Place in JSON, by the names of the members around it.
#[derive(Default)]
struct JsonPlace {
    /// Name of the member that is read. Items of a list have the name of the list.
    name: String,
    /// Names of the members whose objects and lists are open.
    outer: Vec<String>,
    /// Number of them that are the input of a tool.
    inputs: usize,
}

/// Piece of JSON text that matters here.
enum Token<'a> {
    /// Start of an object or a list, at this position.
    Opening(usize),
    /// End of an object or a list, at this position.
    Closing(usize),
    Literal(Literal<'a>),
}

/// String or number in JSON text.
struct Literal<'a> {
    start: usize,
    end: usize,
    /// Text of a string without escapes, or the digits of a number.
    text: Cow<'a, str>,
    is_string: bool,
    /// False for a string that has no end.
    is_closed: bool,
}

/// Rewrites the content of `json`: `rewrite` gets each string, name and number without escapes, and
/// returns what replaces it, if anything.
///
/// Returns `None` if nothing was replaced. A replaced number becomes a string.
pub(super) fn rewrite_json<E>(
    json: &str,
    form: JsonForm,
    rewrite: &mut impl FnMut(&str) -> Result<Option<String>, E>,
) -> Result<Option<String>, E> {
    let mut rewritten = String::new();
    let mut copied = 0;
    let mut position = 0;
    let mut place = JsonPlace::default();
    while let Some(token) = next_token(json, position) {
        let literal = match token {
            Token::Opening(at) => {
                place.open();
                position = at + 1;
                continue;
            }
            Token::Closing(at) => {
                place.close();
                position = at + 1;
                continue;
            }
            Token::Literal(literal) => literal,
        };
        position = literal.end;
        let is_name =
            literal.is_string && literal.is_closed && is_before_colon(&json[literal.end..]);
        let new = if place.has_content(form, is_name) {
            rewrite(&literal.text)?
        } else {
            None
        };
        if is_name {
            place.name = literal.text.into_owned();
        }
        if let Some(new) = new {
            rewritten.push_str(&json[copied..literal.start]);
            let quoted = serde_json::Value::String(new).to_string();
            let is_whole = literal.is_closed || !literal.is_string;
            let length = quoted.len() - usize::from(!is_whole);
            rewritten.push_str(&quoted[..length]);
            copied = literal.end;
        }
    }
    if copied == 0 {
        return Ok(None);
    }
    rewritten.push_str(&json[copied..]);
    Ok(Some(rewritten))
}

/// Counts the characters of the content of `json`, without quotes and escapes.
pub(super) fn count_characters(json: &str, form: JsonForm) -> usize {
    let mut characters = 0;
    let mut count = |text: &str| {
        characters += text.chars().count();
        Ok::<_, Infallible>(None)
    };
    let Ok(_) = rewrite_json(json, form, &mut count);
    characters
}

impl JsonPlace {
    /// Enters an object or a list.
    fn open(&mut self) {
        self.inputs += usize::from(self.name == FREE_MEMBER);
        self.outer.push(self.name.clone());
    }

    /// Leaves an object or a list, to the member that it is the value of.
    fn close(&mut self) {
        self.name = self.outer.pop().unwrap_or_default();
        self.inputs -= usize::from(self.name == FREE_MEMBER);
    }

    /// True if a literal here is content.
    fn has_content(&self, form: JsonForm, is_name: bool) -> bool {
        match form {
            JsonForm::Free => true,
            JsonForm::Block { unfiltered } => {
                self.inputs > 0 || (!is_name && !unfiltered.contains(&self.name.as_str()))
            }
        }
    }
}

/// Finds the first token at or behind `position`.
fn next_token(json: &str, position: usize) -> Option<Token<'_>> {
    let is_start = |byte: u8| matches!(byte, b'"' | b'-' | b'0'..=b'9' | b'{' | b'}' | b'[' | b']');
    let bytes = json.as_bytes();
    let start = position + bytes[position..].iter().position(|byte| is_start(*byte))?;
    Some(match bytes[start] {
        b'{' | b'[' => Token::Opening(start),
        b'}' | b']' => Token::Closing(start),
        b'"' => Token::Literal(read_string(json, start)),
        _ => Token::Literal(read_number(json, start)),
    })
}

/// Reads the number that begins at `start`.
fn read_number(json: &str, start: usize) -> Literal<'_> {
    let is_inside = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    let rest = json.as_bytes()[start..].iter();
    let end = start + rest.take_while(|byte| is_inside(byte)).count();
    Literal {
        start,
        end,
        text: Cow::Borrowed(&json[start..end]),
        is_string: false,
        is_closed: true,
    }
}

/// Reads the string whose opening quote is at `start`.
fn read_string(json: &str, start: usize) -> Literal<'_> {
    let bytes = json.as_bytes();
    let mut end = start + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        // An escaped quote does not end the string.
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    let is_closed = end < bytes.len();
    // An escape may be cut off behind its backslash.
    let content_end = end.min(bytes.len());
    Literal {
        start,
        end: content_end + usize::from(is_closed),
        text: unescape(json.get(start + 1..content_end).unwrap_or_default()),
        is_string: true,
        is_closed,
    }
}

fn is_before_colon(rest: &str) -> bool {
    rest.trim_start().starts_with(':')
}

/// Returns the text of the content of a JSON string. An escape that is cut off is left out, and
/// half a surrogate pair becomes U+FFFD.
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
#[path = "json_text_tests.rs"]
mod tests;
