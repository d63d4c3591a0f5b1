//! Properties that hold for every chat request.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Tool;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::domain::Tools;

/// Generates a text that is not blank.
fn text() -> impl Strategy<Value = String> {
    (any::<String>(), "[a-zé\u{1F600}]", any::<String>()).prop_map(|(a, b, c)| [a, b, c].concat())
}

/// Texts of a message, and a flag to write a single one as a string.
type Texts = (Vec<String>, bool);

fn texts() -> impl Strategy<Value = Texts> {
    (vec(text(), 1..4), any::<bool>())
}

fn content((texts, as_string): &Texts) -> Value {
    match texts.as_slice() {
        [text] if *as_string => json!(text),
        texts => texts
            .iter()
            .map(|text| json!({"type": "text", "text": text}))
            .collect(),
    }
}

fn parts(texts: Vec<String>) -> Vec<Part> {
    texts.into_iter().map(Part::Text).collect()
}

/// Generates a history, and the texts of the last user message.
fn conversation() -> impl Strategy<Value = (Vec<(&'static str, Texts)>, Texts)> {
    let role = prop_oneof![
        Just("system"),
        Just("developer"),
        Just("user"),
        Just("assistant")
    ];
    (vec((role, texts()), 0..8), texts())
}

/// Generates a number from 0 to 1 that survives its decimal notation.
fn share() -> impl Strategy<Value = f64> {
    (0..=1000_u32).prop_map(|thousandths| f64::from(thousandths) / 1000.0)
}

fn sampling() -> impl Strategy<Value = Sampling> {
    (
        option::of(1..=u32::MAX),
        option::of(share()),
        option::of(share()),
        vec(text(), 0..=4),
    )
        .prop_map(|(max_output_tokens, temperature, top_p, stop)| Sampling {
            max_output_tokens,
            temperature,
            top_p,
            stop,
            ..Sampling::default()
        })
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-]{1,64}"
}

/// Generates tools by name, description and strictness.
fn tools() -> impl Strategy<Value = Vec<(String, Option<String>, bool)>> {
    let tools =
        proptest::collection::btree_map(name(), (option::of(any::<String>()), any::<bool>()), 0..5);
    tools.prop_map(|tools| {
        tools
            .into_iter()
            .map(|(name, (words, strict))| (name, words, strict))
            .collect()
    })
}

/// Generates a tool call by name, input and result.
fn call() -> impl Strategy<Value = (String, Value, String)> {
    let input = proptest::collection::btree_map(any::<String>(), json(), 0..4);
    (
        name(),
        input.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        text(),
    )
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        let object = vec((word(), inner.clone()), 0..6);
        prop_oneof![
            vec(inner, 0..6).prop_map(Value::from),
            object.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Generates a string that is often a keyword of the API.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "model",
        "messages",
        "role",
        "user",
        "assistant",
        "content",
        "type",
        "text",
        "refusal",
        "stop",
        "stream",
        "stream_options",
        "include_usage",
        "metadata",
        "temperature",
        "tools",
        "tool",
        "tool_calls",
        "tool_call_id",
        "function",
        "function_call",
        "functions",
        "name",
        "arguments",
        "id",
        "messages[].role",
    ];
    prop_oneof![
        proptest::sample::select(words.to_vec()).prop_map(String::from),
        any::<String>()
    ]
}

