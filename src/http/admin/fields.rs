//! Decoding of request bodies of the admin API. Unknown fields are always refused, because a
//! misspelt limit would otherwise have no effect.

use super::tables::BUDGET_FIELDS;
use super::tables::CAP;
use super::tables::KEY;
use super::tables::NEW_KEY;
use super::tables::NEW_PROJECT;
use super::tables::PROJECT;
use super::tables::ROTATION;
use super::tables::WEBHOOK;
use super::tables::WHOLE_BUDGET;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::Permission;
use crate::accounts::auth::ProjectChange;
use crate::accounts::auth::RatesChange;
use crate::api::request_schema;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::code;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::unix_now;
use crate::http::values::chosen_id;
use crate::http::values::finish;
use crate::http::values::money;
use crate::http::values::texts;
use crate::http::values::webhook;

/// Maximum length of a key's or project's name, in characters.
const MAX_NAME_CHARACTERS: usize = 100;
/// Maximum number of models in a key's allow-list.
const MAX_MODELS: usize = 100;

/// Decodes the project and properties of a new key.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn new_key(body: &[u8]) -> Result<(String, KeyChange), InvalidRequest> {
    let mut object = request_schema::parse_request(body, &NEW_KEY, "`name`")?;
    let project = object
        .take_text("project_id")?
        .unwrap_or_else(|| DEFAULT_PROJECT.to_owned());
    let change = key(&mut object)?;
    if change.name.is_none() {
        return Err(object.missing_field("name"));
    }
    finish(object)?;
    Ok((project, change))
}

/// Decodes the changes to a key.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn key_change(body: &[u8]) -> Result<KeyChange, InvalidRequest> {
    let mut object = request_schema::parse_request(body, &KEY, "what is to be different")?;
    let change = key(&mut object)?;
    finish(object)?;
    Ok(change)
}

/// Decodes the grace period of the old secret at a rotation, in seconds; 0 for an empty body.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn grace(body: &[u8]) -> Result<u64, InvalidRequest> {
    if body.is_empty() {
        return Ok(0);
    }
    let mut object = request_schema::parse_request(body, &ROTATION, "`grace_seconds`")?;
    let seconds = object.take_integer("grace_seconds")?.unwrap_or(0);
    finish(object)?;
    Ok(seconds.unsigned_abs())
}

/// Decodes the chosen id, if any, and the properties of a new project.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn new_project(body: &[u8]) -> Result<(Option<String>, ProjectChange), InvalidRequest> {
    let mut object = request_schema::parse_request(body, &NEW_PROJECT, "`name` or `id`")?;
    let id = chosen_id(&mut object, "id")?;
    let mut change = project(&mut object)?;
    change.name = change.name.or_else(|| id.clone());
    if change.name.is_none() {
        return Err(object.missing_field("name"));
    }
    finish(object)?;
    Ok((id, change))
}

/// Decodes the changes to a project.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn project_change(body: &[u8]) -> Result<ProjectChange, InvalidRequest> {
    let mut object = request_schema::parse_request(body, &PROJECT, "what is to be different")?;
    let change = project(&mut object)?;
    finish(object)?;
    Ok(change)
}

/// Decodes a body that is a budget.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn whole_budget(body: &[u8]) -> Result<Budget, InvalidRequest> {
    caps(request_schema::parse_request(
        body,
        &WHOLE_BUDGET,
        "`daily` and `monthly`",
    )?)
}

/// Error: the project of a new key does not exist.
pub(super) fn unknown_project() -> InvalidRequest {
    let message = "`project_id`: there is no project with this id. GET /admin/projects lists them.";
    InvalidRequest::at("project_id", code::VALUE, message)
}

/// Error: a webhook test for a project without a webhook.
pub(super) fn no_webhook() -> InvalidRequest {
    let message = "The project has no webhook. Set one with PATCH /admin/projects/{id}: {\"webhook\": {\"url\": \"https://...\"}}.";
    InvalidRequest::at("id", code::VALUE, message)
}

fn key(object: &mut ObjectReader) -> Result<KeyChange, InvalidRequest> {
    Ok(KeyChange {
        name: name(object)?,
        models: change(object, "models", models)?,
        rates: rates(object)?,
        budget: change(object, "budget", budget)?,
        permissions: change(object, "permissions", permissions)?,
        expires_at: change(object, "expires_at", expiry)?,
    })
}

fn project(object: &mut ObjectReader) -> Result<ProjectChange, InvalidRequest> {
    Ok(ProjectChange {
        name: name(object)?,
        rates: rates(object)?,
        budget: change(object, "budget", budget)?,
        webhook: change(object, "webhook", |object| webhook(object, &WEBHOOK))?,
    })
}

