//! Request body of `POST /v1/sessions`.

use serde_json::Map;
use serde_json::Value;

use crate::api::openai::labels;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::parse_request;

/// Fields of the request.
pub(super) static CREATE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured(
            "model",
            FieldType::Text,
            "Answers the messages that name no other.",
        ),
        honoured(
            "instructions",
            FieldType::Text,
            "What Claude is told before the conversation.",
        ),
        honoured(
            "system_prompt",
            FieldType::Text,
            "The same as `instructions`. Not beside it.",
        ),
        honoured(
            "metadata",
            FieldType::Object,
            "Up to 16 pairs of strings, keys up to 64 and values up to 512 characters.",
        ),
        PROJECT,
    ],
};

/// Decoded body of `POST /v1/sessions`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateSessionRequest {
    /// Model for messages that name no other.
    pub model: Option<String>,
    /// System instructions of the conversation.
    pub instructions: Option<String>,
    /// Labels set by the client, as pairs of strings.
    pub metadata: Map<String, Value>,
    /// Project to charge, as the client names it.
    pub project: Option<String>,
}

/// Decodes the body of `POST /v1/sessions`. Unknown fields are refused; an empty body counts as
/// `{}`.
///
/// # Errors
/// Fails if the body is malformed.
pub fn decode_create_session(body: &[u8]) -> Result<CreateSessionRequest, InvalidRequest> {
    let body = if body.trim_ascii().is_empty() {
        b"{}"
    } else {
        body
    };
    let mut request = parse_request(body, &CREATE, "`model` or nothing at all")?;
    let model = request.take_text("model")?;
    if model
        .as_deref()
        .is_some_and(|model| model.trim().is_empty())
    {
        return Err(request.invalid_field(
            "model",
            code::VALUE,
            "it is blank. Give the name of a model, or leave it out.",
        ));
    }
    let instructions = request.take_text("instructions")?;
    let prompt = request.take_text("system_prompt")?;
    if instructions.is_some() && prompt.is_some() {
        return Err(request.invalid_field(
            "system_prompt",
            code::VALUE,
            "it is the same as `instructions`. Remove one.",
        ));
    }
    let metadata = labels::take_metadata(&mut request)?.unwrap_or_default();
    let project = request.take_text("project_id")?;
    request.finish(&mut RemarkCollector::new(Policy::Strict))?;
    let instructions = instructions
        .or(prompt)
        .filter(|text| !text.trim().is_empty());
    Ok(CreateSessionRequest {
        model,
        instructions,
        metadata,
        project,
    })
}
