//! Bodies of `/v1/messages/batches`, and lines of result files.

use std::collections::HashSet;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::error::kind_of_status;
use super::fields;
use super::json;
use super::list;
use super::time;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;
use crate::api::request_schema::repair_characters;

/// Maximum number of requests in a batch, as in Anthropic's API.
const MAX_REQUESTS: usize = 100_000;
const MAX_ID_LENGTH: usize = 64;
/// Number of seconds for which results are available: 30 days.
const RESULTS_TTL_SECONDS: u64 = 2_592_000;

/// Fields of the request that creates a batch.
pub static CREATE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("requests", FieldType::Array, "1 to 100000 requests.")
            .required()
            .with_inner(&REQUEST),
    ],
};

/// Fields of one request in a batch.
pub(super) static REQUEST: ObjectSchema = ObjectSchema {
    prefix: "requests[].",
    fields: &[
        honoured(
            "custom_id",
            FieldType::Text,
            "1 to 64 letters, digits, `_` and `-`; each of its own.",
        )
        .required(),
        honoured(
            "params",
            FieldType::Object,
            "The body of a `POST /v1/messages`, which is looked at when it is its turn. `stream` is refused then.",
        )
        .required()
        .with_inner(&fields::REQUEST),
    ],
};

/// Request of a batch, before it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Id by which the client finds the result.
    pub custom_id: String,
    /// JSON of the request body, as the client wrote it.
    pub params: String,
}

/// Message batch as Anthropic's API shows it. Times are in seconds of Unix time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageBatch {
    /// Batch id, with the prefix `msgbatch_`.
    pub id: String,
    /// Processing status of the batch.
    pub status: ProcessingStatus,
    /// Number of requests by outcome.
    pub counts: RequestCounts,
    /// Time at which the batch was created.
    pub created_at: u64,
    /// Time at which the batch expires, finished or not.
    pub expires_at: u64,
    /// Time at which the batch ended.
    pub ended_at: Option<u64>,
    /// Time at which cancellation was requested.
    pub cancel_initiated_at: Option<u64>,
}

/// Processing status of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of Anthropic")]
pub enum ProcessingStatus {
    InProgress,
    Canceling,
    Ended,
}

/// Number of requests of a batch by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the words of Anthropic")]
pub struct RequestCounts {
    pub processing: u64,
    pub succeeded: u64,
    pub errored: u64,
    pub canceled: u64,
    pub expired: u64,
}

#[derive(Serialize)]
struct MessageBatchBody<'a> {
    id: &'a str,
    r#type: &'static str,
    processing_status: ProcessingStatus,
    request_counts: RequestCounts,
    ended_at: Option<String>,
    created_at: String,
    expires_at: String,
    archived_at: Option<String>,
    cancel_initiated_at: Option<String>,
    results_url: Option<String>,
}

impl MessageBatch {
    /// Returns the body of the batch at the time `now`.
    pub fn to_json(&self, now: u64) -> String {
        json::to_string(&self.body(now))
    }

    fn body(&self, now: u64) -> MessageBatchBody<'_> {
        let archived = self
            .ended_at
            .map(|ended| ended + RESULTS_TTL_SECONDS)
            .filter(|archived| *archived <= now);
        let has_results = self.status == ProcessingStatus::Ended && archived.is_none();
        MessageBatchBody {
            id: &self.id,
            r#type: "message_batch",
            processing_status: self.status,
            request_counts: self.counts,
            ended_at: self.ended_at.map(time::format_time),
            created_at: time::format_time(self.created_at),
            expires_at: time::format_time(self.expires_at),
            archived_at: archived.map(time::format_time),
            cancel_initiated_at: self.cancel_initiated_at.map(time::format_time),
            results_url: has_results.then(|| format!("/v1/messages/batches/{}/results", self.id)),
        }
    }
}

/// Decodes the body of `POST /v1/messages/batches`.
///
/// # Errors
/// Fails if the body is not such a request.
pub fn create(body: &[u8], policy: Policy) -> Result<(Vec<NewRequest>, Remarks), InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = &*repair_characters(body, &mut ignored)?;
    let mut whole = parse_request(body, &CREATE, "`requests`")?;
    let Some(Value::Array(items)) = whole.take("requests")? else {
        return Err(whole.missing_field("requests"));
    };
    if !(1..=MAX_REQUESTS).contains(&items.len()) {
        let words = format!(
            "expected 1 to {MAX_REQUESTS} requests, got {}.",
            items.len()
        );
        return Err(whole.invalid_field("requests", code::VALUE, &words));
    }
    let written = RawJson::new(body).field("requests").items();
    let mut known = HashSet::new();
    let mut requests = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let item = ObjectReader::new(item, whole.place.item("requests", index, &REQUEST))?;
        let written = written.get(index).copied().unwrap_or_default();
        let new = decode_request(item, written, &mut known, &mut ignored)?;
        requests.push(new);
    }
    whole.finish(&mut ignored)?;
    Ok((requests, ignored.into_remarks()))
}

