//! Request body of `POST /v1/batches`.

use serde_json::Map;
use serde_json::Value;

use crate::api::openai::files;
use crate::api::openai::labels;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;

/// Only supported `completion_window`.
const COMPLETION_WINDOW: &str = "24h";

/// Fields of the request.
pub static REQUEST: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "input_file_id",
            FieldType::Text,
            "A file of the purpose `batch`, in the key's project.",
        )
        .required(),
        honoured(
            "endpoint",
            FieldType::Text,
            "`/v1/chat/completions`, `/v1/completions` or `/v1/responses`: what answers the requests.",
        )
        .required(),
        honoured(
            "completion_window",
            FieldType::Text,
            "`24h`; OpenAI supports no other.",
        )
        .required()
        .one_of(&[COMPLETION_WINDOW]),
        honoured(
            "metadata",
            FieldType::Object,
            "Up to 16 pairs of strings, keys up to 64 and values up to 512 characters.",
        )
        .of_texts(),
        honoured(
            "output_expires_after",
            FieldType::Object,
            "When the files of answers and errors are deleted: 30 days after they are created by default.",
        )
        .with_inner(&files::OUTPUT_EXPIRES_AFTER),
    ],
};

/// Decoded body of `POST /v1/batches`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateBatchRequest {
    /// Id of the input file, which holds the requests.
    pub input_file_id: String,
    /// Path of the endpoint that answers the requests; one of the supported paths.
    pub endpoint: String,
    /// Time the batch may take; always `24h`.
    pub completion_window: String,
    /// Labels set by the client, as pairs of strings.
    pub metadata: Option<Map<String, Value>>,
    /// Lifetime of the output and error files, in seconds.
    pub output_expires_after: Option<u64>,
    /// Fields of the request that were ignored or repaired.
    pub remarks: Remarks,
}

/// Decodes the body of `POST /v1/batches`; `endpoints` are the supported paths.
///
/// # Errors
/// Fails if the body is malformed or asks for something unsupported.
pub fn decode(
    body: &[u8],
    endpoints: &[&str],
    policy: Policy,
) -> Result<CreateBatchRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let mut request = parse_request(
        body,
        &REQUEST,
        "`input_file_id`, `endpoint` and `completion_window`",
    )?;
    let input_file_id = request.require_text("input_file_id")?;
    let endpoint = request.require_text("endpoint")?;
    if !endpoints.contains(&endpoint.as_str()) {
        let words = format!("expected one of {}.", endpoints.join(", "));
        return Err(request.invalid_field("endpoint", code::VALUE, &words));
    }
    let completion_window = request.require_text("completion_window")?;
    let metadata = labels::take_metadata(&mut request)?;
    let name = "output_expires_after";
    let table = &files::OUTPUT_EXPIRES_AFTER;
    let output_expires_after = files::take_expires_after(&mut request, name, table, &mut ignored)?;
    request.finish(&mut ignored)?;
    let remarks = ignored.into_remarks();
    Ok(CreateBatchRequest {
        input_file_id,
        endpoint,
        completion_window,
        metadata,
        output_expires_after,
        remarks,
    })
}