/// Reads the change to a field; `null` clears the value.
fn change<T>(
    object: &mut ObjectReader,
    name: &'static str,
    read: impl FnOnce(&mut ObjectReader) -> Result<Option<T>, InvalidRequest>,
) -> Result<FieldChange<T>, InvalidRequest> {
    if object.is_null(name) {
        return Ok(FieldChange::Clear);
    }
    Ok(read(object)?.map_or(FieldChange::Keep, FieldChange::Set))
}

fn name(object: &mut ObjectReader) -> Result<Option<String>, InvalidRequest> {
    let Some(name) = object.take_text("name")? else {
        return Ok(None);
    };
    let is_good = !name.trim().is_empty()
        && name.chars().count() <= MAX_NAME_CHARACTERS
        && !name.chars().any(char::is_control);
    if is_good {
        return Ok(Some(name));
    }
    Err(object.invalid_field(
        "name",
        code::VALUE,
        "expected 1 to 100 characters on one line.",
    ))
}

fn rates(object: &mut ObjectReader) -> Result<RatesChange, InvalidRequest> {
    let mut rate = |name: &'static str| {
        change(object, name, |object| {
            Ok(object
                .take_integer(name)?
                .and_then(|number| u32::try_from(number).ok()))
        })
    };
    Ok(RatesChange {
        requests_per_minute: rate("requests_per_minute")?,
        tokens_per_minute: rate("tokens_per_minute")?,
        concurrent_requests: rate("concurrent_requests")?,
        weight: rate("weight")?,
    })
}

fn models(object: &mut ObjectReader) -> Result<Option<Vec<String>>, InvalidRequest> {
    let Some(names) = texts(object, "models")? else {
        return Ok(None);
    };
    let is_good =
        (1..=MAX_MODELS).contains(&names.len()) && names.iter().all(|name| !name.trim().is_empty());
    if is_good {
        return Ok(Some(names));
    }
    Err(object.invalid_field(
        "models",
        code::VALUE,
        "expected 1 to 100 names. `null` or nothing stands for all models.",
    ))
}

fn permissions(object: &mut ObjectReader) -> Result<Option<Vec<Permission>>, InvalidRequest> {
    let Some(names) = texts(object, "permissions")? else {
        return Ok(None);
    };
    let known = |name: &String| {
        Permission::ALL
            .into_iter()
            .find(|permission| permission.as_str() == name)
    };
    let found: Option<Vec<Permission>> = names.iter().map(known).collect();
    match found {
        Some(mut permissions) if !permissions.is_empty() => {
            permissions.sort_unstable();
            permissions.dedup();
            Ok(Some(permissions))
        }
        _ => {
            let words = "expected one or more of `inference`, `responses`, `usage`, `tasks`, `web_search` and `server_tools`. `null` or nothing stands for all but `tasks`.";
            Err(object.invalid_field("permissions", code::VALUE, words))
        }
    }
}

fn expiry(object: &mut ObjectReader) -> Result<Option<u64>, InvalidRequest> {
    let Some(end) = object.take_integer("expires_at")?.map(i64::unsigned_abs) else {
        return Ok(None);
    };
    if end > unix_now() {
        return Ok(Some(end));
    }
    Err(object.invalid_field(
        "expires_at",
        code::VALUE,
        "lies in the past. To end a key at once, delete it.",
    ))
}

fn budget(object: &mut ObjectReader) -> Result<Option<Budget>, InvalidRequest> {
    let Some(value) = object.take("budget")? else {
        return Ok(None);
    };
    caps(ObjectReader::new(
        value,
        object.place.inner("budget", &BUDGET_FIELDS),
    )?)
    .map(Some)
}

fn caps(mut object: ObjectReader) -> Result<Budget, InvalidRequest> {
    let budget = Budget {
        daily: cap(&mut object, "daily")?,
        monthly: cap(&mut object, "monthly")?,
    };
    finish(object)?;
    Ok(budget)
}

fn cap(object: &mut ObjectReader, name: &'static str) -> Result<Cap, InvalidRequest> {
    let Some(value) = object.take(name)? else {
        return Ok(Cap::default());
    };
    let mut object = ObjectReader::new(value, object.place.inner(name, &CAP))?;
    let tokens = object.take_integer("tokens")?.map(i64::unsigned_abs);
    let money = money(&mut object, "money")?;
    finish(object)?;
    Ok(Cap { tokens, money })
}
