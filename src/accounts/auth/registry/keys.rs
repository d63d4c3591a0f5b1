//! Operations on stored keys.

use std::sync::Arc;

use super::Registry;
use super::follower::to_store_error;
use crate::accounts::auth::Error;
use crate::accounts::auth::change::KeyChange;
use crate::accounts::auth::digest::KeyDigest;
use crate::accounts::auth::key::ApiKey;
use crate::accounts::auth::key::KeyPolicy;
use crate::accounts::auth::key::KeyRecord;
use crate::accounts::auth::key::id_of;
use crate::accounts::auth::key::prefix_of;
use crate::accounts::auth::key_index::KeyIndex;
use crate::accounts::auth::tables;
use crate::accounts::auth::tables::RegistryPage;
use crate::accounts::auth::text::KeyPrefix;
use crate::accounts::auth::text::KeyText;
use crate::domain::Budget;
use crate::domain::unix_now;
use crate::storage::store::Transaction;

impl Registry {
    /// Creates a key of `project` with the fields of `change`. Its text is returned only here.
    ///
    /// # Errors
    /// Fails when there is no such project, or the store fails.
    pub async fn create_key(
        &self,
        project: String,
        change: KeyChange,
    ) -> Result<(ApiKey, KeyText), Error> {
        let index = Arc::clone(&self.index);
        let work = move |transaction: &mut Transaction<'_>| {
            tables::get_project(transaction, &project)?;
            let mut prefix = KeyPrefix::new()?;
            while transaction.get(&tables::key(prefix))?.is_some() {
                prefix = KeyPrefix::new()?;
            }
            let text = KeyText::new(prefix)?;
            let mut key = new_key(prefix, project.clone());
            change.clone().apply(&mut key);
            let stored = KeyRecord {
                key,
                digest: KeyDigest::of(text.reveal()),
                previous: None,
            };
            save_key(transaction, &index, prefix, &stored)?;
            Ok::<_, Error>((stored.key, text))
        };
        let (key, text) = self.store.transaction(work).await?;
        tracing::info!(key.id = key.id(), project.id = key.project, "key created");
        Ok((key, text))
    }

    /// Returns the key with this id.
    ///
    /// # Errors
    /// Fails when no key has this id, or the store fails.
    pub async fn key(&self, id: &str) -> Result<ApiKey, Error> {
        let prefix = parse_key_id(id)?;
        let stored = self
            .store
            .transaction(move |transaction| tables::get_key(transaction, prefix))
            .await?;
        Ok(self.with_last_use(stored.key))
    }

    /// Lists keys in the order of creation, revoked ones included, and whether there are more.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub async fn keys(&self, page: RegistryPage) -> Result<(Vec<ApiKey>, bool), Error> {
        let after = page
            .after
            .as_deref()
            .map(parse_key_id)
            .transpose()?
            .map(|prefix| prefix.to_string());
        let work = move |transaction: &mut Transaction<'_>| {
            tables::read_page::<KeyRecord>(transaction, tables::KEYS, after.as_deref(), page.limit)
        };
        let (keys, has_more) = self.store.transaction(work).await?;
        Ok((
            keys.into_iter()
                .map(|stored| self.with_last_use(stored.key))
                .collect(),
            has_more,
        ))
    }

    /// Returns the ids and budgets of the oldest valid keys whose dollars are capped, at most `max`.
    /// Read from memory.
    pub fn capped_keys(&self, max: usize) -> Vec<(String, Budget)> {
        let capped = self.index.capped_keys(unix_now(), max).into_iter();
        capped
            .map(|(prefix, budget)| (id_of(prefix), budget))
            .collect()
    }

    /// Changes a key that is not revoked.
    ///
    /// # Errors
    /// Fails when no key has this id, or it is revoked.
    pub async fn change_key(&self, id: &str, change: KeyChange) -> Result<ApiKey, Error> {
        let key = self.edit_key(id, move |stored| {
            change.clone().apply(&mut stored.key);
            Ok(())
        });
        let (key, ()) = key.await?;
        tracing::info!(key.id = key.id(), "key changed");
        Ok(key)
    }

    /// Rotates the secret of a key. The old secret stays valid for `grace_seconds`.
    ///
    /// # Errors
    /// Fails when no key has this id, or it is revoked.
    pub async fn rotate_key(
        &self,
        id: &str,
        grace_seconds: u64,
    ) -> Result<(ApiKey, KeyText), Error> {
        let prefix = parse_key_id(id)?;
        let rotated = self.edit_key(id, move |stored| {
            let text = KeyText::new(prefix)?;
            let now = unix_now();
            let old = std::mem::replace(&mut stored.digest, KeyDigest::of(text.reveal()));
            // Kept even without a grace period, so that its holder gets "expired" instead of
            // "unknown".
            stored.previous = Some(old);
            stored.key.previous_until = Some(now.saturating_add(grace_seconds));
            stored.key.rotated_at = Some(now);
            Ok(text)
        });
        let (key, text) = rotated.await?;
        tracing::info!(key.id = key.id(), grace_seconds, "key rotated");
        Ok((key, text))
    }

    /// Revokes a key permanently. Idempotent: a revoked key stays as it is.
    ///
    /// # Errors
    /// Fails when no key has this id.
    pub async fn revoke_key(&self, id: &str) -> Result<ApiKey, Error> {
        let revoked = self.edit_key(id, |stored| {
            stored.key.revoked_at = Some(unix_now());
            Ok(())
        });
        match revoked.await {
            Ok((key, ())) => {
                tracing::info!(key.id = key.id(), "key revoked");
                Ok(key)
            }
            Err(Error::Revoked(_)) => self.key(id).await,
            Err(error) => Err(error),
        }
    }

    /// Changes a key that is not revoked, in one transaction.
    async fn edit_key<T: Send + 'static>(
        &self,
        id: &str,
        work: impl Fn(&mut KeyRecord) -> Result<T, Error> + Send + 'static,
    ) -> Result<(ApiKey, T), Error> {
        let prefix = parse_key_id(id)?;
        let index = Arc::clone(&self.index);
        let work = move |transaction: &mut Transaction<'_>| {
            let mut stored = tables::get_key(transaction, prefix)?;
            if stored.key.revoked_at.is_some() {
                // A revocation that was reported as failed may be on disk nevertheless, and one of
                // this group is not on disk yet: the index follows once it is.
                let index = Arc::clone(&index);
                transaction.after_write(move |is_made| {
                    if is_made {
                        index.put(prefix, &stored, 0);
                    }
                });
                return Ok::<_, Error>(None);
            }
            let result = work(&mut stored)?;
            save_key(transaction, &index, prefix, &stored)?;
            if let Some(revoked_at) = stored.key.revoked_at {
                remember_revocation(transaction, &index, prefix, revoked_at);
            }
            Ok(Some((stored.key, result)))
        };
        let edited: Option<(ApiKey, T)> = self.store.transaction(work).await?;
        let (key, result) = edited.ok_or_else(|| Error::Revoked(id_of(prefix)))?;
        Ok((self.with_last_use(key), result))
    }

    fn with_last_use(&self, mut key: ApiKey) -> ApiKey {
        let prefix = key.prefix.parse().ok();
        key.last_used_at = prefix.and_then(|prefix| self.index.find(prefix)?.used_at());
        key
    }
}

