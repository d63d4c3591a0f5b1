//! What each field of a request does: the one place where that is decided.
//!
//! Decoding asks these tables; `docs/API.md` shows them, and a test holds the two together.

use crate::fields::Shape::Any;
use crate::fields::Shape::Array;
use crate::fields::Shape::Bool;
use crate::fields::Shape::Integer;
use crate::fields::Shape::Number;
use crate::fields::Shape::Object;
use crate::fields::Shape::Text;
use crate::fields::Shape::TextOrArray;
use crate::fields::Shape::TextOrObject;
use crate::fields::Table;
use crate::fields::emulated;
use crate::fields::honoured;
use crate::fields::ignored;
use crate::fields::refused;

/// The most a limit of tokens may be.
const MAX_TOKENS: i64 = u32::MAX as i64;
const NO_TOOLS: &str = "Tools are not supported yet.";

/// The fields of the request itself.
pub(super) static REQUEST: Table = Table {
    prefix: "",
    fields: &[
        honoured("model", Text, "Required. The answer carries the name as it was sent."),
        honoured("messages", Array, "Required. The last one that is no instruction must come from the user."),
        honoured("stream", Bool, "The answer comes in pieces as it is made."),
        honoured("stream_options", Object, "Only together with `\"stream\": true`."),
        honoured("max_completion_tokens", Integer(1, MAX_TOKENS), "Thinking counts, as in OpenAI's API."),
        honoured(
            "max_tokens",
            Integer(1, MAX_TOKENS),
            "The old name of `max_completion_tokens`. If both are sent, they must be equal.",
        ),
        emulated("temperature", Number(0.0, 2.0), "Claude's range ends at 1: higher values act as 1."),
        honoured("top_p", Number(0.0, 1.0), "Sent to Claude as it is."),
        honoured(
            "stop",
            TextOrArray,
            "Up to 4 strings, each with a visible character: Claude cannot stop at white space.",
        ),
        honoured("user", Text, "Checked, and not sent to Claude."),
        honoured(
            "metadata",
            Object,
            "Up to 16 pairs of strings, keys up to 64 and values up to 512 characters. Checked, and not sent to Claude.",
        ),
        refused("n", Integer(1, 128), "One answer per request is supported.").unless(&["1"]),
        refused("tools", Array, NO_TOOLS).unless(&["[]"]),
        refused("tool_choice", TextOrObject, NO_TOOLS).unless(&["\"none\"", "\"auto\""]),
        refused("functions", Array, NO_TOOLS).unless(&["[]"]),
        refused("function_call", TextOrObject, NO_TOOLS).unless(&["\"none\"", "\"auto\""]),
        ignored("parallel_tool_calls", Bool, "Means nothing without tools.").unless(&["true", "false"]),
        honoured("response_format", Object, "The answer is JSON that keeps to a schema."),
        refused("logprobs", Bool, "Claude does not tell the probabilities of tokens.").unless(&["false"]),
        refused("top_logprobs", Integer(0, 20), "Claude does not tell the probabilities of tokens.")
            .unless(&["0"]),
        refused("modalities", Array, "Only text can be answered.").unless(&["[\"text\"]"]),
        refused("audio", Object, "Claude does not speak."),
        refused("prediction", Object, "Predicted output is not supported."),
        refused("web_search_options", Object, "Web search is not supported."),
        refused("moderation", Object, "Moderation is not supported."),
        ignored("frequency_penalty", Number(-2.0, 2.0), "Claude has no such parameter.").unless(&["0"]),
        ignored("presence_penalty", Number(-2.0, 2.0), "Claude has no such parameter.").unless(&["0"]),
        ignored("logit_bias", Object, "Claude has no such parameter.").unless(&["{}"]),
        ignored(
            "seed",
            Integer(i64::MIN, i64::MAX),
            "Claude has no such parameter: equal requests may get different answers.",
        ),
        honoured(
            "reasoning_effort",
            Text,
            "`none`, `minimal` and `low` (which are one to Claude), `medium`, `high`, `xhigh`. Not beside `temperature` or `top_p`: with them Claude does not think.",
        ),
        ignored("verbosity", Text, "Only a hint. Ask for short or long answers in the messages.")
            .unless(&["\"medium\""]),
        ignored("service_tier", Text, "There is one tier.").unless(&["\"auto\"", "\"default\""]),
        ignored("store", Bool, "Answers are not stored.").unless(&["false"]),
        ignored("prompt_cache_key", Text, "The prompt cache needs no help."),
        ignored("prompt_cache_options", Object, "The prompt cache needs no help.").unless(&["{}"]),
        ignored("prompt_cache_retention", Text, "The prompt cache needs no help."),
        ignored("safety_identifier", Text, "Not sent to Claude."),
    ],
};

