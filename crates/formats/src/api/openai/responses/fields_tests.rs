//! Comparison of the field tables with `OpenAI`'s schema and with the documentation.

use async_openai::types::mcp::MCPTool;
use async_openai::types::mcp::MCPToolFilter;
use async_openai::types::responses;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::api::openai::responses::decode;
use crate::api::openai::responses::item_fields::ITEM;
use crate::api::openai::responses::item_fields::PART;
use crate::api::openai::responses::tool_fields::*;
use crate::api::openai::web_search;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::Support;
use crate::api::request_schema::document;
use crate::api::request_schema::document::fields_of;

fn tables() -> Vec<&'static ObjectSchema> {
    let before = [
        &REQUEST,
        &CONVERSATION,
        &STREAM_OPTIONS,
        &TEXT,
        &FORMAT,
        &REASONING,
        &FUNCTION,
    ];
    let of_clients: [&ObjectSchema; 5] =
        [&NAMESPACE, &CUSTOM, &CUSTOM_FORMAT, &BUILT_IN, &ENVIRONMENT];
    let of_search = web_search::RESPONSES_TABLES.into_iter().chain([&FILTERS]);
    let others: [&ObjectSchema; 4] = [&CODE, &CONTAINER, &MCP, &MCP_FILTER];
    before
        .into_iter()
        .chain(of_clients)
        .chain([&SEARCH])
        .chain(of_search)
        .chain(others)
        .chain([&TOOL_CHOICE, &ALLOWED_TOOL, &ITEM, &PART])
        .collect()
}

#[test]
fn response_fields_match_the_document() {
    document::check("responses fields", &tables());
}

#[test]
fn response_field_tables_are_linked_from_the_request() {
    document::check_links(&REQUEST, &tables());
}

#[test]
fn response_fields_are_unique_and_their_defaults_parse() {
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
                assert!(
                    field.field_type.check(&value, String::new).is_ok(),
                    "{name} refuses what it names harmless"
                );
            }
        }
    }
}

#[test]
fn honoured_response_fields_are_read_by_the_decoder() {
    let mut whole = json!({
        "model": "m", "input": "hi", "instructions": "i", "conversation": {"id": "conv_1"}, "stream": true, "stream_options": {}, "store": true,
        "previous_response_id": "resp_1", "background": true,
        "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {}, "strict": true}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        "parallel_tool_calls": false, "max_output_tokens": 1, "temperature": 2, "top_p": 1,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": true}},
        "reasoning": {"effort": "low", "summary": "auto", "generate_summary": "auto"},
        "include": ["reasoning.encrypted_content"], "metadata": {"a": "b"}, "user": "u", "project_id": "p",
        "prompt_cache_retention": "24h", "safety_identifier": "s",
    });
    let read = |table: &'static ObjectSchema| {
        table.fields.iter().filter(|field| {
            matches!(
                field.support,
                Support::Honoured | Support::Emulated | Support::Checked
            )
        })
    };
    let of_sockets = ["type", "stream_id", "generate"];
    for field in read(&REQUEST).filter(|field| !of_sockets.contains(&field.name)) {
        assert!(whole.get(field.name).is_some(), "{}", field.name);
    }
    let mut conversation = whole.clone();
    // The two fields are mutually exclusive.
    whole["conversation"] = Value::Null;
    conversation["previous_response_id"] = Value::Null;
    for whole in [whole, conversation] {
        let request = decode(whole.to_string().as_bytes(), Policy::Strict).unwrap();
        assert_eq!(request.into_turn(&[]).unwrap().1, Remarks::default());
    }
}

#[test]
fn response_fields_of_the_openai_schema_have_rows() {
    let schema = [
        (
            &REQUEST,
            vec![
                fields_of::<responses::CreateResponse>(),
                fields_of::<responses::TokenCountsBody>(),
            ],
        ),
        (
            &STREAM_OPTIONS,
            vec![fields_of::<responses::ResponseStreamOptions>()],
        ),
        (&TEXT, vec![fields_of::<responses::ResponseTextParam>()]),
        (&REASONING, vec![fields_of::<responses::Reasoning>()]),
        (
            &FUNCTION,
            vec![fields_of::<responses::FunctionTool>(), &["type"]],
        ),
        (
            &NAMESPACE,
            vec![fields_of::<responses::NamespaceToolParam>(), &["type"]],
        ),
        (
            &CUSTOM,
            vec![fields_of::<responses::CustomToolParam>(), &["type"]],
        ),
        (
            &BUILT_IN,
            vec![fields_of::<responses::FunctionShellToolParam>(), &["type"]],
        ),
        (
            &SEARCH,
            vec![fields_of::<responses::WebSearchTool>(), &["type"]],
        ),
        (
            &CODE,
            vec![fields_of::<responses::CodeInterpreterTool>(), &["type"]],
        ),
        (&MCP, vec![fields_of::<MCPTool>(), &["type"]]),
        (&MCP_FILTER, vec![fields_of::<MCPToolFilter>()]),
        (
            &FILTERS,
            vec![fields_of::<responses::WebSearchToolFilters>()],
        ),
        (
            web_search::RESPONSES_TABLES[0],
            vec![fields_of::<responses::WebSearchApproximateLocation>()],
        ),
        (
            &TOOL_CHOICE,
            vec![
                fields_of::<responses::ToolChoiceAllowed>(),
                &["type", "name"],
            ],
        ),
        (
            &ITEM,
            vec![
                fields_of::<responses::EasyInputMessage>(),
                fields_of::<responses::InputMessage>(),
                fields_of::<responses::OutputMessage>(),
                fields_of::<responses::FunctionToolCall>(),
                fields_of::<responses::FunctionCallOutputItemParam>(),
                fields_of::<responses::ReasoningItem>(),
                fields_of::<responses::CompactionSummaryItemParam>(),
                fields_of::<responses::WebSearchToolCall>(),
                fields_of::<responses::CodeInterpreterToolCall>(),
                fields_of::<responses::MCPToolCall>(),
                fields_of::<responses::MCPListTools>(),
            ],
        ),
        (
            &PART,
            vec![
                fields_of::<responses::InputTextContent>(),
                fields_of::<responses::InputImageContent>(),
                fields_of::<responses::InputFileContent>(),
                fields_of::<responses::OutputTextContent>(),
                fields_of::<responses::RefusalContent>(),
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
