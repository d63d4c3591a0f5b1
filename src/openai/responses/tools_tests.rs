//! Tools as clients offer them.

use serde_json::Value;
use serde_json::json;

use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::fields::InvalidRequest;
use crate::fields::Policy;
use crate::openai::responses::decode;

fn tools(tools: &Value, choice: &Value) -> Result<(Tools, Value), InvalidRequest> {
    let body = json!({"model": "m", "input": "x", "tools": tools, "tool_choice": choice});
    let request = decode(body.to_string().as_bytes(), Policy::Strict)?;
    let as_sent = json!(request.response.tools);
    Ok((request.turn(&[])?.0.tools, as_sent))
}

fn two() -> Value {
    json!([{"type": "function", "name": "a"}, {"type": "function", "name": "b", "description": "B"}])
}

#[test]
fn choices() {
    let choice = |choice: Value| tools(&two(), &choice).unwrap().0;
    assert_eq!(choice(Value::Null).choice, ToolChoice::Auto);
    assert_eq!(choice(json!("none")).choice, ToolChoice::None);
    assert_eq!(choice(json!("required")).choice, ToolChoice::Required);
    assert_eq!(choice(json!({"type": "function", "name": "b"})).choice, ToolChoice::Named("b".into()));
    let allowed = [json!({"type": "function", "name": "b"})];
    let some = choice(json!({"type": "allowed_tools", "mode": "required", "tools": allowed}));
    assert_eq!((some.choice, some.list.len()), (ToolChoice::Required, 1));
    assert!(choice(Value::Null).parallel);
}

#[test]
fn a_schema_binds_when_it_says_so_or_is_closed() {
    let strict = |tool: Value| {
        let (tools, as_sent) = tools(&json!([tool]), &Value::Null).unwrap();
        assert_eq!(as_sent[0]["strict"], tools.list[0].strict);
        tools.list[0].strict
    };
    let tool = |fields: Value| {
        let mut tool = json!({"type": "function", "name": "f"});
        tool.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        tool
    };
    let open = json!({"type": "object", "properties": {"x": {"type": "string"}}});
    let closed = json!({
        "type": "object", "additionalProperties": false, "required": ["x"], "properties": {"x": {"type": "string"}},
    });
    let half = json!({
        "type": "object", "additionalProperties": false, "required": ["x"], "properties": {"x": open},
    });
    assert!(strict(tool(json!({"parameters": closed}))));
    assert!(!strict(tool(json!({"parameters": closed, "strict": false}))));
    assert!(!strict(tool(json!({"parameters": open}))));
    assert!(!strict(tool(json!({"parameters": half}))));
    assert!(strict(tool(json!({"parameters": open, "strict": true}))));
    assert!(!strict(tool(json!({}))));
}

#[test]
fn what_is_no_function_is_refused() {
    for kind in ["file_search", "custom", "computer_use_preview", "local_shell"] {
        let error = tools(&json!([{"type": kind}]), &Value::Null).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("tools[0].type"));
        assert!(error.message.contains(kind), "{}", error.message);
    }
    for (list, choice, param) in [
        (json!([{"type": "function", "name": "a b"}]), Value::Null, "tools[0].name"),
        (
            json!([{"type": "function", "name": "a"}, {"type": "function", "name": "a"}]),
            Value::Null,
            "tools[1].name",
        ),
        (json!([]), json!("required"), "tool_choice"),
        (two(), json!("any"), "tool_choice"),
        (two(), json!({"type": "function", "name": "c"}), "tool_choice.name"),
        (two(), json!({"type": "web_search_preview"}), "tool_choice.type"),
        (two(), json!({"type": "allowed_tools", "tools": [{"name": "c"}]}), "tool_choice.tools[0].name"),
    ] {
        assert_eq!(tools(&list, &choice).unwrap_err().param.as_deref(), Some(param));
    }
}
