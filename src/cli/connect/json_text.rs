//! Changes of JSON as text, which keep its order, its spacing and its comments.

use std::ops::Range;

use serde_json::Value;

/// Indentation of a level in members that are inserted.
const INDENT: &str = "  ";

/// Member of an object: the names of the objects around it, its own name and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct JsonMember {
    pub(super) path: &'static [&'static str],
    pub(super) name: &'static str,
    pub(super) value: Value,
    /// Name of the member before it, for a member that is not in each change: one in another place
    /// is the user's.
    pub(super) behind: Option<&'static str>,
}

/// Reason why JSON cannot be changed, in words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct JsonRefusal(String);

/// Object in a text.
struct ObjectText {
    /// Position behind its opening brace.
    start: usize,
    /// Position of its closing brace.
    end: usize,
    members: Vec<MemberText>,
}

/// Member in a text.
struct MemberText {
    name: String,
    value: Range<usize>,
    /// Position behind the comma that follows, if there is one.
    after_comma: Option<usize>,
}

/// Inserts `member` at the beginning of its object, and creates the objects around it that are
/// missing.
///
/// # Errors
/// Fails when the text is not a JSON object, or the member exists.
pub(super) fn insert_member(text: &str, member: &JsonMember) -> Result<String, JsonRefusal> {
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let mut object = read_root(text)?;
    let mut depth = 1;
    let mut missing = [member.path, &[member.name]].concat();
    while let Some(found) = object.find(missing[0]) {
        if missing.len() == 1 {
            let name = [member.path, &[member.name]].concat().join(".");
            return Err(JsonRefusal(format!("`{name}` is set already")));
        }
        object = read_object(text, found.value.start)?;
        missing.remove(0);
        depth += 1;
    }
    let value = missing[1..].iter().rev().fold(member.value.clone(), wrap);
    Ok(object.insert(text, depth, missing[0], &value))
}

/// Removes `member`, and the objects around it that are empty then, except what `original` has.
///
/// # Errors
/// Fails when one of the texts is not a JSON object.
pub(super) fn remove_member(
    text: &str,
    member: &JsonMember,
    original: &str,
) -> Result<String, JsonRefusal> {
    let names = [member.path, &[member.name]].concat();
    let mut text = text.to_owned();
    if let Some(before) = member.behind
        && !stands_behind(&text, &names, before)?
    {
        return Ok(text);
    }
    for length in (1..=names.len()).rev() {
        let names = &names[..length];
        if text.trim().is_empty() || has_member(original, names)? {
            break;
        }
        if length < member.path.len() + 1 && !is_empty_object(&text, names)? {
            break;
        }
        text = remove_at(&text, names)?;
    }
    Ok(text)
}

/// True if `text` has the member that `names` lead to.
pub(super) fn has_member(text: &str, names: &[&str]) -> Result<bool, JsonRefusal> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    Ok(find_parent(text, names)?.is_some_and(|(object, name)| object.find(name).is_some()))
}

/// True if the member that `names` lead to is the one behind the member `before`.
fn stands_behind(text: &str, names: &[&str], before: &str) -> Result<bool, JsonRefusal> {
    if text.trim().is_empty() {
        return Ok(false);
    }
    let Some((object, name)) = find_parent(text, names)? else {
        return Ok(false);
    };
    let mut pairs = object.members.windows(2);
    Ok(pairs.any(|pair| pair[0].name == before && pair[1].name == name))
}

/// Wraps `value` in an object as its member `name`.
fn wrap(value: Value, name: &&str) -> Value {
    Value::Object([((*name).to_owned(), value)].into_iter().collect())
}

fn is_empty_object(text: &str, names: &[&str]) -> Result<bool, JsonRefusal> {
    let Some((parent, name)) = find_parent(text, names)? else {
        return Ok(false);
    };
    let Some(found) = parent.find(name) else {
        return Ok(false);
    };
    let object = read_object(text, found.value.start)?;
    Ok(text[object.start..object.end].trim().is_empty())
}

/// Returns the object that the names before the last lead to, and the last name; `None` if there is
/// no such object.
fn find_parent<'n>(
    text: &str,
    names: &[&'n str],
) -> Result<Option<(ObjectText, &'n str)>, JsonRefusal> {
    let Some((last, path)) = names.split_last() else {
        return Ok(None);
    };
    let mut object = read_root(text)?;
    for name in path {
        let Some(found) = object.find(name) else {
            return Ok(None);
        };
        object = read_object(text, found.value.start)?;
    }
    Ok(Some((object, *last)))
}

fn remove_at(text: &str, names: &[&str]) -> Result<String, JsonRefusal> {
    let Some((object, name)) = find_parent(text, names)? else {
        return Ok(text.to_owned());
    };
    Ok(object.remove(text, name))
}

