//! Operations of Anthropic's API.

use super::AFTER_ID;
use super::ANTHROPIC_VERSION;
use super::BEFORE_ID;
use super::PAGE;
use super::limit;
use crate::api::anthropic;
use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::honoured;
use crate::http::openapi::operation::Operation;
use crate::http::openapi::operation::OperationTag;
use crate::http::openapi::operation::RequestObject;

const MESSAGE_TABLES: &[&ObjectSchema] = &[&anthropic::REQUEST];
const MESSAGE_BODY: RequestObject = RequestObject::of("CreateMessageRequest", MESSAGE_TABLES);
const MESSAGE_HEADERS: &[Field] = &[
    ANTHROPIC_VERSION,
    honoured(
        "anthropic-beta",
        Text,
        "Beta features. Those that this server does not ask for are named in `x-switchboard-ignored`.",
    ),
];

pub(in crate::http) static CREATE_MESSAGE: Operation = Operation::new(
    "createMessage",
    OperationTag::Messages,
    "Answers a conversation, as one body or as a stream.",
)
.headers(MESSAGE_HEADERS)
.body(
    MESSAGE_BODY,
    r#"{"model": "haiku", "max_tokens": 256, "messages": [{"role": "user", "content": "What is a switchboard?"}]}"#,
)
.runs_model()
.idempotent();

pub(in crate::http) static COUNT_MESSAGE_TOKENS: Operation = Operation::new(
    "countMessageTokens",
    OperationTag::Messages,
    "Counts the tokens of a conversation.",
)
.headers(MESSAGE_HEADERS)
.body(
    MESSAGE_BODY,
    r#"{"model": "haiku", "messages": [{"role": "user", "content": "What is a switchboard?"}]}"#,
)
.runs_model();

pub(in crate::http) static CREATE_MESSAGE_BATCH: Operation = Operation::new(
    "createMessageBatch",
    OperationTag::MessageBatches,
    "Creates a batch of messages and starts it.",
)
.body(
    RequestObject::of("CreateMessageBatchRequest", &[&anthropic::batches::CREATE]),
    r#"{"requests": [{"custom_id": "first", "params": {"model": "haiku", "max_tokens": 256, "messages": [{"role": "user", "content": "Hi"}]}}]}"#,
)
.idempotent();

pub(in crate::http) static LIST_MESSAGE_BATCHES: Operation = Operation::new(
    "listMessageBatches",
    OperationTag::MessageBatches,
    "Lists the batches of the project.",
)
.query(&[
    limit(1000, "Entries of a page; 20 by default."),
    BEFORE_ID,
    AFTER_ID,
    PAGE,
]);

pub(in crate::http) static RETRIEVE_MESSAGE_BATCH: Operation = Operation::new(
    "retrieveMessageBatch",
    OperationTag::MessageBatches,
    "Returns the current state of a batch.",
);

pub(in crate::http) static CANCEL_MESSAGE_BATCH: Operation = Operation::new(
    "cancelMessageBatch",
    OperationTag::MessageBatches,
    "Cancels a batch.",
);

pub(in crate::http) static DELETE_MESSAGE_BATCH: Operation = Operation::new(
    "deleteMessageBatch",
    OperationTag::MessageBatches,
    "Deletes a batch that has ended.",
);

pub(in crate::http) static MESSAGE_BATCH_RESULTS: Operation = Operation::new(
    "messageBatchResults",
    OperationTag::MessageBatches,
    "Returns the results of a batch, one JSON line for each request.",
);
