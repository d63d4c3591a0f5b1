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
    "Goes to Claude as it is. Without any, the server marks the ends of the tools, of the instructions and of the last two user messages.",
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
            "A string or an array of texts, which stay texts of their own.",
        )
        .with_inner(&SYSTEM),
        honoured("stream", Bool, "The answer comes in pieces as it is made."),
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
            "Strings. Anthropic stops at none of white space alone: those [end the answer](../API.md#stop-texts) here.",
        )
        .of_texts(),
        honoured(
            "tools",
            Array,
            "Names and schemas reach Claude as they were sent.",
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
            "Without it Claude is not asked to think, unless there is an `output_config.effort`.",
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
        passed("service_tier", Text, "Goes to Claude as it is."),
        passed("speed", Text, "Goes to Claude as it is."),
        passed("diagnostics", Object, "Goes to Claude as it is."),
        passed(
            "context_management",
            Object,
            "Goes to Claude as it is, in the place of what the CLI would send.",
        ),
        passed("inference_geo", Text, "Goes to Claude as it is."),
        passed("container", TextOrObject, "Goes to Claude as it is."),
        passed("mcp_servers", Array, "Goes to Claude as it is."),
        passed("compaction", Object, "Goes to Claude as it is."),
        refused(
            "thread",
            Object,
            "Conversations that Anthropic stores are the sign-in's, and would be every caller's. Send all messages.",
        ),
        refused(
            "fallbacks",
            TextOrArray,
            "The model that is named answers, or none: a key may be kept to some models.",
        )
        .with_no_op(&["[]", "\"default\""]),
        refused(
            "fallback_credit_token",
            TextOrObject,
            "No such tokens are given out.",
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
    fields: &[checked("user_id", Text, "Not sent to Claude.")],
};

/// Fields of `thinking`.
pub(in crate::api::anthropic) static THINKING: ObjectSchema = ObjectSchema {
    prefix: "thinking.",
    fields: &[
        emulated(
            "type",
            Text,
            "`enabled`, `adaptive`, `disabled` or `between_tools`. The last two are one: Claude gets the word that its model takes. Others go to Claude as they are.",
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
            "`summarized`, or `omitted`: only the seals of thoughts are sent. `updates` acts as `summarized`. Others go to Claude as they are.",
        ),
        passed("block_binding", Object, "Goes to Claude as it is."),
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
            "The answer is JSON that keeps to a schema.",
        )
        .with_inner(&OUTPUT_FORMAT),
        passed("task_budget", Object, "Goes to Claude as it is."),
    ],
};

/// Fields of `output_config.format`, formerly `output_format`.
pub(in crate::api::anthropic) static OUTPUT_FORMAT: ObjectSchema = ObjectSchema {
    prefix: "output_config.format.",
    fields: &[
        honoured("type", Text, "`json_schema`.")
            .required()
            .one_of(&["json_schema"]),
        honoured("schema", Object, "It reaches Claude as it was sent.").required(),
    ],
};

/// Fields of a tool.
pub(in crate::api::anthropic) static TOOL: ObjectSchema = ObjectSchema {
    prefix: "tools[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`custom`, or left out. Tools that Anthropic defines or runs (`web_search_...`, `code_execution_...`, `bash_...`, `mcp_toolset` and others) go to Claude as they are.",
        ),
        honoured(
            "name",
            Text,
            "1 to 128 letters, digits, `_` and `-`; each name once. Only some tools of Anthropic have none.",
        ),
        honoured("description", Text, "Told to Claude."),
        honoured(
            "input_schema",
            Object,
            "Required, with `\"type\": \"object\"`.",
        ),
        honoured("strict", Bool, "Inputs are bound to the schema."),
        honoured(
            "max_uses",
            Integer(1, MAX_TOKENS),
            "Of `web_search_...`: most searches in one answer. What they may cost is held before.",
        ),
        refused(
            "model",
            Text,
            "A tool cannot bring a model of its own, which the key may not use.",
        ),
        CACHE_CONTROL,
        passed("eager_input_streaming", Bool, "Goes to Claude as it is."),
        passed("defer_loading", Bool, "Goes to Claude as it is."),
        passed("input_examples", Array, "Goes to Claude as it is."),
        passed("allowed_callers", Array, "Goes to Claude as it is."),
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
