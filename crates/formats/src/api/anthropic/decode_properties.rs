//! Invariants of every decoded request.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::domain::Part;
use crate::domain::Role;

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

/// Generates words that often are field names or values.
fn word() -> impl Strategy<Value = String> {
    let words = "model messages max_tokens role user assistant system content type text image document source data url \
                 base64 tool_use tool_result tool_use_id id name input thinking signature tools tool_choice any tool \
                 input_schema object stop_sequences stream metadata temperature output_config format effort";
    let words: Vec<_> = words.split_whitespace().map(String::from).collect();
    prop_oneof![proptest::sample::select(words), any::<String>()]
}

/// Generates a block that is well-formed by itself.
fn block() -> impl Strategy<Value = Value> {
    let id = proptest::sample::select(vec!["a", "b"]);
    prop_oneof![
        "[ x]{0,2}".prop_map(|text| json!({"type": "text", "text": text})),
        id.clone().prop_map(
            |id| json!({"type": "tool_use", "id": id, "name": "look", "input": {"x": id}})
        ),
        id.prop_map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "y"})),
        Just(json!({"type": "thinking", "thinking": "", "signature": "s"})),
    ]
}

/// Checks Anthropic's rule independently of the decoder: the calls of an answer, and no others, are
/// answered at the start of the next message.
fn calls_are_answered(turn: &Turn) -> bool {
    let prompt = (Role::User, turn.prompt.as_slice());
    let messages = turn
        .history
        .iter()
        .map(|message| (message.role, message.parts.as_slice()))
        .chain([prompt]);
    let mut open: Vec<&str> = Vec::new();
    for (role, parts) in messages {
        let mut results: Vec<&str> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            if let Part::ToolResult(result) = part {
                if index != results.len() {
                    return false;
                }
                results.push(&result.id);
            }
        }
        results.sort_unstable();
        open.sort_unstable();
        if (role == Role::Assistant && !results.is_empty()) || results != open {
            return false;
        }
        open = parts.iter().filter_map(id_of_call).collect();
    }
    open.is_empty()
}

fn id_of_call(part: &Part) -> Option<&str> {
    if let Part::ToolUse(call) = part {
        Some(&call.id)
    } else {
        None
    }
}

proptest! {
    #[test]
    fn decoder_rejects_arbitrary_bytes_without_panic(bytes in vec(any::<u8>(), 0..256)) {
        prop_assert!(decode(&bytes, Policy::Lenient).is_err());
    }

    #[test]
    fn decoder_never_panics_on_arbitrary_fields(fields in vec((word(), json()), 0..6), strict in any::<bool>()) {
        let mut request: Map<String, Value> = fields.into_iter().collect();
        request.entry("model").or_insert(json!("m"));
        request.entry("max_tokens").or_insert(json!(9));
        request.entry("messages").or_insert(json!([{"role": "user", "content": "Hi"}]));
        let policy = if strict { Policy::Strict } else { Policy::Lenient };
        match decode(Value::from(request).to_string().as_bytes(), policy) {
            Ok(request) => {
                let turn = &request.turn;
                prop_assert!(!turn.prompt.is_empty() || !turn.history.is_empty());
                prop_assert!(request.remarks.ignored.is_sorted());
                prop_assert!(!strict || request.remarks.ignored.is_empty());
            }
            Err(error) => prop_assert!(!error.message.is_empty()),
        }
    }

    #[test]
    fn decoder_never_panics_on_arbitrary_messages(fields in vec((word(), json()), 0..4), parts in vec(json(), 0..3)) {
        let mut message: Map<String, Value> = fields.into_iter().collect();
        message.entry("role").or_insert(json!("user"));
        message.entry("content").or_insert(json!(parts));
        let request = json!({"model": "m", "max_tokens": 9, "messages": [message]});
        let _ = decode(request.to_string().as_bytes(), Policy::Lenient);
    }

    #[test]
    fn accepted_requests_satisfy_upstream_rules(
        messages in vec((any::<bool>(), vec(block(), 0..4)), 0..5),
    ) {
        let role = |is_user: bool| if is_user { "user" } else { "assistant" };
        let messages: Vec<_> =
            messages.into_iter().map(|(is_user, blocks)| json!({"role": role(is_user), "content": blocks})).collect();
        let request = json!({"model": "m", "max_tokens": 9, "messages": messages});
        let body = request.to_string();
        let is_sound = decode(body.as_bytes(), Policy::Strict).is_ok();
        if let Ok(request) = decode(body.as_bytes(), Policy::Lenient) {
            prop_assert_eq!(is_sound, request.remarks.repaired.is_empty());
            let turn = request.turn;
            prop_assert!(calls_are_answered(&turn), "{turn:?}");
            prop_assert!(turn.history.iter().all(|message| !message.parts.is_empty()) && !turn.prompt.is_empty());
            prop_assert!(turn.history.windows(2).all(|pair| pair[0].role != pair[1].role));
            prop_assert!(turn.history.last().is_none_or(|last| last.role == Role::Assistant));
        }
    }
}
