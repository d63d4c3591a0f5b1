//! Fields of a request other than its messages.

use super::content::MESSAGE;
use super::content::SYSTEM;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Array;
use crate::api::request_schema::FieldType::Bool;
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
use crate::api::request_schema::passed;
use crate::api::request_schema::refused;

/// Maximum number of tokens.
const MAX_TOKENS: i64 = u32::MAX as i64;

/// Field of every object that can have a cache breakpoint.
pub(super) const CACHE_CONTROL: Field = passed(
    "cache_control",
    Object,
    "Sent to Claude unchanged. Without any, the server marks the ends of the tools, of the instructions and of the last two user messages.",
);

/// Fields of the request object.
pub static REQUEST: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("model", Text, "The answer carries the name as it was sent.").required(),
        honoured("messages", Array, "The last one should come from the user.")
            .required()
            .with_inner(&MESSAGE),
        honoured(
            "max_tokens",
            Integer(1, MAX_TOKENS),
            "Required, unless tokens are only counted. Thinking counts, as in Anthropic's API.",
        ),
        honoured(
            "system",
            TextOrArray,
            "A string or an array of texts, which stay separate blocks.",
        )
        .with_inner(&SYSTEM),
        honoured("stream", Bool, "The answer is streamed."),
        honoured(
            "temperature",
            Number(0.0, 1.0),
            "Not beside `thinking`, unless it is 1.",
        ),
        honoured(
            "top_p",
            Number(0.0, 1.0),
            "Not beside `thinking`, unless it is 1.",
        ),
        honoured("top_k", Integer(1, MAX_TOKENS), "Not beside `thinking`."),
        emulated(
            "stop_sequences",
            Array,
            "Strings. Anthropic does not accept those of white space alone: they [end the answer](../API.md#stop-texts) here.",
        )
        .of_texts(),
        honoured(
            "tools",
            Array,
            "Names and schemas are sent to Claude unchanged.",
        )
        .with_inner(&TOOL),
        honoured(
            "tool_choice",
            Object,
            "Only together with `tools`, unless it leaves Claude the choice.",
        )
        .with_inner(&TOOL_CHOICE),
        honoured(
            "thinking",
            Object,
            "Without it thinking is off, unless there is an `output_config.effort`.",
        )
        .with_inner(&THINKING),
        honoured(
            "output_config",
            Object,
            "How hard to think, and the form of the answer.",
        )
        .with_inner(&OUTPUT_CONFIG),
        honoured(
            "output_format",
            Object,
            "The old name of `output_config.format`.",
        )
        .with_inner(&OUTPUT_FORMAT),
        checked("metadata", Object, "Not sent to Claude.").with_inner(&METADATA),
        PROJECT,
        CACHE_CONTROL,
        passed("service_tier", Text, "Sent to Claude unchanged."),
        passed("speed", Text, "Sent to Claude unchanged."),
        passed("diagnostics", Object, "Sent to Claude unchanged."),
        passed(
            "context_management",
            Object,
            "Sent to Claude unchanged, instead of the CLI's own value.",
        ),
        passed("inference_geo", Text, "Sent to Claude unchanged."),
        passed("container", TextOrObject, "Sent to Claude unchanged."),
        passed("mcp_servers", Array, "Sent to Claude unchanged."),
        passed("compaction", Object, "Sent to Claude unchanged."),
        refused(
            "thread",
            Object,
            "Conversations stored by Anthropic belong to the sign-in, so every caller could read them. Send all messages.",
        ),
        refused(
            "fallbacks",
            TextOrArray,
            "Other models answer by the rules of the [operator](fallbacks.md) alone.",
        )
        .with_no_op(&["[]", "\"default\""]),
        refused(
            "fallback_credit_token",
            TextOrObject,
            "This server issues no such tokens.",
        ),
        refused(
            "billing_policy",
            Object,
            "The owner of the server's sign-in is billed.",
        ),
    ],
};

