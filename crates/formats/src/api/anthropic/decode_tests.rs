//! Valid and invalid requests; their messages are tested elsewhere.

use serde_json::json;

use super::*;
use crate::api::anthropic::testing::assert_refused;
use crate::api::anthropic::testing::decoded;
use crate::api::anthropic::testing::messages;
use crate::api::anthropic::testing::refused;
use crate::api::anthropic::testing::with;
use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;

fn sampling(fields: Value) -> Sampling {
    decoded(&with(fields)).turn.sampling
}

/// Sampling of a request without any parameters.
fn plain() -> Sampling {
    Sampling {
        max_output_tokens: Some(4096),
        effort: Some(Effort::NotRequested),
        ..Sampling::default()
    }
}

fn tools(fields: Value) -> Tools {
    decoded(&with(fields)).turn.tools
}

fn look() -> Value {
    json!({"name": "look", "input_schema": {"type": "object"}})
}

#[test]
fn smallest_request_is_decoded() {
    let turn = Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("sonnet"),
        system: vec![],
        tools: Tools::default(),
        history: vec![],
        prompt: vec![Part::text("Hi")],
        sampling: plain(),
    };
    let expected = MessagesRequest {
        turn,
        stream: false,
        shows_thinking: true,
        remarks: Remarks::default(),
    };
    assert_eq!(decoded(&with(json!({}))), expected);
    assert!(decoded(&with(json!({"stream": true}))).stream);
}

