//! The fields of a request beside its messages.

use crate::fields::Field;
use crate::fields::PROJECT;
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

/// The most a number of tokens may be.
const MOST: i64 = u32::MAX as i64;

/// Stands on everything that can be marked for the prompt cache.
pub(super) const CACHE_CONTROL: Field = ignored(
    "cache_control",
    Object,
    "The CLI marks the conversation for the prompt cache by itself, and the instructions with it.",
);

/// The fields of the request itself.
pub(in crate::anthropic) static REQUEST: Table = Table {
    prefix: "",
    fields: &[
        honoured("model", Text, "Required. The answer carries the name as it was sent."),
        honoured("messages", Array, "Required. The last one must come from the user."),
        honoured(
            "max_tokens",
            Integer(1, MOST),
            "Required, unless tokens are only counted. Thinking counts, as in Anthropic's API.",
        ),
        honoured("system", TextOrArray, "A string or an array of texts, which stay texts of their own."),
        honoured("stream", Bool, "The answer comes in pieces as it is made."),
        honoured("temperature", Number(0.0, 1.0), "Not beside `thinking`, unless it is 1."),
        honoured("top_p", Number(0.0, 1.0), "Not beside `thinking`, unless it is 1."),
        honoured("top_k", Integer(1, MOST), "Not beside `thinking`."),
        honoured(
            "stop_sequences",
            Array,
            "Strings, each with a visible character: Claude cannot stop at white space.",
        ),
        honoured("tools", Array, "Names and schemas reach Claude as they were sent."),
        honoured("tool_choice", Object, "Only together with `tools`, unless it leaves Claude the choice."),
        honoured(
            "thinking",
            Object,
            "Without it Claude is not asked to think, unless there is an `output_config.effort`.",
        ),
        honoured("output_config", Object, "How hard to think, and the form of the answer."),
        honoured("output_format", Object, "The old name of `output_config.format`."),
        honoured("metadata", Object, "Checked, and not sent to Claude."),
        PROJECT,
        CACHE_CONTROL,
        ignored("service_tier", Text, "There is one tier.").unless(&["\"auto\"", "\"standard_only\""]),
        ignored("speed", Text, "There is one speed.").unless(&["\"standard\""]),
        ignored("diagnostics", Object, "Nothing is known of earlier requests' use of the cache."),
        ignored("context_management", Object, "The conversation goes to Claude whole.").unless(&["{}"]),
        refused("inference_geo", Text, "Where the model runs is a matter of the server's sign-in.")
            .unless(&["\"global\""]),
        refused("container", TextOrObject, "Claude runs no code here, so there is nothing to contain it."),
        refused("mcp_servers", Array, "MCP servers are not called. Offer their tools in `tools`.")
            .unless(&["[]"]),
        refused("compaction", Object, "Conversations are never summarised."),
        refused("thread", Object, "Conversations are not stored. Send all messages."),
        refused("fallbacks", TextOrArray, "The model that is named answers, or none.")
            .unless(&["[]", "\"default\""]),
        refused("fallback_credit_token", TextOrObject, "No such tokens are given out."),
        refused("billing_policy", Object, "The owner of the server's sign-in is billed."),
    ],
};

/// The fields of `metadata`.
pub(in crate::anthropic) static METADATA: Table =
    Table { prefix: "metadata.", fields: &[honoured("user_id", Text, "Checked, and not sent to Claude.")] };

/// The fields of `thinking`.
pub(in crate::anthropic) static THINKING: Table = Table {
    prefix: "thinking.",
    fields: &[
        emulated(
            "type",
            Text,
            "`enabled`, `adaptive` or `disabled`. The last is the same as no `thinking` and no effort: nothing about it is sent to Claude.",
        ),
        honoured("budget_tokens", Integer(1024, MOST), "Required by `enabled`, and less than `max_tokens`."),
        honoured("display", Text, "`summarized`, or `omitted`: only the seals of thoughts are sent."),
        ignored("block_binding", Object, "Not sent to Claude."),
    ],
};

/// The fields of `output_config`.
pub(in crate::anthropic) static OUTPUT_CONFIG: Table = Table {
    prefix: "output_config.",
    fields: &[
        emulated("effort", Text, "`low`, `medium`, `high`, `xhigh`, or `max`, which acts as `xhigh`."),
        honoured("format", Object, "The answer is JSON that keeps to a schema."),
        ignored("task_budget", Object, "Only a hint, and not sent to Claude."),
    ],
};

/// The fields of `output_config.format`, which once was `output_format`.
pub(in crate::anthropic) static OUTPUT_FORMAT: Table = Table {
    prefix: "output_config.format.",
    fields: &[
        honoured("type", Text, "`json_schema`."),
        honoured("schema", Object, "Required. It reaches Claude as it was sent."),
    ],
};

/// The fields of a tool.
pub(in crate::anthropic) static TOOL: Table = Table {
    prefix: "tools[].",
    fields: &[
        honoured(
            "type",
            Text,
            "`custom`, or left out. Tools that Anthropic defines or runs (`web_search_...`, `bash_...`, `computer_...` and others) are refused: the CLI takes none.",
        ),
        honoured("name", Text, "Required. 1 to 64 letters, digits, `_` and `-`; each name once."),
        honoured("description", Text, "Told to Claude."),
        honoured("input_schema", Object, "Required, with `\"type\": \"object\"`."),
        honoured("strict", Bool, "Inputs are bound to the schema."),
        CACHE_CONTROL,
        ignored("eager_input_streaming", Bool, "Inputs stream as they come, in any case."),
        ignored("defer_loading", Bool, "All tools are offered at once.").unless(&["false"]),
        ignored("input_examples", Array, "Not sent to Claude. Put them into the description.")
            .unless(&["[]"]),
        refused("allowed_callers", Array, "Only Claude itself calls tools.").unless(&["[\"direct\"]", "[]"]),
    ],
};

/// The fields of `tool_choice`.
pub(in crate::anthropic) static TOOL_CHOICE: Table = Table {
    prefix: "tool_choice.",
    fields: &[
        honoured(
            "type",
            Text,
            "`auto`, `any`, `tool` or `none`. Claude cannot be made to call a tool beside `thinking` of the type `enabled`.",
        ),
        honoured("name", Text, "Required by `tool`: one of `tools`."),
        honoured("disable_parallel_tool_use", Bool, "At most one call in an answer."),
    ],
};
