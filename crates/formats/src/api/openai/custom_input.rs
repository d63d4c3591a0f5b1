//! Custom tools: client tools that take plain text instead of JSON. Claude sees each as a function
//! with one string.

use serde_json::Value;
use serde_json::json;

/// Schema of the function that replaces a custom tool.
pub(super) const SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string","description":"The whole input of the tool, as plain text."}},"required":["input"],"additionalProperties":false}"#;

/// Grammar that the input of a custom tool must match.
#[derive(Debug)]
pub(super) struct Grammar {
    /// Syntax of the definition: `lark` or `regex`.
    pub(super) syntax: String,
    pub(super) definition: String,
}

/// Builds the description that Claude sees, which states the grammar.
pub(super) fn description(description: Option<String>, grammar: Option<Grammar>) -> Option<String> {
    let Some(Grammar { syntax, definition }) = grammar else {
        return description;
    };
    let rule = format!(
        "`input` must match this grammar ({syntax}), exactly and with nothing around it:\n{definition}"
    );
    Some(description.map_or_else(|| rule.clone(), |words| format!("{words}\n\n{rule}")))
}

/// Wraps the text `input` as the JSON arguments of the function that replaces a custom tool.
pub(super) fn wrap_text(input: &str) -> String {
    json!({"input": input}).to_string()
}

/// Extracts the text from the arguments; from truncated arguments, the text up to the cut.
pub(super) fn extract_text(arguments: &str) -> String {
    let mut text = CustomInputParser::default();
    text.push(arguments);
    text.finish();
    text.text().to_owned()
}

/// Incremental parser of the text in `{"input": "..."}` as its JSON streams in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CustomInputParser {
    json: String,
    /// Number of bytes of the JSON that are parsed; none until the text has begun.
    position: Option<usize>,
    /// True if the closing quote is parsed.
    is_complete: bool,
    /// Text parsed so far.
    text: String,
}

impl CustomInputParser {
    /// Appends a piece of the JSON; returns the piece of the text that it completes.
    pub(super) fn push(&mut self, piece: &str) -> String {
        self.json.push_str(piece);
        self.position = self.position.or_else(|| text_start(&self.json));
        let before = self.text.len();
        while let (Some(read), false) = (self.position, self.is_complete) {
            // Never panics: `read` only moves past whole characters.
            let rest = &self.json[read..];
            let end = rest.find(['"', '\\']).unwrap_or(rest.len());
            self.text.push_str(&rest[..end]);
            self.position = Some(read + end);
            match parse_token(&rest[end..]) {
                Some(JsonStringToken::Quote) => self.is_complete = true,
                Some(JsonStringToken::Character(character, length)) => {
                    self.text.push(character);
                    self.position = Some(read + end + length);
                }
                None => break,
            }
        }
        self.text[before..].to_owned()
    }

    /// Ends the input; returns the rest of the text. Arguments in any other form are taken as the
    /// text itself.
    pub(super) fn finish(&mut self) -> String {
        if self.position.is_some() {
            return String::new();
        }
        let value: Value = serde_json::from_str(&self.json).unwrap_or_default();
        let rest = value["input"]
            .as_str()
            .map_or_else(|| self.json.clone(), str::to_owned);
        self.position = Some(self.json.len());
        self.is_complete = true;
        self.text.push_str(&rest);
        rest
    }

