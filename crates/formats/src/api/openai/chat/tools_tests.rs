//! Tools, tool calls and tool results in chat requests.

use serde_json::json;

use super::*;
use crate::api::openai::chat::ChatRequest;
use crate::api::openai::chat::decode as decode_chat;
use crate::api::request_schema::Policy;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

fn decoded(body: &str) -> ChatRequest {
    decode_chat(body.as_bytes(), Policy::Strict).unwrap()
}

fn refused(request: &Value) -> (String, &'static str, String) {
    let error = decode_chat(request.to_string().as_bytes(), Policy::Lenient).unwrap_err();
    (
        error.param.unwrap_or_default(),
        error.code.unwrap_or_default(),
        error.message,
    )
}

fn request(fields: Value) -> Value {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "q"}]});
    let (Value::Object(into), Value::Object(fields)) = (&mut request, fields) else {
        unreachable!()
    };
    into.extend(fields);
    request
}

fn tool(name: &str) -> Value {
    json!({"type": "function", "function": {"name": name}})
}

fn tools(request: &Value) -> Tools {
    decoded(&request.to_string()).turn.tools
}

fn names(tools: &Tools) -> Vec<&str> {
    tools.list.iter().map(|tool| tool.name.as_str()).collect()
}

#[test]
fn function_schema_is_kept_verbatim() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"q"}],"tools":[
        {"type":"function","function":{"name":"look","description":"Looks.","strict":true,
         "parameters":{ "type":"object", "properties":{"z":{"const":1.0},"a":{}} }}},
        {"type":"function","function":{"name":"no-parameters","parameters":null}},
        {"type":"function","function":{"name":"no_type","parameters":{"properties":{}}}}]}"#;
    let tools = decoded(body).turn.tools;
    assert_eq!(
        tools.list[0].schema,
        r#"{"type":"object","properties":{"z":{"const":1.0},"a":{}}}"#
    );
    assert_eq!(
        (tools.list[0].description.as_deref(), tools.list[0].strict),
        (Some("Looks."), true)
    );
    assert_eq!(tools.list[1].schema, r#"{"type":"object","properties":{}}"#);
    assert_eq!(tools.list[2].schema, r#"{"properties":{},"type":"object"}"#);
    assert_eq!((tools.choice, tools.parallel), (ToolChoice::Auto, true));
}

#[test]
fn chat_tool_choice_forms_are_decoded() {
    let choice = |choice: Value| {
        let tools = tools(&request(
            json!({"tools": [tool("a"), tool("b")], "tool_choice": choice}),
        ));
        format!("{:?} {}", tools.choice, names(&tools).join(","))
    };
    assert_eq!(choice(json!("auto")), "Auto a,b");
    assert_eq!(choice(json!("none")), "None a,b");
    assert_eq!(choice(json!("required")), "Required a,b");
    assert_eq!(choice(tool("b")), r#"Named("b") a,b"#);
    let allowed = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [tool("b")]}});
    assert_eq!(choice(allowed("auto")), "Auto b");
    assert_eq!(choice(allowed("required")), "Required b");
    assert!(
        !tools(&request(
            json!({"tools": [tool("a")], "parallel_tool_calls": false})
        ))
        .parallel
    );
    assert_eq!(
        tools(&request(json!({"tools": [], "tool_choice": "none"}))).list,
        []
    );
}

#[test]
fn legacy_functions_decode_like_tools() {
    let body = request(json!({"functions": [{"name": "look", "parameters": {"type": "object"}}]}));
    let request_of = decoded(&body.to_string());
    assert_eq!(request_of.tool_call_format, ToolCallFormat::Functions);
    assert_eq!(names(&request_of.turn.tools), ["look"]);
    assert!(!request_of.turn.tools.parallel);
    let mut named = body;
    named["function_call"] = json!({"name": "look"});
    assert_eq!(tools(&named).choice, ToolChoice::Named("look".into()));
}

