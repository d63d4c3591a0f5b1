//! Decoding of valid and invalid chat requests.

use serde_json::Value;
use serde_json::json;

use super::*;
use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::Tools;

fn decoded(request: &Value) -> ChatRequest {
    decode(request.to_string().as_bytes(), Policy::Lenient).unwrap()
}

fn refused(request: &Value) -> InvalidRequest {
    decode(request.to_string().as_bytes(), Policy::Lenient).unwrap_err()
}

/// Returns a valid request with `fields` added or replaced.
fn with(fields: Value) -> Value {
    let mut request = json!({"model": "sonnet", "messages": [{"role": "user", "content": "Hi"}]});
    let (Value::Object(into), Value::Object(fields)) = (&mut request, fields) else {
        unreachable!()
    };
    into.extend(fields);
    request
}

fn messages(messages: Value) -> Value {
    with(Value::Object(
        [("messages".to_owned(), messages)].into_iter().collect(),
    ))
}

/// Checks that each request is refused with this path and error code.
fn assert_refused<const ROWS: usize>(rows: [(Value, &str, &str); ROWS]) {
    for (request, param, code) in rows {
        let error = refused(&request);
        assert_eq!(
            (error.param.as_deref(), error.code),
            (Some(param), Some(code)),
            "{request}\n{error}"
        );
    }
}

fn message(role: Role, texts: &[&str]) -> Message {
    Message {
        role,
        parts: texts.iter().map(|&text| Part::text(text)).collect(),
    }
}

#[test]
fn minimal_request_uses_defaults() {
    let request = decoded(&with(json!({})));
    let turn = Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("sonnet"),
        system: vec![],
        tools: Tools::default(),
        history: vec![],
        prompt: vec![Part::text("Hi")],
        sampling: Sampling::default(),
    };
    assert_eq!(
        request,
        ChatRequest {
            turn,
            n: 1,
            tool_call_format: ToolCallFormat::Tools,
            stream: false,
            include_usage: false,
            remarks: Remarks::default()
        }
    );
}

#[test]
fn messages_split_into_system_history_and_prompt() {
    let turn = decoded(&messages(json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": "c", "refusal": null, "annotations": [], "tool_calls": null},
        {"role": "developer", "content": [{"type": "text", "text": "And kind."}]},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "assistant", "content": null, "refusal": "Never."},
        {"role": "user", "content": " e\n"},
        {"role": "system", "content": "Now."},
    ])))
    .turn;
    assert_eq!(turn.system, ["Be brief."]);
    let instruction = |text: &str| vec![Part::Instruction(text.to_owned())];
    assert_eq!(
        turn.history,
        [
            message(Role::User, &["a", "b"]),
            message(Role::Assistant, &["c"]),
            Message {
                role: Role::User,
                parts: instruction("And kind.")
            },
            message(Role::User, &["d"]),
            message(Role::Assistant, &["No."]),
            message(Role::Assistant, &["Never."]),
            message(Role::User, &[" e\n"]),
        ]
    );
    assert_eq!(turn.prompt, instruction("Now."));
}

#[test]
fn blank_text_parts_are_dropped() {
    let parts = json!([{"type": "text", "text": ""}, {"type": "text", "text": "x"}, {"type": "text", "text": " \n"}]);
    assert_eq!(
        decoded(&messages(json!([{"role": "user", "content": parts}])))
            .turn
            .prompt,
        [Part::text("x")]
    );
}

