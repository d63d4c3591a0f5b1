//! Field tables of chat requests: the single place that decides what each field does.
//!
//! Decoding reads these tables, the API documentation shows them, and a test compares the two.

pub(super) use super::part_fields::FILE;
pub(super) use super::part_fields::IMAGE;
pub(super) use super::part_fields::PART;
pub(super) use super::tool_fields::FLAT_TOOL;
pub(super) use super::tool_fields::TOOL;
use crate::api::openai::cache_mark;
use crate::api::openai::labels::MAX_SCHEMA_NAME_LENGTH;
use crate::api::openai::web_search;
use crate::api::request_schema::FieldType::Any;
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
            "messages",
            Array,
            "The last one that is no instruction should come from the user.",
        )
        .required()
        .with_inner(&MESSAGE),
        honoured("stream", Bool, "The answer is streamed."),
        honoured(
            "stream_options",
            Object,
            "Only together with `\"stream\": true`.",
        )
        .with_inner(&STREAM_OPTIONS),
        honoured(
            "max_completion_tokens",
            Integer(1, MAX_TOKENS),
            "Thinking counts, as in OpenAI's API.",
        ),
        honoured(
            "max_tokens",
            Integer(1, MAX_TOKENS),
            "The old name of `max_completion_tokens`. If both are sent, they must be equal.",
        ),
        emulated(
            "temperature",
            Number(0.0, 2.0),
            "Claude's range ends at 1: higher values act as 1. The newest models accept none: see [models](#what-models-do-not-take).",
        ),
        honoured("top_p", Number(0.0, 1.0), "Sent to Claude unchanged."),
        emulated(
            "stop",
            TextOrArray,
            "Strings of any number; strict mode takes 4, as OpenAI does. Anthropic does not accept those of white space alone: they [end the answer](#stop-texts) here.",
        )
        .of_texts(),
        honoured("user", Text, "Names the [end user](end-users.md). Not sent to Claude."),
        PROJECT,
        checked(
            "metadata",
            Object,
            "Up to 16 pairs of strings, keys up to 64 and values up to 512 characters. Not sent to Claude.",
        )
        .of_texts(),
        honoured(
            "n",
            Integer(1, 8),
            "Number of answers, each from a run of its own; `usage` is their sum, that of the prompts too.",
        ),
        honoured(
            "tools",
            Array,
            "Up to 128 functions. Sent to Claude unchanged.",
        )
        .with_kinds(&[("nested", &TOOL), ("flat", &FLAT_TOOL)]),
        honoured(
            "tool_choice",
            TextOrObject,
            "`none`, `auto`, `required`, a function by its name, or `allowed_tools`. Made to call, Claude does not think.",
        )
        .with_inner(&TOOL_CHOICE),
        honoured(
            "functions",
            Array,
            "The old name of `tools`. Not beside it; answered in the old words.",
        )
        .with_inner(&LEGACY_FUNCTION),
        honoured(
            "function_call",
            TextOrObject,
            "The old name of `tool_choice`: `none`, `auto` or a function's name.",
        )
        .with_inner(&LEGACY_FUNCTION_CALL),
        honoured(
            "parallel_tool_calls",
            Bool,
            "`false` allows at most one call in an answer.",
        ),
        honoured(
            "response_format",
            Object,
            "The answer is JSON: any object, or one that matches a schema.",
        )
        .with_inner(&RESPONSE_FORMAT),
        refused(
            "logprobs",
            Bool,
            "Claude does not return token probabilities.",
        )
        .with_no_op(&["false"]),
        refused(
            "top_logprobs",
            Integer(0, 20),
            "Claude does not return token probabilities.",
        )
        .with_no_op(&["0"]),
        refused("modalities", Array, "Only text can be answered.").with_no_op(&["[\"text\"]"]),
        refused("audio", Object, "Claude does not return audio."),
        refused("prediction", Object, "Predicted output is not supported."),
        emulated(
            "web_search_options",
            Object,
            "Claude may search the web, by Anthropic's own tool; the sources come as `annotations`. No function may be called `web_search` beside it.",
        )
        .with_inner(&web_search::OPTIONS),
        refused("moderation", Object, "Moderation is not supported."),
        ignored(
            "frequency_penalty",
            Number(-2.0, 2.0),
            "Claude has no such parameter.",
        )
        .with_no_op(&["0"]),
        ignored(
            "presence_penalty",
            Number(-2.0, 2.0),
            "Claude has no such parameter.",
        )
        .with_no_op(&["0"]),
        ignored("logit_bias", Object, "Claude has no such parameter.").with_no_op(&["{}"]),
        emulated(
            "seed",
            Integer(i64::MIN, i64::MAX),
            "Equal requests with a seed get one answer, as long as it is in the cache. Claude itself has no such parameter.",
        ),
        honoured(
            "reasoning_effort",
            Text,
            "`none`, `minimal` and `low` (which are equivalent), `medium`, `high`, `xhigh` and `max` (which are equivalent too). Not beside `temperature` or `top_p`: with them Claude does not think.",
        )
        .one_of(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        ignored(
            "verbosity",
            Text,
            "Only a hint. Ask for short or long answers in the messages.",
        )
        .with_no_op(&["\"medium\""]),
        ignored("service_tier", Text, "There is one tier.")
            .with_no_op(&["\"auto\"", "\"default\""]),
        ignored("store", Bool, "Answers are not stored.").with_no_op(&["false"]),
        ignored(
            "prompt_cache_key",
            Text,
            "Anthropic finds a cached prompt by its prefix.",
        ),
        ignored(
            "prompt_cache_options",
            Object,
            "Anthropic finds a cached prompt by its prefix.",
        )
        .with_no_op(&["{}"]),
        cache_mark::RETENTION,
        honoured(
            "safety_identifier",
            Text,
            "Names the [end user](end-users.md), before `user`. Not sent to Claude.",
        ),
    ],
};

