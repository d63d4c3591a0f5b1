//! Tools that Anthropic runs, as clients offer them.

use serde_json::Value;
use serde_json::json;

use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::fields::InvalidRequest;
use crate::fields::Policy;
use crate::openai::responses::decode;

fn read(tools: &Value, choice: &Value, policy: Policy) -> Result<(Tools, Vec<String>), InvalidRequest> {
    let body = json!({"model": "m", "input": "x", "tools": tools, "tool_choice": choice});
    let (turn, ignored) = decode(body.to_string().as_bytes(), policy)?.turn(&[])?;
    Ok((turn.tools, ignored))
}

fn tools(tools: &Value, choice: &Value) -> Result<Tools, InvalidRequest> {
    read(tools, choice, Policy::Strict).map(|(tools, _)| tools)
}

#[test]
fn the_web_is_searched_by_anthropic() {
    for kind in ["web_search", "web_search_2025_08_26", "web_search_preview"] {
        let sent = json!([{
            "type": kind, "filters": {"allowed_domains": ["a.example"]},
            "user_location": {"type": "approximate", "city": "Bern", "region": null},
        }]);
        let search = tools(&sent, &Value::Null).unwrap().web_search.unwrap();
        assert_eq!(search.allowed_domains, ["a.example"]);
        assert_eq!(search.user_location.as_deref(), Some(r#"{"city":"Bern","type":"approximate"}"#));
        let forced = tools(&sent, &json!({"type": kind})).unwrap();
        assert_eq!(forced.choice, ToolChoice::Named("web_search".to_owned()));
    }
}

#[test]
fn a_search_drops_no_field_in_silence() {
    for (fields, param) in [
        (json!({"filters": {"allowed_domains": "a.example"}}), "tools[0].filters.allowed_domains"),
        (json!({"filters": {"allowed_domains": ["a", 1]}}), "tools[0].filters.allowed_domains[1]"),
        (
            json!({"filters": {"allowed_domains": ["a"], "blocked_domains": ["b"]}}),
            "tools[0].filters.blocked_domains",
        ),
        (json!({"filters": {"new": 1}}), "tools[0].filters.new"),
        (json!({"user_location": {"city": 1}}), "tools[0].user_location.city"),
        (json!({"user_location": {"type": "exact"}}), "tools[0].user_location.type"),
        (json!({"user_location": {"street": "x"}}), "tools[0].user_location.street"),
        (json!({"parameters": {}}), "tools[0].parameters"),
    ] {
        let mut tool = json!({"type": "web_search"});
        tool.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let error = tools(&json!([tool]), &Value::Null).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{}", error.message);
    }
    let unknown = json!([{"type": "web_search", "filters": {"new": 1}, "user_location": {"street": "x"}}]);
    let (_, ignored) = read(&unknown, &Value::Null, Policy::Lenient).unwrap();
    assert_eq!(ignored, ["tools[].filters.new", "tools[].user_location.street"]);
}

#[test]
fn allowed_tools_are_all_that_is_offered() {
    let sent = json!([{"type": "function", "name": "a"}, {"type": "web_search"}]);
    let allowed = |list: Value| tools(&sent, &json!({"type": "allowed_tools", "tools": list}));
    let without = allowed(json!([{"type": "function", "name": "a"}])).unwrap();
    assert_eq!((without.list.len(), without.web_search.is_some()), (1, false));
    let with = allowed(json!([{"type": "web_search_preview"}])).unwrap();
    assert_eq!((with.list.len(), with.web_search.is_some()), (0, true));
    let error = allowed(json!([{"type": "file_search"}])).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("tool_choice.tools[0].type"));
}

#[test]
fn no_two_tools_have_one_name() {
    for (list, param) in [
        (json!([{"type": "function", "name": "web_search"}, {"type": "web_search"}]), "tools[0].name"),
        (json!([{"type": "web_search"}, {"type": "web_search_preview"}]), "tools[1].type"),
    ] {
        assert_eq!(tools(&list, &Value::Null).unwrap_err().param.as_deref(), Some(param));
    }
    assert!(tools(&json!([{"type": "function", "name": "web_search"}]), &Value::Null).is_ok());
}
