//! Decoding of request bodies of the admin API.

use serde::Deserialize;

use super::field_values::Expiry;
use super::field_values::Models;
use super::field_values::Permissions;
use super::field_values::change;
use super::field_values::name;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::NewWebhook;
use crate::accounts::auth::Permission;
use crate::accounts::auth::ProjectChange;
use crate::accounts::auth::RatesChange;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::typed;
use crate::api::request_schema::typed::BoundedInteger;
use crate::api::request_schema::typed::Object;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::Money;
use crate::http::values::WebhookFields;
use crate::http::values::chosen_id;
use crate::http::values::money;

/// Maximum grace period at a rotation, 90 days in seconds.
pub(super) const MAX_GRACE_SECONDS: i64 = 90 * 24 * 60 * 60;

type Rate = BoundedInteger<1, { u32::MAX as i64 }>;
type Weight = BoundedInteger<1, 100>;

/// Fields of `POST /admin/keys` and `PATCH /admin/keys/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFields {
    #[serde(default, deserialize_with = "name")]
    name: Option<String>,
    project_id: Option<String>,
    #[serde(default, deserialize_with = "change::<_, Models, _>")]
    models: FieldChange<Vec<String>>,
    #[serde(default, deserialize_with = "change::<_, Rate, _>")]
    requests_per_minute: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, Rate, _>")]
    tokens_per_minute: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, Rate, _>")]
    concurrent_requests: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, Weight, _>")]
    weight: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, BudgetObject, _>")]
    budget: FieldChange<Budget>,
    #[serde(default, deserialize_with = "change::<_, Permissions, _>")]
    permissions: FieldChange<Vec<Permission>>,
    #[serde(default, deserialize_with = "change::<_, Expiry, _>")]
    expires_at: FieldChange<u64>,
}

/// Fields of `POST /admin/keys/{id}/rotate`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RotationFields {
    grace_seconds: Option<BoundedInteger<0, MAX_GRACE_SECONDS>>,
}

/// Fields of `POST /admin/projects` and `PATCH /admin/projects/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectFields {
    #[serde(default, deserialize_with = "chosen_id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "name")]
    name: Option<String>,
    #[serde(default, deserialize_with = "change::<_, Rate, _>")]
    requests_per_minute: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, Rate, _>")]
    tokens_per_minute: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, Rate, _>")]
    concurrent_requests: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, Weight, _>")]
    weight: FieldChange<u32>,
    #[serde(default, deserialize_with = "change::<_, BudgetObject, _>")]
    budget: FieldChange<Budget>,
    #[serde(default, deserialize_with = "change::<_, Object<WebhookFields>, _>")]
    webhook: FieldChange<NewWebhook>,
}

/// Object with the fields of a budget.
#[derive(Deserialize)]
#[serde(transparent)]
struct BudgetObject(Object<BudgetFields>);

/// Fields of a budget.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetFields {
    daily: Option<Object<CapFields>>,
    monthly: Option<Object<CapFields>>,
}

/// Fields of the budget of a day or a month.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CapFields {
    tokens: Option<BoundedInteger<0, { i64::MAX }>>,
    #[serde(default, deserialize_with = "money")]
    money: Option<Money>,
}

/// Decodes the project and properties of a new key.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn new_key(body: &[u8]) -> Result<(String, KeyChange), InvalidRequest> {
    let mut fields: KeyFields = typed::parse_typed(body, "`name`")?;
    let project = fields.project_id.take();
    let change = KeyChange::from(fields);
    if change.name.is_none() {
        return Err(typed::missing("name"));
    }
    Ok((
        project.unwrap_or_else(|| DEFAULT_PROJECT.to_owned()),
        change,
    ))
}

/// Decodes the changes to a key.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn key_change(body: &[u8]) -> Result<KeyChange, InvalidRequest> {
    let fields: KeyFields = typed::parse_typed(body, "what is to be different")?;
    if fields.project_id.is_some() {
        return Err(unchangeable("project_id", "A key stays in its project."));
    }
    Ok(fields.into())
}

