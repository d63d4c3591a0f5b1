//! Responses of each operation, and the schemas of their bodies.
//!
//! `schemas/` has one JSON Schema for each component. Each answer of the tests is validated against
//! this table, so it says what the server really sends. Errors are not listed: any operation may
//! answer a status from 400 with the component `AnyError`.

use serde_json::Map;
use serde_json::Value;

/// Response of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResponseSchema {
    /// Method of the request.
    pub(crate) method: &'static str,
    /// Path of the route, with its parameters in braces.
    pub(crate) path: &'static str,
    /// Status of the response.
    pub(crate) status: u16,
    /// Body of the response.
    pub(crate) body: ResponseBody,
}

/// Body of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseBody {
    /// JSON that the named component describes.
    Json(&'static str),
    /// Server-sent events; the named component describes the data of each event.
    EventStream(&'static str),
    /// Content of this media type, without a schema.
    Binary(&'static str),
    /// Response without a body.
    Empty,
}

/// All successful responses, and those from 400 that are no errors in the usual format.
// A row for each response.
#[rustfmt::skip]
pub(crate) const RESPONSES: &[ResponseSchema] = &[
    json("GET", "/", 200, "ServerDescription"),
    binary("GET", "/", "text/html"),
    json("GET", "/health", 200, "Health"),
    events("GET", "/health/stream", "StreamProbeEvent"),
    json("GET", "/ready", 200, "Readiness"),
    json("GET", "/ready", 503, "Readiness"),
    binary("GET", "/metrics", "text/plain"),
    binary("GET", "/metrics", "application/openmetrics-text"),
    binary("GET", "/metrics", "application/vnd.google.protobuf"),
    json("GET", "/openapi.json", 200, "OpenApiDocument"),
    empty("GET", "/openapi.json", 304),
    binary("GET", "/docs", "text/html"),
    empty("GET", "/docs", 304),
    binary("GET", "/docs/docs.css", "text/css"),
    empty("GET", "/docs/docs.css", 304),
    binary("GET", "/docs/docs.js", "text/javascript"),
    empty("GET", "/docs/docs.js", 304),
    json("POST", "/v1/chat/completions", 200, "ChatCompletion"),
    events("POST", "/v1/chat/completions", "ChatCompletionEvent"),
    json("POST", "/v1/completions", 200, "Completion"),
    events("POST", "/v1/completions", "CompletionEvent"),
    json("POST", "/v1/messages", 200, "AnthropicMessage"),
    events("POST", "/v1/messages", "AnthropicStreamEvent"),
    json("POST", "/v1/messages/count_tokens", 200, "AnthropicTokenCount"),
    json("GET", "/v1/messages/batches", 200, "MessageBatchList"),
    json("POST", "/v1/messages/batches", 200, "MessageBatch"),
    json("GET", "/v1/messages/batches/{id}", 200, "MessageBatch"),
    json("DELETE", "/v1/messages/batches/{id}", 200, "MessageBatchDeleted"),
    json("POST", "/v1/messages/batches/{id}/cancel", 200, "MessageBatch"),
    binary("GET", "/v1/messages/batches/{id}/results", "application/x-jsonl"),
    json("POST", "/v1/responses", 200, "Response"),
    events("POST", "/v1/responses", "ResponseStreamEvent"),
    empty("GET", "/v1/responses", 101),
    json("POST", "/v1/responses/input_tokens", 200, "ResponseInputTokens"),
    json("POST", "/v1/responses/compact", 200, "ResponseCompaction"),
    json("GET", "/v1/responses/{id}", 200, "Response"),
    events("GET", "/v1/responses/{id}", "ResponseStreamEvent"),
    json("DELETE", "/v1/responses/{id}", 200, "ResponseDeleted"),
    json("POST", "/v1/responses/{id}/cancel", 200, "Response"),
    json("GET", "/v1/responses/{id}/input_items", 200, "StoredItemList"),
    json("POST", "/v1/conversations", 200, "Conversation"),
    json("GET", "/v1/conversations/{id}", 200, "Conversation"),
    json("POST", "/v1/conversations/{id}", 200, "Conversation"),
    json("DELETE", "/v1/conversations/{id}", 200, "ConversationDeleted"),
    json("GET", "/v1/conversations/{id}/items", 200, "StoredItemList"),
    json("POST", "/v1/conversations/{id}/items", 200, "StoredItemList"),
    json("GET", "/v1/conversations/{id}/items/{item}", 200, "StoredItem"),
    json("DELETE", "/v1/conversations/{id}/items/{item}", 200, "Conversation"),
    json("POST", "/v1/batch", 200, "BatchResults"),
    json("GET", "/v1/batches", 200, "BatchList"),
    json("POST", "/v1/batches", 200, "Batch"),
    json("GET", "/v1/batches/{id}", 200, "Batch"),
    json("POST", "/v1/batches/{id}/cancel", 200, "Batch"),
    json("GET", "/v1/files", 200, "FileList"),
    json("POST", "/v1/files", 200, "File"),
    json("GET", "/v1/files/{id}", 200, "File"),
    json("DELETE", "/v1/files/{id}", 200, "FileDeleted"),
    binary("GET", "/v1/files/{id}/content", "application/octet-stream"),
    json("GET", "/v1/sessions", 200, "SessionList"),
    json("POST", "/v1/sessions", 201, "Session"),
    json("GET", "/v1/sessions/{id}", 200, "Session"),
    json("DELETE", "/v1/sessions/{id}", 200, "SessionDeleted"),
    json("GET", "/v1/sessions/{id}/messages", 200, "SessionMessageList"),
    json("POST", "/v1/sessions/{id}/messages", 200, "ChatCompletion"),
    events("POST", "/v1/sessions/{id}/messages", "ChatCompletionEvent"),
    empty("GET", "/v1/stream", 101),
    json("GET", "/v1/tasks", 200, "TaskList"),
    json("POST", "/v1/tasks", 200, "Task"),
    json("POST", "/v1/tasks", 201, "Task"),
    json("GET", "/v1/tasks/{id}", 200, "Task"),
    json("DELETE", "/v1/tasks/{id}", 200, "TaskDeleted"),
    json("POST", "/v1/tasks/{id}/interrupt", 200, "Task"),
    json("POST", "/v1/tasks/{id}/handover", 200, "Task"),
    json("POST", "/v1/tasks/{id}/handover", 201, "Task"),
    events("GET", "/v1/tasks/{id}/events", "TaskEvent"),
    empty("GET", "/v1/tasks/{id}/events", 204),
    empty("GET", "/v1/tasks/{id}/ws", 101),
    json("POST", "/v1/tasks/{id}/permissions/{request_id}", 200, "TaskPermission"),
    json("POST", "/v1/embeddings", 200, "UpstreamObject"),
    json("POST", "/v1/moderations", 200, "UpstreamObject"),
    binary("POST", "/v1/audio/speech", "audio/mpeg"),
    binary("POST", "/v1/audio/speech", "application/octet-stream"),
    events("POST", "/v1/audio/speech", "UpstreamObject"),
    json("POST", "/v1/audio/transcriptions", 200, "UpstreamObject"),
    binary("POST", "/v1/audio/transcriptions", "text/plain"),
    events("POST", "/v1/audio/transcriptions", "UpstreamObject"),
    json("POST", "/v1/audio/translations", 200, "UpstreamObject"),
    binary("POST", "/v1/audio/translations", "text/plain"),
    json("POST", "/v1/images/generations", 200, "UpstreamObject"),
    events("POST", "/v1/images/generations", "UpstreamObject"),
    json("POST", "/v1/images/edits", 200, "UpstreamObject"),
    events("POST", "/v1/images/edits", "UpstreamObject"),
    json("POST", "/v1/images/variations", 200, "UpstreamObject"),
    json("GET", "/v1/usage", 200, "UsageReport"),
    binary("GET", "/v1/usage", "text/csv"),
    binary("GET", "/v1/usage", "text/plain"),
    json("GET", "/admin/usage", 200, "UsageReport"),
    binary("GET", "/admin/usage", "text/csv"),
    binary("GET", "/admin/usage", "text/plain"),
    json("GET", "/v1/models", 200, "ModelList"),
    json("GET", "/v1/models/{*id}", 200, "Model"),
    json("POST", "/v1/route", 200, "RouteRecommendation"),
    json("GET", "/admin/keys", 200, "ApiKeyList"),
    json("POST", "/admin/keys", 201, "NewApiKey"),
    json("GET", "/admin/keys/{id}", 200, "ApiKey"),
    json("PATCH", "/admin/keys/{id}", 200, "ApiKey"),
    json("DELETE", "/admin/keys/{id}", 200, "ApiKey"),
    json("POST", "/admin/keys/{id}/rotate", 200, "NewApiKey"),
    json("GET", "/admin/projects", 200, "ProjectList"),
    json("POST", "/admin/projects", 201, "Project"),
    json("GET", "/admin/projects/{id}", 200, "Project"),
    json("PATCH", "/admin/projects/{id}", 200, "Project"),
    json("DELETE", "/admin/projects/{id}", 200, "ProjectDeleted"),
    json("PUT", "/admin/projects/{id}/budget", 200, "Project"),
    json("POST", "/admin/projects/{id}/webhook/test", 200, "WebhookTest"),
    binary("GET", "/admin/ledger/backup", "text/plain"),
    json("GET", "/admin/ledger/verify", 200, "LedgerVerification"),
    json("POST", "/admin/store/backup", 201, "StoreBackup"),
    json("GET", "/admin/store/verify", 200, "StoreVerification"),
    json("GET", "/admin/cache", 200, "CacheStatistics"),
    json("DELETE", "/admin/cache", 200, "CacheCleared"),
    json("GET", "/admin/doctor", 200, "DoctorReport"),
    json("GET", "/admin/status", 200, "ServerStatus"),
    json("GET", "/admin/sign-ins", 200, "SignInList"),
    json("POST", "/admin/dashboard/links", 201, "DashboardLink"),
    json("GET", "/admin/dashboard/sessions", 200, "DashboardSessionList"),
    json("DELETE", "/admin/dashboard/sessions/{id}", 200, "DashboardSessionDeleted"),
];

const fn json(
    method: &'static str,
    path: &'static str,
    status: u16,
    component: &'static str,
) -> ResponseSchema {
    ResponseSchema {
        method,
        path,
        status,
        body: ResponseBody::Json(component),
    }
}

const fn events(
    method: &'static str,
    path: &'static str,
    component: &'static str,
) -> ResponseSchema {
    ResponseSchema {
        method,
        path,
        status: 200,
        body: ResponseBody::EventStream(component),
    }
}

const fn binary(
    method: &'static str,
    path: &'static str,
    media_type: &'static str,
) -> ResponseSchema {
    ResponseSchema {
        method,
        path,
        status: 200,
        body: ResponseBody::Binary(media_type),
    }
}

const fn empty(method: &'static str, path: &'static str, status: u16) -> ResponseSchema {
    ResponseSchema {
        method,
        path,
        status,
        body: ResponseBody::Empty,
    }
}

/// Pairs each name with the file of its schema.
macro_rules! schema_files {
    ($($name:literal,)+) => {
        &[$(($name, include_str!(concat!("schemas/", $name, ".json"))),)+]
    };
}

/// Names of the components, with their schemas as JSON.
const COMPONENTS: &[(&str, &str)] = schema_files![
    "AnthropicContentBlock",
    "AnthropicError",
    "AnthropicFile",
    "AnthropicFileDeleted",
    "AnthropicFileList",
    "AnthropicMessage",
    "AnthropicModel",
    "AnthropicModelList",
    "AnthropicStreamEvent",
    "AnthropicTokenCount",
    "AnthropicUsage",
    "AnyError",
    "ApiKey",
    "ApiKeyList",
    "Batch",
    "BatchList",
    "BatchResults",
    "Budget",
    "CacheCleared",
    "CacheStatistics",
    "ChatAnnotation",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionEvent",
    "ChatMessage",
    "ChatToolCall",
    "Completion",
    "CompletionEvent",
    "CompletionUsage",
    "Conversation",
    "ConversationDeleted",
    "DashboardLink",
    "DashboardSession",
    "DashboardSessionDeleted",
    "DashboardSessionList",
    "DoctorReport",
    "File",
    "FileDeleted",
    "FileList",
    "Health",
    "LedgerVerification",
    "MessageBatch",
    "MessageBatchDeleted",
    "MessageBatchList",
    "Model",
    "ModelList",
    "NewApiKey",
    "OpenAiError",
    "OpenAiFile",
    "OpenAiFileDeleted",
    "OpenAiFileList",
    "OpenAiModel",
    "OpenAiModelList",
    "OpenApiDocument",
    "Project",
    "ProjectDeleted",
    "ProjectList",
    "Readiness",
    "Response",
    "ResponseAnnotation",
    "ResponseCompaction",
    "ResponseContent",
    "ResponseDeleted",
    "ResponseInputTokens",
    "ResponseItem",
    "ResponseStreamEvent",
    "ResponseSummary",
    "ResponseUsage",
    "RouteRecommendation",
    "SavingCause",
    "ServerDescription",
    "ServerStatus",
    "Session",
    "SessionDeleted",
    "SessionList",
    "SessionMessage",
    "SessionMessageList",
    "SignIn",
    "SignInList",
    "StoreBackup",
    "StoreVerification",
    "StoredItem",
    "StoredItemList",
    "StreamProbeEvent",
    "Task",
    "TaskDeleted",
    "TaskEvent",
    "TaskList",
    "TaskPermission",
    "TaskPermissionRequest",
    "TaskUsage",
    "UpstreamObject",
    "UrlCitation",
    "UsageGroup",
    "UsageReport",
    "UsageSavings",
    "UsageTotals",
    "WebhookTest",
];

/// Returns the schemas of all components by their names.
pub(crate) fn components() -> Map<String, Value> {
    // A test counts them, so none is left out.
    let parse = |(name, text): &(&str, &str)| {
        let schema = serde_json::from_str(text).ok()?;
        Some(((*name).to_owned(), schema))
    };
    COMPONENTS.iter().filter_map(parse).collect()
}

#[cfg(test)]
#[path = "responses_tests.rs"]
mod tests;