#[test]
fn custom_tools_are_decoded() {
    let grammar = json!({"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}});
    let tool =
        json!({"type": "custom", "custom": {"name": "c", "description": "C", "format": grammar}});
    let choice = json!({"type": "custom", "custom": {"name": "c"}});
    let request_of = decoded(&request(json!({"tools": [tool], "tool_choice": choice})).to_string());
    assert_eq!(
        request_of.tool_call_format,
        ToolCallFormat::Custom(vec!["c".to_owned()])
    );
    let tools = request_of.turn.tools;
    assert_eq!(tools.choice, ToolChoice::Named("c".to_owned()));
    assert_eq!(
        tools.list[0].schema,
        crate::api::openai::custom_input::SCHEMA
    );
    assert!(
        tools.list[0]
            .description
            .as_ref()
            .unwrap()
            .ends_with("\na+")
    );
    let call = json!({"id": "1", "type": "custom", "custom": {"name": "c", "input": "a\nb"}});
    let request = json!({"model": "m", "messages": [
        {"role": "user", "content": "x"}, {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "y"},
    ]});
    let history = decoded(&request.to_string()).turn.history;
    let Part::ToolUse(call) = &history[1].parts[0] else {
        panic!("{history:?}")
    };
    assert_eq!((&*call.name, &*call.input), ("c", r#"{"input":"a\nb"}"#));
}

#[test]
fn flat_tools_are_accepted() {
    let schema = json!({"type": "object", "properties": {}});
    let list = json!([
        {"name": "a", "description": "A", "input_schema": schema}, {"type": "function", "name": "b", "parameters": schema},
        {"type": "custom", "name": "c"},
    ]);
    let request_of = decoded(&request(json!({"tools": list})).to_string());
    assert_eq!(names(&request_of.turn.tools), ["a", "b", "c"]);
    assert_eq!(request_of.turn.tools.list[0].schema, schema.to_string());
    assert_eq!(
        request_of.tool_call_format,
        ToolCallFormat::Custom(vec!["c".to_owned()])
    );
}

#[test]
fn invalid_tools_are_refused_with_their_field() {
    let offer = |tool: Value| refused(&request(json!({"tools": [tool]})));
    let function = |function: Value| offer(json!({"type": "function", "function": function}));
    let rows = [
        (
            offer(json!({"type": "shell", "name": "x"})),
            "tools[0].type",
            code::UNSUPPORTED,
        ),
        (
            offer(json!({"type": "custom"})),
            "tools[0].custom",
            code::MISSING,
        ),
        (
            offer(json!({"type": "custom", "custom": {"name": "x", "format": {"type": "bnf"}}})),
            "tools[0].custom.format.type",
            code::VALUE,
        ),
        (
            offer(json!({"function": {"name": "x"}})),
            "tools[0].type",
            code::MISSING,
        ),
        (
            offer(json!({"type": "function"})),
            "tools[0].function",
            code::MISSING,
        ),
        (function(json!({})), "tools[0].function.name", code::MISSING),
        (
            function(json!({"name": "a b"})),
            "tools[0].function.name",
            code::VALUE,
        ),
        (
            function(json!({"name": "x".repeat(65)})),
            "tools[0].function.name",
            code::VALUE,
        ),
        (
            function(json!({"name": "x", "parameters": []})),
            "tools[0].function.parameters",
            code::TYPE,
        ),
        (
            function(json!({"name": "x", "parameters": {"type": "array"}})),
            "tools[0].function.parameters",
            code::VALUE,
        ),
    ];
    for ((param, code, message), expected, expected_code) in rows {
        assert_eq!(
            (param.as_str(), code),
            (expected, expected_code),
            "{message}"
        );
    }
}

#[test]
fn contradictory_tool_lists_are_refused() {
    let rows = [
        (
            refused(&request(json!({"tools": [tool("a"), tool("a")]}))),
            "tools[1]",
            code::VALUE,
        ),
        (
            refused(&request(json!({"tools": vec![tool("a"); 129]}))),
            "tools",
            code::VALUE,
        ),
        (
            refused(&request(json!({"tool_choice": "required"}))),
            "tool_choice",
            code::VALUE,
        ),
        (
            refused(&request(
                json!({"tools": [tool("a")], "tool_choice": "any"}),
            )),
            "tool_choice",
            code::VALUE,
        ),
        (
            refused(&request(
                json!({"tools": [tool("a")], "tool_choice": tool("b")}),
            )),
            "tool_choice.function.name",
            code::VALUE,
        ),
        (
            refused(&request(
                json!({"tools": [tool("a")], "functions": [{"name": "b"}]}),
            )),
            "functions",
            code::VALUE,
        ),
        (
            refused(&request(json!({"function_call": {"name": "b"}}))),
            "function_call.name",
            code::VALUE,
        ),
        (
            refused(&request(
                json!({"tools": [tool("a")], "function_call": "none"}),
            )),
            "function_call",
            code::VALUE,
        ),
        (
            refused(&request(
                json!({"functions": [{"name": "b"}], "tool_choice": "none"}),
            )),
            "functions",
            code::VALUE,
        ),
        (refused(&request(json!({"n": 9}))), "n", code::VALUE),
    ];
    for ((param, code, message), expected, expected_code) in rows {
        assert_eq!(
            (param.as_str(), code),
            (expected, expected_code),
            "{message}"
        );
    }
}

#[test]
fn invalid_tool_choices_are_refused_with_their_field() {
    let choice = |choice: Value| {
        refused(&request(
            json!({"tools": [tool("a"), tool("b")], "tool_choice": choice}),
        ))
    };
    let allowed = |fields: Value| choice(json!({"type": "allowed_tools", "allowed_tools": fields}));
    let rows = [
        (
            choice(json!({"function": {"name": "a"}})),
            "tool_choice.type",
            code::MISSING,
        ),
        (
            choice(json!({"type": "shell"})),
            "tool_choice.type",
            code::UNSUPPORTED,
        ),
        (
            choice(json!({"type": "function"})),
            "tool_choice.function",
            code::MISSING,
        ),
        (
            choice(json!({"type": "function", "function": {}})),
            "tool_choice.function.name",
            code::MISSING,
        ),
        (
            choice(json!({"type": "function", "function": {"name": "a"}, "allowed_tools": {}})),
            "tool_choice.allowed_tools",
            code::VALUE,
        ),
        (
            choice(json!({"type": "allowed_tools"})),
            "tool_choice.allowed_tools",
            code::MISSING,
        ),
        (
            choice(
                json!({"type": "allowed_tools", "function": {"name": "a"}, "allowed_tools": {}}),
            ),
            "tool_choice.function",
            code::VALUE,
        ),
        (
            allowed(json!({"tools": []})),
            "tool_choice.allowed_tools.mode",
            code::MISSING,
        ),
        (
            allowed(json!({"mode": "none", "tools": []})),
            "tool_choice.allowed_tools.mode",
            code::VALUE,
        ),
        (
            allowed(json!({"mode": "auto"})),
            "tool_choice.allowed_tools.tools",
            code::MISSING,
        ),
        (
            allowed(json!({"mode": "required", "tools": []})),
            "tool_choice",
            code::VALUE,
        ),
        (
            allowed(json!({"mode": "auto", "tools": [tool("a"), tool("c")]})),
            "tool_choice.allowed_tools.tools[1].function.name",
            code::VALUE,
        ),
        (
            allowed(json!({"mode": "auto", "tools": [{"type": "shell"}]})),
            "tool_choice.allowed_tools.tools[0].type",
            code::UNSUPPORTED,
        ),
    ];
    let (_, _, message) = choice(json!("a"));
    assert!(
        message.contains("`required`, or an object with the name of a tool"),
        "{message}"
    );
    for ((param, code, message), expected, expected_code) in rows {
        assert_eq!(
            (param.as_str(), code),
            (expected, expected_code),
            "{message}"
        );
    }
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// Returns a conversation with the calls `c1` and `c2`, followed by `more`.
fn called(more: &[Value]) -> Value {
    let calls = json!([call("c1", "look", "{\"a\": 1}"), call("c2", "wait", "")]);
    let before = [
        json!({"role": "user", "content": "q"}),
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
    ];
    json!({"model": "m", "messages": before.iter().chain(more).collect::<Vec<_>>()})
}

fn result(id: &str, content: impl Into<Value>) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content.into()})
}

fn tool_result(id: &str, texts: &[&str]) -> Part {
    let parts = texts.iter().map(|&text| Part::text(text)).collect();
    Part::ToolResult(ToolResult {
        id: id.to_owned(),
        parts,
        is_error: false,
    })
}

#[test]
fn tool_results_of_one_answer_merge_into_one_message() {
    let results = [
        result("c2", json!("two")),
        json!({"role": "system", "content": "in between"}),
        result(
            "c1",
            json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        ),
    ];
    let turn = decoded(&called(&results).to_string()).turn;
    assert_eq!(
        turn.history[2].parts,
        [tool_result("c2", &["two"]), tool_result("c1", &["a", "b"])]
    );
    assert_eq!(turn.prompt, [Part::Instruction("in between".to_owned())]);
    let use_of = |id: &str, name: &str, input: &str| {
        Part::ToolUse(ToolUse {
            id: id.into(),
            name: name.into(),
            input: input.into(),
        })
    };
    let calls = vec![
        use_of("c1", "look", "{\"a\": 1}"),
        use_of("c2", "wait", "{}"),
    ];
    assert_eq!(
        turn.history[1],
        Message {
            role: Role::Assistant,
            parts: calls
        }
    );

    let results = [
        result("c1", json!("")),
        result("c2", json!(null)),
        json!({"role": "user", "content": "well?"}),
    ];
    let turn = decoded(&called(&results).to_string()).turn;
    assert_eq!(
        turn.history[2].parts,
        [tool_result("c1", &[]), tool_result("c2", &[])]
    );
    assert_eq!(turn.prompt, [Part::text("well?")]);
}

#[test]
fn legacy_function_result_matches_call_by_name() {
    let request = json!({"model": "m", "messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": null, "function_call": {"name": "look", "arguments": "{}"}},
        {"role": "function", "name": "look", "content": "seen"},
    ]});
    assert_eq!(
        decoded(&request.to_string()).turn.prompt,
        [tool_result("call-1", &["seen"])]
    );
}