/// The fields of `stream_options`.
pub(super) static STREAM_OPTIONS: Table = Table {
    prefix: "stream_options.",
    fields: &[
        honoured("include_usage", Bool, "One more chunk at the end carries the usage."),
        ignored("include_obfuscation", Bool, "Chunks are never padded.").unless(&["false"]),
    ],
};

/// The fields of a message, whatever its role.
pub(super) static MESSAGE: Table = Table {
    prefix: "messages[].",
    fields: &[
        emulated(
            "role",
            Text,
            "`system` and `developer` are the same, and are read before the conversation wherever they stand. `user` and `assistant` are honoured. `tool` and `function` are refused: tools are not supported yet.",
        ),
        honoured(
            "content",
            TextOrArray,
            "A string or an array of parts. Blank texts are skipped. A message must have something else.",
        ),
        honoured("refusal", Text, "Of an assistant message: taken as text after its content."),
        ignored("name", Text, "Claude knows no names of speakers."),
        ignored("annotations", Array, "Part of an answer that is sent back.").unless(&["[]"]),
        refused("audio", Object, "Claude does not hear."),
        refused("tool_calls", Array, NO_TOOLS).unless(&["[]"]),
        refused("tool_call_id", Text, NO_TOOLS),
        refused("function_call", Object, NO_TOOLS),
    ],
};

/// The fields of a part of a message's content.
pub(super) static PART: Table = Table {
    prefix: "messages[].content[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`text`; in messages of the user also `image_url` and `file`, in assistant messages `refusal`. `input_audio` is refused: Claude does not hear.",
        ),
        honoured("text", Text, "Every part stays a text of its own."),
        honoured("refusal", Text, "Taken as text."),
        honoured("image_url", Object, "A picture for Claude to see."),
        refused("input_audio", Object, "Claude does not hear."),
        honoured("file", Object, "A PDF for Claude to read."),
        ignored("prompt_cache_breakpoint", Any, "The prompt cache needs no help."),
    ],
};

/// The fields of an `image_url`.
pub(super) static IMAGE: Table = Table {
    prefix: "messages[].content[].image_url.",
    fields: &[
        honoured(
            "url",
            Text,
            "`data:image/png;base64,...` with a PNG, JPEG, GIF or WebP, or `https://...`, which Anthropic fetches. The CLI scales a large image down.",
        ),
        ignored("detail", Text, "Claude sees an image in one way.").unless(&["\"auto\""]),
    ],
};

/// The fields of a `file`.
pub(super) static FILE: Table = Table {
    prefix: "messages[].content[].file.",
    fields: &[
        honoured(
            "file_data",
            Text,
            "A PDF in base64, with or without `data:application/pdf;base64,` before it.",
        ),
        honoured("filename", Text, "Told to Claude as the title."),
        refused("file_id", Text, "Files cannot be uploaded yet."),
    ],
};

/// The fields of `response_format`.
pub(super) static RESPONSE_FORMAT: Table = Table {
    prefix: "response_format.",
    fields: &[
        emulated(
            "type",
            Text,
            "`text`, `json_schema` or `json_object`. For the last Claude is made to call a tool that takes an object; its input is the answer.",
        ),
        honoured("json_schema", Object, "The schema of the answer."),
    ],
};

/// The fields of `response_format.json_schema`.
pub(super) static JSON_SCHEMA: Table = Table {
    prefix: "response_format.json_schema.",
    fields: &[
        honoured(
            "schema",
            Object,
            "Required. Claude's answer is bound to it; what schemas may say is Anthropic's matter.",
        ),
        honoured("name", Text, "Required by OpenAI. Not sent to Claude."),
        honoured("strict", Bool, "The schema always binds."),
        ignored("description", Text, "Not sent to Claude. Describe the answer in the messages."),
    ],
};

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
