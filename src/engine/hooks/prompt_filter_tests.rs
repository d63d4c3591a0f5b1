use serde_json::Value;
use serde_json::json;

use super::super::config_check::compile_patterns;
use super::*;
use crate::domain::MediaSource;
use crate::domain::Message;
use crate::domain::Native;
use crate::domain::NativeBlock;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::engine::hooks::testing::turn;

fn filter(max_characters: Option<usize>, roles: &[TextRole]) -> Filter {
    let (patterns, longest_match) = compile_patterns(&["word".to_owned()], &[]).unwrap();
    Filter {
        patterns,
        longest_match,
        replacement: Some("***".to_owned()),
        max_characters,
        roles: roles.to_vec(),
    }
}

fn block(json: &Value, role: NativeRole) -> Part {
    Part::Native(NativeBlock {
        json: json.to_string(),
        role,
    })
}

/// Conversation that says `word` at each place where a caller can say something.
fn conversation(word: &str) -> Turn {
    let input = json!({"name": word, "list": [word]});
    let call = ToolUse {
        id: "call".to_owned(),
        name: "look".to_owned(),
        input: input.to_string(),
    };
    let result = ToolResult {
        id: "call".to_owned(),
        parts: vec![Part::text(format!("a {word}"))],
        is_error: false,
    };
    let native = json!({"type": "tool_use", "id": "word", "name": "word", "input": input});
    let source = json!({"type": "text", "media_type": "text/plain", "data": word});
    let document = json!({"type": "document", "source": source, "title": word});
    let system = json!({"type": "text", "text": word}).to_string();
    Turn {
        system: vec![word.to_owned()],
        history: vec![Message {
            role: Role::Assistant,
            parts: vec![
                Part::text(word),
                Part::ToolUse(call),
                block(&native, NativeRole::Call("word".to_owned())),
            ],
        }],
        native: Native {
            system: Some(vec![system]),
            ..Native::default()
        },
        ..turn(vec![
            Part::ToolResult(result),
            Part::Instruction(word.to_owned()),
            block(&document, NativeRole::Other),
        ])
    }
}

#[test]
fn word_is_redacted_wherever_a_caller_can_say_it() {
    let mut asked = conversation("word");
    assert_eq!(filter(None, &[]).apply_to_prompt(&mut asked), Ok(true));
    assert_eq!(asked, conversation("***"));
    assert_eq!(filter(None, &[]).apply_to_prompt(&mut asked), Ok(false));
}

#[test]
fn word_refuses_the_turn_if_the_filter_does_not_redact() {
    let refusing = Filter {
        replacement: None,
        ..filter(None, &[])
    };
    let refused = refusing.apply_to_prompt(&mut conversation("word"));
    assert_eq!(refused, Err(FilterRefusal::Found));
    assert_eq!(refusing.apply_to_prompt(&mut conversation("x")), Ok(false));
}

#[test]
fn filter_of_one_role_leaves_the_others() {
    let mut asked = conversation("word");
    let results = filter(None, &[TextRole::Tool]);
    assert_eq!(results.apply_to_prompt(&mut asked), Ok(true));
    let mut expected = conversation("word");
    expected.prompt[0] = conversation("***").prompt.remove(0);
    assert_eq!(asked, expected);
}

#[test]
fn files_are_neither_changed_nor_counted() {
    let source = json!({"type": "base64", "media_type": "image/png", "data": "word+word"});
    let image = json!({"type": "image", "source": source});
    let parts = vec![
        block(&image, NativeRole::Other),
        Part::Image(MediaSource::Url("https://example.com/word".to_owned())),
        Part::text("123"),
    ];
    let mut asked = turn(parts.clone());
    assert_eq!(filter(Some(3), &[]).apply_to_prompt(&mut asked), Ok(false));
    assert_eq!(asked.prompt, parts);
    let refused = filter(Some(2), &[]).apply_to_prompt(&mut asked);
    assert_eq!(refused, Err(FilterRefusal::TooLong(2)));
}

#[test]
fn instructions_count_once() {
    let mut asked = Turn {
        system: vec!["12345".to_owned()],
        native: Native {
            system: Some(vec![json!({"type": "text", "text": "12345"}).to_string()]),
            ..Native::default()
        },
        ..turn(vec![Part::text("12345")])
    };
    assert_eq!(filter(Some(10), &[]).apply_to_prompt(&mut asked), Ok(false));
    assert!(filter(Some(9), &[]).apply_to_prompt(&mut asked).is_err());
}