/// Returns a conversation of answers with calls of these ids, each with its results in reverse.
fn rounds(rounds: &[&[&str]]) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "q"})];
    for ids in rounds {
        let calls: Vec<_> = ids.iter().map(|id| call(id, "look", "{}")).collect();
        messages.push(json!({"role": "assistant", "tool_calls": calls}));
        messages.extend(ids.iter().rev().map(|id| result(id, *id)));
    }
    json!({"model": "m", "messages": messages})
}

/// Returns the ids sent upstream, each with the client's own id, in the order of the results.
fn result_ids(request: &Value) -> Vec<(String, String)> {
    let turn = decoded(&request.to_string()).turn;
    let parts = turn
        .history
        .into_iter()
        .flat_map(|message| message.parts)
        .chain(turn.prompt);
    let pair = |part| match part {
        Part::ToolResult(ToolResult { id, parts, .. }) => {
            let Some(Part::Text(own)) = parts.into_iter().next() else {
                panic!("a result without text")
            };
            Some((id, own))
        }
        _ => None,
    };
    parts.filter_map(pair).collect()
}

#[test]
fn tool_call_ids_invalid_upstream_are_replaced() {
    let pair = |id: &str, own: &str| (id.to_owned(), own.to_owned());
    assert_eq!(
        result_ids(&rounds(&[&["a/b c", "a?b c"]])),
        [pair("call-2", "a?b c"), pair("call-1", "a/b c")]
    );
    let again = rounds(&[&["0", "call-2"], &["0", "1"], &["call-1", "é"]]);
    let expected = [
        pair("call-2", "call-2"),
        pair("0", "0"),
        pair("1", "1"),
        pair("call-1", "0"),
        pair("call-4", "é"),
        pair("call-3", "call-1"),
    ];
    assert_eq!(
        result_ids(&again),
        expected,
        "clients count anew, and may count as this server does"
    );
}

