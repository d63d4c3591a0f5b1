//! Tools and tool choice in requests.

use serde_json::Value;
use serde_json::json;

use crate::api::openai::responses::decode;
use crate::api::openai::responses::encrypted_content::EncryptedContent;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::domain::ToolChoice;
use crate::domain::Tools;

fn tools(tools: &Value, choice: &Value) -> Result<(Tools, Value), InvalidRequest> {
    let body = json!({"model": "m", "input": "x", "tools": tools, "tool_choice": choice});
    let request = decode(body.to_string().as_bytes(), Policy::Strict)?;
    let as_sent = json!(request.response.tools);
    Ok((request.into_turn(&[])?.0.tools, as_sent))
}

fn two_functions() -> Value {
    json!([{"type": "function", "name": "a"}, {"type": "function", "name": "b", "description": "B"}])
}

#[test]
fn response_tool_choice_forms_are_decoded() {
    let choice = |choice: Value| tools(&two_functions(), &choice).unwrap().0;
    assert_eq!(choice(Value::Null).choice, ToolChoice::Auto);
    assert_eq!(choice(json!("none")).choice, ToolChoice::None);
    assert_eq!(choice(json!("required")).choice, ToolChoice::Required);
    assert_eq!(
        choice(json!({"type": "function", "name": "b"})).choice,
        ToolChoice::Named("b".into())
    );
    let allowed = [json!({"type": "function", "name": "b"})];
    let some = choice(json!({"type": "allowed_tools", "mode": "required", "tools": allowed}));
    assert_eq!((some.choice, some.list.len()), (ToolChoice::Required, 1));
    assert!(choice(Value::Null).parallel);
}

#[test]
fn function_is_strict_if_requested_or_schema_closed() {
    let strict = |tool: Value| {
        let (tools, as_sent) = tools(&json!([tool]), &Value::Null).unwrap();
        assert_eq!(as_sent[0]["strict"], tools.list[0].strict);
        tools.list[0].strict
    };
    let tool = |fields: Value| {
        let mut tool = json!({"type": "function", "name": "f"});
        tool.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
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
    assert!(!strict(tool(
        json!({"parameters": closed, "strict": false})
    )));
    assert!(!strict(tool(json!({"parameters": open}))));
    assert!(!strict(tool(json!({"parameters": half}))));
    assert!(strict(tool(json!({"parameters": open, "strict": true}))));
    assert!(!strict(tool(json!({}))));
}

/// Returns the names of the functions that Claude sees, and of the ignored fields.
fn offered(body: &Value) -> (Vec<String>, Vec<String>) {
    let (turn, ignored) = decode(body.to_string().as_bytes(), Policy::Lenient)
        .unwrap()
        .into_turn(&[])
        .unwrap();
    (
        turn.tools.list.into_iter().map(|tool| tool.name).collect(),
        ignored.ignored,
    )
}

#[test]
fn unsupported_tools_are_left_out_and_reported() {
    let list = json!([
        {"type": "function", "name": "f"}, {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "image_generation"}, {"type": "computer_use_preview"}, {"type": "tool_search"},
        {"type": "mcp", "server_label": "a", "server_url": "https://a.example"},
        {"type": "code_interpreter", "container": "cntr_1"},
        {"type": "shell", "environment": {"type": "container_auto"}},
    ]);
    let (tools_offered, ignored) = offered(&json!({"model": "m", "input": "x", "tools": list}));
    assert_eq!(tools_offered, ["f"]);
    let kinds = [
        "file_search",
        "image_generation",
        "computer_use_preview",
        "tool_search",
        "mcp",
        "code_interpreter",
        "shell",
    ];
    let named = kinds
        .iter()
        .enumerate()
        .map(|(index, kind)| format!("tools[{}] ({kind})", index + 1));
    assert_eq!(ignored, named.collect::<Vec<_>>());
    let forced = json!({"model": "m", "input": "x", "tools": list, "tool_choice": {"type": "image_generation"}});
    let error = decode(forced.to_string().as_bytes(), Policy::Lenient).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("tool_choice.type"));
    let allowed = json!([{"type": "function", "name": "f"}, {"type": "image_generation"}, {"type": "mcp", "server_label": "a"}]);
    let choice = json!({"type": "allowed_tools", "mode": "auto", "tools": allowed});
    assert_eq!(
        offered(&json!({"model": "m", "input": "x", "tools": list, "tool_choice": choice})).0,
        ["f"]
    );
    for tool in list.as_array().unwrap().iter().skip(1) {
        assert!(tools(&json!([tool]), &Value::Null).is_err(), "{tool}");
    }
}

