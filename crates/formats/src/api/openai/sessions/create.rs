//! Request body of `POST /v1/sessions`.

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use serde_json::Map;
use serde_json::Value;

use crate::api::openai::labels;
use crate::api::request_schema::FieldType::Object;
use crate::api::request_schema::FieldType::Text;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::PROJECT;
use crate::api::request_schema::code;
use crate::api::request_schema::honoured;
use crate::api::request_schema::typed;

/// Fields of the request body.
pub static CREATE: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[
        honoured("model", Text, "Model of messages that name no other."),
        honoured(
            "instructions",
            Text,
            "Instructions to Claude before the conversation.",
        ),
        honoured(
            "system_prompt",
            Text,
            "The same as `instructions`. Not beside it.",
        ),
        honoured(
            "metadata",
            Object,
            "Up to 16 pairs of strings, keys up to 64 and values up to 512 characters.",
        )
        .of_texts(),
        PROJECT,
    ],
};

/// Decoded fields of the request body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionFields {
    #[serde(default, deserialize_with = "model")]
    model: Option<String>,
    instructions: Option<String>,
    system_prompt: Option<String>,
    #[serde(default, deserialize_with = "typed::object")]
    metadata: Option<Map<String, Value>>,
    project_id: Option<String>,
}

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
    let fields: SessionFields = typed::parse_typed(body, "`model` or nothing at all")?;
    if fields.instructions.is_some() && fields.system_prompt.is_some() {
        let message = "`system_prompt`: it is the same as `instructions`. Remove one.";
        return Err(InvalidRequest::at("system_prompt", code::VALUE, message));
    }
    let metadata = fields.metadata.unwrap_or_default();
    labels::check_metadata(&metadata)?;
    let instructions = fields
        .instructions
        .or(fields.system_prompt)
        .filter(|text| !text.trim().is_empty());
    Ok(CreateSessionRequest {
        model: fields.model,
        instructions,
        metadata,
        project: fields.project_id,
    })
}

fn model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let model = Option::<String>::deserialize(deserializer)?;
    if model
        .as_deref()
        .is_none_or(|model| !model.trim().is_empty())
    {
        return Ok(model);
    }
    Err(D::Error::custom(
        "it is blank. Give the name of a model, or leave it out.",
    ))
}