/// Returns the field at which the strict policy refuses `request`, its message, and the names of
/// the repairs under the lenient policy.
fn repaired(request: &Value) -> (String, String, String) {
    let error = decode_chat(request.to_string().as_bytes(), Policy::Strict).unwrap_err();
    let remarks = decode_chat(request.to_string().as_bytes(), Policy::Lenient)
        .unwrap()
        .remarks;
    (
        error.param.unwrap_or_default(),
        error.message,
        remarks.repaired.join(", "),
    )
}

#[test]
fn unmatched_calls_and_results_are_repaired() {
    let user = || json!({"role": "user", "content": "next"});
    let none = "calls_without_results";
    let stray = "results_without_calls";
    let both = [none, stray].join(", ");
    let one = result("c1", json!("x"));
    let two = result("c2", json!("y"));
    let rows = [
        (
            called(std::slice::from_ref(&one)),
            "messages[1].tool_calls[1]",
            "no result",
            none,
        ),
        (
            called(&[one.clone(), user()]),
            "messages[1].tool_calls[1]",
            "no result",
            none,
        ),
        (
            called(&[user()]),
            "messages[1].tool_calls[0]",
            "no result",
            none,
        ),
        (
            called(&[result("c3", json!("x"))]),
            "messages[2].tool_call_id",
            "`c3`",
            &both,
        ),
        (
            called(&[one.clone(), two.clone(), one.clone()]),
            "messages[4].tool_call_id",
            "each result once",
            stray,
        ),
        (
            called(&[one.clone(), user(), two]),
            "messages[4].tool_call_id",
            "Move it there",
            "results_moved",
        ),
        (
            json!({"model": "m", "messages": [one]}),
            "messages[0].tool_call_id",
            "no call",
            stray,
        ),
    ];
    for (request, param, words, names) in rows {
        let (found, message, repaired) = repaired(&request);
        assert_eq!(
            (found.as_str(), repaired.as_str()),
            (param, names),
            "{message}"
        );
        assert!(message.contains(words), "{message}");
    }
    let old = json!({"role": "assistant", "function_call": {"name": "look", "arguments": ""}});
    let request = json!({"model": "m", "messages": [user(), old, user()]});
    assert_eq!(
        (repaired(&request).0.as_str(), repaired(&request).2.as_str()),
        ("messages[1].function_call", none)
    );
    let calls = |calls: Value| {
        let answer = json!({"role": "assistant", "tool_calls": calls});
        let (param, _, names) = repaired(
            &json!({"model": "m", "messages": [user(), answer, result("c", "x"), result("c", "y")]}),
        );
        (param, names)
    };
    let pair = |param: &str, names: String| (format!("messages[1].tool_calls{param}"), names);
    assert_eq!(
        calls(json!([call("c", "f", "{}"), call("c", "f", "{}")])),
        pair("[1]", "call_ids".into())
    );
    for arguments in ["[1]", "{", "null", "\"lamp\""] {
        let broken = calls(json!([call("c", "f", arguments)]));
        assert_eq!(broken, pair("[0]", format!("arguments, {stray}")));
    }
}

