//! Extraction of the JSON object in a text.

/// Extracts one JSON object from a text that comes in pieces; the text around it is dropped.
#[derive(Debug, Default)]
pub(super) struct JsonObjectExtractor {
    state: JsonObjectState,
    /// Possible beginning of the object, or of a list.
    pending: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum JsonObjectState {
    #[default]
    Before,
    Inside {
        depth: usize,
        is_text: bool,
        is_escaped: bool,
    },
    After,
    /// The text is a list of objects, none of which is the answer.
    List,
}

impl JsonObjectExtractor {
    /// Takes the next piece of the text, and returns the part that belongs to the object.
    pub(super) fn extract(&mut self, piece: &str) -> String {
        let mut cut = String::new();
        for character in piece.chars() {
            match &mut self.state {
                JsonObjectState::Before => self.search(character, &mut cut),
                JsonObjectState::Inside {
                    depth,
                    is_text,
                    is_escaped,
                } => {
                    cut.push(character);
                    let was_escaped = std::mem::take(is_escaped);
                    match character {
                        '"' if !was_escaped => *is_text = !*is_text,
                        '\\' if *is_text => *is_escaped = !was_escaped,
                        '{' | '[' if !*is_text => *depth += 1,
                        '}' | ']' if !*is_text => *depth -= 1,
                        _ => {}
                    }
                    if *depth == 0 {
                        self.state = JsonObjectState::After;
                    }
                }
                JsonObjectState::After | JsonObjectState::List => break,
            }
        }
        cut
    }

    /// Searches for the object: a brace followed by a field name or a closing brace.
    fn search(&mut self, character: char, cut: &mut String) {
        match (self.pending.chars().next(), character) {
            (Some('{'), '"' | '}') => {
                *cut = std::mem::take(&mut self.pending);
                cut.push(character);
                self.state = match character {
                    '"' => JsonObjectState::Inside {
                        depth: 1,
                        is_text: true,
                        is_escaped: false,
                    },
                    _ => JsonObjectState::After,
                };
            }
            (Some('['), '{') => self.state = JsonObjectState::List,
            (_, '{' | '[') => self.pending = character.into(),
            (Some(_), space) if space.is_ascii_whitespace() => self.pending.push(space),
            _ => self.pending.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(text: &str) -> String {
        let mut object = JsonObjectExtractor::default();
        text.split_inclusive(|_| true)
            .map(|piece| object.extract(piece))
            .collect()
    }

    #[test]
    fn object_is_extracted_from_the_surrounding_text() {
        for (text, expected) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("{}", "{}"),
            (
                "Here it is:\n```json\n{\n  \"a\": {}\n}\n```\nBye {}.",
                "{\n  \"a\": {}\n}",
            ),
            (
                r#"{x} {{ {"a":"}\"]{","b":["\\"]} {"c":1}"#,
                r#"{"a":"}\"]{","b":["\\"]}"#,
            ),
            (r#"I use [1]. {"a":1}"#, r#"{"a":1}"#),
            (r#"[ {"a":1}]"#, ""),
            ("no {object}", ""),
            (r#"so {"a": "#, r#"{"a": "#),
            ("", ""),
        ] {
            assert_eq!(cut(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn extraction_does_not_depend_on_the_chunking(
            texts in proptest::collection::vec(any::<String>(), 0..4), size in 1_usize..8, before in "[a-z \n`]*",
        ) {
            let json = serde_json::json!({"a": texts, "b": {"c": [1, null, true]}}).to_string();
            let text = format!("{before}{json}\n``` and {{}}");
            let characters: Vec<char> = text.chars().collect();
            let mut object = JsonObjectExtractor::default();
            let cut: String =
                characters.chunks(size).map(|piece| object.extract(&piece.iter().collect::<String>())).collect();
            prop_assert_eq!(cut, json);
        }
    }
}
