//! Webhook events.

use crate::domain::unix_now;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Event with its final JSON body, which is the same for every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEvent {
    /// Id of the form `evt_...`, by which receivers detect duplicates.
    pub id: String,
    /// Type of the event, such as `budget.threshold_reached`.
    pub kind: String,
    /// JSON body of the request.
    pub(super) body: String,
}

/// Event in the format in which it is sent.
#[derive(Serialize)]
struct WebhookBody<'a> {
    id: &'a str,
    object: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    created_at: u64,
    data: &'a Value,
}

impl WebhookEvent {
    /// Creates an event of the type `kind` that happens now, with `data`.
    pub fn new(kind: &str, data: &Value) -> Self {
        let id = format!("evt_{}", Uuid::new_v4().simple());
        let created_at = unix_now();
        // Cannot fail: strings, a number and a JSON value.
        let body = serde_json::to_string(&WebhookBody {
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

    /// Returns the body of the event as a value.
    pub fn to_json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn event_body_has_openai_format() {
        let event = WebhookEvent::new("webhook.test", &json!({"project_id": "default"}));
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
