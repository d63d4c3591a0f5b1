//! Server tools, which Anthropic runs, in requests.

use serde_json::Value;
use serde_json::json;

use crate::api::openai::responses::decode;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::domain::ToolChoice;
use crate::domain::Tools;

fn read(tools: &Value, choice: &Value, policy: Policy) -> Result<(Tools, Remarks), InvalidRequest> {
    let body = json!({"model": "m", "input": "x", "tools": tools, "tool_choice": choice});
    let (turn, remarks) = decode(body.to_string().as_bytes(), policy)?.into_turn(&[])?;
    Ok((turn.tools, remarks))
}

fn tools(tools: &Value, choice: &Value) -> Result<Tools, InvalidRequest> {
    read(tools, choice, Policy::Strict).map(|(tools, _)| tools)
}

#[test]
fn web_search_maps_to_anthropic_search() {
    for kind in ["web_search", "web_search_2025_08_26", "web_search_preview"] {
        let sent = json!([{
            "type": kind, "filters": {"allowed_domains": ["a.example"]},
            "user_location": {"type": "approximate", "city": "Bern", "region": null},
        }]);
        let search = tools(&sent, &Value::Null).unwrap().web_search.unwrap();
        assert_eq!(search.allowed_domains, ["a.example"]);
        assert_eq!(
            search.user_location.as_deref(),
            Some(r#"{"city":"Bern","type":"approximate"}"#)
        );
        let forced = tools(&sent, &json!({"type": kind})).unwrap();
        assert_eq!(forced.choice, ToolChoice::Named("web_search".to_owned()));
    }
}

#[test]
fn web_search_fields_are_read_refused_or_reported() {
    for (fields, param) in [
        (
            json!({"filters": {"allowed_domains": "a.example"}}),
            "tools[0].filters.allowed_domains",
        ),
        (
            json!({"filters": {"allowed_domains": ["a", 1]}}),
            "tools[0].filters.allowed_domains[1]",
        ),
        (
            json!({"filters": {"allowed_domains": ["a"], "blocked_domains": ["b"]}}),
            "tools[0].filters.blocked_domains",
        ),
        (json!({"filters": {"new": 1}}), "tools[0].filters.new"),
        (
            json!({"user_location": {"city": 1}}),
            "tools[0].user_location.city",
        ),
        (
            json!({"user_location": {"type": "exact"}}),
            "tools[0].user_location.type",
        ),
        (
            json!({"user_location": {"street": "x"}}),
            "tools[0].user_location.street",
        ),
        (json!({"parameters": {}}), "tools[0].parameters"),
    ] {
        let mut tool = json!({"type": "web_search"});
        tool.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let error = tools(&json!([tool]), &Value::Null).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{}", error.message);
    }
    let unknown =
        json!([{"type": "web_search", "filters": {"new": 1}, "user_location": {"street": "x"}}]);
    let (_, remarks) = read(&unknown, &Value::Null, Policy::Lenient).unwrap();
    assert_eq!(
        remarks.ignored,
        ["tools[].filters.new", "tools[].user_location.street"]
    );
}

#[test]
fn allowed_tools_limit_the_offered_tools() {
    let sent = json!([{"type": "function", "name": "a"}, {"type": "web_search"}]);
    let allowed = |list: Value| tools(&sent, &json!({"type": "allowed_tools", "tools": list}));
    let without = allowed(json!([{"type": "function", "name": "a"}])).unwrap();
    assert_eq!(
        (without.list.len(), without.web_search.is_some()),
        (1, false)
    );
    let with = allowed(json!([{"type": "web_search_preview"}])).unwrap();
    assert_eq!((with.list.len(), with.web_search.is_some()), (0, true));
    let error = allowed(json!([{"type": "file_search"}])).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("tool_choice.tools[0].type"));
}

#[test]
fn server_and_client_tool_names_must_differ() {
    for (list, param) in [
        (
            json!([{"type": "function", "name": "web_search"}, {"type": "web_search"}]),
            "tools[0].name",
        ),
        (
            json!([{"type": "web_search"}, {"type": "web_search_preview"}]),
            "tools[1].type",
        ),
    ] {
        assert_eq!(
            tools(&list, &Value::Null).unwrap_err().param.as_deref(),
            Some(param)
        );
    }
    assert!(
        tools(
            &json!([{"type": "function", "name": "web_search"}]),
            &Value::Null
        )
        .is_ok()
    );
}

#[test]
fn code_interpreter_maps_to_anthropic_container() {
    let sent = json!([{"type": "code_interpreter", "container": {"type": "auto", "file_ids": []}}]);
    assert!(tools(&sent, &Value::Null).unwrap().runs_code);
    let forced = tools(&sent, &json!({"type": "code_interpreter"})).unwrap();
    assert_eq!(
        forced.choice,
        ToolChoice::Named("code_execution".to_owned())
    );
    for (container, param) in [
        (json!("cntr_1"), "container"),
        (
            json!({"type": "auto", "file_ids": ["file-1"]}),
            "container.file_ids",
        ),
        (
            json!({"type": "auto", "network_policy": {"type": "allowlist"}}),
            "container.network_policy",
        ),
        (json!({"type": "other"}), "container.type"),
    ] {
        let error = tools(
            &json!([{"type": "code_interpreter", "container": container}]),
            &Value::Null,
        );
        assert_eq!(error.unwrap_err().param, Some(format!("tools[0].{param}")));
    }
    let both =
        json!([{"type": "function", "name": "code_execution"}, {"type": "code_interpreter"}]);
    assert_eq!(
        tools(&both, &Value::Null).unwrap_err().param.as_deref(),
        Some("tools[0].name")
    );
}

