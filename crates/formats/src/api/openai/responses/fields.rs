//! Field tables of responses requests: the single place that decides what each field does.
//!
//! Decoding reads these tables, the API documentation shows them, and a test compares the two.

use super::item_fields::ITEM;
use super::tool_fields::TOOL_CHOICE;
use super::tool_fields::TOOL_KINDS;
use crate::api::openai::cache_mark;
use crate::api::openai::labels::MAX_SCHEMA_NAME_LENGTH;
use crate::api::request_schema::FieldType::Array;
use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Identifier;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Number;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrArray;
use crate::api::request_schema::FieldType::TextOrObject;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::checked;
use crate::api::request_schema::emulated;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;
use crate::api::request_schema::refused;

/// Upper bound of a token limit.
const MAX_TOKENS: i64 = u32::MAX as i64;
const CACHE: &str = "Anthropic finds a cached prompt by its prefix.";

/// Fields of the request body.
pub static REQUEST: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "model",
            Text,
            "The answer carries the name as it was sent.",
        )
        .required(),
        honoured(
            "input",
            TextOrArray,
            "Required. A string is a message of the user. The last item that is no instruction must be the user's or the output of a call.",
        )
        .with_inner(&ITEM),
        honoured(
            "instructions",
            Text,
            "Read before all else. Not carried over by `previous_response_id`.",
        ),
        honoured("stream", Bool, "The answer is streamed as events."),
        honoured(
            "stream_options",
            Object,
            "Only together with `\"stream\": true`.",
        )
        .with_inner(&STREAM_OPTIONS),
        honoured(
            "store",
            Bool,
            "`true` by default. Stored for `responses.ttl_seconds`.",
        ),
        honoured(
            "previous_response_id",
            Text,
            "A stored response that this one continues: its input, its output, and all before them.",
        ),
        honoured(
            "conversation",
            TextOrObject,
            "A [conversation](#v1conversations) by its id, or as `{\"id\": ...}`: its items come before the input, and input and output are added to it. Not beside `previous_response_id`.",
        )
        .with_inner(&CONVERSATION),
        honoured(
            "background",
            Bool,
            "The answer is generated whether or not a client waits. Needs `store`. It ends as `failed` when the server stops.",
        ),
        honoured(
            "tools",
            Array,
            "Functions, and searches of the web, code and MCP servers, which are run by Anthropic. OpenAI's other tools are refused by name.",
        )
        .with_kinds(TOOL_KINDS),
        honoured(
            "tool_choice",
            TextOrObject,
            "`none`, `auto`, `required`, a function, `web_search`, `code_interpreter`, or `allowed_tools`, with which Claude is shown only those. Made to call, Claude does not think.",
        )
        .with_inner(&TOOL_CHOICE),
        honoured("parallel_tool_calls", Bool, "`true` by default."),
        honoured(
            "max_output_tokens",
            Integer(1, MAX_TOKENS),
            "Thinking counts, as in OpenAI's API.",
        ),
        emulated(
            "temperature",
            Number(0.0, 2.0),
            "Claude's range ends at 1: higher values act as 1. The newest models accept none: see [models](#what-models-do-not-take).",
        ),
        honoured("top_p", Number(0.0, 1.0), "Sent to Claude unchanged."),
        honoured("text", Object, "The form of the answer.").with_inner(&TEXT),
        honoured(
            "reasoning",
            Object,
            "How hard Claude thinks, and whether its thoughts are shown.",
        )
        .with_inner(&REASONING),
        honoured(
            "include",
            Array,
            "`reasoning.encrypted_content`, `web_search_call.action.sources` and `code_interpreter_call.outputs` are always returned, those of OpenAI's own tools never. `message.output_text.logprobs` is refused.",
        )
        .of_texts(),
        honoured(
            "metadata",
            Object,
            "Up to 16 pairs of strings, keys up to 64 and values up to 512 characters. Given back, and not sent to Claude.",
        )
        .of_texts(),
        honoured(
            "user",
            Text,
            "Names the [end user](end-users.md). Given back, and not sent to Claude.",
        ),
        PROJECT,
        honoured(
            "type",
            Text,
            "Of a message of a WebSocket alone: `response.create`.",
        ),
        honoured(
            "stream_id",
            Text,
            "Of a message of a WebSocket alone: the events of its response carry it.",
        ),
        honoured(
            "generate",
            Bool,
            "Of a message of a WebSocket alone: with `false` no answer is generated, and the input is only stored for the next response.",
        ),
        ignored(
            "max_tool_calls",
            Integer(0, MAX_TOKENS),
            "Anthropic bounds the calls of its tools; searches of the web by `web_search.max_uses`.",
        ),
        ignored("truncation", Text, "Conversations are never shortened.")
            .with_no_op(&["\"disabled\""]),
        ignored(
            "context_management",
            Array,
            "Conversations are never shortened.",
        )
        .with_no_op(&["[]"]),
        ignored("service_tier", Text, "There is one tier.")
            .with_no_op(&["\"auto\"", "\"default\""]),
        ignored(
            "prompt_cache_key",
            Text,
            "Given back. Anthropic finds a cached prompt by its prefix.",
        ),
        ignored("prompt_cache_options", Object, CACHE).with_no_op(&["{}"]),
        cache_mark::RETENTION,
        honoured(
            "safety_identifier",
            Text,
            "Names the [end user](end-users.md), before `user`. Given back, and not sent to Claude.",
        ),
        ignored("access_programs", Object, "There are none.").with_no_op(&["{}"]),
        ignored(
            "personality",
            Text,
            "Ask for a tone in `instructions`.",
        ),
        refused(
            "top_logprobs",
            Integer(0, 20),
            "Claude does not return token probabilities.",
        )
        .with_no_op(&["0"]),
        refused(
            "prompt",
            Object,
            "Prompts are not stored. Send the text as `instructions`.",
        ),
        refused("moderation", Object, "Moderation is not supported."),
    ],
};

