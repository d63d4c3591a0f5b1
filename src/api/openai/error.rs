//! How a client is told that something went wrong.

use serde::Serialize;
use serde::Serializer;
use serde::ser::SerializeStruct;

use super::json;
use crate::api::request_schema::InvalidRequest;

/// The error body of every endpoint: `{"error": {"message", "type", "param", "code"}}`.
///
/// All four are always written, `null` where there is nothing to say: in any other shape clients lose the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What went wrong and what to change, for people.
    pub message: String,
    /// The family of the error, such as `invalid_request_error`.
    pub r#type: &'static str,
    /// The path of the field at fault.
    pub param: Option<String>,
    /// The error, for programs.
    pub code: Option<&'static str>,
}

impl Envelope {
    /// The body as JSON.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut envelope = serializer.serialize_struct("Envelope", 1)?;
        envelope.serialize_field("error", &Fields(self))?;
        envelope.end()
    }
}

struct Fields<'a>(&'a Envelope);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Error", 4)?;
        fields.serialize_field("message", &self.0.message)?;
        fields.serialize_field("type", self.0.r#type)?;
        fields.serialize_field("param", &self.0.param)?;
        fields.serialize_field("code", &self.0.code)?;
        fields.end()
    }
}

impl From<InvalidRequest> for Envelope {
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
    fn all_four_fields_are_written() {
        let envelope = Envelope {
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
    fn an_invalid_request_keeps_its_param_and_code() {
        let error = InvalidRequest::at("messages[0].role", code::VALUE, "no such role");
        assert_eq!(
            Envelope::from(error).to_json(),
            r#"{"error":{"message":"no such role","type":"invalid_request_error","param":"messages[0].role","code":"invalid_value"}}"#
        );
    }
}