#[test]
fn sampling_parameters_are_decoded() {
    let sampling = |fields| decoded(&with(fields)).turn.sampling;
    assert_eq!(
        sampling(
            json!({"max_completion_tokens": 9, "temperature": 0.5, "top_p": 1, "stop": ["a", "b"], "seed": -7})
        ),
        Sampling {
            max_output_tokens: Some(9),
            temperature: Some(0.5),
            top_p: Some(1.0),
            stop: vec!["a".into(), "b".into()],
            seed: Some(-7),
            ..Sampling::default()
        }
    );
    assert_eq!(
        sampling(json!({"max_tokens": 7.0})).max_output_tokens,
        Some(7)
    );
    assert_eq!(
        sampling(json!({"max_tokens": 7, "max_completion_tokens": 7})).max_output_tokens,
        Some(7)
    );
    assert_eq!(sampling(json!({"temperature": 2})).temperature, Some(1.0));
    assert_eq!(sampling(json!({"stop": "\n"})).stop, ["\n"]);
    let five = with(json!({"stop": ["a", "b", "c", "d", "\n\n"]}));
    assert_eq!(decoded(&five).turn.sampling.stop.len(), 5);
    let strict = decode(five.to_string().as_bytes(), Policy::Strict).unwrap_err();
    assert_eq!(
        strict.message,
        "`stop`: expected at most 4 strings, got 5. Remove some."
    );
    assert_eq!(
        sampling(json!({"stop": [], "temperature": null})),
        Sampling::default()
    );
}

#[test]
fn stream_options_are_decoded() {
    let request = decoded(&with(
        json!({"stream": true, "stream_options": {"include_usage": true}}),
    ));
    assert!(request.stream && request.include_usage);
    let request = decoded(&with(json!({"stream": true, "stream_options": null})));
    assert!(request.stream && !request.include_usage);
    let request = decoded(&with(
        json!({"stream": true, "stream_options": {"include_obfuscation": true, "x": 1}}),
    ));
    assert_eq!(
        request.remarks.ignored,
        ["stream_options.include_obfuscation", "stream_options.x"]
    );
    assert!(!decoded(&with(json!({"stream": false}))).stream);
}

#[test]
fn default_values_of_unsupported_fields_are_accepted() {
    let request = with(json!({
        "n": 1, "tools": [], "tool_choice": "auto", "functions": [], "function_call": "none",
        "parallel_tool_calls": true, "response_format": {"type": "text"}, "logprobs": false, "top_logprobs": 0,
        "modalities": ["text"], "audio": null, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {},
        "store": false, "service_tier": "auto", "verbosity": "medium", "seed": null, "anything": null,
        "user": "u", "metadata": {"a": "b"}, "stream_options": null,
    }));
    let strict = decode(request.to_string().as_bytes(), Policy::Strict).unwrap();
    assert!(strict.remarks.ignored.is_empty());
}

#[test]
fn ignored_fields_are_reported_or_refused_by_policy() {
    let request = with(json!({
        "logit_bias": {"1": 2}, "presence_penalty": 0.5, "top_k": 3,
        "messages": [
            {"role": "user", "name": "Ann", "content": "Hi"},
            {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "Hi", "cache_control": {}}]},
        ],
    }));
    assert_eq!(
        decoded(&request).remarks.ignored,
        ["logit_bias", "messages[].name", "presence_penalty", "top_k"]
    );

    let strict = |fields| decode(with(fields).to_string().as_bytes(), Policy::Strict).unwrap_err();
    let error = strict(json!({"presence_penalty": 1}));
    assert_eq!(
        (error.param.as_deref(), error.code),
        (Some("presence_penalty"), Some("unsupported_parameter"))
    );
    let error = strict(json!({"top_k": 1}));
    assert_eq!(
        (error.param.as_deref(), error.code),
        (Some("top_k"), Some("unknown_parameter"))
    );
    assert_eq!(
        error.message,
        "`top_k` is no field of this request. Remove it."
    );
    let error = strict(json!({"messages": [{"role": "user", "content": "Hi", "name": "Ann"}]}));
    assert_eq!(
        (error.param.as_deref(), error.code),
        (Some("messages[0].name"), Some("unsupported_parameter"))
    );
}

#[test]
fn ignored_field_list_is_bounded_for_header() {
    let mut request = with(json!({"bad\r\nname,": 1, "é": 1}));
    for index in 0..1000 {
        request[format!("{index}{}", "x".repeat(200))] = json!(1);
    }
    let ignored = decoded(&request).remarks.ignored;
    assert_eq!(ignored.len(), 32);
    assert!(
        ignored
            .iter()
            .all(|name| name.len() <= 64 && name.bytes().all(|b| b.is_ascii_graphic() && b != b','))
    );
}

