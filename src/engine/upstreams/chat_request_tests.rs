use super::*;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::Thinking;
use crate::domain::Tool;
use crate::domain::ToolUse;
use crate::domain::Tools;

fn turn(prompt: Vec<Part>) -> Turn {
    Turn {
        model: ModelName::new("opus"),
        system: vec!["Be brief.".to_owned()],
        tools: Tools::default(),
        history: Vec::new(),
        prompt,
        sampling: Sampling::default(),
        project: None,
        native: Native::default(),
    }
}

fn encoded(turn: &Turn) -> Value {
    serde_json::from_str(&encode_chat(turn, "m")).unwrap()
}

#[test]
fn conversation_with_tools_and_images_is_a_chat() {
    let call = ToolUse {
        id: "c1".to_owned(),
        name: "look".to_owned(),
        input: String::new(),
    };
    let result = ToolResult {
        id: "c1".to_owned(),
        parts: vec![Part::text("sun"), Part::text("wind")],
        is_error: false,
    };
    let picture = MediaSource::Base64 {
        media_type: "image/png".to_owned(),
        data: "AA==".to_owned(),
    };
    let thinking = Thinking::Redacted("x".to_owned());
    let mut asked = turn(vec![
        Part::ToolResult(result),
        Part::Image(picture),
        Part::text("And now?"),
    ]);
    asked.history = vec![
        Message {
            role: Role::User,
            parts: vec![Part::text("Look.")],
        },
        Message {
            role: Role::Assistant,
            parts: vec![Part::Thinking(thinking), Part::ToolUse(call)],
        },
    ];
    asked.tools.list.push(Tool {
        name: "look".to_owned(),
        description: None,
        schema: r#"{"type":"object"}"#.to_owned(),
        strict: true,
    });
    asked.tools.parallel = false;
    assert_eq!(check_chat(&asked).unwrap(), ["thinking"]);
    let body = encoded(&asked);
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look."}]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "sun\nwind"},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {"type": "text", "text": "And now?"}]},
        ])
    );
    let function = json!({"name": "look", "parameters": {"type": "object"}, "strict": true});
    assert_eq!(
        body["tools"],
        json!([{"type": "function", "function": function}])
    );
    assert_eq!(body["tool_choice"], "auto");
    assert_eq!(body["parallel_tool_calls"], false);
}

#[test]
fn bounds_and_format_of_the_answer_are_asked_for() {
    let mut asked = turn(vec![Part::text("Hi")]);
    asked.sampling = Sampling {
        max_output_tokens: Some(7),
        temperature: Some(0.5),
        top_k: Some(3),
        stop: vec!["END".to_owned()],
        format: Format::Schema(Schema {
            json: r#"{"type":"object"}"#.to_owned(),
            is_strict: true,
            is_native: false,
        }),
        ..Sampling::default()
    };
    assert_eq!(check_chat(&asked).unwrap(), ["top_k"]);
    let body = encoded(&asked);
    assert_eq!(body["model"], "m");
    assert_eq!(body["max_completion_tokens"], 7);
    assert_eq!(
        (&body["temperature"], &body["stop"]),
        (&json!(0.5), &json!(["END"]))
    );
    assert_eq!(body["response_format"]["json_schema"]["strict"], true);
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    assert_eq!(body.get("top_k"), None);
}

#[test]
fn turn_that_a_chat_cannot_express_is_refused() {
    let document = Part::Document {
        source: MediaSource::Url("https://example.com/a.pdf".to_owned()),
        title: None,
    };
    let of_tool = ToolResult {
        id: "c1".to_owned(),
        parts: vec![document.clone()],
        is_error: false,
    };
    for part in [document, Part::Continue, Part::ToolResult(of_tool)] {
        assert!(check_chat(&turn(vec![part.clone()])).is_err(), "{part:?}");
    }
    assert!(check_chat(&turn(Vec::new())).is_err());
    let mut searching = turn(vec![Part::text("Hi")]);
    searching.tools.runs_code = true;
    assert!(check_chat(&searching).is_err());
}
