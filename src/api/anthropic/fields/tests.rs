//! The tables against Anthropic's own types and against the documentation.

use super::*;
use crate::api::request_schema::Table;
use crate::api::request_schema::document;

fn tables() -> [&'static Table; 17] {
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
        &THOUGHT,
        &REDACTED,
        &TOOL_USE,
    ]
}

#[test]
fn the_document_shows_the_tables() {
    document::check("messages fields", &tables());
}

#[test]
fn rows_are_unique_and_their_values_readable() {
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
                    field.shape.check(&value, String::new).is_ok(),
                    "{name} refuses what it names harmless"
                );
            }
        }
    }
}

/// The fields that the types of the Python SDK 2.11.0 have, those in beta included; what travels in headers left out.
#[test]
fn every_field_of_the_sdk_has_a_row() {
    let sdk: [(&Table, &str); 17] = [
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
        (&THOUGHT, "signature thinking type"),
        (&REDACTED, "data type"),
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