fn decode_request(
    mut item: ObjectReader,
    written: RawJson<'_>,
    known: &mut HashSet<String>,
    ignored: &mut RemarkCollector,
) -> Result<NewRequest, InvalidRequest> {
    let custom_id = item.require_text("custom_id")?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !(1..=MAX_ID_LENGTH).contains(&custom_id.len()) || !custom_id.bytes().all(fits) {
        return Err(item.invalid_field(
            "custom_id",
            code::VALUE,
            "expected 1 to 64 letters, digits, `_` and `-`.",
        ));
    }
    if !known.insert(custom_id.clone()) {
        let words = "another request before has the same. Each must have one of its own.";
        return Err(item.invalid_field("custom_id", code::VALUE, words));
    }
    let params = item.require("params")?;
    item.finish(ignored)?;
    Ok(NewRequest {
        custom_id,
        params: written.field("params").to_compact(&params),
    })
}

/// Returns the body of a page of batches at the time `now`.
pub fn list(batches: &[MessageBatch], has_more: bool, now: u64) -> String {
    let bodies: Vec<_> = batches.iter().map(|batch| batch.body(now)).collect();
    list::body(&bodies, |body| body.id, has_more)
}

/// Returns the body that confirms the deletion of a batch.
pub fn deleted(id: &str) -> String {
    json::to_string(&json!({"id": id, "type": "message_batch_deleted"}))
}

/// Stored line of a batch's outcomes.
#[derive(Deserialize)]
struct StoredOutcomeLine<'a> {
    custom_id: String,
    #[serde(borrow)]
    response: Option<StoredOutcomeResponse<'a>>,
    error: Option<StoredOutcomeFailure>,
}

#[derive(Deserialize)]
struct StoredOutcomeResponse<'a> {
    status_code: u16,
    request_id: String,
    #[serde(borrow)]
    body: &'a RawValue,
    #[serde(default)]
    ignored: Vec<String>,
    #[serde(default)]
    repaired: Vec<String>,
}

#[derive(Deserialize)]
struct StoredOutcomeFailure {
    code: String,
    message: String,
}

/// Stored body of a request that failed.
#[derive(Deserialize)]
struct RefusedRequestBody {
    error: RefusedRequestError,
}

#[derive(Deserialize)]
struct RefusedRequestError {
    message: String,
}

#[derive(Serialize)]
struct MessageBatchLine<'a> {
    custom_id: &'a str,
    result: MessageBatchResult<'a>,
    /// Extensions of this server: result lines have no headers to report this and `repaired` in.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ignored: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    repaired: &'a [String],
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum MessageBatchResult<'a> {
    Succeeded { message: &'a RawValue },
    Errored { error: Value },
    Canceled,
    Expired,
}

/// Converts a stored line to a line of Anthropic's result file, with its line feed; `None` if it is
/// not such a line.
pub fn result_line(line: &str) -> Option<String> {
    let stored: StoredOutcomeLine<'_> = serde_json::from_str(line).ok()?;
    let failed = |kind: &str, message: &str, request: Option<&str>| MessageBatchResult::Errored {
        error: json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": request}),
    };
    let result = match (&stored.response, &stored.error) {
        (Some(response), _) if response.status_code < 300 => MessageBatchResult::Succeeded {
            message: response.body,
        },
        (Some(response), _) => {
            let refused = serde_json::from_str::<RefusedRequestBody>(response.body.get()).ok()?;
            failed(
                kind_of_status(response.status_code),
                &refused.error.message,
                Some(&response.request_id),
            )
        }
        (None, Some(StoredOutcomeFailure { code, .. })) if code == "batch_cancelled" => {
            MessageBatchResult::Canceled
        }
        (None, Some(StoredOutcomeFailure { code, .. })) if code == "batch_expired" => {
            MessageBatchResult::Expired
        }
        (None, Some(StoredOutcomeFailure { message, .. })) => {
            failed("invalid_request_error", message, None)
        }
        (None, None) => return None,
    };
    let remarks = stored
        .response
        .as_ref()
        .map(|response| (&*response.ignored, &*response.repaired));
    let (ignored, repaired) = remarks.unwrap_or_default();
    let mut line = json::to_string(&MessageBatchLine {
        custom_id: &stored.custom_id,
        result,
        ignored,
        repaired,
    });
    line.push('\n');
    Some(line)
}

#[cfg(test)]
#[path = "batches_tests.rs"]
mod tests;
