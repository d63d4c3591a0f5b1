//! Fields of messages and of content blocks.

use super::request::CACHE_CONTROL;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Any;
use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrArray;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::emulated;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;
use crate::api::request_schema::passed;

const BLOCK: &str = "messages[].content[].";

const TYPE: Field = honoured(
    "type",
    Text,
    "Any that Anthropic's API knows. A block that this server does not know is sent to Claude unchanged; strict mode refuses it.",
);

const TEXT_FIELD: Field = honoured(
    "text",
    Text,
    "Each text stays a separate block. Blank ones are skipped.",
);

const CITATIONS: Field = passed(
    "citations",
    Any,
    "Of a text: the sources of an answer that is sent back.",
);

const SOURCE_FIELD: Field = honoured("source", Object, "Of an image or a document.")
    .required()
    .with_inner(&SOURCE);

const TOOLSET: Field = passed("toolset_name", Text, "Sent to Claude unchanged.");

const IGNORED_CACHE_CONTROL: Field = ignored(
    "cache_control",
    Any,
    "Of thoughts: Anthropic accepts no mark on them.",
);

/// Fields of a block of `system`.
pub(in crate::api::anthropic) static SYSTEM: ObjectSchema = ObjectSchema {
    prefix: "system[].",
    fields: &[
        honoured("type", Text, "`text`."),
        TEXT_FIELD,
        CACHE_CONTROL,
        CITATIONS,
    ],
};

/// Fields of a message.
pub(in crate::api::anthropic) static MESSAGE: ObjectSchema = ObjectSchema {
    prefix: "messages[].",
    fields: &[
        emulated(
            "role",
            Text,
            "`user` and `assistant` are honoured; messages of one role that follow each other are one. `system` before all others is read with the instructions; later it [stays in its place](../API.md#system-messages).",
        )
        .required()
        .one_of(&["user", "assistant", "system"]),
        honoured(
            "content",
            TextOrArray,
            "A string or an array of blocks. A message that is blank is left out.",
        )
        .required()
        .with_kinds(&[
            ("text", &TEXT),
            ("image", &IMAGE),
            ("document", &DOCUMENT),
            ("tool_result", &TOOL_RESULT),
            ("thinking", &THINKING_BLOCK),
            ("redacted_thinking", &REDACTED_THINKING),
            ("tool_use", &TOOL_USE),
        ]),
        ignored("clear_at", Text, "Instructions stay.").with_no_op(&["\"never\""]),
        ignored(
            "output_config",
            Object,
            "The effort is that of the whole request.",
        ),
    ],
};

/// Fields of a text block.
pub(in crate::api::anthropic) static TEXT: ObjectSchema = ObjectSchema {
    prefix: BLOCK,
    fields: &[TYPE, TEXT_FIELD, CITATIONS, CACHE_CONTROL],
};

/// Fields of an image block.
pub(in crate::api::anthropic) static IMAGE: ObjectSchema = ObjectSchema {
    prefix: BLOCK,
    fields: &[
        TYPE,
        SOURCE_FIELD,
        passed("transformations", Object, "Sent to Claude unchanged."),
        CACHE_CONTROL,
    ],
};

/// Fields of a document block.
pub(in crate::api::anthropic) static DOCUMENT: ObjectSchema = ObjectSchema {
    prefix: BLOCK,
    fields: &[
        TYPE,
        SOURCE_FIELD,
        honoured("title", Text, "Of a document. Sent to Claude."),
        passed("context", Text, "Sent to Claude unchanged."),
        passed(
            "citations",
            Any,
            "Of a document: `{\"enabled\": true}` has Claude cite it.",
        ),
        CACHE_CONTROL,
    ],
};

/// Fields of a tool result.
pub(in crate::api::anthropic) static TOOL_RESULT: ObjectSchema = ObjectSchema {
    prefix: BLOCK,
    fields: &[
        TYPE,
        honoured(
            "tool_use_id",
            Text,
            "The `id` of a call in the message before.",
        )
        .required(),
        honoured(
            "content",
            TextOrArray,
            "Of a result: a string, or texts, images and documents.",
        )
        .with_kinds(&[("text", &TEXT), ("image", &IMAGE), ("document", &DOCUMENT)]),
        honoured("is_error", Bool, "The tool failed."),
        CACHE_CONTROL,
        TOOLSET,
    ],
};

/// Fields of a thinking block.
pub(in crate::api::anthropic) static THINKING_BLOCK: ObjectSchema = ObjectSchema {
    prefix: BLOCK,
    fields: &[
        TYPE,
        honoured("thinking", Text, "May be empty.").required(),
        honoured(
            "signature",
            Text,
            "As Claude returned it: Claude does not accept the thoughts without it.",
        )
        .required(),
        IGNORED_CACHE_CONTROL,
    ],
};

/// Fields of a redacted thinking block.
pub(in crate::api::anthropic) static REDACTED_THINKING: ObjectSchema = ObjectSchema {
    prefix: BLOCK,
    fields: &[
        TYPE,
        honoured("data", Text, "As Claude returned it.").required(),
        IGNORED_CACHE_CONTROL,
    ],
};

/// Fields of a tool call.
pub(in crate::api::anthropic) static TOOL_USE: ObjectSchema = ObjectSchema {
    prefix: BLOCK,
    fields: &[
        TYPE,
        honoured("id", Text, "Letters, digits, `_` and `-`.").required(),
        honoured("name", Text, "1 to 128 letters, digits, `_` and `-`.").required(),
        honoured("input", Any, "An object; sent to Claude unchanged.").required(),
        passed("caller", Any, "Sent to Claude unchanged."),
        CACHE_CONTROL,
        TOOLSET,
    ],
};

/// Fields of a `source`.
pub(in crate::api::anthropic) static SOURCE: ObjectSchema = ObjectSchema {
    prefix: "messages[].content[].source.",
    fields: &[
        emulated(
            "type",
            Text,
            "`base64`, `url`, or `file` for what was uploaded here. Others, such as `text` and `content`, are sent to Claude unchanged.",
        )
        .required(),
        honoured(
            "data",
            Text,
            "In base64 a PNG, JPEG, GIF or WebP, or a PDF; of a `text` the words.",
        ),
        emulated("media_type", Text, "The bytes decide."),
        honoured("url", Text, "`https://...`, which Anthropic fetches."),
        passed("content", TextOrArray, "Sent to Claude unchanged."),
        emulated(
            "file_id",
            Text,
            "A [file](#files-of-anthropics-api) that was uploaded here: a PDF, a picture or text in UTF-8, which is read again for each request. An id of Anthropic's own (`file_...`) is sent to Claude unchanged.",
        ),
    ],
};