/// Parses the prefix out of the id of a key.
fn parse_key_id(id: &str) -> Result<KeyPrefix, Error> {
    prefix_of(id).ok_or_else(|| Error::UnknownKey(id.to_owned()))
}

fn new_key(prefix: KeyPrefix, project: String) -> ApiKey {
    ApiKey {
        prefix: prefix.to_string(),
        name: String::new(),
        project,
        policy: KeyPolicy::default(),
        created_at: unix_now(),
        expires_at: None,
        revoked_at: None,
        rotated_at: None,
        previous_until: None,
        last_used_at: None,
    }
}

/// Writes a key, and updates the index once it is on disk.
///
/// # Errors
/// Fails when the record cannot be encoded, or the store cannot be read.
fn save_key(
    transaction: &mut Transaction<'_>,
    index: &Arc<KeyIndex>,
    prefix: KeyPrefix,
    stored: &KeyRecord,
) -> Result<(), Error> {
    tables::put_key(transaction, prefix, stored)?;
    let index = Arc::clone(index);
    let stored = stored.clone();
    transaction.after_write(move |is_made| {
        if is_made {
            index.put(prefix, &stored, 0);
        }
    });
    Ok(())
}

/// Remembers that a key is revoked, so that a shared store that loses commits does not bring it back.
fn remember_revocation(
    transaction: &mut Transaction<'_>,
    index: &Arc<KeyIndex>,
    prefix: KeyPrefix,
    revoked_at: u64,
) {
    let index = Arc::clone(index);
    transaction.remember(tables::key(prefix), move |transaction| {
        revoke_again(transaction, &index, prefix, revoked_at).map_err(to_store_error)
    });
}

/// Revokes the key with this prefix. Returns false if it is revoked, or there is none.
fn revoke_again(
    transaction: &mut Transaction<'_>,
    index: &Arc<KeyIndex>,
    prefix: KeyPrefix,
    revoked_at: u64,
) -> Result<bool, Error> {
    let mut stored = match tables::get_key(transaction, prefix) {
        Err(Error::UnknownKey(_)) => return Ok(false),
        stored => stored?,
    };
    if stored.key.revoked_at.is_some() {
        return Ok(false);
    }
    stored.key.revoked_at = Some(revoked_at);
    save_key(transaction, index, prefix, &stored)?;
    Ok(true)
}