impl ObjectText {
    fn find(&self, name: &str) -> Option<&MemberText> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Returns `text` with a member at the beginning of this object, which is `depth` objects deep.
    fn insert(&self, text: &str, depth: usize, name: &str, value: &Value) -> String {
        let indent = INDENT.repeat(depth);
        // The pretty form of a JSON value always exists.
        let value = serde_json::to_string_pretty(value).unwrap_or_default();
        let value = value.replace('\n', &format!("\n{indent}"));
        let head = &text[..self.start];
        let inside = &text[self.start..self.end];
        let tail = &text[self.end..];
        let member = format!("\n{indent}\"{name}\": {value}");
        if inside.trim().is_empty() {
            let outer = INDENT.repeat(depth - 1);
            return format!("{head}{member}\n{outer}{tail}");
        }
        let comma = if self.members.is_empty() { "" } else { "," };
        format!("{head}{member}{comma}{inside}{tail}")
    }

    /// Returns `text` without the member `name`.
    fn remove(&self, text: &str, name: &str) -> String {
        let Some(index) = self.members.iter().position(|member| member.name == name) else {
            return text.to_owned();
        };
        let member = &self.members[index];
        let before = index.checked_sub(1).map(|before| &self.members[before]);
        let removed = match (before, member.after_comma) {
            (_, Some(after)) => {
                let from = before.and_then(|before| before.after_comma);
                from.unwrap_or(self.start)..after
            }
            // The last member goes with the comma before it.
            (Some(before), None) => before.value.end..member.value.end,
            (None, None) if text[member.value.end..self.end].trim().is_empty() => {
                self.start..self.end
            }
            (None, None) => self.start..member.value.end,
        };
        format!("{}{}", &text[..removed.start], &text[removed.end..])
    }
}

/// Reads the object that `text` is.
fn read_root(text: &str) -> Result<ObjectText, JsonRefusal> {
    let mut scanner = JsonScanner { text, at: 0 };
    scanner.skip_blank();
    let object = read_object(text, scanner.at)?;
    scanner.at = object.end + 1;
    scanner.skip_blank();
    if scanner.at == text.len() {
        Ok(object)
    } else {
        Err(JsonRefusal(
            "there is text behind the JSON object in it".to_owned(),
        ))
    }
}

/// Reads the object that begins at `start`.
fn read_object(text: &str, start: usize) -> Result<ObjectText, JsonRefusal> {
    let mut scanner = JsonScanner { text, at: start };
    scanner.expect(b'{')?;
    let start = scanner.at;
    let mut members = Vec::new();
    loop {
        scanner.skip_blank();
        if scanner.peek() == Some(b'}') {
            return Ok(ObjectText {
                start,
                end: scanner.at,
                members,
            });
        }
        let name = scanner.read_string()?;
        let name = serde_json::from_str(&text[name]).map_err(|_| scanner.refuse())?;
        scanner.skip_blank();
        scanner.expect(b':')?;
        scanner.skip_blank();
        let value = scanner.read_value()?;
        scanner.skip_blank();
        let has_comma = scanner.peek() == Some(b',');
        if has_comma {
            scanner.at += 1;
        } else if scanner.peek() != Some(b'}') {
            return Err(scanner.refuse());
        }
        members.push(MemberText {
            name,
            value,
            after_comma: has_comma.then_some(scanner.at),
        });
    }
}

/// Position in JSON with comments.
struct JsonScanner<'t> {
    text: &'t str,
    at: usize,
}

impl JsonScanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn refuse(&self) -> JsonRefusal {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        JsonRefusal(format!("it is not a JSON object (see line {line})"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonRefusal> {
        if self.peek() != Some(byte) {
            return Err(self.refuse());
        }
        self.at += 1;
        Ok(())
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) {
        loop {
            let rest = &self.text[self.at..];
            let end = if rest.starts_with("//") {
                rest.find('\n')
            } else if rest.starts_with("/*") {
                rest.find("*/").map(|at| at + 2)
            } else {
                let text = rest.trim_start_matches([' ', '\t', '\n', '\r']);
                if text.len() == rest.len() {
                    return;
                }
                Some(rest.len() - text.len())
            };
            self.at += end.unwrap_or(rest.len());
        }
    }

    /// Reads a string and returns its range, with the quotes.
    fn read_string(&mut self) -> Result<Range<usize>, JsonRefusal> {
        let start = self.at;
        self.expect(b'"')?;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Ok(start..self.at);
            }
        }
        Err(self.refuse())
    }

    /// Reads any value and returns its range.
    fn read_value(&mut self) -> Result<Range<usize>, JsonRefusal> {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.read_string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1).ok_or_else(|| self.refuse())?;
                    self.at += 1;
                }
                b'/' => {
                    let before = self.at;
                    self.skip_blank();
                    if self.at == before {
                        return Err(self.refuse());
                    }
                }
                _ if depth == 0 => self.skip_scalar(),
                _ => self.at += 1,
            }
            if depth == 0 {
                break;
            }
        }
        if depth == 0 && self.at > start {
            Ok(start..self.at)
        } else {
            Err(self.refuse())
        }
    }

    /// Skips a number, `true`, `false` or `null`.
    fn skip_scalar(&mut self) {
        let rest = &self.text[self.at..];
        let is_end =
            |character: char| !character.is_ascii_alphanumeric() && !"+-.".contains(character);
        self.at += rest.find(is_end).unwrap_or(rest.len());
    }
}

#[cfg(test)]
#[path = "json_text_tests.rs"]
mod tests;
