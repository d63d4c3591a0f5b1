//! Field tables of tools and `tool_choice`; see [`fields`](super::fields).

use crate::api::openai::web_search;
use crate::api::openai::web_search::LOCATION;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Any;
use crate::api::request_schema::FieldType::Array;
use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrObject;
use crate::api::request_schema::ObjectKind;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::emulated;
use crate::api::request_schema::honoured;
use crate::api::request_schema::ignored;
use crate::api::request_schema::refused;

const TYPE: Field = honoured(
    "type",
    Text,
    "Run by the client: `function`, `namespace`, `custom`, `local_shell`, `shell`, `apply_patch`, and `tool_search` where the client searches. Run by Anthropic: `web_search` (also as `web_search_preview` and with a date) and `code_interpreter`; `mcp` is [off for now](#code-and-mcp-servers). A tool that is not supported, or not permitted for the key, is left out and named in `x-switchboard-ignored`; it is refused where `tool_choice` asks for it.",
);

const NAME: Field = honoured(
    "name",
    Text,
    "1 to 128 letters, digits, `_` and `-`; each name once, those of tools that Anthropic runs among them: `web_search`, and `code_execution` of `code_interpreter`. Of a `namespace` any text: Claude knows its tools as `namespace__tool`.",
);

const PARAMETERS: Field = honoured(
    "parameters",
    Object,
    "The schema of the arguments, sent to Claude unchanged. None means no arguments.",
);

const DESCRIPTION: Field = honoured("description", Text, "Sent to Claude.");

const DEFER_LOADING: Field =
    ignored("defer_loading", Bool, "Claude receives all tools at once.").with_no_op(&["false"]);

const ALLOWED_CALLERS: Field =
    ignored("allowed_callers", Array, "Claude calls tools directly.").with_no_op(&["[\"direct\"]"]);

const ASYNC: Field =
    ignored("async", Bool, "Claude waits for the outputs of its calls.").with_no_op(&["false"]);

/// Tables of tools by kind.
pub(super) const TOOL_KINDS: &[ObjectKind] = &[
    ("function", &FUNCTION),
    ("namespace", &NAMESPACE),
    ("custom", &CUSTOM),
    ("built_in", &BUILT_IN),
    ("web_search", &SEARCH),
    ("code_interpreter", &CODE),
    ("mcp", &MCP),
];

/// Fields of a function tool.
pub(super) static FUNCTION: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        TYPE,
        NAME,
        DESCRIPTION,
        PARAMETERS,
        emulated(
            "strict",
            Bool,
            "Binds the arguments to the schema. Where it is left out, a schema binds whose objects all name every property as required and allow no others.",
        ),
        ignored("output_schema", Object, "Not sent to Claude."),
        DEFER_LOADING,
        ALLOWED_CALLERS,
        ASYNC,
    ],
};

/// Fields of a namespace.
pub(super) static NAMESPACE: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        TYPE,
        NAME,
        DESCRIPTION,
        honoured(
            "tools",
            Array,
            "Of `namespace`: its tools, `function` and `custom`.",
        )
        .with_kinds(&[("function", &FUNCTION), ("custom", &CUSTOM)]),
        DEFER_LOADING,
        ALLOWED_CALLERS,
        ASYNC,
    ],
};

/// Fields of a custom tool.
pub(super) static CUSTOM: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        TYPE,
        NAME,
        DESCRIPTION,
        emulated("format", Object, "Of `custom`: the format of its input.")
            .with_inner(&CUSTOM_FORMAT),
        DEFER_LOADING,
        ALLOWED_CALLERS,
        ASYNC,
    ],
};

/// Fields of `format` of a custom tool.
pub(super) static CUSTOM_FORMAT: ObjectSchema = ObjectSchema {
    prefix: "tools[].format.",
    fields: &[
        emulated(
            "type",
            Text,
            "`text` or `grammar`. A grammar is described to Claude, and does not bind.",
        )
        .required()
        .one_of(&["text", "grammar"]),
        honoured(
            "syntax",
            Text,
            "Of `grammar`: `lark` or `regex`. Sent to Claude.",
        ),
        honoured(
            "definition",
            Text,
            "Of `grammar`: the grammar. Sent to Claude.",
        ),
    ],
};

/// Fields of a built-in tool: OpenAI defines it, the client runs it.
pub(super) static BUILT_IN: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        TYPE,
        honoured(
            "environment",
            Object,
            "Of `shell`: where the client runs it. With a container of OpenAI's the tool is left out.",
        )
        .with_inner(&ENVIRONMENT),
        honoured(
            "execution",
            Text,
            "Of `tool_search`: with `client` Claude may search; otherwise the tool is left out.",
        ),
        DESCRIPTION,
        PARAMETERS,
        ALLOWED_CALLERS,
        ASYNC,
    ],
};

/// Fields of `environment` of a shell.
pub(super) static ENVIRONMENT: ObjectSchema = ObjectSchema {
    prefix: "tools[].environment.",
    fields: &[
        honoured("type", Text, "`local`."),
        ignored(
            "skills",
            Array,
            "Skills are not sent to Claude. Describe them in `instructions`.",
        )
        .with_no_op(&["[]"]),
    ],
};

