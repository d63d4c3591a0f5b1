//! Error bodies of `OpenAI`'s API.

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeStruct;

use super::json;
use crate::api::request_schema::InvalidRequest;

/// Error body of every endpoint: `{"error": {"message", "type", "param", "code"}}`.
///
/// All four fields are always written, `null` if empty: clients lose the message of any other
/// shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiErrorEnvelope {
    /// Message for people: the fault, and the way to correct it.
    pub message: String,
    /// Error type, such as `invalid_request_error`.
    pub r#type: &'static str,
    /// Path of the request field at fault.
    pub param: Option<String>,
    /// Error code for programs.
    pub code: Option<&'static str>,
}

impl OpenAiErrorEnvelope {
    /// Serializes the error as a response body.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

impl Serialize for OpenAiErrorEnvelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut envelope = serializer.serialize_struct("Envelope", 1)?;
        envelope.serialize_field("error", &OpenAiErrorFields(self))?;
        envelope.end()
    }
}

struct OpenAiErrorFields<'a>(&'a OpenAiErrorEnvelope);

impl Serialize for OpenAiErrorFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Error", 4)?;
        fields.serialize_field("message", &self.0.message)?;
        fields.serialize_field("type", self.0.r#type)?;
        fields.serialize_field("param", &self.0.param)?;
        fields.serialize_field("code", &self.0.code)?;
        fields.end()
    }
}

impl From<InvalidRequest> for OpenAiErrorEnvelope {
    fn from(error: InvalidRequest) -> Self {
        Self {
            message: error.message,
            r#type: "invalid_request_error",
            param: error.param,
            code: error.code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::request_schema::code;

    #[test]
    fn error_body_has_all_four_fields() {
        let envelope = OpenAiErrorEnvelope {
            message: "a \"b\"".into(),
            r#type: "server_error",
            param: None,
            code: None,
        };
        assert_eq!(
            envelope.to_json(),
            r#"{"error":{"message":"a \"b\"","type":"server_error","param":null,"code":null}}"#
        );
    }

    #[test]
    fn invalid_request_keeps_param_and_code() {
        let error = InvalidRequest::at("messages[0].role", code::VALUE, "no such role");
        assert_eq!(
            OpenAiErrorEnvelope::from(error).to_json(),
            r#"{"error":{"message":"no such role","type":"invalid_request_error","param":"messages[0].role","code":"invalid_value"}}"#
        );
    }
}
