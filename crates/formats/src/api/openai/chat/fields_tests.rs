//! Comparison of the field tables with `OpenAI`'s schema and with the documentation.

use async_openai::types::chat;
use serde_json::Value;

use super::*;
use crate::api::openai::chat::decode;
use crate::api::openai::chat::tool_fields::CUSTOM;
use crate::api::openai::chat::tool_fields::CUSTOM_FORMAT;
use crate::api::openai::chat::tool_fields::FUNCTION;
use crate::api::openai::chat::tool_fields::GRAMMAR;
use crate::api::openai::web_search;
use crate::api::request_schema::Field;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Support;
use crate::api::request_schema::document;
use crate::api::request_schema::document::fields_of;

fn tables() -> Vec<&'static ObjectSchema> {
    let own: [&ObjectSchema; 23] = [
        &REQUEST,
        &STREAM_OPTIONS,
        &RESPONSE_FORMAT,
        &JSON_SCHEMA,
        &TOOL,
        &FUNCTION,
        &FLAT_TOOL,
        &CUSTOM,
        &CUSTOM_FORMAT,
        &GRAMMAR,
        &TOOL_CHOICE,
        &CHOSEN_FUNCTION,
        &ALLOWED_TOOLS,
        &ALLOWED_TOOL,
        &LEGACY_FUNCTION,
        &LEGACY_FUNCTION_CALL,
        &MESSAGE,
        &TOOL_CALL,
        &CALLED_FUNCTION,
        &CALLED_CUSTOM,
        &PART,
        &IMAGE,
        &FILE,
    ];
    own.into_iter().chain(web_search::CHAT_TABLES).collect()
}

#[test]
fn chat_fields_match_the_document() {
    document::check("fields", &tables());
}

#[test]
fn chat_field_tables_are_linked_from_the_request() {
    document::check_links(&REQUEST, &tables());
}

#[test]
fn chat_fields_are_unique_and_their_defaults_parse() {
    for table in tables() {
        for (index, field) in table.fields.iter().enumerate() {
            let name = field.name;
            assert!(
                table.fields[..index].iter().all(|other| other.name != name),
                "two rows for {name}"
            );
            assert!(
                field.note.ends_with('.'),
                "the note of {name} is no sentence"
            );
            for value in field.no_op {
                let value: Value = serde_json::from_str(value).unwrap();
                assert!(field.is_no_op(&value), "{name}");
                assert!(
                    field.field_type.check(&value, String::new).is_ok(),
                    "{name} refuses what it names harmless"
                );
            }
        }
    }
}

#[test]
fn honoured_chat_fields_are_read_by_the_decoder() {
    let rows = [
        ("stream", "true"),
        ("stream_options", "{}"),
        ("max_completion_tokens", "1"),
        ("max_tokens", "1"),
        ("temperature", "1"),
        ("top_p", "1"),
        ("stop", "\"x\""),
        ("user", "\"x\""),
        ("project_id", "\"x\""),
        ("metadata", "{}"),
        ("n", "1"),
        ("tools", "[]"),
        ("tool_choice", "\"none\""),
        ("functions", "[]"),
        ("function_call", "\"none\""),
        ("parallel_tool_calls", "true"),
        ("response_format", r#"{"type":"text"}"#),
        ("web_search_options", "{}"),
        ("seed", "1"),
        ("reasoning_effort", "\"low\""),
        ("prompt_cache_retention", "\"24h\""),
        ("safety_identifier", "\"a\""),
    ];
    let read = |field: &&Field| {
        matches!(
            field.support,
            Support::Honoured | Support::Emulated | Support::Checked
        )
    };
    let named: Vec<_> = REQUEST
        .fields
        .iter()
        .filter(read)
        .map(|field| field.name)
        .collect();
    assert_eq!(
        named,
        [&["model", "messages"][..], &rows.map(|(name, _)| name)].concat()
    );
    for (name, value) in rows {
        let stream = if name == "stream_options" {
            r#""stream":true,"#
        } else {
            ""
        };
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{stream}"{name}":{value}}}"#
        );
        let request = decode(body.as_bytes(), Policy::Strict).unwrap();
        assert!(request.remarks.ignored.is_empty(), "{name}");
    }
}

#[test]
fn chat_fields_of_the_openai_schema_have_rows() {
    let schema = [
        (
            &REQUEST,
            vec![fields_of::<chat::CreateChatCompletionRequest>()],
        ),
        (
            &STREAM_OPTIONS,
            vec![fields_of::<chat::ChatCompletionStreamOptions>()],
        ),
        (
            &MESSAGE,
            vec![
                fields_of::<chat::ChatCompletionRequestSystemMessage>(),
                fields_of::<chat::ChatCompletionRequestDeveloperMessage>(),
                fields_of::<chat::ChatCompletionRequestUserMessage>(),
                fields_of::<chat::ChatCompletionRequestAssistantMessage>(),
                fields_of::<chat::ChatCompletionRequestToolMessage>(),
                fields_of::<chat::ChatCompletionRequestFunctionMessage>(),
                // Names of variants, which serde does not report as fields.
                &["role"],
            ],
        ),
        (
            &TOOL,
            vec![fields_of::<chat::ChatCompletionTool>(), &["type"]],
        ),
        (&FUNCTION, vec![fields_of::<chat::FunctionObject>()]),
        (
            &LEGACY_FUNCTION,
            vec![fields_of::<chat::ChatCompletionFunctions>()],
        ),
        (
            &TOOL_CALL,
            vec![
                fields_of::<chat::ChatCompletionMessageToolCall>(),
                &["type"],
            ],
        ),
        (&CALLED_FUNCTION, vec![fields_of::<chat::FunctionCall>()]),
        (
            &ALLOWED_TOOLS,
            vec![fields_of::<chat::ChatCompletionAllowedTools>()],
        ),
        (
            &PART,
            vec![
                fields_of::<chat::ChatCompletionRequestMessageContentPartText>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartRefusal>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartImage>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartAudio>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartFile>(),
                &["type"],
            ],
        ),
    ];
    for (table, structs) in schema {
        for name in structs.concat() {
            assert!(
                table.find(name).is_some(),
                "no row for {}{name}",
                table.prefix
            );
        }
    }
}

#[test]
fn strict_policy_accepts_own_answers_sent_back() {
    let answer = serde_json::json!({"role": "assistant", "content": "a", "refusal": null, "annotations": [], "reasoning_content": "hm"});
    let user = serde_json::json!({"role": "user", "content": "b"});
    let body = serde_json::json!({"model": "m", "messages": [user, answer, user]}).to_string();
    assert!(
        crate::api::openai::chat::decode(
            body.as_bytes(),
            crate::api::request_schema::Policy::Strict
        )
        .unwrap()
        .remarks
        .ignored
        .is_empty()
    );
}
