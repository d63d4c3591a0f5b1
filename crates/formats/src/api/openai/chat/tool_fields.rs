//! Field tables of tools.

use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::emulated;
use crate::api::request_schema::honoured;

/// The fields of a tool.
pub(super) static TOOL: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`function` or `custom`. A custom tool takes a text: Claude knows it as a function with one string.",
        ),
        honoured(
            "function",
            Object,
            "The function. Its fields may also stand in the tool itself, `parameters` as `input_schema` too.",
        )
        .with_inner(&FUNCTION),
        honoured(
            "custom",
            Object,
            "The custom tool. Its fields may also stand in the tool itself.",
        )
        .with_inner(&CUSTOM),
    ],
};

/// Fields of a tool without a nested `function` or `custom` object.
pub(super) static FLAT_TOOL: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        honoured("type", Text, "As that of a tool; without it a function."),
        honoured("name", Text, "As that of a function."),
        honoured("description", Text, "As that of a function."),
        honoured("parameters", Object, "As those of a function."),
        honoured("input_schema", Object, "As the parameters of a function."),
        honoured("strict", Bool, "As that of a function."),
        honoured("format", Object, "As that of a custom tool.").with_inner(&CUSTOM_FORMAT),
    ],
};

/// The fields of a custom tool.
pub(super) static CUSTOM: ObjectSchema = ObjectSchema {
    prefix: "tools[].custom.",
    fields: &[
        honoured("name", Text, "1 to 64 letters, digits, `_` and `-`."),
        honoured("description", Text, "Sent to Claude."),
        honoured("format", Object, "Format of its input.").with_inner(&CUSTOM_FORMAT),
    ],
};

/// The fields of `format` of a custom tool.
pub(super) static CUSTOM_FORMAT: ObjectSchema = ObjectSchema {
    prefix: "tools[].custom.format.",
    fields: &[
        emulated(
            "type",
            Text,
            "`text` or `grammar`. A grammar is described to Claude, and does not bind.",
        )
        .one_of(&["text", "grammar"])
        .required(),
        honoured(
            "grammar",
            Object,
            "The grammar. Its fields may also stand beside `type`.",
        )
        .with_inner(&GRAMMAR),
        honoured("syntax", Text, "As that of a grammar."),
        honoured("definition", Text, "As that of a grammar."),
    ],
};

/// The fields of a grammar.
pub(super) static GRAMMAR: ObjectSchema = ObjectSchema {
    prefix: "tools[].custom.format.grammar.",
    fields: &[
        honoured("syntax", Text, "`lark` or `regex`. Sent to Claude."),
        honoured("definition", Text, "Sent to Claude."),
    ],
};

/// The fields of a tool's function.
pub(super) static FUNCTION: ObjectSchema = ObjectSchema {
    prefix: "tools[].function.",
    fields: &[
        honoured("name", Text, "1 to 64 letters, digits, `_` and `-`."),
        honoured("description", Text, "Sent to Claude."),
        honoured(
            "parameters",
            Object,
            "A JSON Schema of the type `object`, sent to Claude unchanged. Without it there are no parameters.",
        ),
        honoured(
            "strict",
            Bool,
            "Claude's arguments are bound to the [schema](#schemas). If they do not fit, the answer ends with an error.",
        ),
    ],
};