/// The fields of `conversation`.
pub(super) static CONVERSATION: ObjectSchema = ObjectSchema {
    prefix: "conversation.",
    fields: &[honoured("id", Text, "The conversation.").required()],
};

/// The fields of `stream_options`.
pub(super) static STREAM_OPTIONS: ObjectSchema = ObjectSchema {
    prefix: "stream_options.",
    fields: &[
        ignored("include_obfuscation", Bool, "Events are never padded.").with_no_op(&["false"]),
    ],
};

/// The fields of `text`.
pub(super) static TEXT: ObjectSchema = ObjectSchema {
    prefix: "text.",
    fields: &[
        honoured(
            "format",
            Object,
            "Any text, a JSON object, or JSON that matches a schema.",
        )
        .with_inner(&FORMAT),
        ignored(
            "verbosity",
            Text,
            "Only a hint. Ask for short or long answers in the input.",
        )
        .with_no_op(&["\"medium\""]),
    ],
};

/// The fields of `text.format`.
pub(super) static FORMAT: ObjectSchema = ObjectSchema {
    prefix: "text.format.",
    fields: &[
        emulated(
            "type",
            Text,
            "`text`, `json_schema` or `json_object`. With `json_object` Claude is instructed to answer with an object; text around it is removed.",
        )
        .required()
        .one_of(&["text", "json_object", "json_schema"]),
        honoured(
            "schema",
            Object,
            "Claude's answer is bound to it, as far as Anthropic can; see [schemas](#schemas).",
        ),
        checked(
            "name",
            Identifier(MAX_SCHEMA_NAME_LENGTH),
            "Required by `json_schema`. Given back, and not sent to Claude.",
        ),
        honoured(
            "strict",
            Bool,
            "The schema always binds. With `true` the answer is checked against it as well.",
        ),
        ignored(
            "description",
            Text,
            "Not sent to Claude. Describe the answer in the input.",
        ),
    ],
};

/// The fields of `reasoning`.
pub(super) static REASONING: ObjectSchema = ObjectSchema {
    prefix: "reasoning.",
    fields: &[
        emulated(
            "effort",
            Text,
            "`none`, `minimal` and `low` (which are equivalent), `medium`, `high`, `xhigh` and `max` (which are equivalent too). Not beside `temperature` or `top_p`: with them Claude does not think.",
        )
        .one_of(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        emulated(
            "summary",
            Text,
            "`auto`, `concise` and `detailed` are equivalent: the thoughts are returned as Claude returns them. Without it they are not returned.",
        )
        .one_of(&["auto", "concise", "detailed"]),
        emulated("generate_summary", Text, "The old name of `summary`.").one_of(&["auto", "concise", "detailed"]),
        ignored("mode", Text, "There is one mode.").with_no_op(&["\"standard\""]),
        ignored(
            "context",
            Text,
            "Anthropic decides which thoughts Claude reads again.",
        )
        .with_no_op(&["\"auto\""]),
    ],
};

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
