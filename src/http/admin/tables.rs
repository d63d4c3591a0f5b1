//! Tables of the fields of request bodies of the admin API.
//!
//! The structs of [`fields`](super::fields) read them; the documentation shows these tables, and a
//! test compares the two.

use super::field_values::MAX_TIMESTAMP;
use super::fields::MAX_GRACE_SECONDS;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Array;
use crate::api::request_schema::FieldType::Bool;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::FieldType::TextOrNumber;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::honoured;

const NO_LIMIT: &str = "Default: unlimited.";
const MAX_RATE: i64 = u32::MAX as i64;

const REQUESTS: Field = honoured("requests_per_minute", Integer(1, MAX_RATE), NO_LIMIT);
const TOKENS: Field = honoured(
    "tokens_per_minute",
    Integer(1, MAX_RATE),
    "Of prompts and answers. Default: unlimited.",
);
const CONCURRENT: Field = honoured("concurrent_requests", Integer(1, MAX_RATE), NO_LIMIT);
const WEIGHT: Field = honoured(
    "weight",
    Integer(1, 100),
    "Turns in each round when requests wait for a worker. Default: for a key that of its project, for a project 1.",
);
const SPENDING: Field =
    honoured("budget", Object, "Budget. Default: unlimited.").with_inner(&BUDGET);

/// Fields of `POST /admin/keys` and `PATCH /admin/keys/{id}`.
pub(in crate::http) static KEY: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("name", Text, "Display name, up to 100 characters.").required(),
        honoured(
            "project_id",
            Text,
            "The project of the key, which cannot be changed. Default: `default`.",
        ),
        honoured(
            "models",
            Array,
            "The names that requests may send as `model`. Default: all.",
        )
        .of_texts(),
        REQUESTS,
        TOKENS,
        CONCURRENT,
        WEIGHT,
        SPENDING,
        honoured(
            "permissions",
            Array,
            "Permissions: `inference` (answers of models), `responses` (stored ones), `usage`, `tasks` (agents on this machine), `web_search` (searches of the web), `server_tools` (code that Anthropic runs, MCP servers that it calls). Left out, all but `tasks`.",
        )
        .of_texts(),
        honoured(
            "expires_at",
            Integer(0, MAX_TIMESTAMP),
            "Unix time in seconds. Default: it does not expire.",
        ),
    ],
};

/// Fields of a budget.
pub(in crate::http) static BUDGET: ObjectSchema = ObjectSchema {
    prefix: "budget.",
    fields: &[
        honoured("daily", Object, "Within a day of UTC.").with_inner(&CAP),
        honoured("monthly", Object, "Within a calendar month of UTC.").with_inner(&CAP),
    ],
};

/// Fields of the budget of a day or a month.
pub(super) static CAP: ObjectSchema = ObjectSchema {
    prefix: "budget.daily.",
    fields: &[
        honoured(
            "tokens",
            Integer(0, i64::MAX),
            "Of prompts and answers. Default: unlimited.",
        ),
        honoured(
            "money",
            TextOrNumber,
            "US dollars, as `\"12.50\"` or `12.5`. Default: unlimited.",
        ),
    ],
};

/// Fields of `POST /admin/keys/{id}/rotate`.
pub(in crate::http) static ROTATION: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured(
        "grace_seconds",
        Integer(0, MAX_GRACE_SECONDS),
        "Time for which the previous secret stays valid. Default: not at all.",
    )],
};

/// Fields of `POST /admin/dashboard/links`.
pub(in crate::http) static LINK: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[honoured(
        "read_only",
        Bool,
        "True for a session that can change nothing. Default: false.",
    )],
};

/// Fields of `POST /admin/projects` and `PATCH /admin/projects/{id}`.
pub(in crate::http) static PROJECT: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "id",
            Text,
            "The id, which requests send as `project_id`: up to 64 letters, digits, `-`, `_` and `.`, the first a letter or a digit, and no other project's. Default: a generated one.",
        ),
        honoured(
            "name",
            Text,
            "Display name, up to 100 characters. Default: the `id`; one of the two is required.",
        ),
        REQUESTS,
        TOKENS,
        CONCURRENT,
        WEIGHT,
        SPENDING,
        honoured(
            "webhook",
            Object,
            "Webhook for events of the project. `null` removes it.",
        )
        .with_inner(&WEBHOOK),
    ],
};

/// Fields of `webhook` of a project.
pub(super) static WEBHOOK: ObjectSchema = ObjectSchema {
    prefix: "webhook.",
    fields: &[
        honoured(
            "url",
            Text,
            "URL of the receiver: `https` or `http`, without user and password.",
        )
        .required(),
        honoured(
            "secret",
            Text,
            "`whsec_` and the base64 of 24 to 64 bytes. Default: a generated one.",
        ),
    ],
};
