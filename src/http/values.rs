//! Field types shared by request bodies of this server's own APIs.

use serde_json::Value;

use crate::accounts::auth::NewWebhook;
use crate::accounts::webhooks::InvalidSecret;
use crate::accounts::webhooks::InvalidWebhookUrl;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::domain::Money;
use crate::domain::is_chosen_id;

/// Reads an array of strings.
///
/// # Errors
/// Fails when the value has another type.
pub(super) fn texts(
    object: &mut ObjectReader,
    name: &'static str,
) -> Result<Option<Vec<String>>, InvalidRequest> {
    let Some(Value::Array(items)) = object.take(name)? else {
        return Ok(None);
    };
    let text = |item: Value| match item {
        Value::String(text) => Some(text),
        _ => None,
    };
    match items.into_iter().map(text).collect() {
        Some(texts) => Ok(Some(texts)),
        None => Err(object.invalid_field(name, code::TYPE, "expected an array of strings.")),
    }
}

/// Reads an id chosen by the client, which must be usable in a path.
///
/// # Errors
/// Fails when the value is not a valid id.
pub(super) fn chosen_id(
    object: &mut ObjectReader,
    name: &'static str,
) -> Result<Option<String>, InvalidRequest> {
    let Some(id) = object.take_text(name)? else {
        return Ok(None);
    };
    if is_chosen_id(&id) {
        return Ok(Some(id));
    }
    let words =
        "expected 1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or a digit.";
    Err(object.invalid_field(name, code::VALUE, words))
}

/// Reads an amount of US dollars, given as a string or a number.
///
/// # Errors
/// Fails when the value is not an amount.
pub(super) fn money(
    object: &mut ObjectReader,
    name: &'static str,
) -> Result<Option<Money>, InvalidRequest> {
    let Some(value) = object.take(name)? else {
        return Ok(None);
    };
    let amount = match &value {
        Value::String(text) => Money::from_decimal(text),
        // The decimal text is parsed, so that 0.1 is exact; otherwise rounded to the nearest
        // nano-dollar.
        number => Money::from_decimal(&number.to_string())
            .or_else(|| Money::from_dollars(number.as_f64()?)),
    };
    match amount {
        Some(amount) => Ok(Some(amount)),
        None => Err(object.invalid_field(
            name,
            code::VALUE,
            "expected an amount of US dollars, such as \"12.50\".",
        )),
    }
}

/// Reads a webhook with the fields of `table`.
///
/// # Errors
/// Fails when the value is not a valid webhook.
pub(super) fn webhook(
    object: &mut ObjectReader,
    table: &'static ObjectSchema,
) -> Result<Option<NewWebhook>, InvalidRequest> {
    let Some(value) = object.take("webhook")? else {
        return Ok(None);
    };
    let mut object = ObjectReader::new(value, object.place.inner("webhook", table))?;
    let (url, secret) = (object.take_text("url")?, object.take_text("secret")?);
    let url = url.ok_or_else(|| object.missing_field("url"))?.parse();
    let url = url.map_err(|error: InvalidWebhookUrl| {
        object.invalid_field("url", code::VALUE, &format!("{error}."))
    })?;
    let secret = secret.map(|secret| secret.parse()).transpose();
    let secret = secret.map_err(|error: InvalidSecret| {
        object.invalid_field("secret", code::VALUE, &format!("{error}."))
    })?;
    finish(object)?;
    Ok(Some(NewWebhook { url, secret }))
}

/// Refuses all remaining fields, whatever the policy: a misspelt limit must not be ignored.
///
/// # Errors
/// Fails when a field remains.
pub(super) fn finish(object: ObjectReader) -> Result<(), InvalidRequest> {
    object.finish(&mut RemarkCollector::new(Policy::Strict))
}
