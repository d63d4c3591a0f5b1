//! Messages of the WebSocket: requests and tagged events.

use serde_json::Value;
use serde_json::json;

use super::decode::CreateRequest;
use super::decode::Way;
use super::decode::read;
use super::events::Event;
use crate::api::openai::Envelope;
use crate::api::openai::json;
use crate::api::openai::json::Marks;
use crate::api::openai::labels::MARK;
use crate::api::openai::labels::is_mark;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::mended;
use crate::api::request_schema::printable;

/// Stream id that the client chose for a request; every event of its response carries it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lane(Option<String>);

/// Decodes a client message of type `response.create`.
///
/// # Errors
/// As [`decode`](super::decode()).
pub fn decode_message(text: &str, policy: Policy) -> Result<CreateRequest, InvalidRequest> {
    let mut ignored = Ignored::new(policy);
    read(
        &mended(text.as_bytes(), &mut ignored)?,
        ignored,
        Way::Socket,
    )
}

impl Lane {
    /// Reads the stream id of a message that may otherwise be invalid.
    pub fn of(message: &str) -> Self {
        let message = json::read_tolerantly(message).unwrap_or_default();
        Self(
            message
                .get("stream_id")
                .and_then(Value::as_str)
                .filter(|name| is_mark(name))
                .map(ToOwned::to_owned),
        )
    }

    /// Reads the stream id without building the whole message in memory.
    pub fn of_unread(message: &str) -> Self {
        Self(Marks::of(message).stream_id.filter(|name| is_mark(name)))
    }

    /// Serializes an event as a message.
    pub fn event(&self, event: &Event) -> String {
        self.mark(event.data.clone())
    }

    /// Serializes the first event of a response as a message, with the remarks on the request.
    pub fn first_event(&self, event: &Event, remarks: &Remarks) -> String {
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
        self.mark(data.unwrap_or_else(|| event.data.clone()))
    }

    /// Serializes an error outside any response as a message; `status` is the HTTP status that it
    /// would have.
    pub fn error(&self, envelope: &Envelope, status: u16) -> String {
        let error = json!({
            "type": envelope.r#type, "code": envelope.code, "message": envelope.message, "param": envelope.param,
        });
        self.mark(json::to_string(
            &json!({"type": "error", "status": status, "error": error}),
        ))
    }

    fn mark(&self, event: String) -> String {
        match (&self.0, event.strip_prefix('{')) {
            (Some(name), Some(rest)) => {
                format!(r#"{{"stream_id":{},{rest}"#, json::to_string(name))
            }
            _ => event,
        }
    }
}

/// Takes the fields that only WebSocket messages have; returns `generate`, true by default.
pub(super) fn take(request: &mut Object, way: Way) -> Result<bool, InvalidRequest> {
    let kind = request.take_text("type")?;
    let lane = request.take_text("stream_id")?;
    let generate = request.take_bool("generate")?;
    match way {
        Way::Http => {
            let sent = [
                ("type", kind.is_some()),
                ("stream_id", lane.is_some()),
                ("generate", generate.is_some()),
            ];
            match sent.into_iter().find(|(_, is_sent)| *is_sent) {
                Some((name, _)) => Err(request.refuse(
                    name,
                    code::VALUE,
                    "belongs only to messages of a WebSocket. Remove it.",
                )),
                None => Ok(true),
            }
        }
        Way::Socket => {
            let kind = kind.ok_or_else(|| request.missing("type"))?;
            if kind != "response.create" {
                let words = format!("expected `response.create`, got `{}`.", printable(&kind));
                return Err(request.refuse("type", code::VALUE, &words));
            }
            if lane.is_some_and(|lane| !is_mark(&lane)) {
                return Err(request.refuse("stream_id", code::VALUE, MARK));
            }
            Ok(generate.unwrap_or(true))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &Value) -> Result<CreateRequest, InvalidRequest> {
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
        let event = Event {
            name: "x".into(),
            data: r#"{"type":"x"}"#.into(),
        };
        assert_eq!(
            Lane::of(r#"{"stream_id":"a"}"#).event(&event),
            r#"{"stream_id":"a","type":"x"}"#
        );
        assert_eq!(Lane::of("{").event(&event), event.data);
        let half = Lane::of(r#"{"stream_id":"a","input":"\ud83d"}"#);
        assert_eq!(half, Lane(Some("a".to_owned())));
        let remarks = Remarks {
            ignored: vec!["seed".into()],
            repaired: vec!["arguments"],
        };
        let first = Lane::of(r#"{"stream_id":"a"}"#).first_event(&event, &remarks);
        assert_eq!(
            first,
            r#"{"stream_id":"a","type":"x","ignored":["seed"],"repaired":["arguments"]}"#
        );
        assert_eq!(
            Lane::default().first_event(&event, &Remarks::default()),
            event.data
        );
        let envelope = Envelope {
            message: "m".into(),
            r#type: "t",
            param: None,
            code: None,
        };
        insta::assert_snapshot!(Lane::default().error(&envelope, 400), @r#"{"error":{"code":null,"message":"m","param":null,"type":"t"},"status":400,"type":"error"}"#);
    }
}
