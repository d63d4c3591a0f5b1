//! Tables compared with Anthropic's own types and with the documentation.

use super::request::METADATA;
use super::*;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::document;

fn tables() -> [&'static ObjectSchema; 17] {
    [
        &REQUEST,
        &SYSTEM,
        &METADATA,
        &THINKING,
        &OUTPUT_CONFIG,
        &OUTPUT_FORMAT,
        &TOOL,
        &TOOL_CHOICE,
        &MESSAGE,
        &TEXT,
        &IMAGE,
        &DOCUMENT,
        &SOURCE,
        &TOOL_RESULT,
        &THINKING_BLOCK,
        &REDACTED_THINKING,
        &TOOL_USE,
    ]
}

#[test]
fn documentation_shows_message_fields() {
    document::check("messages fields", &tables());
}

#[test]
fn message_field_tables_are_linked_from_the_request() {
    document::check_links(&REQUEST, &tables());
}

#[test]
fn table_fields_are_unique_and_no_op_values_are_valid() {
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
                let value = serde_json::from_str(value).unwrap();
                assert!(field.is_no_op(&value), "{name}");
                assert!(
                    field.field_type.check(&value, String::new).is_ok(),
                    "{name} refuses what it names harmless"
                );
            }
        }
    }
}

/// Compares with the types of the Python SDK 2.11.0, including betas; fields sent as headers are
/// left out.
#[test]
fn tables_contain_every_field_of_the_sdk() {
    let sdk: [(&ObjectSchema, &str); 17] = [
        (
            &REQUEST,
            "max_tokens messages model cache_control container diagnostics inference_geo metadata output_config \
             service_tier speed stop_sequences stream system thinking tool_choice tools temperature top_k top_p \
             billing_policy compaction context_management fallback_credit_token fallbacks mcp_servers thread \
             output_format",
        ),
        (&SYSTEM, "text type cache_control citations"),
        (&METADATA, "user_id"),
        (&THINKING, "type budget_tokens display block_binding"),
        (&OUTPUT_CONFIG, "effort format task_budget"),
        (&OUTPUT_FORMAT, "schema type"),
        (
            &TOOL,
            "input_schema name allowed_callers cache_control defer_loading description eager_input_streaming \
             input_examples strict type",
        ),
        (&TOOL_CHOICE, "type name disable_parallel_tool_use"),
        (&MESSAGE, "content role clear_at output_config"),
        (&TEXT, "text type cache_control citations"),
        (&IMAGE, "source type cache_control transformations"),
        (
            &DOCUMENT,
            "source type cache_control citations context title",
        ),
        (&SOURCE, "data media_type type url file_id content"),
        (
            &TOOL_RESULT,
            "tool_use_id type cache_control content is_error toolset_name",
        ),
        (&THINKING_BLOCK, "signature thinking type"),
        (&REDACTED_THINKING, "data type"),
        (
            &TOOL_USE,
            "id input name type cache_control caller toolset_name",
        ),
    ];
    for (table, names) in sdk {
        for name in names.split_whitespace() {
            assert!(
                table.find(name).is_some(),
                "no row for {}{name}",
                table.prefix
            );
        }
    }
}
