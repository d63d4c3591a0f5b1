//! Values of fields in request bodies of the admin API.

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;

use crate::accounts::auth::FieldChange;
use crate::accounts::auth::Permission;
use crate::api::request_schema::typed;
use crate::api::request_schema::typed::BoundedInteger;
use crate::domain::unix_now;

/// Maximum length of a key's or project's name, in characters.
const MAX_NAME_CHARACTERS: usize = 100;
/// Maximum number of models in a key's allow-list.
const MAX_MODELS: usize = 100;
/// End of the year 9999 in Unix seconds; rejects timestamps in milliseconds.
pub(super) const MAX_TIMESTAMP: i64 = 253_402_300_799;

/// Reads the change of a field: `null` clears the value.
pub(super) fn change<'de, D, F, T>(deserializer: D) -> Result<FieldChange<T>, D::Error>
where
    D: Deserializer<'de>,
    F: Deserialize<'de> + Into<T>,
{
    let value = Option::<F>::deserialize(deserializer)?;
    Ok(value.map_or(FieldChange::Clear, |value| FieldChange::Set(value.into())))
}

/// Reads the name of a key or a project.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let is_good = |name: &String| {
        !name.trim().is_empty()
            && name.chars().count() <= MAX_NAME_CHARACTERS
            && !name.chars().any(char::is_control)
    };
    let name = Option::<String>::deserialize(deserializer)?;
    if name.as_ref().is_none_or(is_good) {
        return Ok(name);
    }
    Err(D::Error::custom(
        "expected 1 to 100 characters on one line.",
    ))
}

/// Names of the models that a key may use.
pub(super) struct Models(Vec<String>);

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = typed::texts(deserializer)?.unwrap_or_default();
        let is_good = (1..=MAX_MODELS).contains(&names.len())
            && names.iter().all(|name| !name.trim().is_empty());
        is_good.then_some(Self(names)).ok_or_else(|| {
            D::Error::custom("expected 1 to 100 names. `null` or no value means all models.")
        })
    }
}

impl From<Models> for Vec<String> {
    fn from(models: Models) -> Self {
        models.0
    }
}

/// Permissions of a key, sorted.
pub(super) struct Permissions(Vec<Permission>);

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = typed::texts(deserializer)?.unwrap_or_default();
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
                Ok(Self(permissions))
            }
            _ => Err(D::Error::custom(
                "expected one or more of `inference`, `responses`, `usage`, `tasks`, `web_search` and `server_tools`. `null` or no value means all but `tasks`.",
            )),
        }
    }
}

impl From<Permissions> for Vec<Permission> {
    fn from(permissions: Permissions) -> Self {
        permissions.0
    }
}

/// Time at which a key expires, in seconds of Unix time.
pub(super) struct Expiry(u64);

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let end = BoundedInteger::<0, MAX_TIMESTAMP>::deserialize(deserializer)?.get();
        (end > unix_now())
            .then_some(Self(end))
            .ok_or_else(|| D::Error::custom("lies in the past. To end a key at once, delete it."))
    }
}

impl From<Expiry> for u64 {
    fn from(expiry: Expiry) -> Self {
        expiry.0
    }
}
