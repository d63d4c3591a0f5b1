//! Values that bodies of several paths of this server's own have.

use serde_json::Value;

use crate::accounts::auth::NewWebhook;
use crate::accounts::webhooks::InvalidAddress;
use crate::accounts::webhooks::InvalidSecret;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Table;
use crate::api::request_schema::code;
use crate::domain::Money;
use crate::domain::is_chosen_id;

/// An array of strings.
///
/// # Errors
/// When it is something else.
pub(super) fn texts(
    object: &mut Object,
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
        None => Err(object.refuse(name, code::TYPE, "expected an array of strings.")),
    }
}

/// An id of the client's choice, which can stand in a path as it is.
///
/// # Errors
/// When it is something else.
pub(super) fn chosen_id(
    object: &mut Object,
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
    Err(object.refuse(name, code::VALUE, words))
}

/// An amount of US dollars: a text, or a number.
///
/// # Errors
/// When it is something else.
pub(super) fn money(
    object: &mut Object,
    name: &'static str,
) -> Result<Option<Money>, InvalidRequest> {
    let Some(value) = object.take(name)? else {
        return Ok(None);
    };
    let amount = match &value {
        Value::String(text) => Money::from_decimal(text),
        // As it is written, so that 0.1 is 0.1; else to the next nano-dollar.
        number => Money::from_decimal(&number.to_string())
            .or_else(|| Money::from_dollars(number.as_f64()?)),
    };
    match amount {
        Some(amount) => Ok(Some(amount)),
        None => Err(object.refuse(
            name,
            code::VALUE,
            "expected an amount of US dollars, such as \"12.50\".",
        )),
    }
}

/// Where events are to go, by the fields of `table`.
///
/// # Errors
/// When it is something else.
pub(super) fn webhook(
    object: &mut Object,
    table: &'static Table,
) -> Result<Option<NewWebhook>, InvalidRequest> {
    let Some(value) = object.take("webhook")? else {
        return Ok(None);
    };
    let mut object = Object::new(value, object.place.inner("webhook", table))?;
    let (url, secret) = (object.take_text("url")?, object.take_text("secret")?);
    let url = url.ok_or_else(|| object.missing("url"))?.parse();
    let url = url
        .map_err(|error: InvalidAddress| object.refuse("url", code::VALUE, &format!("{error}.")))?;
    let secret = secret.map(|secret| secret.parse()).transpose();
    let secret = secret.map_err(|error: InvalidSecret| {
        object.refuse("secret", code::VALUE, &format!("{error}."))
    })?;
    finish(object)?;
    Ok(Some(NewWebhook { url, secret }))
}

/// Refuses what is left, whatever the settings say: a bound that is misspelt would be none.
///
/// # Errors
/// When there is anything.
pub(super) fn finish(object: Object) -> Result<(), InvalidRequest> {
    object.finish(&mut Ignored::new(Policy::Strict))
}
