//! Successful responses of operations.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::headers;
use super::operation::Operation;
use super::operation::OperationBody;
use super::operation::OperationTag;
use super::responses::RESPONSES;
use super::responses::ResponseBody;
use super::version::SpecificationVersion;

/// Returns the responses of the operation `method` of `path` by status, as far as they are no
/// errors in the usual format.
pub(super) fn responses(
    version: SpecificationVersion,
    method: &str,
    path: &str,
    operation: &Operation,
) -> Map<String, Value> {
    let mut all = Map::new();
    let rows = RESPONSES
        .iter()
        .filter(|row| row.path == path && row.method.eq_ignore_ascii_case(method));
    for row in rows {
        let response = all
            .entry(row.status.to_string())
            .or_insert_with(|| empty_response(row.status, operation));
        let (media_type, content) = match row.body {
            ResponseBody::Empty => continue,
            ResponseBody::Json(name) => ("application/json", json!({"schema": reference(name)})),
            ResponseBody::EventStream(name) => {
                let data = event_data(name, operation.tag);
                ("text/event-stream", events(version, name, &data))
            }
            ResponseBody::Binary(media_type) => (media_type, json!({"schema": {"type": "string"}})),
        };
        response["content"][media_type] = content;
    }
    all
}

fn empty_response(status: u16, operation: &Operation) -> Value {
    let has_body = matches!(operation.body, OperationBody::Object(_));
    let is_success = (200..400).contains(&status);
    let headers = headers::of_success(
        is_success && has_body,
        is_success && operation.runs_model,
        is_success && operation.takes_idempotency_key,
        operation.id == "getOpenApiDocument",
    );
    let description = match status {
        101 => "The connection is a WebSocket now.",
        201 => "It was created.",
        204 => "There are no further events.",
        304 => "The client has this version already.",
        503 => "Not available now; the body has the reason.",
        _ => "Success.",
    };
    json!({"description": description, "headers": headers})
}

/// Describes server-sent events whose `data` is JSON that the component `name` describes.
fn events(version: SpecificationVersion, name: &str, data: &Value) -> Value {
    match version {
        SpecificationVersion::V3_1 => json!({
            "schema": {"type": "string"},
            "x-event-schema": reference(name),
        }),
        SpecificationVersion::V3_2 => json!({
            "itemSchema": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "event": {"type": "string"},
                    "data": data,
                },
                "required": ["data"],
            },
        }),
    }
}

/// Returns the schema of the text after `data:`. The streams of OpenAI's older APIs end with a text
/// that is no JSON.
fn event_data(name: &str, tag: OperationTag) -> Value {
    let data = json!({
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": reference(name),
    });
    match tag {
        OperationTag::Chat | OperationTag::Completions | OperationTag::Sessions => {
            json!({"anyOf": [{"const": "[DONE]"}, data]})
        }
        _ => data,
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