/// The fields of `stream_options`.
pub(in crate::api::openai) static STREAM_OPTIONS: ObjectSchema = ObjectSchema {
    prefix: "stream_options.",
    fields: &[
        honoured(
            "include_usage",
            Bool,
            "One more chunk at the end carries the usage.",
        ),
        ignored("include_obfuscation", Bool, "Chunks are never padded.").with_no_op(&["false"]),
    ],
};

/// Fields of a message of any role.
pub(in crate::api::openai) static MESSAGE: ObjectSchema = ObjectSchema {
    prefix: "messages[].",
    fields: &[
        emulated(
            "role",
            Text,
            "`system` and `developer` are the same: before all others they are the instructions, later they [stay in their place](#system-messages). `tool` and the older `function` bring the results of calls and should follow the message that made them.",
        )
        .required()
        .one_of(&["system", "developer", "user", "assistant", "tool", "function"]),
        honoured(
            "content",
            TextOrArray,
            "A string or an array of parts. Blank texts are skipped. A message without other parts is left out; a result may be empty.",
        )
        .with_inner(&PART),
        honoured(
            "refusal",
            Text,
            "Of an assistant message: appended to its content as text.",
        ),
        ignored(
            "name",
            Text,
            "Claude has no names of speakers. Where user messages have more than one name, each text is prefixed with its name, as in `Ann: Hi`. In a message of the role `function` it names the function.",
        ),
        ignored(
            "annotations",
            Array,
            "Part of an answer that is sent back; not sent to Claude again.",
        )
        .with_no_op(&["[]"]),
        checked(
            "reasoning_content",
            Text,
            "Part of an answer that is sent back: accepted, and not sent to Claude.",
        ),
        refused("audio", Object, "Claude does not accept audio."),
        honoured(
            "tool_calls",
            Array,
            "Of an assistant message. Each call should have its result.",
        )
        .with_inner(&TOOL_CALL),
        honoured(
            "tool_call_id",
            Text,
            "Of a message of the role `tool`: the id of the call.",
        ),
        honoured(
            "function_call",
            Object,
            "Of an assistant message: a call in its old form.",
        )
        .with_inner(&CALLED_FUNCTION),
    ],
};

/// Fields of an entry of the deprecated `functions`.
pub(super) static LEGACY_FUNCTION: ObjectSchema = ObjectSchema {
    prefix: "functions[].",
    fields: &[
        honoured("name", Text, "As that of a tool."),
        honoured("description", Text, "As that of a tool."),
        honoured("parameters", Object, "As those of a tool."),
        honoured("strict", Bool, "As that of a tool."),
    ],
};

