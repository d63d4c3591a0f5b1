//! The fields of messages, and of the blocks they are made of.

use super::request::CACHE_CONTROL;
use crate::fields::Field;
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

const BLOCK: &str = "messages[].content[].";

const TYPE: Field = honoured(
    "type",
    Text,
    "Of the user: `text`, `image`, `document`, `tool_result`, and in a result the first three. Of the assistant: `text`, `thinking`, `redacted_thinking`, `tool_use`. Others, which come of tools that Anthropic runs, are refused.",
);

const WORDS: Field = honoured("text", Text, "Every text stays one of its own. Blank ones are skipped.");

const CITED: Field =
    ignored("citations", Array, "Of a text: part of an answer that is sent back.").unless(&["[]"]);

const PLACE: Field = honoured("source", Object, "Of an image or a document. Required.");

const TOOLSET: Field = refused("toolset_name", Text, "There are no sets of tools.");

/// The fields of a block of `system`.
pub(in crate::anthropic) static SYSTEM: Table =
    Table { prefix: "system[].", fields: &[honoured("type", Text, "`text`."), WORDS, CACHE_CONTROL, CITED] };

/// The fields of a message.
pub(in crate::anthropic) static MESSAGE: Table = Table {
    prefix: "messages[].",
    fields: &[
        emulated(
            "role",
            Text,
            "`user` and `assistant` are honoured; messages of one role that follow each other are one. `system` is read with the instructions, before the conversation, wherever it stands.",
        ),
        honoured(
            "content",
            TextOrArray,
            "A string or an array of blocks. A message must have something that is not blank.",
        ),
        ignored("clear_at", Text, "Instructions stay.").unless(&["\"never\""]),
        refused("output_config", Object, "Stands beside `messages`, and not in one."),
    ],
};

/// The fields of a text.
pub(in crate::anthropic) static TEXT: Table =
    Table { prefix: BLOCK, fields: &[TYPE, WORDS, CITED, CACHE_CONTROL] };

/// The fields of an image.
pub(in crate::anthropic) static IMAGE: Table = Table {
    prefix: BLOCK,
    fields: &[
        TYPE,
        PLACE,
        ignored("transformations", Object, "The CLI scales a large image down."),
        CACHE_CONTROL,
    ],
};

/// The fields of a document.
pub(in crate::anthropic) static DOCUMENT: Table = Table {
    prefix: BLOCK,
    fields: &[
        TYPE,
        PLACE,
        honoured("title", Text, "Of a document. Told to Claude."),
        ignored("context", Text, "Not sent to Claude. Say it in a text."),
        refused("citations", Object, "Of a document: citations are not supported.")
            .unless(&["{\"enabled\":false}", "{}"]),
        CACHE_CONTROL,
    ],
};

/// The fields of the result of a tool.
pub(in crate::anthropic) static TOOL_RESULT: Table = Table {
    prefix: BLOCK,
    fields: &[
        TYPE,
        honoured("tool_use_id", Text, "Required: the `id` of a call in the message before."),
        honoured("content", TextOrArray, "Of a result: a string, or texts, images and documents."),
        honoured("is_error", Bool, "The tool failed."),
        CACHE_CONTROL,
        TOOLSET,
    ],
};

/// The fields of thoughts.
pub(in crate::anthropic) static THOUGHT: Table = Table {
    prefix: BLOCK,
    fields: &[
        TYPE,
        honoured("thinking", Text, "Required. May be empty."),
        honoured("signature", Text, "Required, as Claude gave it: without it Claude takes no thoughts back."),
    ],
};

/// The fields of thoughts that only upstream can read.
pub(in crate::anthropic) static REDACTED: Table =
    Table { prefix: BLOCK, fields: &[TYPE, honoured("data", Text, "Required, as Claude gave it.")] };

/// The fields of a call of a tool.
pub(in crate::anthropic) static TOOL_USE: Table = Table {
    prefix: BLOCK,
    fields: &[
        TYPE,
        honoured("id", Text, "Required. Letters, digits, `_` and `-`."),
        honoured("name", Text, "Required. 1 to 64 letters, digits, `_` and `-`."),
        honoured("input", Object, "Required. It reaches Claude as it was sent."),
        ignored("caller", Any, "Only Claude itself calls tools.").unless(&["{\"type\":\"direct\"}"]),
        CACHE_CONTROL,
        TOOLSET,
    ],
};

/// The fields of a `source`.
pub(in crate::anthropic) static SOURCE: Table = Table {
    prefix: "messages[].content[].source.",
    fields: &[
        emulated(
            "type",
            Text,
            "`base64` or `url`; of a document also `text`, which becomes a text after its title. `content` and `file` are refused.",
        ),
        honoured("data", Text, "In base64 a PNG, JPEG, GIF or WebP, or a PDF; of a `text` the words."),
        emulated("media_type", Text, "What the bytes say counts."),
        honoured("url", Text, "`https://...`, which Anthropic fetches."),
        refused(
            "content",
            TextOrArray,
            "Documents made of blocks are not supported. Send the blocks themselves.",
        ),
        refused("file_id", Text, "Uploaded files cannot be named here yet: send `data`."),
    ],
};