#[test]
fn message_errors_name_the_field() {
    let user = json!({"role": "user", "content": "Hi"});
    assert_refused([
        (json!({"messages": [user]}), "model", code::MISSING),
        (json!({"model": "m"}), "messages", code::MISSING),
        (with(json!({"model": null})), "model", code::MISSING),
        (with(json!({"model": 5})), "model", code::TYPE),
        (with(json!({"model": " "})), "model", code::VALUE),
        (messages(json!([])), "messages", code::VALUE),
        (messages(json!([{"role": "user"}])), "messages", code::VALUE),
        (messages(json!("Hi")), "messages", code::TYPE),
        (messages(json!(["Hi"])), "messages[0]", code::TYPE),
        (
            messages(json!([{"content": "x"}])),
            "messages[0].role",
            code::MISSING,
        ),
        (
            messages(json!([{"role": "bot", "content": "x"}])),
            "messages[0].role",
            code::VALUE,
        ),
        (
            messages(json!([user, {"role": "robot", "content": "x"}])),
            "messages[1].role",
            code::VALUE,
        ),
        (
            messages(json!([{"role": "user", "content": {}}])),
            "messages[0].content",
            code::TYPE,
        ),
        (
            messages(json!([{"role": "user", "content": ["x"]}])),
            "messages[0].content[0]",
            code::TYPE,
        ),
        (
            messages(json!([{"role": "user", "content": "x", "refusal": "x"}])),
            "messages[0].refusal",
            code::VALUE,
        ),
    ]);
}

#[test]
fn empty_or_unfinished_messages_are_repaired() {
    let user = |content: Value| json!({"role": "user", "content": content});
    let said = user(json!("Hi"));
    let system = |text: &str| json!({"role": "system", "content": text});
    for (request, param, repaired) in [
        (
            json!([said, {"role": "user"}]),
            "messages[1].content",
            "empty_messages",
        ),
        (
            json!([user(json!(" \n")), said]),
            "messages[0].content",
            "empty_messages",
        ),
        (
            json!([said, user(json!([]))]),
            "messages[1].content",
            "empty_messages",
        ),
        (
            json!([system(" "), said]),
            "messages[0].content",
            "empty_messages",
        ),
        (
            json!([system("a"), system("b")]),
            "messages",
            "no_user_message",
        ),
    ] {
        let request = messages(request);
        assert_eq!(decoded(&request).remarks.repaired, [repaired]);
        let error = decode(request.to_string().as_bytes(), Policy::Strict).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param), "{error}");
    }
    let turn = decoded(&messages(json!([system("a"), system("b")]))).turn;
    assert_eq!(
        (turn.system, turn.prompt),
        (vec!["a".to_owned()], vec![Part::text("b")])
    );
}

#[test]
fn schema_of_an_answer_needs_a_well_formed_name() {
    let named = |name: Value| {
        let schema = json!({"schema": {}, "name": name});
        with(json!({"response_format": {"type": "json_schema", "json_schema": schema}}))
    };
    let path = "response_format.json_schema.name";
    assert_refused([
        (named(json!(null)), path, code::MISSING),
        (named(json!("a b")), path, code::VALUE),
        (named(json!("a".repeat(65))), path, code::VALUE),
        (named(json!(1)), path, code::TYPE),
    ]);
    decoded(&named(json!("a-1_B")));
}