/// The fields of `tool_choice`.
pub(super) static TOOL_CHOICE: ObjectSchema = ObjectSchema {
    prefix: "tool_choice.",
    fields: &[
        honoured("type", Text, "`function`, `custom` or `allowed_tools`."),
        honoured("function", Object, "The function that must be called.")
            .with_inner(&CHOSEN_FUNCTION),
        honoured("custom", Object, "The custom tool that must be called.")
            .with_inner(&CHOSEN_FUNCTION),
        honoured("allowed_tools", Object, "Only these are offered to Claude.")
            .with_inner(&ALLOWED_TOOLS),
    ],
};

/// Fields of `tool_choice.function`, and of a function of `allowed_tools`.
pub(super) static CHOSEN_FUNCTION: ObjectSchema = ObjectSchema {
    prefix: "tool_choice.function.",
    fields: &[honoured("name", Text, "The name of one of the tools.")],
};

/// The fields of `tool_choice.allowed_tools`.
pub(super) static ALLOWED_TOOLS: ObjectSchema = ObjectSchema {
    prefix: "tool_choice.allowed_tools.",
    fields: &[
        honoured("mode", Text, "`auto` or `required`.").required(),
        honoured("tools", Array, "The tools, by name.")
            .required()
            .with_inner(&ALLOWED_TOOL),
    ],
};

/// Fields of a tool of `allowed_tools`.
pub(super) static ALLOWED_TOOL: ObjectSchema = ObjectSchema {
    prefix: "tool_choice.allowed_tools.tools[].",
    fields: &[
        honoured("type", Text, "`function` or `custom`."),
        honoured("function", Object, "Its name.").with_inner(&CHOSEN_FUNCTION),
        honoured("custom", Object, "Its name.").with_inner(&CHOSEN_FUNCTION),
    ],
};

/// Fields of the deprecated `function_call`.
pub(super) static LEGACY_FUNCTION_CALL: ObjectSchema = ObjectSchema {
    prefix: "function_call.",
    fields: &[honoured(
        "name",
        Text,
        "The name of the function that must be called.",
    )],
};

/// Fields of a tool call.
pub(super) static TOOL_CALL: ObjectSchema = ObjectSchema {
    prefix: "messages[].tool_calls[].",
    fields: &[
        honoured("id", Text, "Its result names it.").required(),
        honoured(
            "type",
            Text,
            "`function`, also when it is left out, or `custom`.",
        ),
        honoured("function", Object, "What was called.").with_inner(&CALLED_FUNCTION),
        honoured("custom", Object, "What was called.").with_inner(&CALLED_CUSTOM),
        ignored("index", Any, "Part of a stream that is sent back."),
    ],
};

/// Fields of the function of a tool call.
pub(super) static CALLED_FUNCTION: ObjectSchema = ObjectSchema {
    prefix: "messages[].tool_calls[].function.",
    fields: &[
        honoured("name", Text, "The function's name."),
        honoured(
            "arguments",
            Text,
            "A JSON object, as a string. An empty string is an empty object.",
        ),
    ],
};

/// Fields of the custom tool of a tool call.
pub(super) static CALLED_CUSTOM: ObjectSchema = ObjectSchema {
    prefix: "messages[].tool_calls[].custom.",
    fields: &[
        honoured("name", Text, "The tool's name."),
        honoured("input", Text, "The text it was given."),
    ],
};

/// The fields of `response_format`.
pub(super) static RESPONSE_FORMAT: ObjectSchema = ObjectSchema {
    prefix: "response_format.",
    fields: &[
        emulated(
            "type",
            Text,
            "`text`, `json_schema` or `json_object`. With `json_object` Claude is instructed to answer with an object; text around it is removed.",
        )
        .required()
        .one_of(&["text", "json_object", "json_schema"]),
        honoured("json_schema", Object, "The schema of the answer.").with_inner(&JSON_SCHEMA),
    ],
};

/// The fields of `response_format.json_schema`.
pub(super) static JSON_SCHEMA: ObjectSchema = ObjectSchema {
    prefix: "response_format.json_schema.",
    fields: &[
        honoured(
            "schema",
            Object,
            "Claude's answer is bound to it, as far as Anthropic can; see [schemas](#schemas).",
        )
        .required(),
        checked(
            "name",
            Identifier(MAX_SCHEMA_NAME_LENGTH),
            "Not sent to Claude.",
        )
        .required(),
        honoured(
            "strict",
            Bool,
            "The schema always binds. With `true` the answer is checked against it as well.",
        ),
        ignored(
            "description",
            Text,
            "Not sent to Claude. Describe the answer in the messages.",
        ),
    ],
};

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