#[test]
fn system_blocks_become_instructions() {
    let system = |value: Value| decoded(&with(json!({"system": value}))).turn.system;
    assert_eq!(system(json!("Be brief.")), ["Be brief."]);
    assert!(system(json!(" \n")).is_empty() && system(json!(null)).is_empty());
    let marked = json!({"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}});
    let blocks = json!([{"type": "text", "text": "a"}, {"type": "text", "text": ""}, marked]);
    assert_eq!(system(blocks), ["a", "b"]);
}

#[test]
fn anthropic_sampling_parameters_are_decoded() {
    let fields =
        json!({"temperature": 0.5, "top_p": 1, "top_k": 40, "stop_sequences": ["a", "\n"]});
    let expected = Sampling {
        temperature: Some(0.5),
        top_p: Some(1.0),
        top_k: Some(40),
        stop: vec!["a".into(), "\n".into()],
        ..plain()
    };
    assert_eq!(sampling(fields), expected);
    assert_eq!(
        sampling(json!({"stop_sequences": [], "temperature": null})),
        plain()
    );
}

#[test]
fn thinking_and_effort_are_decoded() {
    let effort_and_thinking = |fields: Value| {
        let sampling = sampling(fields);
        (sampling.effort, sampling.thinking_budget)
    };
    let budget = json!({"type": "enabled", "budget_tokens": 2048});
    let adaptive = json!({"type": "adaptive"});
    let disabled = json!({"type": "disabled"});
    let effort = |effort: &str| json!({"effort": effort});
    assert_eq!(
        effort_and_thinking(json!({"thinking": budget})),
        (None, Some(2048))
    );
    assert_eq!(
        effort_and_thinking(json!({"thinking": adaptive})),
        (None, None)
    );
    assert_eq!(
        effort_and_thinking(json!({"thinking": disabled})),
        (Some(Effort::None), None)
    );
    assert_eq!(
        effort_and_thinking(json!({"output_config": effort("low")})),
        (Some(Effort::Low), None)
    );
    assert_eq!(
        effort_and_thinking(json!({"thinking": budget, "output_config": effort("high")})),
        (Some(Effort::High), Some(2048))
    );
    assert_eq!(
        effort_and_thinking(json!({"thinking": adaptive, "output_config": effort("max")})).0,
        Some(Effort::XHigh)
    );
    assert_eq!(
        effort_and_thinking(json!({"thinking": disabled, "output_config": effort("medium")})).0,
        Some(Effort::None)
    );

    let shows = |display: &str| {
        decoded(&with(
            json!({"thinking": {"type": "adaptive", "display": display}}),
        ))
        .shows_thinking
    };
    assert!(shows("summarized") && shows("updates") && !shows("omitted"));
    let written = |thinking: Value| {
        decoded(&with(json!({"thinking": thinking})))
            .turn
            .native
            .fields
    };
    let field = |json: &str| vec![("thinking".to_owned(), json.to_owned())];
    let updates = written(json!({"type": "adaptive", "display": "updates"}));
    assert_eq!(
        updates,
        field(r#"{"display":"summarized","type":"adaptive"}"#)
    );
    for kind in ["disabled", "between_tools"] {
        let fields = written(json!({"type": kind, "display": "updates"}));
        assert_eq!(
            fields,
            field(r#"{"type":"disabled"}"#),
            "the gateway knows the word of the model"
        );
    }
    let same = sampling(json!({"thinking": adaptive, "temperature": 1, "top_p": 1.0}));
    assert_eq!((same.temperature, same.top_p), (None, None));
}

#[test]
fn schemas_keep_the_clients_order_of_keys() {
    let request = |fields: &str| {
        let body = format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"x"}}],{fields}}}"#
        );
        decode(body.as_bytes(), Policy::Strict).unwrap().turn
    };
    let schema =
        r#"{"type":"object","required":["z"],"properties":{"z":{"type":"string"},"a":{}}}"#;
    for fields in [
        format!(r#""output_config": {{"format": {{"schema": {schema}, "type": "json_schema"}} }}"#),
        format!(r#""output_format": {{"type": "json_schema", "schema": {schema} }}"#),
    ] {
        let format = Format::Schema(Schema {
            json: schema.into(),
            is_strict: false,
            is_native: true,
        });
        assert_eq!(request(&fields).sampling.format, format);
    }
    let fields = format!(r#""tools": [{{"name": "look", "input_schema": {schema} }}]"#);
    assert_eq!(request(&fields).tools.list[0].schema, schema);
}

#[test]
fn tools_and_tool_choice_are_decoded() {
    let described = json!({
        "type": "custom", "name": "look", "description": "Looks.", "strict": true, "defer_loading": false,
        "allowed_callers": ["direct"], "input_schema": {"type": "object"},
    });
    let expected = Tool {
        name: "look".into(),
        description: Some("Looks.".into()),
        schema: r#"{"type":"object"}"#.into(),
        strict: true,
    };
    let offered = tools(json!({"tools": [described]}));
    assert_eq!(
        offered,
        Tools {
            list: vec![expected],
            ..Tools::default()
        }
    );

    let choice = |choice: Value| {
        let tools = tools(json!({"tools": [look()], "tool_choice": choice}));
        (tools.choice, tools.parallel)
    };
    assert_eq!(choice(json!({"type": "auto"})), (ToolChoice::Auto, true));
    assert_eq!(
        choice(json!({"type": "auto", "disable_parallel_tool_use": true})),
        (ToolChoice::Auto, false)
    );
    assert_eq!(choice(json!({"type": "any"})), (ToolChoice::Required, true));
    assert_eq!(choice(json!({"type": "none"})), (ToolChoice::None, true));
    assert_eq!(
        choice(json!({"type": "tool", "name": "look"})),
        (ToolChoice::Named("look".into()), true)
    );
    assert_eq!(
        tools(json!({"tool_choice": {"type": "none"}})).choice,
        ToolChoice::None
    );
}

#[test]
fn null_and_empty_values_are_accepted_silently() {
    let request = with(json!({
        "container": null, "metadata": {"user_id": "u"}, "tools": [], "stop_sequences": [],
    }));
    let strict = decode(request.to_string().as_bytes(), Policy::Strict).unwrap();
    assert!(strict.remarks.ignored.is_empty());
}

#[test]
fn unsupported_features_are_passed_on_as_written() {
    let mark = json!({"type": "ephemeral"});
    let request = with(json!({
        "speed": "fast", "seed": 1, "context_management": {"edits": []}, "container": "c",
        "mcp_servers": [{"type": "url"}],
        "thinking": {"type": "sometimes", "display": "half"},
        "output_config": {"effort": "low", "task_budget": {"total": 9}},
        "system": [{"type": "text", "text": "x", "cache_control": mark}],
        "tools": [look(), {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "x", "cache_control": mark}, {"type": "search_result", "z": 1, "a": 2},
        ]}],
    }));
    let decoded = decoded(&request);
    assert_eq!(decoded.remarks.ignored, Vec::<String>::new());
    let Turn {
        native,
        prompt,
        tools,
        system,
        ..
    } = decoded.turn;
    let names: Vec<_> = native
        .fields
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "thinking",
            "output_config",
            "container",
            "context_management",
            "mcp_servers",
            "seed",
            "speed"
        ]
    );
    assert_eq!(native.fields[0].1, request["thinking"].to_string());
    assert_eq!(native.system, Some(vec![request["system"][0].to_string()]));
    assert_eq!(system, ["x"]);
    let written: Vec<String> = request["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    assert_eq!(native.tools, Some(written));
    assert_eq!(
        (tools.list.len(), tools.web_search.unwrap().max_uses),
        (1, Some(3))
    );
    let block = |index: usize| NativeBlock {
        json: request["messages"][0]["content"][index].to_string(),
        role: NativeRole::Other,
    };
    assert_eq!(prompt, [Part::Native(block(0)), Part::Native(block(1))]);
    assert!(native.has_cache_breakpoints);
}

