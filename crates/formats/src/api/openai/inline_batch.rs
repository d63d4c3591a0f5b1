//! `POST /v1/batch`, an extension of this server: several chat requests in one HTTP request.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::OpenAiErrorEnvelope;
use super::json as writing;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;
use crate::api::request_schema::repair_characters;
use crate::domain::Money;
use crate::domain::Usage;

/// Maximum number of requests in one batch.
const MAX_REQUESTS: usize = 100;
/// Maximum value of `parallel`.
const MAX_PARALLEL: i64 = 1024;
/// Number of requests run in parallel unless the client sets it.
const DEFAULT_PARALLEL: usize = 3;

/// Fields of the request.
pub static REQUEST: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "requests",
            FieldType::Array,
            "1 to 100 bodies of `/v1/chat/completions`, which may have `prompt`, a string, instead of `messages`.",
        )
        .required(),
        honoured(
            "parallel",
            FieldType::BoolOrInteger(1, MAX_PARALLEL),
            "Number of requests that run at a time, at most the number of workers: 3 by default; `true` for the number of workers, `false` for one after the other.",
        ),
        honoured(
            "project_id",
            FieldType::Text,
            "The key's own project, by its id or its name, as in the header `OpenAI-Project`.",
        ),
    ],
};

/// Decoded body of `POST /v1/batch`.
#[derive(Debug)]
pub struct InlineBatchRequest {
    /// Body of each request for `/v1/chat/completions`, or the error of a request that has none.
    pub bodies: Vec<Result<Vec<u8>, InvalidRequest>>,
    /// Maximum number of requests to run in parallel.
    pub parallel: usize,
    /// Project to charge, as the client names it.
    pub project: Option<String>,
    /// Remarks on the batch itself; those on each request are part of its result.
    pub remarks: Remarks,
}

/// Outcome of one request of the batch.
#[derive(Debug, Clone)]
pub enum InlineBatchOutcome {
    /// Answered by the model.
    Answered {
        /// Body of the chat completion.
        body: Vec<u8>,
        /// Token usage of the answer.
        usage: Usage,
        /// Fields of the request that were ignored or repaired.
        remarks: Remarks,
    },
    /// Refused or failed.
    Failed {
        /// HTTP status that the request would have by itself.
        status: u16,
        /// Error body that the request would have by itself.
        envelope: OpenAiErrorEnvelope,
    },
}

/// Requests as the client wrote them.
#[derive(Deserialize)]
struct InlineBatchSource<'a> {
    #[serde(borrow)]
    requests: Vec<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum InlineBatchResult<'a> {
    Completed {
        index: usize,
        response: &'a RawValue,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        repaired: &'a [&'static str],
    },
    Failed {
        index: usize,
        status_code: u16,
        error: Value,
    },
}

#[derive(Serialize)]
struct InlineBatchBody<'a> {
    object: &'static str,
    results: Vec<InlineBatchResult<'a>>,
    total_tokens: u64,
    total_cost: Option<f64>,
}

/// Decodes the body of `POST /v1/batch`.
///
/// # Errors
/// Fails if the body is malformed. Faults of a single request are returned in its place in
/// `bodies`.
pub fn decode(body: &[u8], policy: Policy) -> Result<InlineBatchRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = &*repair_characters(body, &mut ignored)?;
    let mut request = parse_request(body, &REQUEST, "`requests`")?;
    let count = match request.take("requests")? {
        Some(Value::Array(requests)) => requests.len(),
        _ => return Err(request.missing_field("requests")),
    };
    if !(1..=MAX_REQUESTS).contains(&count) {
        let words = format!(
            "expected from 1 to {MAX_REQUESTS} requests, got {count}. For more there is /v1/batches."
        );
        return Err(request.invalid_field("requests", code::VALUE, &words));
    }
    let parallel = take_parallel(&mut request)?;
    let project = request.take_text("project_id")?;
    request.finish(&mut ignored)?;
    let written: InlineBatchSource<'_> =
        serde_json::from_slice(body).map_err(|error| InvalidRequest::body(format!("{error}.")))?;
    let bodies = written
        .requests
        .into_iter()
        .enumerate()
        .map(|(index, request)| chat_body(index, request));
    Ok(InlineBatchRequest {
        bodies: bodies.collect(),
        parallel,
        project,
        remarks: ignored.into_remarks(),
    })
}

/// Takes the degree of parallelism; the handler caps it at the number of workers.
fn take_parallel(request: &mut ObjectReader) -> Result<usize, InvalidRequest> {
    Ok(match request.take("parallel")? {
        Some(Value::Bool(true)) => MAX_REQUESTS,
        Some(Value::Bool(false)) => 1,
        // The field table has checked its type.
        Some(number) => number
            .as_f64()
            .map_or(DEFAULT_PARALLEL, |number| number as usize),
        None => DEFAULT_PARALLEL,
    })
}

/// Converts a request to a chat completion body; its fields keep the client's JSON.
fn chat_body(index: usize, request: &RawValue) -> Result<Vec<u8>, InvalidRequest> {
    let Ok(mut fields) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(request.get())
    else {
        let path = format!("requests[{index}]");
        let message =
            format!("`{path}`: expected an object with `model` and `messages` or `prompt`.");
        return Err(InvalidRequest::at(path, code::TYPE, message));
    };
    let Some(prompt) = fields.remove("prompt") else {
        return Ok(request.get().as_bytes().to_vec());
    };
    if fields.contains_key("messages") {
        let message = "`prompt` and `messages` cannot stand together. Send one of them.";
        return Err(InvalidRequest::at("prompt", code::VALUE, message));
    }
    let prompt: Value = serde_json::from_str(prompt.get()).unwrap_or_default();
    FieldType::Text.check(&prompt, || "prompt".to_owned())?;
    let messages = serde_json::value::to_raw_value(&json!([{"role": "user", "content": prompt}]));
    fields.extend(
        messages
            .ok()
            .map(|messages| ("messages".to_owned(), messages)),
    );
    Ok(writing::to_string(&fields).into_bytes())
}

/// Serializes the response body with the results of all requests, in order.
pub fn response_body(outcomes: &[InlineBatchOutcome]) -> String {
    let mut total_tokens: u64 = 0;
    let mut cost: Option<Money> = None;
    let mut results = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        results.push(match outcome {
            InlineBatchOutcome::Answered {
                body,
                usage,
                remarks,
            } => {
                total_tokens += usage.total_tokens();
                // Unknown costs are left out of the sum.
                cost = usage
                    .cost
                    .map_or(cost, |this| Some(this + cost.unwrap_or_default()));
                let response = serde_json::from_slice(body).unwrap_or(RawValue::NULL);
                let Remarks { ignored, repaired } = remarks;
                InlineBatchResult::Completed {
                    index,
                    response,
                    ignored,
                    repaired,
                }
            }
            InlineBatchOutcome::Failed { status, envelope } => {
                let mut error = serde_json::to_value(envelope).unwrap_or_default();
                InlineBatchResult::Failed {
                    index,
                    status_code: *status,
                    error: error["error"].take(),
                }
            }
        });
    }
    writing::to_string(&InlineBatchBody {
        object: "batch.results",
        results,
        total_tokens,
        total_cost: cost.map(Money::dollars),
    })
}

#[cfg(test)]
#[path = "inline_batch_tests.rs"]
mod tests;
