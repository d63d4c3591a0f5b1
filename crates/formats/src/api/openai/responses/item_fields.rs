//! Field tables of items and their content; see [`fields`](super::fields).

use crate::api::openai::cache_mark;
use crate::api::request_schema::FieldType::Any;
use crate::api::request_schema::FieldType::Array;
use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrArray;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::checked;
use crate::api::request_schema::emulated;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;

/// Fields of an item of any type.
pub(in crate::api::openai) static ITEM: ObjectSchema = ObjectSchema {
    prefix: "input[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`message` (which may be left out), `reasoning`, `compaction`, `item_reference`, `additional_tools`, and calls of tools that the client runs with their outputs: `function_call`, `custom_tool_call`, `local_shell_call`, `shell_call`, `apply_patch_call`, and the same with `_output`; `tool_search_call` and `tool_search_output` where the client searches. Items of other tools, such as `web_search_call` or `file_search_call`, are left out and named in `x-switchboard-ignored`: what came of them stands in the answer.",
        ),
        honoured("id", Text, "Names the item in lists and references."),
        honoured(
            "status",
            Text,
            "A function call that is `incomplete` is skipped.",
        ),
        emulated(
            "role",
            Text,
            "Of a message. `user` and `assistant`; `system` and `developer` are the same: before all others they follow the `instructions`, later they [stay in their place](#system-messages).",
        )
        .one_of(&["user", "assistant", "system", "developer"]),
        honoured(
            "content",
            TextOrArray,
            "Of a message: a string or an array of parts. Blank texts are skipped, and messages of nothing else.",
        )
        .with_inner(&PART),
        honoured(
            "call_id",
            Text,
            "Of a function call and its output, which belong together by it.",
        ),
        honoured(
            "name",
            Text,
            "Of a function call or custom tool call. Of an output it is not needed.",
        ),
        honoured(
            "namespace",
            Text,
            "Of a function call or custom tool call: the namespace of the tool.",
        ),
        honoured(
            "arguments",
            Text,
            "Of a function call: a JSON object. An empty string stands for `{}`.",
        ),
        honoured(
            "output",
            TextOrArray,
            "Of an output: a string, or an array of `input_text`, `input_image` and `input_file`; of a `shell_call_output` an array of the output of the commands.",
        )
        .with_inner(&PART),
        honoured("input", Text, "Of a custom tool call."),
        honoured("operation", Object, "Of an `apply_patch_call`."),
        honoured(
            "execution",
            Text,
            "Of a `tool_search_call` and its output: with `client` they are sent to Claude, and the tools that were found are offered; otherwise they are left out.",
        ),
        checked("environment", Object, "Of a `shell_call`: accepted."),
        checked(
            "max_output_length",
            Any,
            "Of a `shell_call_output`: accepted.",
        ),
        honoured(
            "encrypted_content",
            Text,
            "Of reasoning: thoughts as this server returned them, which Claude reads again; without it, or with thoughts of another provider, the item is skipped. Of a compaction: the conversation that it replaces.",
        ),
        honoured(
            "summary",
            Array,
            "Of reasoning: accepted as this server returned it. Claude reads thoughts again only as `encrypted_content`.",
        ),
        honoured(
            "action",
            Object,
            "Of a `local_shell_call` or `shell_call`. Of a `web_search_call`, which is skipped.",
        ),
        checked(
            "code",
            Text,
            "Of a `code_interpreter_call`, which is skipped.",
        ),
        checked(
            "container_id",
            Text,
            "Of a `code_interpreter_call`, which is skipped.",
        ),
        checked(
            "outputs",
            Array,
            "Of a `code_interpreter_call`, which is skipped.",
        ),
        checked(
            "server_label",
            Text,
            "Of an `mcp_call` and `mcp_list_tools`, which are skipped.",
        ),
        honoured(
            "tools",
            Array,
            "Of `additional_tools`: as `tools` of the request. Of `mcp_list_tools`, which is skipped.",
        ),
        checked(
            "error",
            Any,
            "Of an `mcp_call` and `mcp_list_tools`, which are skipped.",
        ),
        checked(
            "approval_request_id",
            Text,
            "Of an `mcp_call`, which is skipped.",
        ),
        ignored("phase", Text, "Claude knows no phases.")
            .with_no_op(&["\"final_answer\"", "\"commentary\""]),
        ignored("caller", Object, "Claude calls tools directly.")
            .with_no_op(&["{\"type\":\"direct\"}"]),
        ignored("async", Bool, "Claude waits for the outputs of its calls.").with_no_op(&["false"]),
        ignored("created_by", Text, "Not sent to Claude."),
    ],
};

/// Fields of a content part of any type.
pub(super) static PART: ObjectSchema = ObjectSchema {
    prefix: "input[].content[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`input_text`, of the user and in outputs of calls also `input_image` and `input_file`; in assistant messages `output_text` and `refusal`. `input_audio` is refused: Claude does not accept audio.",
        )
        .required(),
        honoured("text", Text, "Each part stays a separate text."),
        honoured("refusal", Text, "Taken as text."),
        honoured(
            "image_url",
            Text,
            "`data:image/png;base64,...` with a PNG, JPEG, GIF or WebP, or `https://...`, which Anthropic fetches. Sent to Claude unchanged.",
        ),
        honoured(
            "file_data",
            Text,
            "A PDF, an image or text in UTF-8 (CSV, JSON, Markdown and the like), in base64, with or without `data:TYPE;base64,` before it. The format is detected from its bytes.",
        ),
        honoured(
            "file_url",
            Text,
            "`https://...` of a PDF, which Anthropic fetches.",
        ),
        honoured("filename", Text, "Sent to Claude as the title."),
        honoured(
            "file_id",
            Text,
            "Instead of `file_data` or `image_url`: a [file](#v1files) of the key's project with the purpose `user_data` or `vision`, which is a PDF, an image (PNG, JPEG, GIF or WebP) or text in UTF-8. It is read again for each request.",
        ),
        ignored("detail", Text, "Claude sees an image or a file in one way.")
            .with_no_op(&["\"auto\""]),
        ignored(
            "annotations",
            Array,
            "Part of an answer that is sent back; not sent to Claude again.",
        )
        .with_no_op(&["[]"]),
        ignored("logprobs", Array, "Part of an answer that is sent back.").with_no_op(&["[]"]),
        cache_mark::BREAKPOINT,
        cache_mark::CACHE_CONTROL,
    ],
};