#[test]
fn plain_request_has_no_native_fields() {
    let request = with(json!({"system": [{"type": "text", "text": "x"}], "tools": [look()]}));
    assert_eq!(decoded(&request).turn.native, Native::default());
}

#[test]
fn billing_header_is_removed_from_the_instructions() {
    let system = |cch: &str| {
        let billing = format!("x-anthropic-billing-header: cc_version=2.1.332; cch={cch};");
        let request = with(json!({"system": [
            {"type": "text", "text": billing},
            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        ]}));
        let decoded = decoded(&request);
        assert_eq!(decoded.remarks.ignored, ["system[] (billing header)"]);
        (decoded.turn.system, decoded.turn.native.system)
    };
    assert_eq!(system("1f"), system("e0"));
}

#[test]
fn strict_policy_rejects_unknown_fields_and_types() {
    let strict = |fields| decode(with(fields).to_string().as_bytes(), Policy::Strict);
    assert!(strict(json!({"speed": "fast", "container": "c"})).is_ok());
    let refused = |fields| strict(fields).unwrap_err();
    assert_eq!(refused(json!({"seed": 1})).code, Some(code::UNKNOWN));
    let tool = json!({"name": "look", "input_schema": {"type": "object"}, "colour": "red"});
    assert_eq!(
        refused(json!({"tools": [tool]})).param.as_deref(),
        Some("tools[0].colour")
    );
    let block = json!([{"role": "user", "content": [{"type": "from_the_future"}]}]);
    assert_eq!(
        refused(json!({"messages": block})).param.as_deref(),
        Some("messages[0].content[0].type")
    );
    let thinking = json!({"type": "sometimes"});
    assert_eq!(
        refused(json!({"thinking": thinking})).param.as_deref(),
        Some("thinking.type")
    );
}

#[test]
fn count_tokens_needs_no_max_tokens() {
    let mut request = messages(json!([{"role": "user", "content": "Hi"}]));
    request.as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(refused(&request).message, "`max_tokens` is missing.");
    let counted = decode_count(request.to_string().as_bytes(), Policy::Strict).unwrap();
    assert_eq!(counted.turn.prompt, [Part::text("Hi")]);
    assert_eq!(counted.turn.sampling.max_output_tokens, None);
}

