//! Operations of OpenAI's API.

use super::AFTER;
use super::AFTER_ID;
use super::ANTHROPIC_VERSION;
use super::BEFORE_ID;
use super::LIMIT_100;
use super::ORDER;
use super::PAGE;
use super::limit;
use crate::api::anthropic;
use crate::api::openai::batches;
use crate::api::openai::chat;
use crate::api::openai::completions;
use crate::api::openai::conversations;
use crate::api::openai::files;
use crate::api::openai::responses;
use crate::api::request_schema::FieldType::Integer;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::honoured;
use crate::http::openapi::operation::Operation;
use crate::http::openapi::operation::OperationTag;
use crate::http::openapi::operation::RequestObject;

const RESPONSE_TABLES: &[&ObjectSchema] = &[&responses::REQUEST];
const CREATE_RESPONSE_BODY: RequestObject =
    RequestObject::of("CreateResponseRequest", RESPONSE_TABLES);
const INPUT_EXAMPLE: &str = r#"{"model": "haiku", "input": "What is a switchboard?"}"#;

pub(in crate::http) static CREATE_CHAT_COMPLETION: Operation = Operation::new(
    "createChatCompletion",
    OperationTag::Chat,
    "Answers a conversation, as one body or as a stream.",
)
.body(
    RequestObject::of("CreateChatCompletionRequest", &[&chat::REQUEST]),
    r#"{"model": "haiku", "messages": [{"role": "user", "content": "What is a switchboard?"}]}"#,
)
.runs_model()
.idempotent();

pub(in crate::http) static CREATE_COMPLETION: Operation = Operation::new(
    "createCompletion",
    OperationTag::Completions,
    "Continues prompts, as one body or as a stream.",
)
.body(
    RequestObject::of("CreateCompletionRequest", &[&completions::REQUEST]),
    r#"{"model": "haiku", "prompt": "A switchboard is"}"#,
)
.runs_model()
.idempotent();

pub(in crate::http) static CREATE_RESPONSE: Operation = Operation::new(
    "createResponse",
    OperationTag::Responses,
    "Creates a response: as one body, as a stream, or in the background.",
)
.body(CREATE_RESPONSE_BODY, INPUT_EXAMPLE)
.runs_model()
.idempotent();

pub(in crate::http) static OPEN_RESPONSES_SOCKET: Operation = Operation::new(
    "openResponsesSocket",
    OperationTag::Responses,
    "Opens a WebSocket on which responses are created one after the other.",
)
.socket(&[("CreateResponseRequest", &responses::REQUEST)]);

pub(in crate::http) static COUNT_INPUT_TOKENS: Operation = Operation::new(
    "countInputTokens",
    OperationTag::Responses,
    "Counts the tokens of the input of a response.",
)
.body(CREATE_RESPONSE_BODY, INPUT_EXAMPLE)
.runs_model();

pub(in crate::http) static COMPACT_CONVERSATION: Operation = Operation::new(
    "compactConversation",
    OperationTag::Responses,
    "Compacts the conversation of a response into one item.",
)
.body(CREATE_RESPONSE_BODY, INPUT_EXAMPLE)
.runs_model();

pub(in crate::http) static GET_RESPONSE: Operation = Operation::new(
    "getResponse",
    OperationTag::Responses,
    "Returns a stored response, or its events as a stream.",
)
.query(&[
    honoured("stream", Text, "With `true` its events are sent.").one_of(&["true", "false"]),
    honoured(
        "starting_after",
        Integer(0, i64::MAX),
        "With `stream`: the `sequence_number` after which the events begin.",
    ),
]);

pub(in crate::http) static DELETE_RESPONSE: Operation = Operation::new(
    "deleteResponse",
    OperationTag::Responses,
    "Deletes a response.",
);

pub(in crate::http) static CANCEL_RESPONSE: Operation = Operation::new(
    "cancelResponse",
    OperationTag::Responses,
    "Cancels a background response.",
);

pub(in crate::http) static LIST_INPUT_ITEMS: Operation = Operation::new(
    "listInputItems",
    OperationTag::Responses,
    "Lists the input items of a response.",
)
.query(&[LIMIT_100, AFTER, ORDER]);

pub(in crate::http) static CREATE_CONVERSATION: Operation = Operation::new(
    "createConversation",
    OperationTag::Conversations,
    "Creates a conversation.",
)
.body(
    RequestObject::of("CreateConversationRequest", &[&conversations::CREATE]),
    r#"{"items": [{"role": "user", "content": "Hi"}], "metadata": {"topic": "greeting"}}"#,
)
.optional();

pub(in crate::http) static GET_CONVERSATION: Operation = Operation::new(
    "getConversation",
    OperationTag::Conversations,
    "Returns a conversation without its items.",
);