#[test]
fn fields_of_other_roles_are_refused() {
    let user = || json!({"role": "user", "content": "next"});
    let with_field = |field: &str, value: Value| {
        let mut message = user();
        message[field] = value;
        refused(&json!({"model": "m", "messages": [message]})).0
    };
    assert_eq!(
        with_field("tool_calls", json!([call("c", "f", "{}")])),
        "messages[0].tool_calls"
    );
    assert_eq!(
        with_field("function_call", json!({"name": "f"})),
        "messages[0].function_call"
    );
    assert_eq!(
        with_field("tool_call_id", json!("c")),
        "messages[0].tool_call_id"
    );
    assert_eq!(
        refused(&called(&[json!({"role": "tool", "content": "x"})])).0,
        "messages[2].tool_call_id"
    );
}

#[test]
fn responses_body_is_answered_as_chat() {
    let list = json!([{"type": "custom", "name": "c"}, {"type": "function", "name": "f"}]);
    let body =
        json!({"model": "m", "input": "x", "instructions": "i", "tools": list, "stream": true});
    let request_of = decoded(&body.to_string());
    assert_eq!(
        (request_of.stream, &request_of.turn.system),
        (true, &vec!["i".to_owned()])
    );
    assert_eq!(
        request_of.tool_call_format,
        ToolCallFormat::Custom(vec!["c".to_owned()])
    );
    assert_eq!(names(&request_of.turn.tools), ["c", "f"]);
    let body = json!({"model": "m", "input": "x", "previous_response_id": "resp_1"});
    assert_eq!(refused(&body).0, "previous_response_id");
}
