//! Field types shared by request bodies of this server's own APIs.

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;
use serde_json::Value;

use crate::accounts::auth::NewWebhook;
use crate::accounts::webhooks::SigningSecret;
use crate::accounts::webhooks::WebhookUrl;
use crate::api::request_schema::typed;
use crate::api::request_schema::typed::Object;
use crate::domain::Money;
use crate::domain::is_chosen_id;

/// Fields of a webhook.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookFields {
    #[serde(deserialize_with = "typed::parsed")]
    url: WebhookUrl,
    #[serde(default, deserialize_with = "typed::parsed_option")]
    secret: Option<SigningSecret>,
}

impl From<Object<WebhookFields>> for NewWebhook {
    fn from(Object(fields): Object<WebhookFields>) -> Self {
        Self {
            url: fields.url,
            secret: fields.secret,
        }
    }
}

/// Reads an id chosen by the client, which must be usable in a path.
///
/// # Errors
/// Fails when the value is not a valid id.
pub(super) fn chosen_id<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let id = Option::<String>::deserialize(deserializer)?;
    if id.as_deref().is_none_or(is_chosen_id) {
        return Ok(id);
    }
    Err(D::Error::custom(
        "expected 1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or a digit.",
    ))
}

/// Reads an amount of US dollars, given as a string or a number.
///
/// # Errors
/// Fails when the value is not an amount.
pub(super) fn money<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    let amount = match Value::deserialize(deserializer)? {
        Value::Null => return Ok(None),
        Value::String(text) => Money::from_decimal(&text),
        // The decimal text is parsed, so that 0.1 is exact; otherwise rounded to the nearest
        // nano-dollar.
        Value::Number(number) => Money::from_decimal(&number.to_string())
            .or_else(|| Money::from_dollars(number.as_f64()?)),
        _ => return Err(typed::wrong_type("a string or a number")),
    };
    amount
        .map(Some)
        .ok_or_else(|| D::Error::custom("expected an amount of US dollars, such as \"12.50\"."))
}