#[test]
fn namespace_tools_become_functions() {
    let inner = json!([{"type": "function", "name": "f", "description": "F"}, {"type": "custom", "name": "c"}]);
    let list = json!([{"type": "namespace", "name": "n", "description": "N.", "tools": inner}]);
    let (with, as_sent) = tools(
        &list,
        &json!({"type": "function", "name": "f", "namespace": "n"}),
    )
    .unwrap();
    assert_eq!(as_sent, list);
    assert_eq!(with.choice, ToolChoice::Named("n__f".to_owned()));
    assert_eq!(
        with.list
            .iter()
            .map(|tool| tool.name.as_str())
            .collect::<Vec<_>>(),
        ["n__f", "n__c"]
    );
    assert_eq!(
        with.list[0].description.as_deref(),
        Some("F\n\nOf all tools that begin with `n__`: N.")
    );
    assert_eq!(
        with.list[1].schema,
        crate::api::openai::custom_input::SCHEMA
    );
    let allowed = json!({"type": "allowed_tools", "tools": [{"type": "namespace", "name": "n"}]});
    assert_eq!(tools(&list, &allowed).unwrap().0.list.len(), 2);
    // Its own name is enough while it is unique.
    assert_eq!(
        tools(&list, &json!({"type": "function", "name": "f"}))
            .unwrap()
            .0
            .choice,
        ToolChoice::Named("n__f".to_owned())
    );
    let twice = json!([list[0], {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}]);
    assert_eq!(
        tools(&twice, &Value::Null).unwrap_err().param.as_deref(),
        Some("tools[1].tools[0].name")
    );
}

#[test]
fn colliding_tool_names_are_made_distinct() {
    let function = |name: &str| json!({"type": "function", "name": name});
    let namespace = |name: &str, inner: &str| json!({"type": "namespace", "name": name, "tools": [function(inner)]});
    let list = json!([
        namespace("a", "b__c"),
        namespace("a__b", "c"),
        function("a__b__c")
    ]);
    let choice = |choice: Value| match tools(&list, &choice).unwrap().0 {
        Tools {
            list,
            choice: ToolChoice::Named(name),
            ..
        } => list.iter().position(|tool| tool.name == name).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        choice(json!({"type": "function", "name": "b__c", "namespace": "a"})),
        0
    );
    assert_eq!(
        choice(json!({"type": "function", "name": "c", "namespace": "a__b"})),
        1
    );
    assert_eq!(choice(json!({"type": "function", "name": "a__b__c"})), 2);
    let body = json!({"model": "m", "input": "x", "tools": list}).to_string();
    let request = decode(body.as_bytes(), Policy::Strict).unwrap();
    let names = request.tool_names().clone();
    let known: Vec<_> = request
        .into_turn(&[])
        .unwrap()
        .0
        .tools
        .list
        .into_iter()
        .map(|tool| tool.name)
        .collect();
    let original_names: Vec<_> = known
        .iter()
        .map(|name| names.find(name))
        .map(|tool| (tool.namespace, tool.name))
        .collect();
    let tool =
        |namespace: Option<&str>, name: &str| (namespace.map(str::to_owned), name.to_owned());
    assert_eq!(
        original_names,
        [
            tool(Some("a"), "b__c"),
            tool(Some("a__b"), "c"),
            tool(None, "a__b__c")
        ]
    );
}