#[test]
fn errors_name_the_invalid_field() {
    assert_refused([
        (json!({"max_tokens": 1, "messages": []}), "model", "missing"),
        (with(json!({"model": " "})), "model", "blank"),
        (
            json!({"model": "m", "max_tokens": 1}),
            "messages",
            "missing",
        ),
        (
            with(json!({"max_tokens": 0})),
            "max_tokens",
            "expected an integer from 1",
        ),
        (
            with(json!({"temperature": 1.1})),
            "temperature",
            "from 0 to 1",
        ),
        (
            with(json!({"stop_sequences": "x"})),
            "stop_sequences",
            "expected an array, got a string",
        ),
        (
            with(json!({"stop_sequences": [1]})),
            "stop_sequences[0]",
            "expected a string",
        ),
        (
            with(json!({"metadata": {"user_id": 5}})),
            "metadata.user_id",
            "expected a string",
        ),
        (
            with(json!({"system": [{"type": "image"}]})),
            "system[0].type",
            "expected `text`, got `image`",
        ),
        (
            with(json!({"system": ["x"]})),
            "system[0]",
            "expected an object",
        ),
        (
            with(json!({"billing_policy": {"type": "x"}})),
            "billing_policy",
            "is billed",
        ),
        (
            with(json!({"mcp_servers": "x"})),
            "mcp_servers",
            "expected an array",
        ),
        (
            with(json!({"thread": {"type": "create"}})),
            "thread",
            "Send all messages",
        ),
        (
            with(json!({"fallbacks": ["opus"]})),
            "fallbacks",
            "by the rules of the",
        ),
    ]);
}

#[test]
fn invalid_thinking_and_output_formats_are_rejected() {
    let enabled = json!({"type": "enabled", "budget_tokens": 1024});
    assert_refused([
        (
            with(json!({"thinking": {"type": "enabled"}})),
            "thinking.budget_tokens",
            "missing",
        ),
        (
            with(json!({"thinking": {"type": "enabled", "budget_tokens": 100}})),
            "thinking.budget_tokens",
            "1024",
        ),
        (
            with(json!({"thinking": enabled, "max_tokens": 1024})),
            "thinking.budget_tokens",
            "less than `max_tokens`, which is 1024",
        ),
        (
            with(json!({"thinking": enabled, "temperature": 0.5})),
            "temperature",
            "while it thinks",
        ),
        (
            with(json!({"thinking": enabled, "top_k": 5})),
            "top_k",
            "while it thinks",
        ),
        (
            with(json!({"thinking": enabled, "tools": [look()], "tool_choice": {"type": "any"}})),
            "tool_choice",
            "while it thinks",
        ),
        (
            with(json!({"output_config": {"effort": "most"}})),
            "output_config.effort",
            "got `most`",
        ),
        (
            with(json!({"output_format": {"type": "json"}})),
            "output_format.type",
            "`json_schema`",
        ),
        (
            with(json!({
                "output_format": {"type": "json_schema", "schema": {"type": "object"}},
                "output_config": {"task_budget": {"total": 5}},
            })),
            "output_format",
            "`output_config.format`",
        ),
        (
            with(json!({"tools": [{"type": "advisor_1", "name": "advisor", "model": "opus"}]})),
            "tools[0].model",
            "Remove it",
        ),
        (
            with(json!({"output_config": {"format": {"type": "json_schema"}}})),
            "output_config.format.schema",
            "missing",
        ),
        (
            with(json!({
                "output_format": {"type": "json_schema", "schema": {}},
                "output_config": {"format": {"type": "json_schema", "schema": {}}},
            })),
            "output_format",
            "only the new one",
        ),
    ]);
}