fn server(fields: &Value) -> Value {
    let mut tool = json!({
        "type": "mcp", "server_label": "s", "server_url": "https://m.example/sse?key=k", "require_approval": "never",
    });
    tool.as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    tool
}

#[test]
fn mcp_servers_map_to_anthropic_servers() {
    let offered = |fields: Value| {
        tools(&json!([server(&fields)]), &Value::Null)
            .unwrap()
            .mcp_servers
            .remove(0)
    };
    let plain = offered(json!({}));
    assert_eq!(
        (&*plain.name, &*plain.url),
        ("s", "https://m.example/sse?key=k")
    );
    assert_eq!((plain.token, plain.allowed_tools), (None, None));
    let names = Some(vec!["a".to_owned()]);
    let allowed = offered(json!({"allowed_tools": ["a"], "authorization": "t"}));
    assert_eq!(
        (allowed.token.as_deref(), &allowed.allowed_tools),
        (Some("t"), &names)
    );
    let filtered = offered(
        json!({"allowed_tools": {"tool_names": ["a"]}, "headers": {"authorization": "bearer t"}}),
    );
    assert_eq!(
        (filtered.token.as_deref(), &filtered.allowed_tools),
        (Some("t"), &names)
    );
}

#[test]
fn unsupported_mcp_options_are_refused() {
    for (fields, param, words) in [
        (
            json!({"require_approval": null}),
            "require_approval",
            "Set `\"require_approval\": \"never\"`",
        ),
        (
            json!({"require_approval": {"never": {}}}),
            "require_approval",
            "never",
        ),
        (
            json!({"headers": {"X-Key": "secret"}}),
            "headers",
            "`X-Key`",
        ),
        (
            json!({"headers": {"Authorization": "Basic x"}}),
            "headers",
            "Bearer",
        ),
        (
            json!({"headers": {"Authorization": "Bearer x"}, "authorization": "y"}),
            "headers",
            "one",
        ),
        (
            json!({"server_url": null, "connector_id": "connector_gmail"}),
            "connector_id",
            "server_url",
        ),
        (json!({"server_url": null}), "server_url", "missing"),
        (
            json!({"server_url": "http://m.example"}),
            "server_url",
            "https",
        ),
        (json!({"server_label": " "}), "server_label", "name"),
        (json!({"allowed_tools": "a"}), "allowed_tools", "an array"),
        (
            json!({"allowed_tools": [1]}),
            "allowed_tools[0]",
            "a string",
        ),
        (
            json!({"allowed_tools": {"read_only": true}}),
            "allowed_tools.read_only",
            "Name them",
        ),
        (json!({"new": 1}), "new", "no field"),
    ] {
        let error = tools(&json!([server(&fields)]), &Value::Null).unwrap_err();
        assert_eq!(error.param, Some(format!("tools[0].{param}")));
        assert!(
            error.message.contains(words) && !error.message.contains("secret"),
            "{}",
            error.message
        );
    }
    let twice = tools(
        &json!([server(&json!({})), server(&json!({}))]),
        &Value::Null,
    )
    .unwrap_err();
    assert_eq!(twice.param.as_deref(), Some("tools[1].server_label"));
    let sent = json!([server(&json!({}))]);
    let forced = tools(&sent, &json!({"type": "mcp", "server_label": "s"})).unwrap_err();
    assert_eq!(forced.param.as_deref(), Some("tool_choice.type"));
}

#[test]
fn allowed_tools_accept_mcp_and_code_interpreter() {
    let sent = json!([server(&json!({})), server(&json!({"server_label": "t"})), {"type": "code_interpreter"}]);
    let allowed = |list: Value| tools(&sent, &json!({"type": "allowed_tools", "tools": list}));
    let one = allowed(json!([{"type": "mcp", "server_label": "t"}])).unwrap();
    assert_eq!(
        (
            one.mcp_servers.len(),
            &*one.mcp_servers[0].name,
            one.runs_code
        ),
        (1, "t", false)
    );
    let code = allowed(json!([{"type": "code_interpreter"}])).unwrap();
    assert_eq!((code.mcp_servers.len(), code.runs_code), (0, true));
    let unknown = allowed(json!([{"type": "mcp", "server_label": "u"}])).unwrap_err();
    assert_eq!(
        unknown.param.as_deref(),
        Some("tool_choice.tools[0].server_label")
    );
}

#[test]
fn response_redacts_mcp_secrets() {
    for (url, shown) in [
        (
            "https://m.example/sse?key=k",
            "https://m.example/<redacted>",
        ),
        ("https://u:p@m.example:8443", "https://m.example:8443"),
        ("https://m.example/", "https://m.example/"),
        ("https://m.example?key=k", "https://m.example/<redacted>"),
    ] {
        let fields = json!({"server_url": url, "authorization": "t", "headers": {}});
        let body = json!({"model": "m", "input": "x", "tools": [server(&fields)]});
        let response = decode(body.to_string().as_bytes(), Policy::Strict)
            .unwrap()
            .response;
        let tool = &response.tools[0];
        assert_eq!(tool["server_url"], shown);
        assert!(tool.get("authorization").is_none() && tool.get("headers").is_none());
    }
}
