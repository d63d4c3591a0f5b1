//! Operations of this server's own APIs.

use super::AFTER;
use super::FORMAT;
use super::GROUP_BY;
use super::LIMIT_100;
use super::ORDER;
use super::PERIOD;
use super::PROJECT_ID;
use crate::api::openai::chat;
use crate::api::openai::inline_batch;
use crate::api::openai::sessions;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::honoured;
use crate::http::openapi::operation::Operation;
use crate::http::openapi::operation::OperationTag;
use crate::http::openapi::operation::RequestObject;
use crate::http::v1::route;
use crate::http::v1::tasks;

pub(in crate::http) static ANSWER_REQUESTS: Operation = Operation::new(
    "createInlineBatch",
    OperationTag::Batches,
    "Answers several chat requests at once.",
)
.body(
    RequestObject::of("CreateInlineBatchRequest", &[&inline_batch::REQUEST]),
    r#"{"requests": [{"model": "haiku", "prompt": "Hi"}, {"model": "haiku", "prompt": "Ho"}]}"#,
)
.runs_model()
.idempotent();

pub(in crate::http) static OPEN_STREAM: Operation = Operation::new(
    "openStream",
    OperationTag::Stream,
    "Opens a WebSocket for many turns, up to 16 of them side by side.",
)
.socket(&[
    ("StreamMessage", &chat::SOCKET_MESSAGE),
    ("StreamAuthentication", &chat::SOCKET_AUTH),
    ("CreateChatCompletionRequest", &chat::REQUEST),
]);

pub(in crate::http) static RECOMMEND_MODEL: Operation = Operation::new(
    "recommendModel",
    OperationTag::Models,
    "Returns the model that `\"model\": \"auto\"` would choose, and why.",
)
.body(
    RequestObject::of("RecommendModelRequest", &[&route::ROUTE]).closed(),
    r#"{"task_description": "Say hi", "context_size": 100}"#,
);

pub(in crate::http) static CREATE_SESSION: Operation = Operation::new(
    "createSession",
    OperationTag::Sessions,
    "Creates a session.",
)
.body(
    RequestObject::of("CreateSessionRequest", &[&sessions::CREATE]).closed(),
    r#"{"model": "haiku", "instructions": "Answer in one word.", "metadata": {"topic": "greeting"}}"#,
)
.optional();

pub(in crate::http) static LIST_SESSIONS: Operation = Operation::new(
    "listSessions",
    OperationTag::Sessions,
    "Lists the sessions of the key.",
)
.query(&[LIMIT_100, AFTER, ORDER]);

pub(in crate::http) static RETRIEVE_SESSION: Operation = Operation::new(
    "retrieveSession",
    OperationTag::Sessions,
    "Returns the current state of a session.",
);

pub(in crate::http) static DELETE_SESSION: Operation = Operation::new(
    "deleteSession",
    OperationTag::Sessions,
    "Deletes a session.",
);

pub(in crate::http) static LIST_SESSION_MESSAGES: Operation = Operation::new(
    "listSessionMessages",
    OperationTag::Sessions,
    "Lists the messages of a session.",
)
.query(&[LIMIT_100, AFTER, ORDER]);

pub(in crate::http) static CREATE_SESSION_MESSAGE: Operation = Operation::new(
    "createSessionMessage",
    OperationTag::Sessions,
    "Adds a message to a session and answers it, as one body or as a stream.",
)
.body(
    RequestObject::of(
        "CreateSessionMessageRequest",
        &[&sessions::NEW, &chat::REQUEST],
    )
    .partial(&[]),
    r#"{"content": "Hi"}"#,
)
.runs_model()
.idempotent();

pub(in crate::http) static CREATE_TASK: Operation = Operation::new(
    "createTask",
    OperationTag::Tasks,
    "Creates a task, which starts when there is room.",
)
.body(
    RequestObject::of("CreateTaskRequest", &[&tasks::TASK]).closed(),
    r#"{"prompt": "List the files and say what they are for.", "workspace": "/srv/project", "model": "haiku"}"#,
)
.runs_model()
.idempotent();

pub(in crate::http) static LIST_TASKS: Operation = Operation::new(
    "listTasks",
    OperationTag::Tasks,
    "Lists the tasks of the key.",
)
.query(&[
    LIMIT_100,
    AFTER,
    ORDER,
    honoured(
        "parent_task_id",
        Text,
        "The task directly below which the listed ones are.",
    ),
]);

pub(in crate::http) static RETRIEVE_TASK: Operation = Operation::new(
    "retrieveTask",
    OperationTag::Tasks,
    "Returns the current state of a task.",
);

pub(in crate::http) static DELETE_TASK: Operation = Operation::new(
    "deleteTask",
    OperationTag::Tasks,
    "Deletes a task and its events.",
);

pub(in crate::http) static INTERRUPT_TASK: Operation =
    Operation::new("interruptTask", OperationTag::Tasks, "Asks a task to stop.").query(&[
        honoured(
            "cascade",
            Text,
            "With `true` the tasks below it are stopped too.",
        )
        .one_of(&["true", "false"]),
    ]);

pub(in crate::http) static HAND_OVER_TASK: Operation = Operation::new(
    "handOverTask",
    OperationTag::Tasks,
    "Creates a task that continues the work of one that has ended, with its report.",
)
.body(
    RequestObject::of("HandOverTaskRequest", &[&tasks::HANDOVER]).closed(),
    r#"{"prompt": "Review what was written.", "model": "haiku"}"#,
)
.runs_model()
.idempotent();

pub(in crate::http) static STREAM_TASK_EVENTS: Operation = Operation::new(
    "streamTaskEvents",
    OperationTag::Tasks,
    "Streams the events of a task, past and future, until it ends.",
)
.headers(&[honoured(
    "Last-Event-ID",
    Integer(0, i64::MAX),
    "The `sequence_number` after which the events begin. Browsers send it when they connect again.",
)])
.query(&[honoured(
    "starting_after",
    Integer(0, i64::MAX),
    "The `sequence_number` after which the events begin.",
)]);

pub(in crate::http) static OPEN_TASK_SOCKET: Operation = Operation::new(
    "openTaskSocket",
    OperationTag::Tasks,
    "Opens a WebSocket with the events of a task, on which its questions are answered.",
)
.socket(&[("TaskSocketMessage", &tasks::SOCKET)]);

pub(in crate::http) static ANSWER_PERMISSION: Operation = Operation::new(
    "answerPermission",
    OperationTag::Tasks,
    "Answers a permission request of a task.",
)
.body(
    RequestObject::of("AnswerPermissionRequest", &[&tasks::DECISION]).closed(),
    r#"{"decision": "deny", "message": "Not on a Friday."}"#,
);

pub(in crate::http) static GET_USAGE: Operation = Operation::new(
    "getUsage",
    OperationTag::Usage,
    "Returns the usage and the budgets of the key's project.",
)
.query(&[PROJECT_ID, PERIOD, GROUP_BY, FORMAT]);
