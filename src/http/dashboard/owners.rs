//! Names of keys, by the ids under which data is stored and charged.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::json;

use crate::accounts::auth::ApiKey;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Project;
use crate::accounts::auth::Registry;
use crate::accounts::auth::RegistryPage;
use crate::http::error::ApiError;

/// Maximum number of keys, and of projects, whose names are read.
pub(super) const MAX_OWNERS: usize = 1000;

/// Stored keys by their ids.
#[derive(Debug)]
pub(super) struct OwnerNames(HashMap<String, ApiKey>);

impl OwnerNames {
    /// Reads the names of the stored keys.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn read(registry: &Registry) -> Result<Self, ApiError> {
        let (keys, _) = read_keys(registry).await?;
        let by_id = keys.into_iter().map(|key| (key.id(), key));
        Ok(Self(by_id.collect()))
    }

    /// Returns the key with this id.
    pub(super) fn key(&self, id: &str) -> Option<&ApiKey> {
        self.0.get(id)
    }

    /// Renders an owner: the id of its key, and its name if it is stored. Configured keys are owners
    /// under another id than they are callers.
    pub(super) fn render(&self, keys: &Keys, owner: &str) -> Value {
        if let Some(key) = self.key(owner) {
            return json!({"id": owner, "name": key.name});
        }
        let caller = keys.caller_of_owner(owner, None);
        let id = caller.map_or_else(|_| owner.to_owned(), |caller| caller.name);
        json!({"id": id, "name": null})
    }
}

/// Reads the first stored keys, and whether there are more.
///
/// # Errors
/// Fails when the store fails.
pub(super) async fn read_keys(registry: &Registry) -> Result<(Vec<ApiKey>, bool), ApiError> {
    Ok(registry.keys(whole_page()).await?)
}

/// Reads the first projects, and whether there are more.
///
/// # Errors
/// Fails when the store fails.
pub(super) async fn read_projects(registry: &Registry) -> Result<(Vec<Project>, bool), ApiError> {
    Ok(registry.projects(whole_page()).await?)
}

fn whole_page() -> RegistryPage {
    RegistryPage {
        limit: MAX_OWNERS,
        after: None,
    }
}