/// Fields of a web search tool.
pub(super) static SEARCH: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        TYPE,
        honoured(
            "user_location",
            Object,
            "Of `web_search`: where the user is, for the search.",
        )
        .with_inner(&LOCATION),
        honoured(
            "filters",
            Object,
            "Of `web_search`: the domains that are searched.",
        )
        .with_inner(&FILTERS),
        web_search::CONTEXT_SIZE,
        ignored(
            "search_content_types",
            Array,
            "Of `web_search`: Anthropic finds texts.",
        )
        .with_no_op(&["[\"text\"]"]),
        ignored(
            "external_web_access",
            Bool,
            "Of `web_search`: Anthropic always reads the live web.",
        )
        .with_no_op(&["true"]),
    ],
};

/// Fields of `filters` of a web search tool.
pub(super) static FILTERS: ObjectSchema = ObjectSchema {
    prefix: "tools[].filters.",
    fields: &[
        honoured("allowed_domains", Array, "Only these are searched.").of_texts(),
        honoured(
            "blocked_domains",
            Array,
            "These are not searched. Not beside `allowed_domains`.",
        )
        .of_texts(),
    ],
};

/// Fields of a code interpreter tool.
pub(super) static CODE: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        TYPE,
        honoured(
            "container",
            TextOrObject,
            "Of `code_interpreter`: one that Anthropic creates for the answer.",
        )
        .with_inner(&CONTAINER),
        ALLOWED_CALLERS,
    ],
};

/// Fields of `container` of a code interpreter tool.
pub(super) static CONTAINER: ObjectSchema = ObjectSchema {
    prefix: "tools[].container.",
    fields: &[
        honoured("type", Text, "`auto`."),
        refused(
            "file_ids",
            Array,
            "Files cannot be brought into the container.",
        )
        .with_no_op(&["[]"]),
        ignored(
            "memory_limit",
            Text,
            "Anthropic's containers are of one size.",
        ),
        refused(
            "network_policy",
            Object,
            "Anthropic's containers reach no network.",
        )
        .with_no_op(&["{\"type\":\"disabled\"}"]),
    ],
};

/// Fields of an MCP tool.
pub(super) static MCP: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        TYPE,
        honoured(
            "server_label",
            Text,
            "Of `mcp`: the name of the server; each once.",
        ),
        honoured(
            "server_url",
            Text,
            "Of `mcp`: `https://...`, the address that Anthropic calls.",
        ),
        honoured(
            "authorization",
            Text,
            "Of `mcp`: the token that Anthropic shows the server. Not given back.",
        ),
        honoured(
            "headers",
            Object,
            "Of `mcp`: `Authorization: Bearer ...` instead of `authorization`. Anthropic sends no others, so they are refused. Not given back.",
        ),
        honoured(
            "allowed_tools",
            Any,
            "Of `mcp`: an array of names, or an object that has it as `tool_names`.",
        )
        .with_inner(&MCP_FILTER)
        .of_texts(),
        honoured(
            "require_approval",
            TextOrObject,
            "Of `mcp`: required, and `never`. OpenAI's default is `always`; Anthropic asks for no approval.",
        ),
        ignored(
            "server_description",
            Text,
            "Of `mcp`: Not sent to Claude. Describe the server in `instructions`.",
        ),
        refused(
            "connector_id",
            Text,
            "Of `mcp`: connectors are OpenAI's; a server needs a `server_url`.",
        ),
        refused(
            "tunnel_id",
            Text,
            "Of `mcp`: tunnels are OpenAI's; a server needs a `server_url`.",
        ),
        DEFER_LOADING,
        ALLOWED_CALLERS,
    ],
};

/// Fields of `allowed_tools` of an MCP tool, if it is an object.
pub(super) static MCP_FILTER: ObjectSchema = ObjectSchema {
    prefix: "tools[].allowed_tools.",
    fields: &[
        honoured("tool_names", Array, "The tools that may be called.").of_texts(),
        refused(
            "read_only",
            Bool,
            "Anthropic does not distinguish tools by what they change. Name them.",
        ),
    ],
};

/// Fields of `tool_choice`, if it is an object.
pub(super) static TOOL_CHOICE: ObjectSchema = ObjectSchema {
    prefix: "tool_choice.",
    fields: &[
        honoured(
            "type",
            Text,
            "`allowed_tools`, or the type of one of `tools`.",
        ),
        honoured(
            "name",
            Text,
            "Of a function or custom tool that must be called.",
        ),
        honoured("namespace", Text, "The namespace of that tool."),
        honoured("mode", Text, "Of `allowed_tools`: `auto` or `required`."),
        honoured(
            "tools",
            Array,
            "Of `allowed_tools`: those of `tools` that Claude is shown.",
        )
        .with_inner(&ALLOWED_TOOL),
    ],
};

/// Fields of a tool of `allowed_tools`.
pub(super) static ALLOWED_TOOL: ObjectSchema = ObjectSchema {
    prefix: "tool_choice.tools[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`function`, or the type of another of `tools`. A tool that is left out is skipped.",
        ),
        honoured("name", Text, "Of a function, custom tool or namespace."),
        honoured(
            "namespace",
            Text,
            "The namespace of a function or custom tool.",
        ),
        honoured("server_label", Text, "Of an MCP server."),
    ],
};
