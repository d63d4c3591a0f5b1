//! Schema of the inputs and outputs of hooks, `docs/hooks-wire.schema.json`.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

const SCHEMA: &str = include_str!("../../../docs/hooks-wire.schema.json");

static INPUT: LazyLock<Validator> = LazyLock::new(|| validator("Input"));
static OUTPUT: LazyLock<Validator> = LazyLock::new(|| validator("Output"));

fn validator(definition: &str) -> Validator {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let Value::Object(fields) = &mut schema else {
        panic!("the schema is no object")
    };
    fields.remove("oneOf");
    fields.insert("$ref".to_owned(), json!(format!("#/$defs/{definition}")));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    let faults = validator.iter_errors(value);
    faults
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect()
}

/// Asserts that `value` is an input of a hook, as the schema describes it.
pub(super) fn assert_input(value: &Value) {
    let faults = faults(&INPUT, value);
    assert!(faults.is_empty(), "no input: {value}\n{faults:#?}");
}

/// Asserts that `value` is an output of a hook, as the schema describes it.
pub(super) fn assert_output(value: &Value) {
    let faults = faults(&OUTPUT, value);
    assert!(faults.is_empty(), "no output: {value}\n{faults:#?}");
}

#[test]
fn schema_takes_each_action_and_refuses_others() {
    let message = json!({"role": "user", "content": [{"type": "text", "text": "a"}]});
    let answer = json!({"text": "a", "tool_calls": [], "finish_reason": "stop"});
    let reworded = json!({"action": "replace", "message": "Try later."});
    for action in [
        reworded,
        json!({"action": "pass"}),
        json!({"id": 7, "action": "pass", "metadata": {"score": "0.5"}}),
        json!({"action": "refuse", "message": "no"}),
        json!({"action": "refuse", "code": "blocked", "message": "no"}),
        json!({"action": "replace", "messages": [message]}),
        json!({"action": "replace", "answer": answer}),
        json!({"action": "annotate", "metadata": {"score": "0.5"}}),
    ] {
        assert_output(&action);
    }
    for action in [
        json!({}),
        json!({"action": "explode"}),
        json!({"action": "refuse"}),
        json!({"action": "replace"}),
        json!({"action": "replace", "messages": [{"role": "user"}]}),
        json!({"action": "annotate"}),
    ] {
        assert_ne!(faults(&OUTPUT, &action), Vec::<String>::new(), "{action}");
    }
}