#[test]
fn custom_tool_grammar_is_in_the_description() {
    let format = json!({"type": "grammar", "syntax": "lark", "definition": "start: /x/"});
    let (with, _) = tools(
        &json!([{"type": "custom", "name": "c", "description": "C", "format": format}]),
        &json!({"type": "custom", "name": "c"}),
    )
    .unwrap();
    assert_eq!(with.choice, ToolChoice::Named("c".to_owned()));
    let description = with.list[0].description.as_deref().unwrap();
    assert!(
        description.starts_with("C\n\n") && description.ends_with("start: /x/"),
        "{description}"
    );
    let odd = json!([{"type": "custom", "name": "c", "format": {"type": "bnf"}}]);
    assert_eq!(
        tools(&odd, &Value::Null).unwrap_err().param.as_deref(),
        Some("tools[0].format.type")
    );
}

#[test]
fn built_in_client_tools_become_functions() {
    let kinds = ["local_shell", "shell", "apply_patch"].map(|kind| (kind, Value::Null));
    for (kind, execution) in kinds.into_iter().chain([("tool_search", json!("client"))]) {
        let (with, as_sent) = tools(
            &json!([{"type": kind, "execution": execution}]),
            &json!({"type": kind}),
        )
        .unwrap();
        assert_eq!(
            (&*with.list[0].name, &as_sent[0]["type"]),
            (kind, &json!(kind))
        );
        assert_eq!(with.choice, ToolChoice::Named(kind.to_owned()));
        assert!(
            serde_json::from_str::<Value>(&with.list[0].schema).unwrap()["required"].is_array()
        );
    }
}

#[test]
fn input_items_add_tools() {
    let item = |name: &str| {
        json!({"type": "additional_tools", "role": "developer", "tools": [
            {"type": "function", "name": "f"}, {"type": "custom", "name": name},
        ]})
    };
    let input = json!([item("c"), item("c"), {"role": "user", "content": "x"}]);
    let body = json!({"model": "m", "input": input, "tools": [{"type": "function", "name": "f"}], "tool_choice": "required"});
    assert_eq!(
        offered(&body),
        (vec!["f".to_owned(), "c".to_owned()], Vec::new())
    );
    let mut request = decode(body.to_string().as_bytes(), Policy::Strict).unwrap();
    let found = json!({"type": "tool_search_output", "execution": "client", "tools": [{"type": "custom", "name": "e"}]});
    request.add_tools(&[item("d"), found], &[]).unwrap();
    assert_eq!(
        request.tool_names().find("d").kind,
        crate::api::openai::responses::client_tool::ClientToolKind::Custom
    );
    assert_eq!(
        request.into_turn(&[item("d")]).unwrap().0.tools.list.len(),
        4
    );
    let hosted = json!({"type": "additional_tools", "tools": [{"type": "web_search"}, {"type": "code_interpreter"}]});
    let body =
        json!({"model": "m", "input": [hosted, {"role": "user", "content": "x"}]}).to_string();
    let tools = decode(body.as_bytes(), Policy::Lenient)
        .unwrap()
        .into_turn(&[])
        .unwrap()
        .0
        .tools;
    assert!(tools.web_search.is_some() && tools.runs_code);
    let notices: Vec<_> = tools
        .optional
        .iter()
        .map(|tool| tool.notice.as_str())
        .collect();
    assert_eq!(
        notices,
        [
            "input[0].tools[0] (web_search)",
            "input[0].tools[1] (code_interpreter)"
        ]
    );
}

