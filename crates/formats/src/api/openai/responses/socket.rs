//! Messages of the WebSocket: requests and tagged events.

use serde::Deserialize;
use serde_json::json;

use super::decode::CreateResponseRequest;
use super::decode::RequestTransport;
use super::decode::read_request;
use super::events::ResponseEvent;
use crate::api::openai::OpenAiErrorEnvelope;
use crate::api::openai::json;
use crate::api::openai::labels::CLIENT_CHOSEN_ID_RULE;
use crate::api::openai::labels::is_client_chosen_id;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::api::request_schema::repair_characters;

/// Stream id that the client chose for a request; every event of its response carries it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SocketStreamId(Option<String>);

/// Field by which a message names its stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamIdField {
    stream_id: Option<String>,
}

/// Decodes a client message of type `response.create`.
///
/// # Errors
/// As [`decode`](super::decode()).
pub fn decode_message(text: &str, policy: Policy) -> Result<CreateResponseRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    read_request(
        &repair_characters(text.as_bytes(), &mut ignored)?,
        ignored,
        RequestTransport::Socket,
    )
}

impl SocketStreamId {
    /// Reads the stream id of a message that may otherwise be invalid, or have more structure than
    /// may be parsed.
    pub fn parse(message: &str) -> Self {
        Self::checked(json::scan_repaired_fields(message))
    }

    /// Reads the stream id of a message for which no memory was granted, and copies nothing else of
    /// it.
    pub fn scan(message: &str) -> Self {
        Self::checked(json::scan_fields(message))
    }

    fn checked(field: StreamIdField) -> Self {
        Self(field.stream_id.filter(|name| is_client_chosen_id(name)))
    }

    /// Serializes an event as a message.
    pub fn event_message(&self, event: &ResponseEvent) -> String {
        self.add_stream_id(event.data.clone())
    }

    /// Serializes the first event of a response as a message, with the remarks on the request.
    pub fn first_event_message(&self, event: &ResponseEvent, remarks: &Remarks) -> String {
        let lists = [
            ("ignored", json!(remarks.ignored)),
            ("repaired", json!(remarks.repaired)),
        ];
        let lists = lists
            .iter()
            .filter(|(_, list)| list.as_array().is_some_and(|list| !list.is_empty()));
        let lists: String = lists
            .map(|(name, list)| format!(r#","{name}":{list}"#))
            .collect();
        // Spliced in before the closing brace, since the event is serialized already.
        let data = event
            .data
            .strip_suffix('}')
            .map(|open| format!("{open}{lists}}}"));
        self.add_stream_id(data.unwrap_or_else(|| event.data.clone()))
    }

    /// Serializes an error outside any response as a message; `status` is the HTTP status that it
    /// would have.
    pub fn error_message(&self, envelope: &OpenAiErrorEnvelope, status: u16) -> String {
        let error = json!({
            "type": envelope.r#type, "code": envelope.code, "message": envelope.message, "param": envelope.param,
        });
        self.add_stream_id(json::to_string(
            &json!({"type": "error", "status": status, "error": error}),
        ))
    }

    fn add_stream_id(&self, event: String) -> String {
        match (&self.0, event.strip_prefix('{')) {
            (Some(name), Some(rest)) => {
                format!(r#"{{"stream_id":{},{rest}"#, json::to_string(name))
            }
            _ => event,
        }
    }
}

/// Takes the fields that only WebSocket messages have; returns `generate`, true by default.
pub(super) fn take_socket_fields(
    request: &mut ObjectReader,
    way: RequestTransport,
) -> Result<bool, InvalidRequest> {
    let kind = request.take_text("type")?;
    let stream_id = request.take_text("stream_id")?;
    let generate = request.take_bool("generate")?;
    match way {
        RequestTransport::Http => {
            let sent = [
                ("type", kind.is_some()),
                ("stream_id", stream_id.is_some()),
                ("generate", generate.is_some()),
            ];
            match sent.into_iter().find(|(_, is_sent)| *is_sent) {
                Some((name, _)) => Err(request.invalid_field(
                    name,
                    code::VALUE,
                    "belongs only to messages of a WebSocket. Remove it.",
                )),
                None => Ok(true),
            }
        }
        RequestTransport::Socket => {
            let kind = kind.ok_or_else(|| request.missing_field("type"))?;
            if kind != "response.create" {
                let words = format!("expected `response.create`, got `{}`.", printable(&kind));
                return Err(request.invalid_field("type", code::VALUE, &words));
            }
            if stream_id.is_some_and(|stream_id| !is_client_chosen_id(&stream_id)) {
                return Err(request.invalid_field("stream_id", code::VALUE, CLIENT_CHOSEN_ID_RULE));
            }
            Ok(generate.unwrap_or(true))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn message(fields: &Value) -> Result<CreateResponseRequest, InvalidRequest> {
        let mut message = json!({"type": "response.create", "model": "m", "input": "hi"});
        message
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        decode_message(&message.to_string(), Policy::Strict)
    }

    #[test]
    fn message_decodes_to_streaming_request() {
        let request = message(&json!({"stream_id": "a.1"})).unwrap();
        assert!(request.stream && request.generates);
        assert!(!message(&json!({"generate": false})).unwrap().generates);
        for (fields, param) in [
            (json!({"type": "response.steer"}), "type"),
            (json!({"stream_id": "a b"}), "stream_id"),
            (json!({"background": true}), "background"),
        ] {
            assert_eq!(message(&fields).unwrap_err().param.as_deref(), Some(param));
        }
        let posted = super::super::decode(
            br#"{"model":"m","input":"x","type":"response.create"}"#,
            Policy::Lenient,
        );
        assert_eq!(posted.unwrap_err().param.as_deref(), Some("type"));
    }

    #[test]
    fn events_carry_their_stream_id() {
        let event = ResponseEvent {
            name: "x".into(),
            data: r#"{"type":"x"}"#.into(),
        };
        assert_eq!(
            SocketStreamId::parse(r#"{"stream_id":"a"}"#).event_message(&event),
            r#"{"stream_id":"a","type":"x"}"#
        );
        assert_eq!(SocketStreamId::parse("{").event_message(&event), event.data);
        let half = SocketStreamId::parse(r#"{"stream_id":"a","input":"\ud83d"}"#);
        assert_eq!(half, SocketStreamId(Some("a".to_owned())));
        let remarks = Remarks {
            ignored: vec!["seed".into()],
            repaired: vec!["arguments"],
        };
        let first =
            SocketStreamId::parse(r#"{"stream_id":"a"}"#).first_event_message(&event, &remarks);
        assert_eq!(
            first,
            r#"{"stream_id":"a","type":"x","ignored":["seed"],"repaired":["arguments"]}"#
        );
        assert_eq!(
            SocketStreamId::default().first_event_message(&event, &Remarks::default()),
            event.data
        );
        let envelope = OpenAiErrorEnvelope {
            message: "m".into(),
            r#type: "t",
            param: None,
            code: None,
        };
        insta::assert_snapshot!(SocketStreamId::default().error_message(&envelope, 400), @r#"{"error":{"code":null,"message":"m","param":null,"type":"t"},"status":400,"type":"error"}"#);
    }
}
