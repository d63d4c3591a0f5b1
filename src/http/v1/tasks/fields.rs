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
const MESSAGE: Field = honoured("message", Text, "What the agent is told beside a `deny`.");

/// Fields of `POST /v1/tasks`.
pub(in crate::http) static TASK: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("prompt", Text, "What the agent is to do, in up to 1 MiB.").required(),
        honoured(
            "workspace",
            Text,
            "The folder of the server in which it is to do it: an absolute path, one of `tasks.roots` or under one.",
        )
        .required(),
        honoured(
            "model",
            Text,
            "As in a chat, `auto` included. Left out, `tasks.model` of the configuration.",
        ),
        honoured(
            "system_prompt",
            Text,
            "Instructions, added to those that the CLI gives its agents.",
        ),
        honoured(
            "preset",
            Text,
            "`read_only` (unless it says otherwise), `edit` or `full`: tools and permissions that go together.",
        )
        .one_of(&["read_only", "edit", "full"]),
        honoured(
            "tools",
            Object,
            "Which tools it has, in the place of the preset's.",
        )
        .with_inner(&TOOLS),
        honoured(
            "permission_mode",
            Text,
            "What becomes of what it may not do unasked, in the place of the preset's way: `default` and `acceptEdits` ask you, `dontAsk` and `plan` deny, `bypassPermissions` allows.",
        )
        .one_of(&["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]),
        honoured(
            "max_turns",
            Integer(1, 10_000),
            "The most calls of the model.",
        ),
        honoured(
            "max_budget_usd",
            TextOrNumber,
            "The most it may cost, in US dollars; held in the key's budgets until it ends. Left out, `tasks.max_budget_usd`.",
        ),
        honoured(
            "timeout_seconds",
            Integer(1, MAX_TIMEOUT_SECONDS),
            "How long it may run; then it is stopped. Not above `tasks.timeout_seconds`, which counts when it is left out.",
        ),
        honoured(
            "session_id",
            Text,
            "The session of an earlier task of this key in the same workspace. The agent goes on in it and knows all of it.",
        ),
        honoured(
            "webhook",
            Object,
            "Who is told that it has ended, beside the webhook of the project.",
        )
        .with_inner(&WEBHOOK),
        honoured(
            "task_id",
            Text,
            "An id of your choice, by which all paths of the task know it as well: up to 64 letters, digits, `-`, `_` and `.`, the first a letter or a digit, unique among the tasks of the key. The same request again is answered with the task as it is now (200), another one of the same id with a 409. Left out, the task is known by its `id` alone.",
        ),
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
            "Names of tools: it has these and no others.",
        )
        .of_texts(),
        honoured(
            "deny",
            Array,
            "Names of tools that it has not, whatever the preset or `allow` says.",
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
            "`whsec_` and 24 to 64 bytes in base64, for the signature. Left out, one is made and shown once, in the answer.",
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
        honoured("request_id", Text, "Which question is answered.").required(),
        DECIDES,
        MESSAGE,
    ],
};