#[test]
fn invalid_tools_are_rejected() {
    let named = |name: &str| json!({"name": name, "input_schema": {"type": "object"}});
    let refusing = |tool: Value| with(json!({"tools": [tool]}));
    let choosing = |choice: Value| with(json!({"tools": [look()], "tool_choice": choice}));
    assert_refused([
        (
            refusing(json!({"input_schema": {}})),
            "tools[0].name",
            "missing",
        ),
        (refusing(named("a b")), "tools[0].name", "letters, digits"),
        (
            refusing(named(&"x".repeat(129))),
            "tools[0].name",
            "1 to 128",
        ),
        (
            refusing(json!({"name": "look"})),
            "tools[0].input_schema",
            "missing",
        ),
        (
            refusing(json!({"name": "look", "input_schema": {}})),
            "tools[0].input_schema",
            r#"`"type": "object"`"#,
        ),
        (
            with(json!({"tools": [look(), look()]})),
            "tools[1].name",
            "two tools are called `look`",
        ),
        (
            choosing(json!({"type": "most"})),
            "tool_choice.type",
            "`any`",
        ),
        (
            choosing(json!({"type": "tool"})),
            "tool_choice.name",
            "missing",
        ),
        (
            choosing(json!({"type": "tool", "name": "wait"})),
            "tool_choice.name",
            "no such tool",
        ),
        (
            with(json!({"tool_choice": {"type": "any"}})),
            "tool_choice.type",
            "no such tool",
        ),
        (
            with(json!({"tool_choice": "auto"})),
            "tool_choice",
            "expected an object",
        ),
    ]);
}

#[test]
fn bodies_that_are_not_json_objects_are_rejected() {
    let rows: [(&[u8], &str); 3] = [
        (
            b"",
            "The body is empty. Send a JSON object with `model`, `max_tokens` and `messages`.",
        ),
        (
            b"{",
            "The body ends too early to be valid JSON: EOF while parsing an object at line 1 column 1.",
        ),
        (
            b"[]",
            "The body must be a JSON object with `model`, `max_tokens` and `messages`, but it is an array.",
        ),
    ];
    for (body, message) in rows {
        assert_eq!(
            decode(body, Policy::Lenient),
            Err(InvalidRequest::body(message))
        );
    }
}

#[test]
fn excess_cache_breakpoints_are_dropped_earliest_first() {
    let mark = json!({"type": "ephemeral"});
    let text = |number: usize| json!({"type": "text", "text": format!("Part {number}."), "cache_control": mark});
    let result = json!({"type": "tool_result", "tool_use_id": "c", "content": [text(5)], "cache_control": mark});
    let call = json!({"type": "tool_use", "id": "c", "name": "look", "input": {}});
    let content = [text(0), text(1)];
    let request = json!({
        "model": "sonnet", "max_tokens": 9, "system": [text(3)],
        "tools": [{"name": "look", "input_schema": {"type": "object"}, "cache_control": mark}],
        "messages": [{"role": "user", "content": content}, {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]}],
    });
    let request = decode(request.to_string().as_bytes(), Policy::Lenient).unwrap();
    assert_eq!(
        request.remarks.ignored,
        ["messages[].content[].cache_control"]
    );
    let written = format!("{:?}", request.turn);
    assert_eq!(
        written.matches(r#"cache_control\":"#).count(),
        4,
        "{written}"
    );
    let first = format!("{:?}", request.turn.history[0]);
    assert!(!first.contains("cache_control"), "{first}");

    let many: Vec<_> = (0..6).map(text).collect();
    let body = json!({"model": "m", "max_tokens": 9, "system": many, "messages": [{"role": "user", "content": "Hi"}]});
    let request = decode(body.to_string().as_bytes(), Policy::Lenient).unwrap();
    assert_eq!(request.remarks.ignored, ["system[].cache_control"]);
    let refused = decode(body.to_string().as_bytes(), Policy::Strict).unwrap_err();
    assert!(refused.message.contains("no more than 4"), "{refused:?}");
}

#[test]
fn anthropic_tool_without_name_is_accepted() {
    let toolset = json!({"type": "mcp_toolset", "mcp_server_name": "docs"});
    let request = decoded(&with(json!({"tools": [toolset]})));
    assert_eq!(request.turn.native.tools.unwrap().len(), 1);
    let nameless = with(json!({"tools": [{"input_schema": {"type": "object"}}]}));
    assert_refused([(nameless, "tools[0].name", "is missing")]);
}