    /// Returns the text parsed so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Returns the offset of the first byte of the text in `json`, if its opening quote has arrived.
fn text_start(json: &str) -> Option<usize> {
    let mut rest = json;
    for token in ["{", "\"input\"", ":", "\""] {
        rest = rest.trim_start().strip_prefix(token)?;
    }
    Some(json.len() - rest.len())
}

/// Token that ends a run of plain characters in a JSON string.
enum JsonStringToken {
    /// Closing quote of the string.
    Quote,
    /// Escaped character and the number of bytes of its escape sequence.
    Character(char, usize),
}

/// Parses the token at the beginning of `rest`; none if the sequence is incomplete.
fn parse_token(rest: &str) -> Option<JsonStringToken> {
    let mut characters = rest.chars();
    let character = match (characters.next()?, characters.next()) {
        ('"', _) => return Some(JsonStringToken::Quote),
        (_, None) => return None,
        (_, Some('n')) => '\n',
        (_, Some('t')) => '\t',
        (_, Some('r')) => '\r',
        (_, Some('b')) => '\u{8}',
        (_, Some('f')) => '\u{c}',
        (_, Some('u')) => return parse_unicode_escape(rest),
        (_, Some(other)) => return Some(JsonStringToken::Character(other, 1 + other.len_utf8())),
    };
    Some(JsonStringToken::Character(character, 2))
}

/// Parses `\uXXXX`, with the second escape of a surrogate pair. A lone surrogate becomes the
/// replacement character.
fn parse_unicode_escape(rest: &str) -> Option<JsonStringToken> {
    const LENGTH: usize = 6;
    let unit = |start: usize| {
        let digits = rest.get(start + 2..start + LENGTH)?;
        Some(u16::from_str_radix(digits, 16).unwrap_or(u16::from(b'?')))
    };
    let first = unit(0)?;
    if !(0xd800..0xdc00).contains(&first) {
        let character = char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
        return Some(JsonStringToken::Character(character, LENGTH));
    }
    // The second escape of the pair may still be incomplete; then more input must arrive first.
    let behind = rest.get(LENGTH..).unwrap_or_default();
    if !"\\u".starts_with(behind.get(..2).unwrap_or(behind)) {
        return Some(JsonStringToken::Character(
            char::REPLACEMENT_CHARACTER,
            LENGTH,
        ));
    }
    match char::decode_utf16([first, unit(LENGTH)?]).next()? {
        Ok(character) => Some(JsonStringToken::Character(character, 2 * LENGTH)),
        Err(_) => Some(JsonStringToken::Character(
            char::REPLACEMENT_CHARACTER,
            LENGTH,
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unexpected_arguments_are_taken_as_text() {
        assert_eq!(extract_text(r#"{"a":1,"input":"x"}"#), "x");
        assert_eq!(extract_text(r#"{"patch":"x"}"#), r#"{"patch":"x"}"#);
        assert_eq!(extract_text(""), "");
    }

    #[test]
    fn truncated_arguments_give_partial_text() {
        for (json, expected) in [
            (r#"{"input": "ab"#, "ab"),
            (r#"{ "input" :"a\"#, "a"),
            (r#"{"input":"a\u00e"#, "a"),
            (r#"{"input":"a\ud83d\ud"#, "a"),
            (r#"{"input":"\ud83dx\udc00"}"#, "\u{fffd}x\u{fffd}"),
            (r#"{"input":"\/\"\\"}"#, "/\"\\"),
        ] {
            assert_eq!(extract_text(json), expected, "{json}");
        }
    }

    #[test]
    fn grammar_is_added_to_description() {
        let grammar = Grammar {
            syntax: "lark".to_owned(),
            definition: "start: A".to_owned(),
        };
        let words = description(Some("Patches.".to_owned()), Some(grammar)).unwrap();
        assert!(
            words.starts_with("Patches.\n\n")
                && words.ends_with("(lark), exactly and with nothing around it:\nstart: A")
        );
        assert_eq!(description(None, None), None);
    }

    proptest! {
        #[test]
        fn text_is_independent_of_chunk_boundaries(text in any::<String>(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6), is_ascii in any::<bool>()) {
            let json = wrap_text(&text);
            let escaped = |character: char| {
                let mut units = [0; 2];
                let unit = |unit: &u16| format!("\\u{unit:04x}");
                if character.is_ascii() { character.to_string() } else { character.encode_utf16(&mut units).iter().map(unit).collect() }
            };
            let json: String = if is_ascii { json.chars().map(escaped).collect() } else { json };
            let mut offsets: Vec<usize> = cuts.iter().map(|cut| cut.index(json.len() + 1)).filter(|offset| json.is_char_boundary(*offset)).collect();
            offsets.extend([0, json.len()]);
            offsets.sort_unstable();
            let mut input = CustomInputParser::default();
            let mut read: String = offsets.windows(2).map(|pair| input.push(&json[pair[0]..pair[1]])).collect();
            read.push_str(&input.finish());
            prop_assert_eq!(&read, &text);
            prop_assert_eq!(input.text(), text);
        }
    }
}