/// Decodes the grace period of the old secret at a rotation, in seconds; 0 for an empty body.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn grace(body: &[u8]) -> Result<u64, InvalidRequest> {
    if body.is_empty() {
        return Ok(0);
    }
    let fields: RotationFields = typed::parse_typed(body, "`grace_seconds`")?;
    Ok(fields.grace_seconds.map_or(0, BoundedInteger::get))
}

/// Decodes the chosen id, if any, and the properties of a new project.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn new_project(body: &[u8]) -> Result<(Option<String>, ProjectChange), InvalidRequest> {
    let mut fields: ProjectFields = typed::parse_typed(body, "`name` or `id`")?;
    let id = fields.id.take();
    let mut change = ProjectChange::from(fields);
    change.name = change.name.or_else(|| id.clone());
    if change.name.is_none() {
        return Err(typed::missing("name"));
    }
    Ok((id, change))
}

/// Decodes the changes to a project.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn project_change(body: &[u8]) -> Result<ProjectChange, InvalidRequest> {
    let fields: ProjectFields = typed::parse_typed(body, "what is to be different")?;
    if fields.id.is_some() {
        return Err(unchangeable("id", "The id of a project never changes."));
    }
    Ok(fields.into())
}

/// Decodes a body that is a budget.
///
/// # Errors
/// Fails when the body is not valid.
pub(super) fn whole_budget(body: &[u8]) -> Result<Budget, InvalidRequest> {
    let fields: BudgetObject = typed::parse_typed(body, "`daily` and `monthly`")?;
    Ok(fields.into())
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

fn unchangeable(name: &str, why: &str) -> InvalidRequest {
    let message = format!("`{name}`: {why} Remove it.");
    InvalidRequest::at(name, code::UNSUPPORTED, message)
}

impl From<KeyFields> for KeyChange {
    fn from(fields: KeyFields) -> Self {
        Self {
            name: fields.name,
            models: fields.models,
            rates: RatesChange {
                requests_per_minute: fields.requests_per_minute,
                tokens_per_minute: fields.tokens_per_minute,
                concurrent_requests: fields.concurrent_requests,
                weight: fields.weight,
            },
            budget: fields.budget,
            permissions: fields.permissions,
            expires_at: fields.expires_at,
        }
    }
}

impl From<ProjectFields> for ProjectChange {
    fn from(fields: ProjectFields) -> Self {
        Self {
            name: fields.name,
            rates: RatesChange {
                requests_per_minute: fields.requests_per_minute,
                tokens_per_minute: fields.tokens_per_minute,
                concurrent_requests: fields.concurrent_requests,
                weight: fields.weight,
            },
            budget: fields.budget,
            webhook: fields.webhook,
        }
    }
}

impl From<BudgetObject> for Budget {
    fn from(BudgetObject(Object(fields)): BudgetObject) -> Self {
        Self {
            daily: fields.daily.map(to_cap).unwrap_or_default(),
            monthly: fields.monthly.map(to_cap).unwrap_or_default(),
        }
    }
}

fn to_cap(Object(fields): Object<CapFields>) -> Cap {
    Cap {
        tokens: fields.tokens.map(BoundedInteger::get),
        money: fields.money,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::admin::tables;
    use crate::http::schema_document::check_own;
    use crate::http::schema_document::check_struct;

    #[test]
    fn document_lists_admin_fields() {
        check_struct::<KeyFields>(&tables::KEY);
        check_struct::<BudgetFields>(&tables::BUDGET);
        check_struct::<CapFields>(&tables::CAP);
        check_struct::<ProjectFields>(&tables::PROJECT);
        check_struct::<WebhookFields>(&tables::WEBHOOK);
        check_struct::<RotationFields>(&tables::ROTATION);
        let of_keys = [&tables::KEY, &tables::BUDGET, &tables::CAP];
        check_own("admin key fields", &of_keys);
        let of_projects = [&tables::PROJECT, &tables::WEBHOOK];
        check_own("admin project fields", &of_projects);
        check_own("admin rotation fields", &[&tables::ROTATION]);
    }
}
