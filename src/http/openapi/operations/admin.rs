//! Operations of the admin API.

use super::AFTER;
use super::FORMAT;
use super::GROUP_BY;
use super::LIMIT_100;
use super::PERIOD;
use super::PROJECT_ID;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::honoured;
use crate::http::admin::tables;
use crate::http::openapi::operation::Operation;
use crate::http::openapi::operation::OperationTag;
use crate::http::openapi::operation::RequestObject;

const fn operation(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, OperationTag::Admin, summary)
}

pub(in crate::http) static CREATE_KEY: Operation = operation(
    "createKey",
    "Creates a key and shows its secret, this once.",
)
.body(
    RequestObject::of("CreateKeyRequest", &[&tables::KEY]).closed(),
    r#"{"name": "laptop", "requests_per_minute": 60, "budget": {"daily": {"money": "5.00"}}}"#,
);

pub(in crate::http) static LIST_KEYS: Operation =
    operation("listKeys", "Lists keys, those that were revoked included.")
        .query(&[LIMIT_100, AFTER]);

pub(in crate::http) static RETRIEVE_KEY: Operation =
    operation("retrieveKey", "Returns one key, without its secret.");

pub(in crate::http) static CHANGE_KEY: Operation =
    operation("changeKey", "Changes the properties of a key.").body(
        RequestObject::of("ChangeKeyRequest", &[&tables::KEY])
            .partial(&["project_id"])
            .closed(),
        r#"{"requests_per_minute": null, "weight": 2}"#,
    );

pub(in crate::http) static REVOKE_KEY: Operation = operation("revokeKey", "Revokes a key.");

pub(in crate::http) static ROTATE_KEY: Operation = operation(
    "rotateKey",
    "Replaces the secret of a key and shows the new one, this once.",
)
.body(
    RequestObject::of("RotateKeyRequest", &[&tables::ROTATION]).closed(),
    r#"{"grace_seconds": 3600}"#,
)
.optional();

pub(in crate::http) static CREATE_PROJECT: Operation =
    operation("createProject", "Creates a project.").body(
        RequestObject::of("CreateProjectRequest", &[&tables::PROJECT]).closed(),
        r#"{"name": "research", "budget": {"monthly": {"money": "100.00"}}}"#,
    );

pub(in crate::http) static LIST_PROJECTS: Operation =
    operation("listProjects", "Lists projects by id.").query(&[LIMIT_100, AFTER]);

pub(in crate::http) static RETRIEVE_PROJECT: Operation =
    operation("retrieveProject", "Returns one project.");

pub(in crate::http) static CHANGE_PROJECT: Operation = operation(
    "changeProject",
    "Changes the name, limits, budget or webhook of a project.",
)
.body(
    RequestObject::of("ChangeProjectRequest", &[&tables::PROJECT])
        .partial(&["id"])
        .closed(),
    r#"{"name": "research", "weight": 2}"#,
);

pub(in crate::http) static DELETE_PROJECT: Operation = operation(
    "deleteProject",
    "Deletes a project whose keys are all revoked.",
);

pub(in crate::http) static SET_BUDGET: Operation =
    operation("setBudget", "Replaces the budget of a project.").body(
        RequestObject::of("SetBudgetRequest", &[&tables::BUDGET]).closed(),
        r#"{"daily": {"tokens": 1000000}, "monthly": {"money": "100.00"}}"#,
    );

pub(in crate::http) static TEST_WEBHOOK: Operation = operation(
    "testWebhook",
    "Sends one event to the webhook of a project and returns the result.",
);

pub(in crate::http) static GET_ALL_USAGE: Operation =
    operation("getAllUsage", "Returns the usage of all callers.").query(&[
        PROJECT_ID,
        honoured("key_id", Text, "The usage of this key alone."),
        PERIOD,
        GROUP_BY,
        FORMAT,
    ]);

pub(in crate::http) static BACK_UP_LEDGER: Operation =
    operation("backUpLedger", "Returns an export of the whole ledger.");

pub(in crate::http) static VERIFY_LEDGER: Operation = operation(
    "verifyLedger",
    "Verifies that the figures of the ledger agree.",
);

pub(in crate::http) static BACK_UP_STORE: Operation = operation(
    "backUpStore",
    "Creates a backup in the data directory and returns its path.",
);

pub(in crate::http) static VERIFY_STORE: Operation =
    operation("verifyStore", "Verifies that all records can be read.");

pub(in crate::http) static GET_CACHE: Operation = operation(
    "getCache",
    "Returns hits, misses and size of the response cache.",
);

pub(in crate::http) static CLEAR_CACHE: Operation = operation(
    "clearCache",
    "Clears the cached answers of one project, or of all.",
)
.query(&[PROJECT_ID]);

pub(in crate::http) static CHECK_SETUP: Operation = operation(
    "checkSetup",
    "Checks the setup as the running server finds it, by its user and environment.",
)
.query(&[honoured(
    "quick",
    Text,
    "`true` leaves out checks that start a program, write to the disk or call others.",
)
.one_of(&["true", "false"])]);

pub(in crate::http) static GET_STATUS: Operation = operation(
    "getStatus",
    "Returns the state of the server, its totals since the start, and the usage of today.",
);

pub(in crate::http) static LIST_SIGN_INS: Operation = operation(
    "listSignIns",
    "Lists the sign-ins of the server with their workers, circuits and the windows of their plans.",
);

pub(in crate::http) static CREATE_DASHBOARD_LINK: Operation = operation(
    "createDashboardLink",
    "Creates a link that signs in to the dashboard, once and within a minute.",
)
.body(
    RequestObject::of("CreateDashboardLinkRequest", &[&tables::LINK]).closed(),
    r#"{"read_only": true}"#,
)
.optional();

pub(in crate::http) static LIST_DASHBOARD_SESSIONS: Operation = operation(
    "listDashboardSessions",
    "Lists the sessions of the dashboard, the newest first.",
);

pub(in crate::http) static REVOKE_DASHBOARD_SESSION: Operation = operation(
    "revokeDashboardSession",
    "Ends a session of the dashboard, and what it has open.",
);
