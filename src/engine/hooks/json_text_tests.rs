use super::*;

const BLOCK: JsonForm = JsonForm::Block {
    unfiltered: &["id", "data"],
};

fn masked(json: &str, form: JsonForm) -> Option<String> {
    let mut rewrite = |text: &str| {
        let has = text.contains("word") || text.contains("4242");
        Ok::<_, Infallible>(has.then(|| text.replace("word", "*").replace("4242", "#")))
    };
    let Ok(rewritten) = rewrite_json(json, form, &mut rewrite);
    rewritten
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
        (r#"{"id": "word"}"#, Some(r#"{"id": "*"}"#)),
        (r#""\ud83d\ude00 word""#, Some("\"😀 *\"")),
        (r#""\ud83d word""#, Some("\"\u{fffd} *\"")),
    ] {
        assert_eq!(masked(json, JsonForm::Free).as_deref(), expected, "{json}");
    }
}

#[test]
fn blocks_keep_their_names_and_some_values_outside_of_inputs() {
    for (json, expected) in [
        (
            r#"{"id": "word", "x": "word"}"#,
            Some(r#"{"id": "word", "x": "*"}"#),
        ),
        (r#"{"word": "x", "list": [{"id": "word"}]}"#, None),
        // A string behind an object has the name of its list, and not the last one in the object.
        (
            r#"{"x": [{"id": "1"}, "word"]}"#,
            Some(r#"{"x": [{"id": "1"}, "*"]}"#),
        ),
        (r#"{"data": ["word", {"id": "word"}]}"#, None),
        (
            r#"{"i\u0064": "word", "y": ["word"]}"#,
            Some(r#"{"i\u0064": "word", "y": ["*"]}"#),
        ),
        (
            r#"{"input": {"id": "word", "word": [{"data": "word"}]}, "id": "word"}"#,
            Some(r#"{"input": {"id": "*", "*": [{"data": "*"}]}, "id": "word"}"#),
        ),
        (
            r#"{"input": "word", "id": "word"}"#,
            Some(r#"{"input": "*", "id": "word"}"#),
        ),
        (r#"]}{"id": "word"}"#, None),
    ] {
        assert_eq!(masked(json, BLOCK).as_deref(), expected, "{json}");
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
        assert_eq!(masked(json, JsonForm::Free).as_deref(), expected, "{json}");
    }
}

#[test]
fn characters_of_content_are_counted_without_escapes() {
    let json = r#"{"id": "12345", "text": "\u00e9\n", "input": {"id": 42}}"#;
    assert_eq!(count_characters(json, BLOCK), 2 + 2 + 2);
    assert_eq!(count_characters(r#"{"a": "éé"}"#, JsonForm::Free), 1 + 2);
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
        let Ok(_) = rewrite_json(&json, JsonForm::Free, &mut see);
        proptest::prop_assert_eq!(seen, Some(text));
    });
}
