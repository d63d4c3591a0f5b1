//! What each field of a tool and of `tool_choice` does; as [`fields`](super::fields).

use crate::fields::Field;
use crate::fields::Shape::Array;
use crate::fields::Shape::Bool;
use crate::fields::Shape::Object;
use crate::fields::Shape::Text;
use crate::fields::Table;
use crate::fields::emulated;
use crate::fields::honoured;
use crate::fields::ignored;
use crate::openai::web_search;

const TYPE: Field = honoured(
    "type",
    Text,
    "`function`, or `web_search` (also as `web_search_preview` and with a date), which Anthropic does. The others are run by OpenAI, and are refused.",
);

/// The fields of a tool that is a function.
pub(super) static FUNCTION: Table = Table {
    prefix: "tools[].",
    fields: &[
        TYPE,
        honoured(
            "name",
            Text,
            "1 to 64 letters, digits, `_` and `-`; each name once, those of tools that Anthropic runs among them: `web_search`.",
        ),
        honoured("description", Text, "Told to Claude."),
        honoured(
            "parameters",
            Object,
            "The schema of the arguments, sent to Claude as it was written. None means no arguments.",
        ),
        emulated(
            "strict",
            Bool,
            "Binds the arguments to the schema. Where it is left out, a schema binds whose objects all name every property as required and allow no others.",
        ),
        ignored("output_schema", Object, "Claude is not told of it."),
        ignored("defer_loading", Bool, "Claude is told of every tool at once.").unless(&["false"]),
        ignored("allowed_callers", Array, "Claude calls tools directly.").unless(&["[\"direct\"]"]),
        ignored("async", Bool, "Claude waits for the outputs of its calls.").unless(&["false"]),
    ],
};

/// The fields of a search of the web.
pub(super) static SEARCH: Table = Table {
    prefix: "tools[].",
    fields: &[
        TYPE,
        honoured("user_location", Object, "Of `web_search`: where the user is, for the search."),
        honoured("filters", Object, "Of `web_search`: the domains that are searched."),
        web_search::CONTEXT_SIZE,
        ignored("search_content_types", Array, "Of `web_search`: Anthropic finds texts.")
            .unless(&["[\"text\"]"]),
        ignored("external_web_access", Bool, "Of `web_search`: Anthropic always reads the live web.")
            .unless(&["true"]),
    ],
};

/// The fields of `filters` of a search of the web.
pub(super) static FILTERS: Table = Table {
    prefix: "tools[].filters.",
    fields: &[
        honoured("allowed_domains", Array, "Only these are searched."),
        honoured("blocked_domains", Array, "These are not searched. Not beside `allowed_domains`."),
    ],
};

/// The fields of `tool_choice` that is no string.
pub(super) static TOOL_CHOICE: Table = Table {
    prefix: "tool_choice.",
    fields: &[
        honoured("type", Text, "`function`, `allowed_tools` or `web_search`."),
        honoured("name", Text, "Of a function that must be called."),
        honoured("mode", Text, "Of `allowed_tools`: `auto` or `required`."),
        honoured("tools", Array, "Of `allowed_tools`: those of `tools` that Claude is shown."),
    ],
};

/// The fields of a tool of `allowed_tools`.
pub(super) static ALLOWED_TOOL: Table = Table {
    prefix: "tool_choice.tools[].",
    fields: &[
        honoured("type", Text, "`function`, or the type of another of `tools`."),
        honoured("name", Text, "Of a function."),
    ],
};
