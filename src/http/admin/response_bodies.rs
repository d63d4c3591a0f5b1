//! Response bodies of the admin API.

use serde_json::Value;
use serde_json::json;

use crate::accounts::auth::ApiKey;
use crate::accounts::auth::KeyText;
use crate::accounts::auth::Project;
use crate::accounts::webhooks::SendError;
use crate::accounts::webhooks::WebhookEvent;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Money;

/// Renders a key without its secret.
pub(super) fn key(key: &ApiKey) -> Value {
    let rates = key.policy.rates;
    let permissions = key.policy.permissions.as_ref();
    json!({
        "id": key.id(),
        "object": "key",
        "name": key.name,
        "prefix": key.shown_prefix(),
        "project_id": key.project,
        "models": key.policy.models,
        "requests_per_minute": rates.requests_per_minute,
        "tokens_per_minute": rates.tokens_per_minute,
        "concurrent_requests": rates.concurrent_requests,
        "weight": rates.weight,
        "budget": budget(&key.policy.budget),
        "permissions": permissions.map(|list| list.iter().map(|permission| permission.as_str()).collect::<Vec<_>>()),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "rotated_at": key.rotated_at,
        "previous_secret_until": key.previous_until,
        "last_used_at": key.last_used_at,
    })
}

/// Renders a key with its secret, which is shown this once.
pub(super) fn new_key(created: &ApiKey, text: &KeyText) -> Value {
    let mut value = key(created);
    value["key"] = text.reveal().into();
    value
}

pub(super) fn project(project: &Project) -> Value {
    json!({
        "id": project.id,
        "object": "project",
        "name": project.name,
        "requests_per_minute": project.rates.requests_per_minute,
        "tokens_per_minute": project.rates.tokens_per_minute,
        "concurrent_requests": project.rates.concurrent_requests,
        "weight": project.rates.weight,
        "budget": budget(&project.budget),
        "webhook": project.webhook.as_ref().map(|webhook| json!({"url": webhook.url.reveal()})),
        "created_at": project.created_at,
    })
}

/// Renders a project with the secret of its webhook, which is shown this once.
pub(super) fn with_secret(created: &Project) -> Value {
    let mut value = project(created);
    if let Some(webhook) = &created.webhook {
        value["webhook"]["secret"] = webhook.secret.reveal().into();
    }
    value
}

/// Renders the result of a webhook test.
pub(super) fn webhook_test(event: &WebhookEvent, answer: &Result<u16, SendError>) -> Value {
    json!({
        "object": "webhook.test",
        "event_id": event.id,
        "delivered": matches!(answer, Ok(200..=299)),
        "status": answer.as_ref().ok(),
        "error": answer.as_ref().err().map(ToString::to_string),
    })
}

/// Renders one page of a list.
pub(super) fn list(items: &[Value], has_more: bool) -> Value {
    let id = |item: Option<&Value>| item.map(|item| item["id"].clone());
    let first = id(items.first());
    let last = id(items.last());
    json!({"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": has_more})
}

fn budget(budget: &Budget) -> Value {
    json!({"daily": cap(budget.daily), "monthly": cap(budget.monthly)})
}

fn cap(cap: Cap) -> Value {
    json!({"tokens": cap.tokens, "money": cap.money.map(Money::to_decimal)})
}