#[test]
fn parameter_errors_name_the_field() {
    assert_refused([
        (
            with(json!({"temperature": "hot"})),
            "temperature",
            code::TYPE,
        ),
        (
            with(json!({"temperature": 2.1})),
            "temperature",
            code::VALUE,
        ),
        (with(json!({"top_p": -0.1})), "top_p", code::VALUE),
        (with(json!({"max_tokens": 0})), "max_tokens", code::VALUE),
        (with(json!({"max_tokens": 1.5})), "max_tokens", code::VALUE),
        (
            with(json!({"max_tokens": 5_000_000_000_u64})),
            "max_tokens",
            code::VALUE,
        ),
        (
            with(json!({"max_tokens": 1, "max_completion_tokens": 2})),
            "max_tokens",
            code::VALUE,
        ),
        (with(json!({"stop": 5})), "stop", code::TYPE),
        (with(json!({"stop": ["a", null]})), "stop[1]", code::TYPE),
        (with(json!({"stream": "yes"})), "stream", code::TYPE),
        (
            with(json!({"stream_options": {}})),
            "stream_options",
            code::VALUE,
        ),
        (
            with(json!({"stream": true, "stream_options": {"include_usage": 1}})),
            "stream_options.include_usage",
            code::TYPE,
        ),
        (with(json!({"n": 0})), "n", code::VALUE),
        (with(json!({"n": 9})), "n", code::VALUE),
        (
            with(json!({"response_format": {"type": "xml"}})),
            "response_format.type",
            code::VALUE,
        ),
        (
            with(
                json!({"response_format": {"type": "json_object", "json_schema": {"schema": {}}}}),
            ),
            "response_format.json_schema",
            code::VALUE,
        ),
        (
            with(json!({"logprobs": true})),
            "logprobs",
            code::UNSUPPORTED,
        ),
        (
            with(json!({"top_logprobs": 21})),
            "top_logprobs",
            code::VALUE,
        ),
        (
            with(json!({"modalities": ["text", "audio"]})),
            "modalities",
            code::UNSUPPORTED,
        ),
        (
            with(json!({"presence_penalty": -3})),
            "presence_penalty",
            code::VALUE,
        ),
        (with(json!({"seed": "x"})), "seed", code::TYPE),
        (with(json!({"user": 5})), "user", code::TYPE),
        (
            with(json!({"metadata": {"a": 5}})),
            "metadata.a",
            code::TYPE,
        ),
        (
            with(json!({"metadata": {"a": "x".repeat(513)}})),
            "metadata.a",
            code::VALUE,
        ),
        (
            with(json!({"metadata": {"k".repeat(65): "x"}})),
            "metadata",
            code::VALUE,
        ),
    ]);
}

#[test]
fn content_part_errors_name_the_part() {
    let rows = [
        ("user", json!({"text": "x"}), "type", code::MISSING),
        ("user", json!({"type": "text"}), "text", code::MISSING),
        (
            "user",
            json!({"type": "text", "text": 5}),
            "text",
            code::TYPE,
        ),
        (
            "user",
            json!({"type": "image_url", "image_url": {"url": "x"}}),
            "image_url.url",
            code::VALUE,
        ),
        (
            "user",
            json!({"type": "input_audio"}),
            "type",
            code::UNSUPPORTED,
        ),
        ("user", json!({"type": "file"}), "file", code::MISSING),
        (
            "user",
            json!({"type": "input_text", "text": "x"}),
            "type",
            code::VALUE,
        ),
        (
            "user",
            json!({"type": "refusal", "refusal": "x"}),
            "type",
            code::VALUE,
        ),
        (
            "assistant",
            json!({"type": "refusal", "text": "x"}),
            "refusal",
            code::MISSING,
        ),
        (
            "assistant",
            json!({"type": "text", "text": "x", "refusal": "x"}),
            "refusal",
            code::VALUE,
        ),
        (
            "user",
            json!({"type": "text", "text": "x", "file": {}}),
            "file",
            code::VALUE,
        ),
    ];
    for (role, part, field, code) in rows {
        let request = messages(json!([
            {"role": "user", "content": "Hi"},
            {"role": role, "content": [{"type": "text", "text": "x"}, part]},
        ]));
        let error = refused(&request);
        let param = format!("messages[1].content[1].{field}");
        assert_eq!(
            (error.param.as_deref(), error.code),
            (Some(param.as_str()), Some(code)),
            "{request}\n{error}"
        );
    }
}

