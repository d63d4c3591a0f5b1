//! What each field of an item and of its content does; as [`fields`](super::fields).

use crate::fields::Shape::Any;
use crate::fields::Shape::Array;
use crate::fields::Shape::Bool;
use crate::fields::Shape::Object;
use crate::fields::Shape::Text;
use crate::fields::Shape::TextOrArray;
use crate::fields::Table;
use crate::fields::emulated;
use crate::fields::honoured;
use crate::fields::ignored;
use crate::fields::refused;
use crate::openai::cache_mark;

/// The fields of an item, whatever its type.
pub(super) static ITEM: Table = Table {
    prefix: "input[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`message` (which may be left out), `function_call`, `function_call_output`, `reasoning`, `compaction` and `item_reference`. Items of tools that Anthropic runs (`web_search_call`, `code_interpreter_call`, `mcp_call`, `mcp_list_tools`) are skipped: what came of them stands in the answer. Other items of OpenAI's own tools are refused.",
        ),
        honoured("id", Text, "Names the item in lists and references."),
        honoured("status", Text, "A function call that is `incomplete` is skipped."),
        emulated(
            "role",
            Text,
            "Of a message. `user` and `assistant`; `system` and `developer` are the same, and are read before the conversation wherever they stand.",
        ),
        honoured(
            "content",
            TextOrArray,
            "Of a message: a string or an array of parts. Blank texts are skipped, and messages of nothing else.",
        ),
        honoured("call_id", Text, "Of a function call and its output, which belong together by it."),
        honoured("name", Text, "Of a function call. Of an output it is not needed."),
        honoured("arguments", Text, "Of a function call: a JSON object. An empty string stands for `{}`."),
        honoured(
            "output",
            TextOrArray,
            "Of an output: a string, or an array of `input_text`, `input_image` and `input_file`.",
        ),
        honoured(
            "encrypted_content",
            Text,
            "Of reasoning: thoughts as this server gave them, which Claude reads again; without it the item is skipped. Of a compaction: the conversation it stands for.",
        ),
        honoured(
            "summary",
            Array,
            "Of reasoning: taken as this server gave it. Claude reads thoughts again only as `encrypted_content`.",
        ),
        honoured("action", Object, "Of a `web_search_call`, which is skipped."),
        honoured("code", Text, "Of a `code_interpreter_call`, which is skipped."),
        honoured("container_id", Text, "Of a `code_interpreter_call`, which is skipped."),
        honoured("outputs", Array, "Of a `code_interpreter_call`, which is skipped."),
        honoured("server_label", Text, "Of an `mcp_call` and `mcp_list_tools`, which are skipped."),
        honoured("tools", Array, "Of `mcp_list_tools`, which is skipped."),
        honoured("error", Any, "Of an `mcp_call` and `mcp_list_tools`, which are skipped."),
        honoured("approval_request_id", Text, "Of an `mcp_call`, which is skipped."),
        ignored("phase", Text, "Claude knows no phases.").unless(&["\"final_answer\"", "\"commentary\""]),
        ignored("caller", Object, "Claude calls tools directly.").unless(&["{\"type\":\"direct\"}"]),
        ignored("async", Bool, "Claude waits for the outputs of its calls.").unless(&["false"]),
        ignored("created_by", Text, "Claude is not told of it."),
        refused("namespace", Text, "Tools have no namespaces."),
    ],
};

/// The fields of a part of content, whatever its type.
pub(super) static PART: Table = Table {
    prefix: "input[].content[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`input_text`, of the user and in outputs of calls also `input_image` and `input_file`; in assistant messages `output_text` and `refusal`. `input_audio` is refused: Claude does not hear.",
        ),
        honoured("text", Text, "Every part stays a text of its own."),
        honoured("refusal", Text, "Taken as text."),
        honoured(
            "image_url",
            Text,
            "`data:image/png;base64,...` with a PNG, JPEG, GIF or WebP, or `https://...`, which Anthropic fetches. It reaches Claude as it was sent.",
        ),
        honoured(
            "file_data",
            Text,
            "A PDF, an image or text in UTF-8 (CSV, JSON, Markdown and the like), in base64, with or without `data:TYPE;base64,` before it. Its bytes say what it is.",
        ),
        honoured("file_url", Text, "`https://...` of a PDF, which Anthropic fetches."),
        honoured("filename", Text, "Told to Claude as the title."),
        honoured(
            "file_id",
            Text,
            "In the place of `file_data` or `image_url`: a [file](#v1files) of the key's project with the purpose `user_data` or `vision`, which is a PDF, an image (PNG, JPEG, GIF or WebP) or text in UTF-8. It is read anew for each request.",
        ),
        ignored("detail", Text, "Claude sees an image or a file in one way.").unless(&["\"auto\""]),
        ignored("annotations", Array, "Part of an answer that is sent back; not told to Claude again.")
            .unless(&["[]"]),
        ignored("logprobs", Array, "Part of an answer that is sent back.").unless(&["[]"]),
        cache_mark::BREAKPOINT,
        cache_mark::CACHE_CONTROL,
    ],
};
