//! What is told.

use crate::domain::unix_now;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Something that has happened, in the words in which it is sent: they are the same at every try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, `evt_...`, by which a receiver knows one that it has had already.
    pub id: String,
    /// Its type, such as `budget.threshold_reached`.
    pub kind: String,
    /// The JSON that is sent.
    pub(super) body: String,
}

/// How events look on the wire.
#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    object: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    created_at: u64,
    data: &'a Value,
}

impl Event {
    /// An event of the type `kind` that happens now and is told with `data`.
    pub fn new(kind: &str, data: &Value) -> Self {
        let id = format!("evt_{}", Uuid::new_v4().simple());
        let created_at = unix_now();
        // Texts, a number and a JSON value: there is nothing in them that JSON cannot hold.
        let body = serde_json::to_string(&Body {
            id: &id,
            object: "event",
            kind,
            created_at,
            data,
        });
        Self {
            kind: kind.to_owned(),
            body: body.unwrap_or_default(),
            id,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_looks_like_those_of_openai() {
        let event = Event::new("webhook.test", &json!({"project_id": "default"}));
        let mut body: Value = serde_json::from_str(&event.body).unwrap();
        assert!(body["created_at"].take().as_u64().unwrap() > 1_700_000_000);
        assert!(
            event.id.starts_with("evt_") && event.id.len() == 36,
            "{}",
            event.id
        );
        let expected = json!({
            "id": event.id, "object": "event", "type": "webhook.test", "created_at": null,
            "data": {"project_id": "default"},
        });
        assert_eq!(body, expected);
    }
}