#[test]
fn error_messages_state_the_remedy() {
    let rows = [
        (
            with(json!({"temperature": "hot"})),
            "`temperature`: expected a number from 0 to 2, got a string.",
        ),
        (
            with(json!({"max_tokens": 0})),
            "`max_tokens`: expected an integer from 1 to 4294967295, got 0.",
        ),
        (
            with(json!({"n": 9})),
            "`n`: expected an integer from 1 to 8, got 9.",
        ),
        (
            with(json!({"tool_choice": "required"})),
            "`tool_choice` asks for a tool, but `tools` offers none. Add `tools`, or remove it.",
        ),
        (
            with(json!({"max_tokens": 1, "max_completion_tokens": 2})),
            "`max_tokens` is 1 and `max_completion_tokens` is 2, but they are two names of one limit. \
             Send only `max_completion_tokens`.",
        ),
        (
            messages(json!([{"role": "Bot\n", "content": "x"}])),
            "`messages[0].role`: expected `system`, `developer`, `user`, `assistant`, `tool` or `function`, got `Bot?`.",
        ),
    ];
    for (request, message) in rows {
        assert_eq!(refused(&request).message, message);
    }
}

#[test]
fn malformed_bodies_are_refused() {
    let deep = "[".repeat(100_000);
    let rows: [(&[u8], &str); 7] = [
        (
            b" \n",
            "The body is empty. Send a JSON object with `model` and `messages`.",
        ),
        (
            b"{\"model\": ",
            "The body ends too early to be valid JSON: EOF while parsing a value at line 1 column 10.",
        ),
        (
            b"{\n'model'",
            "The body is not valid JSON: key must be a string at line 2 column 1.",
        ),
        (
            b"\"\xff\"",
            "The body is not valid JSON: invalid unicode code point at line 1 column 2.",
        ),
        (
            b"{} x",
            "The body is not valid JSON: trailing characters at line 1 column 4.",
        ),
        (
            b"[1]",
            "The body must be a JSON object with `model` and `messages`, but it is an array.",
        ),
        (
            deep.as_bytes(),
            "The body is not valid JSON: recursion limit exceeded at line 1 column 128.",
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
fn reasoning_effort_and_response_format_are_decoded() {
    let sampling = |fields| decoded(&with(fields)).turn.sampling;
    assert_eq!(
        sampling(json!({"reasoning_effort": "minimal"})).effort,
        Some(Effort::Low)
    );
    assert_eq!(
        sampling(json!({"reasoning_effort": "none"})).effort,
        Some(Effort::None)
    );
    assert_eq!(
        sampling(json!({"reasoning_effort": "max"})).effort,
        Some(Effort::XHigh)
    );
    let schema = json!({"type": "object"});
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema}});
    let schema = Schema {
        json: schema.to_string(),
        is_strict: true,
        is_native: false,
    };
    assert_eq!(
        sampling(json!({"response_format": format})).format,
        Format::Schema(schema)
    );
    assert_eq!(
        sampling(json!({"response_format": {"type": "text"}})).format,
        Format::Text
    );
    assert_eq!(
        sampling(json!({"response_format": {"type": "json_object"}})).format,
        Format::JsonObject
    );
}

#[test]
fn response_format_schema_is_kept_verbatim() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"q"}],"response_format":{"type":"json_schema",
        "json_schema":{"name":"n","schema":{"type":"object", "properties":{"z":{"const":1.0},"a":{}}}}}}"#;
    let request = decode(body.as_bytes(), Policy::Strict).unwrap();
    let expected = r#"{"type":"object","properties":{"z":{"const":1.0},"a":{}}}"#;
    let schema = Schema {
        json: expected.to_owned(),
        is_strict: false,
        is_native: false,
    };
    assert_eq!(request.turn.sampling.format, Format::Schema(schema));
}
