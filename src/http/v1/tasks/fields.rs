//! Tables of the fields of task requests and of messages on the WebSocket of a task.
//!
//! The structs of [`request`](super::request) read them; the documentation shows these tables, and a
//! test compares the two.

use super::request::MAX_TIMEOUT_SECONDS;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Array;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrNumber;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::honoured;

const DECIDES: Field = honoured("decision", Text, "`allow` or `deny`.")
    .required()
    .one_of(&["allow", "deny"]);
const MESSAGE: Field = honoured("message", Text, "Message to the agent with a `deny`.");

const PROMPT: Field = honoured(
    "prompt",
    Text,
    "The instructions for the agent, up to 1 MiB.",
)
.required();
const MODEL: Field = honoured(
    "model",
    Text,
    "As in a chat, `auto` included. Default: `tasks.model` of the configuration.",
);
const SYSTEM_PROMPT: Field = honoured(
    "system_prompt",
    Text,
    "Instructions, added to those that the CLI gives its agents.",
);
const PRESET: Field = honoured(
    "preset",
    Text,
    "`read_only` (the default), `edit` or `full`: a set of tools and permissions.",
)
.one_of(&["read_only", "edit", "full"]);
const TOOL_LISTS: Field = honoured(
    "tools",
    Object,
    "Tools of the agent, instead of the preset's.",
)
.with_inner(&TOOLS);
const PERMISSION_MODE: Field = honoured(
    "permission_mode",
    Text,
    "How actions that need approval are decided, instead of the preset's way: `default` and `acceptEdits` ask the client, `dontAsk` and `plan` deny, `bypassPermissions` allows.",
)
.one_of(&[
    "default",
    "acceptEdits",
    "plan",
    "dontAsk",
    "bypassPermissions",
]);
const MAX_TURNS: Field = honoured(
    "max_turns",
    Integer(1, 10_000),
    "Maximum number of calls of the model.",
);
const MAX_BUDGET: Field = honoured(
    "max_budget_usd",
    TextOrNumber,
    "Maximum cost in US dollars; held in the key's budgets until the task ends. Default: `tasks.max_budget_usd`; below another task, what is left in the [budget of the family](#families).",
);
const TIMEOUT: Field = honoured(
    "timeout_seconds",
    Integer(1, MAX_TIMEOUT_SECONDS),
    "Time limit of the run; then the task is stopped. Maximum and default: `tasks.timeout_seconds`.",
);
const NOTIFIED: Field = honoured(
    "webhook",
    Object,
    "Webhook that is notified when the task ends, beside the webhook of the project.",
)
.with_inner(&WEBHOOK);
const TASK_ID: Field = honoured(
    "task_id",
    Text,
    "An id chosen by the client, which is valid in all paths of the task as well: up to 64 letters, digits, `-`, `_` and `.`, the first a letter or a digit, unique among the tasks of the key. The same request again is answered with the current task (200), another request with the same id with a 409. Default: the task has only its `id`.",
);

/// Fields of `POST /v1/tasks`.
pub(in crate::http) static TASK: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        PROMPT,
        honoured(
            "workspace",
            Text,
            "The working folder on the server: an absolute path, one of `tasks.roots` or under one.",
        )
        .required(),
        MODEL,
        SYSTEM_PROMPT,
        PRESET,
        TOOL_LISTS,
        PERMISSION_MODE,
        MAX_TURNS,
        MAX_BUDGET,
        TIMEOUT,
        honoured(
            "session_id",
            Text,
            "The session of an earlier task of this key in the same workspace, which the agent continues.",
        ),
        honoured(
            "parent_task_id",
            Text,
            "A task of this key, by either of its ids, below which the new one is, and with whose [family](#families) it shares a budget.",
        ),
        NOTIFIED,
        TASK_ID,
        PROJECT,
    ],
};

/// Fields of `POST /v1/tasks/{id}/handover`.
pub(in crate::http) static HANDOVER: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        PROMPT,
        MODEL,
        SYSTEM_PROMPT,
        PRESET,
        TOOL_LISTS,
        PERMISSION_MODE,
        MAX_TURNS,
        MAX_BUDGET,
        TIMEOUT,
        NOTIFIED,
        TASK_ID,
        PROJECT,
    ],
};

/// Fields of `tools`.
pub(super) static TOOLS: ObjectSchema = ObjectSchema {
    prefix: "tools.",
    fields: &[
        honoured(
            "allow",
            Array,
            "Names of tools: the agent has these and no others.",
        )
        .of_texts(),
        honoured(
            "deny",
            Array,
            "Names of tools that the agent does not have, which overrides the preset and `allow`.",
        )
        .of_texts(),
    ],
};

/// Fields of `webhook`.
pub(super) static WEBHOOK: ObjectSchema = ObjectSchema {
    prefix: "webhook.",
    fields: &[
        honoured("url", Text, "On one of the hosts of `tasks.webhook_hosts`.").required(),
        honoured(
            "secret",
            Text,
            "`whsec_` and 24 to 64 bytes in base64, for the signature. Default: a new one, shown once, in the answer.",
        ),
    ],
};

/// Fields of `POST /v1/tasks/{id}/permissions/{request_id}`.
pub(in crate::http) static DECISION: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[DECIDES, MESSAGE],
};

/// Fields of messages on the WebSocket of a task.
pub(in crate::http) static SOCKET: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("type", Text, "`permission`, `interrupt` or `ping`.")
            .required()
            .one_of(&["permission", "interrupt", "ping"]),
        honoured("request_id", Text, "The id of the permission request.").required(),
        DECIDES,
        MESSAGE,
    ],
};
