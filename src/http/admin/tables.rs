//! Fields of the request bodies of the admin API.

use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::honoured;
use crate::api::request_schema::refused;

/// Maximum grace period at a rotation, 90 days in seconds.
const MAX_GRACE_SECONDS: i64 = 90 * 24 * 60 * 60;

/// End of the year 9999 in Unix seconds; rejects timestamps in milliseconds.
const MAX_TIMESTAMP: i64 = 253_402_300_799;

const RATE: FieldType = FieldType::Integer(1, u32::MAX as i64);
const NAME: Field = honoured(
    "name",
    FieldType::Text,
    "What people call it, up to 100 characters.",
);
const MODELS: Field = honoured(
    "models",
    FieldType::Array,
    "The names it may send as `model`. Left out, all.",
);
const REQUESTS: Field = honoured("requests_per_minute", RATE, "Left out, there is no limit.");
const TOKENS: Field = honoured(
    "tokens_per_minute",
    RATE,
    "Of prompts and answers. Left out, there is no limit.",
);
const CONCURRENT: Field = honoured("concurrent_requests", RATE, "Left out, there is no limit.");
const WEIGHT: Field = honoured(
    "weight",
    FieldType::Integer(1, 100),
    "Turns in each round when requests wait for a worker. Left out, a key has that of its project, and a project 1.",
);
const BUDGET: Field = honoured(
    "budget",
    FieldType::Object,
    "What may be spent. Left out, anything.",
);
const WEBHOOK_FIELD: Field = honoured(
    "webhook",
    FieldType::Object,
    "Who hears of what happens in it. `null` takes it away.",
);
const PERMISSIONS: Field = honoured(
    "permissions",
    FieldType::Array,
    "What it is good for: `inference` (having models answer), `responses` (stored ones), `usage`, `tasks` (agents on this machine), `web_search` (searches of the web), `server_tools` (code that Anthropic runs, MCP servers that it calls). Left out, all but `tasks`.",
);
const EXPIRES: Field = honoured(
    "expires_at",
    FieldType::Integer(0, MAX_TIMESTAMP),
    "Seconds of Unix time. Left out, it lasts.",
);

/// Fields of `POST /admin/keys`.
pub(super) static NEW_KEY: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        NAME,
        honoured(
            "project_id",
            FieldType::Text,
            "The project it belongs to for good. Left out, `default`.",
        ),
        MODELS,
        REQUESTS,
        TOKENS,
        CONCURRENT,
        WEIGHT,
        BUDGET,
        PERMISSIONS,
        EXPIRES,
    ],
};
/// Fields of `PATCH /admin/keys/{id}`.
pub(super) static KEY: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        NAME,
        refused("project_id", FieldType::Any, "A key stays in its project."),
        MODELS,
        REQUESTS,
        TOKENS,
        CONCURRENT,
        WEIGHT,
        BUDGET,
        PERMISSIONS,
        EXPIRES,
    ],
};
/// Fields of `POST /admin/keys/{id}/rotate`.
pub(super) static ROTATION: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured(
        "grace_seconds",
        FieldType::Integer(0, MAX_GRACE_SECONDS),
        "How long the secret it had stays good. Left out, not at all.",
    )],
};
/// Fields of `POST /admin/projects`.
pub(super) static NEW_PROJECT: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "id",
            FieldType::Text,
            "Its id, by which requests name it as `project_id`: up to 64 letters, digits, `-`, `_` and `.`, the first a letter or a digit, and no other project's. Left out, one is made.",
        ),
        honoured(
            "name",
            FieldType::Text,
            "What people call it, up to 100 characters. Left out, its `id`; one of the two has to be there.",
        ),
        REQUESTS,
        TOKENS,
        CONCURRENT,
        WEIGHT,
        BUDGET,
        WEBHOOK_FIELD,
    ],
};
/// Fields of `PATCH /admin/projects/{id}`.
pub(super) static PROJECT: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        refused("id", FieldType::Any, "The id of a project never changes."),
        NAME,
        REQUESTS,
        TOKENS,
        CONCURRENT,
        WEIGHT,
        BUDGET,
        WEBHOOK_FIELD,
    ],
};
/// Fields of the webhook of a project.
pub(super) static WEBHOOK: ObjectSchema = ObjectSchema {
    prefix: "webhook.",
    fields: &[
        honoured(
            "url",
            FieldType::Text,
            "Where events go: `https` or `http`, without user and password.",
        ),
        honoured(
            "secret",
            FieldType::Text,
            "`whsec_` and the base64 of 24 to 64 bytes. Left out, one is made.",
        ),
    ],
};

const CAPS: &[Field] = &[
    honoured("daily", FieldType::Object, "Within a day of UTC."),
    honoured(
        "monthly",
        FieldType::Object,
        "Within a calendar month of UTC.",
    ),
];
/// Fields of `PUT /admin/projects/{id}/budget`.
pub(super) static WHOLE_BUDGET: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: CAPS,
};
/// Fields of a budget inside another object.
pub(super) static BUDGET_FIELDS: ObjectSchema = ObjectSchema {
    prefix: "budget.",
    fields: CAPS,
};
/// Fields of the budget of a day or a month.
pub(super) static CAP: ObjectSchema = ObjectSchema {
    prefix: "budget.daily.",
    fields: &[
        honoured(
            "tokens",
            FieldType::Integer(0, i64::MAX),
            "Of prompts and answers. Left out, there is no limit.",
        ),
        honoured(
            "money",
            FieldType::TextOrNumber,
            "US dollars, as `\"12.50\"` or `12.5`. Left out, there is no limit.",
        ),
    ],
};