proptest! {
    #[test]
    fn valid_request_decodes_to_its_turn(
        model in text(),
        (before, prompt) in conversation(),
        sampling in sampling(),
        stream in any::<bool>(),
        include_usage in any::<bool>(),
    ) {
        let mut messages: Vec<_> =
            before.iter().map(|(role, texts)| json!({"role": role, "content": content(texts)})).collect();
        messages.push(json!({"role": "user", "content": content(&prompt)}));
        let mut request = json!({
            "model": model, "messages": messages, "stream": stream,
            "max_completion_tokens": sampling.max_output_tokens, "temperature": sampling.temperature,
            "top_p": sampling.top_p, "stop": sampling.stop,
        });
        if stream {
            request["stream_options"] = json!({"include_usage": include_usage});
        }

        let is_instruction = |role: &str| role == "system" || role == "developer";
        let leading = before.iter().take_while(|(role, _)| is_instruction(role)).count();
        let (system, history) = before.split_at(leading);
        let message = |(name, (texts, _)): &(&str, Texts)| match *name {
            "user" => Message { role: Role::User, parts: parts(texts.clone()) },
            "assistant" => Message { role: Role::Assistant, parts: parts(texts.clone()) },
            _ => Message { role: Role::User, parts: texts.iter().cloned().map(Part::Instruction).collect() },
        };
        let turn = Turn {
            project: None,
            native: Default::default(),
            model: ModelName::new(model),
            system: system.iter().flat_map(|(_, (texts, _))| texts.clone()).collect(),
            tools: Tools::default(),
            history: history.iter().map(message).collect(),
            prompt: parts(prompt.0),
            sampling,
        };
        let expected = ChatRequest { turn, n: 1, tool_call_format: ToolCallFormat::Tools, stream, include_usage: stream && include_usage, remarks: Remarks::default() };
        prop_assert_eq!(decode(request.to_string().as_bytes(), Policy::Strict), Ok(expected));
    }

    #[test]
    fn tools_calls_and_results_decode_to_their_turn(
        tools in tools(),
        rounds in vec((option::of(text()), vec(call(), 1..4)), 1..4),
    ) {
        let offered: Vec<_> = tools.iter().map(|(name, description, strict)| json!({
            "type": "function",
            "function": {"name": name, "description": description, "strict": strict, "parameters": {"type": "object"}},
        })).collect();
        let list = tools.iter().map(|(name, description, strict)| Tool {
            name: name.clone(),
            description: description.clone(),
            schema: r#"{"type":"object"}"#.to_owned(),
            strict: *strict,
        }).collect();
        let mut messages = vec![json!({"role": "user", "content": "q"})];
        let mut history = vec![Message { role: Role::User, parts: vec![Part::text("q")] }];
        for (round, (words, calls)) in rounds.iter().enumerate() {
            let id = |index: usize| format!("c{round}-{index}");
            let called: Vec<_> = calls.iter().enumerate().map(|(index, (name, input, _))| json!({
                "id": id(index), "type": "function", "function": {"name": name, "arguments": input.to_string()},
            })).collect();
            messages.push(json!({"role": "assistant", "content": words, "tool_calls": called}));
            let mut parts: Vec<_> = words.iter().map(Part::text).collect();
            let mut results = Vec::new();
            for (index, (name, input, result)) in calls.iter().enumerate() {
                parts.push(Part::ToolUse(ToolUse { id: id(index), name: name.clone(), input: input.to_string() }));
                messages.push(json!({"role": "tool", "tool_call_id": id(index), "content": result}));
                let parts = vec![Part::text(result)];
                results.push(Part::ToolResult(ToolResult { id: id(index), parts, is_error: false }));
            }
            history.push(Message { role: Role::Assistant, parts });
            history.push(Message { role: Role::User, parts: results });
        }
        let prompt = history.pop().unwrap().parts;
        let request = json!({"model": "m", "messages": messages, "tools": offered});
        let turn = decode(request.to_string().as_bytes(), Policy::Strict).unwrap().turn;
        prop_assert_eq!(turn.tools, Tools { list, ..Tools::default() });
        prop_assert_eq!((turn.history, turn.prompt), (history, prompt));
    }

    #[test]
    fn decode_never_panics_on_any_bytes(bytes in vec(any::<u8>(), 0..256)) {
        prop_assert!(decode(&bytes, Policy::Lenient).is_err());
    }

    #[test]
    fn decode_never_panics_on_any_json(value in json()) {
        let _ = decode(value.to_string().as_bytes(), Policy::Lenient);
    }

    #[test]
    fn decode_never_panics_on_any_fields(fields in vec((word(), json()), 0..6), strict in any::<bool>()) {
        let mut request: Map<String, Value> = fields.into_iter().collect();
        request.entry("model").or_insert(json!("m"));
        request.entry("messages").or_insert(json!([{"role": "user", "content": "Hi"}]));
        let policy = if strict { Policy::Strict } else { Policy::Lenient };
        match decode(Value::from(request).to_string().as_bytes(), policy) {
            Ok(request) => {
                prop_assert!(!request.turn.prompt.is_empty());
                prop_assert!(request.turn.history.iter().all(|message| !message.parts.is_empty()));
                prop_assert!(request.remarks.ignored.is_sorted());
                prop_assert!(!strict || request.remarks.ignored.is_empty());
            }
            Err(error) => prop_assert!(!error.message.is_empty()),
        }
    }

    #[test]
    fn decode_never_panics_on_any_message(fields in vec((word(), json()), 0..4), parts in vec(json(), 0..3)) {
        let mut message: Map<String, Value> = fields.into_iter().collect();
        message.entry("role").or_insert(json!("user"));
        message.entry("content").or_insert(json!(parts));
        let request = json!({"model": "m", "messages": [message]});
        let _ = decode(request.to_string().as_bytes(), Policy::Lenient);
    }
}
