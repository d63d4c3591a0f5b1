//! Registry of stored keys and projects: creates, changes and revokes them.

mod follower;
mod keys;
mod projects;

use std::collections::HashMap;
use std::sync::Arc;

use super::Error;
use super::admin::AdminKey;
use super::key_index::KeyIndex;
use super::project::Project;
use super::records;
use super::tables;
use super::text::KeyText;
use crate::domain::DEFAULT_PROJECT;
use crate::storage::store::Store;
use crate::storage::store::Transaction;
use crate::storage::store::encode_record;

pub(super) use follower::RegistryFollower;

/// Registry of stored keys and projects. Clones share it.
///
/// Every change is one transaction. [`Keys`](super::Keys) follows when it is on disk, before the
/// caller gets the result. Changes that other servers make in a shared store are followed, too.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(super) store: Store,
    pub(super) index: Arc<KeyIndex>,
    /// Follower of other servers; `None` if the store is not shared.
    pub(super) follower: Option<Arc<RegistryFollower>>,
}

impl Registry {
    /// Opens the registry in `store`. Creates the default project if it is missing, and loads the
    /// index.
    ///
    /// # Errors
    /// Fails when the store fails or a record is unreadable. A skipped key might be a revoked one,
    /// so the start fails instead.
    pub async fn open(store: Store) -> Result<Self, Error> {
        let index: Arc<KeyIndex> = Arc::default();
        // Before the index is loaded: what changes meanwhile is read again.
        let follower = if store.is_shared() {
            let follower = RegistryFollower::open(store.clone(), Arc::clone(&index)).await?;
            Some(Arc::new(follower))
        } else {
            None
        };
        let registry = Self {
            store,
            index,
            follower,
        };
        registry.load_projects().await?;
        registry.load_keys().await?;
        Ok(registry)
    }

    /// Opens a registry in an empty in-memory store.
    ///
    /// # Errors
    /// Fails when no thread can be started.
    #[cfg(test)]
    pub(crate) async fn temporary() -> Result<Self, Error> {
        Self::open(Store::in_memory(tokio_util::task::TaskTracker::new())).await
    }

    /// Reads the key of the admin API, if one was created here.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn admin_key(&self) -> Result<Option<AdminKey>, Error> {
        let record = self.store.get(tables::admin()).await?;
        record
            .map(|record| records::decode(&record, "the admin key"))
            .transpose()
    }

    /// Creates a key of the admin API, which replaces the previous one. Its text is returned only
    /// here.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn create_admin_key(&self) -> Result<(AdminKey, KeyText), Error> {
        let text = KeyText::admin()?;
        let key = AdminKey::of(text.reveal());
        let record = encode_record(&key)?;
        let work = move |transaction: &mut Transaction<'_>| {
            transaction.put(tables::admin(), record.clone());
            Ok::<_, Error>(())
        };
        self.store.transaction(work).await?;
        Ok((key, text))
    }

    async fn load_projects(&self) -> Result<(), Error> {
        let index = Arc::clone(&self.index);
        let work = move |transaction: &mut Transaction<'_>| {
            if transaction
                .get(&tables::project(DEFAULT_PROJECT))?
                .is_none()
            {
                projects::save_project(transaction, &index, &Project::default_project())?;
            }
            Ok::<_, Error>(())
        };
        self.store.transaction(work).await?;
        for (key, record) in self.store.scan(tables::PROJECTS.key("")).await? {
            let id = String::from_utf8_lossy(tables::PROJECTS.key_suffix(&key)).into_owned();
            self.index.put_project(&records::decode(&record, &id)?);
        }
        Ok(())
    }

    async fn load_keys(&self) -> Result<(), Error> {
        let uses = self.store.scan(tables::LAST_USES.key("")).await?;
        let number = |value: &[u8]| value.try_into().map_or(0, u64::from_be_bytes);
        let uses: HashMap<&[u8], u64> = uses
            .iter()
            .map(|(key, value)| (tables::LAST_USES.key_suffix(key), number(value)))
            .collect();
        for (key, record) in self.store.scan(tables::KEYS.key("")).await? {
            let (prefix, stored) = tables::decode_key(&key, &record)?;
            let used_at = uses.get(tables::KEYS.key_suffix(&key)).copied();
            self.index.put(prefix, &stored, used_at.unwrap_or(0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