pub(in crate::http) static UPDATE_CONVERSATION: Operation = Operation::new(
    "updateConversation",
    OperationTag::Conversations,
    "Replaces the metadata of a conversation.",
)
.body(
    RequestObject::of("UpdateConversationRequest", &[&conversations::UPDATE]),
    r#"{"metadata": {"topic": "greeting"}}"#,
);

pub(in crate::http) static DELETE_CONVERSATION: Operation = Operation::new(
    "deleteConversation",
    OperationTag::Conversations,
    "Deletes a conversation.",
);

pub(in crate::http) static LIST_CONVERSATION_ITEMS: Operation = Operation::new(
    "listConversationItems",
    OperationTag::Conversations,
    "Lists the items of a conversation.",
)
.query(&[LIMIT_100, AFTER, ORDER]);

pub(in crate::http) static CREATE_CONVERSATION_ITEMS: Operation = Operation::new(
    "createConversationItems",
    OperationTag::Conversations,
    "Adds items to a conversation.",
)
.body(
    RequestObject::of("CreateConversationItemsRequest", &[&conversations::ADD]),
    r#"{"items": [{"role": "user", "content": "Hi"}]}"#,
);

pub(in crate::http) static GET_CONVERSATION_ITEM: Operation = Operation::new(
    "getConversationItem",
    OperationTag::Conversations,
    "Returns an item of a conversation.",
);

pub(in crate::http) static DELETE_CONVERSATION_ITEM: Operation = Operation::new(
    "deleteConversationItem",
    OperationTag::Conversations,
    "Deletes an item of a conversation.",
);

pub(in crate::http) static CREATE_BATCH: Operation = Operation::new(
    "createBatch",
    OperationTag::Batches,
    "Creates a batch from an uploaded file and starts it.",
)
.body(
    RequestObject::of("CreateBatchRequest", &[&batches::REQUEST]),
    r#"{"input_file_id": "file-0123456789abcdef0123456789abcdef", "endpoint": "/v1/chat/completions", "completion_window": "24h"}"#,
)
.idempotent();

pub(in crate::http) static LIST_BATCHES: Operation = Operation::new(
    "listBatches",
    OperationTag::Batches,
    "Lists the batches of the project.",
)
.query(&[LIMIT_100, AFTER, ORDER]);

pub(in crate::http) static RETRIEVE_BATCH: Operation = Operation::new(
    "retrieveBatch",
    OperationTag::Batches,
    "Returns the current state of a batch.",
);

pub(in crate::http) static CANCEL_BATCH: Operation =
    Operation::new("cancelBatch", OperationTag::Batches, "Cancels a batch.");

pub(in crate::http) static CREATE_FILE: Operation =
    Operation::new("createFile", OperationTag::Files, "Uploads a file.")
        .headers(&[ANTHROPIC_VERSION])
        .form(&[
            ("CreateFileRequest", &files::UPLOAD),
            ("CreateAnthropicFileRequest", &anthropic::files::UPLOAD),
        ]);

pub(in crate::http) static LIST_FILES: Operation = Operation::new(
    "listFiles",
    OperationTag::Files,
    "Lists the files of the project.",
)
.headers(&[ANTHROPIC_VERSION])
.query(&[
    limit(
        10_000,
        "Entries of a page; 10000 by default. In Anthropic's API 20, and 1000 at most.",
    ),
    AFTER,
    ORDER,
    honoured("purpose", Text, "Files of this purpose alone.").one_of(&[
        "batch",
        "batch_output",
        "user_data",
        "vision",
    ]),
    BEFORE_ID,
    AFTER_ID,
    PAGE,
]);

pub(in crate::http) static RETRIEVE_FILE: Operation = Operation::new(
    "retrieveFile",
    OperationTag::Files,
    "Returns the metadata of a file.",
)
.headers(&[ANTHROPIC_VERSION]);

pub(in crate::http) static DELETE_FILE: Operation =
    Operation::new("deleteFile", OperationTag::Files, "Deletes a file.")
        .headers(&[ANTHROPIC_VERSION]);

pub(in crate::http) static DOWNLOAD_FILE: Operation = Operation::new(
    "downloadFile",
    OperationTag::Files,
    "Returns the content of a file.",
)
.headers(&[ANTHROPIC_VERSION]);

pub(in crate::http) static LIST_MODELS: Operation = Operation::new(
    "listModels",
    OperationTag::Models,
    "Lists the names that may be sent as `model`.",
)
.headers(&[ANTHROPIC_VERSION])
.query(&[honoured(
    "client_version",
    Text,
    "Sent by Codex, which gets the properties of each model.",
)]);

pub(in crate::http) static RETRIEVE_MODEL: Operation = Operation::new(
    "retrieveModel",
    OperationTag::Models,
    "Returns one model. Its name may contain slashes.",
)
.headers(&[ANTHROPIC_VERSION]);
