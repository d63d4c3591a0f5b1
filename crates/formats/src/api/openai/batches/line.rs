//! Lines of the input and output files of a batch.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::BatchError;
use crate::api::openai::json;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::describe_value;
use crate::api::request_schema::printable;

/// Request of a batch, read from a line of its input file.
#[derive(Debug)]
pub struct BatchRequestLine {
    /// Id by which the client matches the result to the request.
    pub custom_id: String,
    /// Request body, byte for byte as the client wrote it.
    pub body: Box<RawValue>,
}

#[derive(Serialize)]
struct BatchResultLine<'a> {
    id: String,
    custom_id: &'a str,
    response: Option<BatchLineResponse<'a>>,
    error: Option<BatchLineError<'a>>,
}

#[derive(Serialize)]
struct BatchLineResponse<'a> {
    status_code: u16,
    request_id: String,
    body: &'a RawValue,
    /// Extension: the ignored and repaired fields, which the headers of a direct response would
    /// name.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    ignored: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    repaired: &'a [&'static str],
}

#[derive(Serialize)]
struct BatchLineError<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Deserialize)]
struct BatchBodyModel {
    model: Option<String>,
}

impl BatchRequestLine {
    /// Parses line `number` of the input file of a batch whose requests go to `endpoint`.
    ///
    /// # Errors
    /// The first fault of the line, as it is listed in the batch's `errors`.
    pub fn decode(line: &[u8], number: u64, endpoint: &str) -> Result<Self, BatchError> {
        let fault = |code: &str, param: Option<&str>, message: &str| BatchError {
            code: code.to_owned(),
            line: Some(number),
            message: message.to_owned(),
            param: param.map(ToOwned::to_owned),
        };
        let Ok(mut fields) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(line) else {
            let message =
                "This line is no JSON object. Each line must be one, on a line of its own.";
            return Err(fault("invalid_json_line", None, message));
        };
        let mut text = |name: &'static str| {
            let Some(value) = fields.remove(name) else {
                return Err(fault(
                    "missing_required_parameter",
                    Some(name),
                    &format!("`{name}` is missing."),
                ));
            };
            match serde_json::from_str(value.get()) {
                Ok(Value::String(text)) => Ok(text),
                value => {
                    let message = format!(
                        "`{name}`: expected a string, got {}.",
                        describe_value(&value.unwrap_or_default())
                    );
                    Err(fault("invalid_type", Some(name), &message))
                }
            }
        };
        let custom_id = text("custom_id")?;
        let method = text("method")?;
        let url = text("url")?;
        if custom_id.is_empty() {
            let message = "`custom_id` is empty. By it you find the answer.";
            return Err(fault("invalid_value", Some("custom_id"), message));
        }
        if method != "POST" {
            let message = format!("`method`: expected `POST`, got `{}`.", printable(&method));
            return Err(fault("invalid_method", Some("method"), &message));
        }
        if url != endpoint {
            let message =
                format!("`url`: expected `{endpoint}`, which is the endpoint of the batch.");
            return Err(fault("mismatched_endpoint", Some("url"), &message));
        }
        let body = fields
            .remove("body")
            .filter(|body| body.get().starts_with('{'));
        let message = "`body` is missing, or no object. It is the body of the request.";
        let body =
            body.ok_or_else(|| fault("missing_required_parameter", Some("body"), message))?;
        Ok(Self { custom_id, body })
    }

    /// Returns the model that the request body names.
    pub fn model(&self) -> Option<String> {
        serde_json::from_str::<BatchBodyModel>(self.body.get())
            .ok()?
            .model
    }
}

/// Returns the input line of a request to `endpoint`; `body` must be JSON without line breaks.
pub fn request_line(custom_id: &str, endpoint: &str, body: &str) -> String {
    let custom_id = json::to_string(custom_id);
    let endpoint = json::to_string(endpoint);
    format!(
        "{{\"custom_id\":{custom_id},\"method\":\"POST\",\"url\":{endpoint},\"body\":{body}}}\n"
    )
}

/// Returns the output line of the request `custom_id`: the endpoint's HTTP `status` and `body`.
pub fn response_line(custom_id: &str, status: u16, body: &[u8], remarks: &Remarks) -> String {
    let body = serde_json::from_slice::<&RawValue>(body).unwrap_or(RawValue::NULL);
    let request_id = format!("req_{}", uuid::Uuid::new_v4().simple());
    let Remarks { ignored, repaired } = remarks;
    let response = BatchLineResponse {
        status_code: status,
        request_id,
        body,
        ignored,
        repaired,
    };
    result_line(custom_id, Some(response), None)
}

/// Returns the error line of the request `custom_id`, which was not run.
pub fn error_line(custom_id: &str, code: &str, message: &str) -> String {
    result_line(custom_id, None, Some(BatchLineError { code, message }))
}

fn result_line(
    custom_id: &str,
    response: Option<BatchLineResponse<'_>>,
    error: Option<BatchLineError<'_>>,
) -> String {
    let id = format!("batch_req_{}", uuid::Uuid::new_v4().simple());
    let mut line = json::to_string(&BatchResultLine {
        id,
        custom_id,
        response,
        error,
    });
    line.push('\n');
    line
}