/// Fields of `metadata`.
pub(in crate::api::anthropic) static METADATA: ObjectSchema = ObjectSchema {
    prefix: "metadata.",
    fields: &[honoured(
        "user_id",
        Text,
        "Names the [end user](end-users.md). Not sent to Claude.",
    )],
};

/// Fields of `thinking`.
pub(in crate::api::anthropic) static THINKING: ObjectSchema = ObjectSchema {
    prefix: "thinking.",
    fields: &[
        emulated(
            "type",
            Text,
            "`enabled`, `adaptive`, `disabled` or `between_tools`. The last two are equivalent: Claude gets the one that its model accepts. Others are sent to Claude unchanged.",
        )
        .required(),
        honoured(
            "budget_tokens",
            Integer(1024, MAX_TOKENS),
            "Required by `enabled`, and less than `max_tokens`.",
        ),
        emulated(
            "display",
            Text,
            "`summarized`, or `omitted`: only the seals of thoughts are sent. `updates` acts as `summarized`. Others are sent to Claude unchanged.",
        ),
        passed("block_binding", Object, "Sent to Claude unchanged."),
    ],
};

/// Fields of `output_config`.
pub(in crate::api::anthropic) static OUTPUT_CONFIG: ObjectSchema = ObjectSchema {
    prefix: "output_config.",
    fields: &[
        emulated(
            "effort",
            Text,
            "`low`, `medium`, `high`, `xhigh`, or `max`, which acts as `xhigh`.",
        )
        .one_of(&["low", "medium", "high", "xhigh", "max"]),
        honoured(
            "format",
            Object,
            "The answer is JSON that matches a schema.",
        )
        .with_inner(&OUTPUT_FORMAT),
        passed("task_budget", Object, "Sent to Claude unchanged."),
    ],
};

/// Fields of `output_config.format`, formerly `output_format`.
pub(in crate::api::anthropic) static OUTPUT_FORMAT: ObjectSchema = ObjectSchema {
    prefix: "output_config.format.",
    fields: &[
        honoured("type", Text, "`json_schema`.")
            .required()
            .one_of(&["json_schema"]),
        honoured("schema", Object, "Sent to Claude unchanged.").required(),
    ],
};

/// Fields of a tool.
pub(in crate::api::anthropic) static TOOL: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`custom`, or left out. Tools that Anthropic defines or runs (`web_search_...`, `code_execution_...`, `bash_...`, `mcp_toolset` and others) are sent to Claude unchanged.",
        ),
        honoured(
            "name",
            Text,
            "1 to 128 letters, digits, `_` and `-`; each name once. Only some tools of Anthropic have none.",
        ),
        honoured("description", Text, "Sent to Claude."),
        honoured(
            "input_schema",
            Object,
            "Required, with `\"type\": \"object\"`.",
        ),
        honoured("strict", Bool, "Inputs are bound to the schema."),
        honoured(
            "max_uses",
            Integer(1, MAX_TOKENS),
            "Of `web_search_...`: maximum number of searches in one answer. Their maximum cost is held in advance.",
        ),
        refused(
            "model",
            Text,
            "A tool cannot name a model, which the key may not be permitted to use.",
        ),
        CACHE_CONTROL,
        passed("eager_input_streaming", Bool, "Sent to Claude unchanged."),
        passed("defer_loading", Bool, "Sent to Claude unchanged."),
        passed("input_examples", Array, "Sent to Claude unchanged."),
        passed("allowed_callers", Array, "Sent to Claude unchanged."),
    ],
};

/// Fields of `tool_choice`.
pub(in crate::api::anthropic) static TOOL_CHOICE: ObjectSchema = ObjectSchema {
    prefix: "tool_choice.",
    fields: &[
        honoured(
            "type",
            Text,
            "`auto`, `any`, `tool` or `none`. Claude cannot be made to call a tool beside `thinking` of the type `enabled`.",
        )
        .required(),
        honoured("name", Text, "Required by `tool`: one of `tools`."),
        honoured(
            "disable_parallel_tool_use",
            Bool,
            "At most one call in an answer.",
        ),
    ],
};