/// Tools of earlier items are added before the tool choice is applied, which limits them too.
#[test]
fn tool_choice_sees_tools_of_earlier_items() {
    let item = json!({"type": "additional_tools", "role": "developer", "tools": [
        {"type": "function", "name": "found"}, {"type": "function", "name": "other"},
    ]});
    let sealed = EncryptedContent::Conversation(vec![item.clone()]).to_text();
    let compaction = json!({"type": "compaction", "encrypted_content": sealed});
    let chosen = |choice: Value,
                  continues: bool,
                  input: Value,
                  earlier: &[Value],
                  referenced: &[usize]| {
        let mut body =
            json!({"model": "m", "input": input, "tool_choice": choice, "tools": two_functions()});
        if continues {
            body["previous_response_id"] = json!("resp_1");
        }
        let mut request = decode(body.to_string().as_bytes(), Policy::Strict)?;
        if let Some(index) = referenced.first() {
            request.input[*index] = item.clone();
        }
        request.add_tools(earlier, referenced)?;
        let tools = request.into_turn(&[])?.0.tools;
        Ok::<_, InvalidRequest>((
            tools
                .list
                .into_iter()
                .map(|tool| tool.name)
                .collect::<Vec<_>>(),
            tools.choice,
        ))
    };
    let user = json!({"role": "user", "content": "x"});
    let found = || json!({"type": "function", "name": "found"});
    let allowed = || json!({"type": "allowed_tools", "mode": "required", "tools": [found()]});
    let expected = (vec!["found".to_owned()], ToolChoice::Required);
    let earlier = std::slice::from_ref(&item);
    assert_eq!(
        chosen(allowed(), true, json!([user]), earlier, &[]).unwrap(),
        expected
    );
    let reference = json!({"type": "item_reference", "id": "at_1"});
    assert_eq!(
        chosen(allowed(), false, json!([reference, user]), &[], &[0]).unwrap(),
        expected
    );
    assert_eq!(
        chosen(allowed(), false, json!([compaction, user]), &[], &[]).unwrap(),
        expected
    );
    let named = chosen(found(), true, json!([user]), earlier, &[]).unwrap();
    assert_eq!(
        (named.0.len(), named.1),
        (4, ToolChoice::Named("found".to_owned()))
    );
    let missing = chosen(found(), true, json!([user]), &[], &[]).unwrap_err();
    assert_eq!(missing.param.as_deref(), Some("tool_choice.name"));
}

#[test]
fn many_tools_are_all_kept_by_allowed_tools() {
    let list: Vec<_> = (0..5000)
        .map(|index| json!({"type": "function", "name": format!("f{index}")}))
        .collect();
    let allowed = json!({"type": "allowed_tools", "tools": list});
    assert_eq!(tools(&json!(list), &allowed).unwrap().0.list.len(), 5000);
}

#[test]
fn uncallable_tools_are_refused() {
    for kind in ["file_search", "computer_use_preview"] {
        let error = tools(&json!([{"type": kind}]), &Value::Null).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("tools[0].type"));
        assert!(error.message.contains(kind), "{}", error.message);
    }
    for (list, choice, param) in [
        (
            json!([{"type": "function", "name": "a b"}]),
            Value::Null,
            "tools[0].name",
        ),
        (
            json!([{"type": "function", "name": "a"}, {"type": "function", "name": "a"}]),
            Value::Null,
            "tools[1].name",
        ),
        (json!([]), json!("required"), "tool_choice"),
        (two_functions(), json!("any"), "tool_choice"),
        (
            two_functions(),
            json!({"type": "function", "name": "c"}),
            "tool_choice.name",
        ),
        (
            two_functions(),
            json!({"type": "web_search_preview"}),
            "tool_choice.type",
        ),
        (
            two_functions(),
            json!({"type": "allowed_tools", "tools": [{"name": "c"}]}),
            "tool_choice.tools[0].name",
        ),
    ] {
        assert_eq!(
            tools(&list, &choice).unwrap_err().param.as_deref(),
            Some(param)
        );
    }
}
