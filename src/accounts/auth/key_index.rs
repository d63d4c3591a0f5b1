//! In-memory index of stored keys and projects, with what authentication needs.
//!
//! A lookup holds the read lock only while it clones an `Arc`.

use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::AuthError;
use super::digest::KeyDigest;
use super::key::KeyPolicy;
use super::key::KeyRecord;
use super::key::Permission;
use super::project::Project;
use super::text::KeyPrefix;
use crate::accounts::webhooks::WebhookEndpoint;
use crate::domain::Budget;
use crate::domain::EndUserTerms;
use crate::domain::Grant;
use crate::domain::Rates;

/// Minimum interval between two writes of the last use of a key, in seconds.
const USE_WRITE_INTERVAL_SECONDS: u64 = 60;

/// Index of all stored keys and projects.
#[derive(Default)]
pub(super) struct KeyIndex(RwLock<KeyIndexInner>);

#[derive(Default)]
struct KeyIndexInner {
    keys: HashMap<KeyPrefix, Arc<IndexedKey>>,
    projects: HashMap<Arc<str>, IndexedProject>,
    /// Webhooks by the id of their project.
    webhooks: HashMap<String, WebhookEndpoint>,
    /// Number of keys that are not revoked.
    unrevoked: usize,
    /// Shared default policy: most keys have no limits of their own, which saves memory.
    default_policy: Arc<KeyPolicy>,
}

/// Project data that every request needs.
#[derive(Debug)]
struct IndexedProject {
    name: Arc<str>,
    rates: Rates,
    budget: Budget,
}

/// Indexed key.
pub(super) struct IndexedKey {
    digest: KeyDigest,
    previous: Option<Box<PreviousSecret>>,
    pub(super) project: Arc<str>,
    pub(super) policy: Arc<KeyPolicy>,
    /// Expiry time in seconds of Unix time; `u64::MAX` for never.
    expires_at: u64,
    is_revoked: bool,
    /// Time of the last use, in seconds of Unix time; 0 for never.
    used_at: AtomicU64,
}

/// Previous secret, from before the last rotation.
struct PreviousSecret {
    digest: KeyDigest,
    until: u64,
}

impl KeyIndex {
    /// Inserts or updates a key. `used_at` counts only for a key that is not in the index yet.
    pub(super) fn put(&self, prefix: KeyPrefix, stored: &KeyRecord, used_at: u64) {
        let mut inner = self.write();
        let old = inner.keys.get(&prefix).cloned();
        let used_at = old
            .as_ref()
            // The index has seen later uses than the store.
            .map_or(used_at, |old| old.used_at.load(Ordering::Relaxed));
        let project = match inner.projects.get_key_value(stored.key.project.as_str()) {
            Some((id, _)) => Arc::clone(id),
            None => stored.key.project.as_str().into(),
        };
        let policy = if stored.key.policy == *inner.default_policy {
            Arc::clone(&inner.default_policy)
        } else {
            Arc::new(stored.key.policy.clone())
        };
        let entry = IndexedKey::new(stored, project, policy, used_at);
        inner.unrevoked -= usize::from(old.is_some_and(|old| !old.is_revoked));
        inner.unrevoked += usize::from(!entry.is_revoked);
        inner.keys.insert(prefix, Arc::new(entry));
    }

    /// Removes a key that the store has lost.
    pub(super) fn remove(&self, prefix: KeyPrefix) {
        let mut inner = self.write();
        let removed = inner.keys.remove(&prefix);
        inner.unrevoked -= usize::from(removed.is_some_and(|key| !key.is_revoked));
    }

    /// Removes all keys and projects that are not among those given.
    pub(super) fn retain(&self, keys: &HashSet<KeyPrefix>, projects: &HashSet<&str>) {
        let mut inner = self.write();
        inner.keys.retain(|prefix, _| keys.contains(prefix));
        inner.unrevoked = inner.keys.values().filter(|key| !key.is_revoked).count();
        inner.projects.retain(|id, _| projects.contains(&**id));
        inner
            .webhooks
            .retain(|id, _| projects.contains(id.as_str()));
    }

    /// Looks up the key with this prefix.
    pub(super) fn find(&self, prefix: KeyPrefix) -> Option<Arc<IndexedKey>> {
        self.read().keys.get(&prefix).cloned()
    }

    /// True if any key is not revoked.
    pub(super) fn has_unrevoked(&self) -> bool {
        self.read().unrevoked > 0
    }

    pub(super) fn count(&self) -> usize {
        self.read().keys.len()
    }

    pub(super) fn put_project(&self, project: &Project) {
        let Project {
            name,
            rates,
            budget,
            ..
        } = project;
        let known = IndexedProject {
            name: name.as_str().into(),
            rates: *rates,
            budget: *budget,
        };
        let mut inner = self.write();
        inner.projects.insert(project.id.as_str().into(), known);
        match &project.webhook {
            Some(webhook) => inner.webhooks.insert(project.id.clone(), webhook.clone()),
            None => inner.webhooks.remove(&project.id),
        };
    }

    pub(super) fn remove_project(&self, id: &str) {
        let mut inner = self.write();
        inner.projects.remove(id);
        inner.webhooks.remove(id);
    }

    /// Returns the oldest keys that are valid at `now` and whose dollars are capped, at most `max`, with
    /// their budgets.
    pub(super) fn capped_keys(&self, now: u64, max: usize) -> Vec<(KeyPrefix, Budget)> {
        let inner = self.read();
        let is_shown =
            |key: &IndexedKey| key.policy.budget.caps_money() && key.check_validity(now).is_ok();
        let mut capped: Vec<_> = inner
            .keys
            .iter()
            .filter(|(_, key)| is_shown(key))
            .map(|(prefix, key)| (*prefix, key.policy.budget))
            .collect();
        drop(inner);
        capped.sort_unstable_by_key(|(prefix, _)| *prefix);
        capped.truncate(max);
        capped
    }

    /// Returns the first projects by id whose dollars are capped, at most `max`, with their budgets.
    pub(super) fn capped_projects(&self, max: usize) -> Vec<(String, Budget)> {
        let inner = self.read();
        let mut capped: Vec<_> = inner
            .projects
            .iter()
            .filter(|(_, project)| project.budget.caps_money())
            .map(|(id, project)| (id.as_ref().to_owned(), project.budget))
            .collect();
        drop(inner);
        capped.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        capped.truncate(max);
        capped
    }

    /// Webhook of a project.
    pub(super) fn webhook(&self, project: &str) -> Option<WebhookEndpoint> {
        self.read().webhooks.get(project).cloned()
    }

    /// Current grant of a key with this policy in `project`, without terms for end users.
    pub(super) fn grant(&self, policy: &KeyPolicy, project: &str) -> Grant {
        let inner = self.read();
        let known = inner.projects.get(project);
        Grant {
            models: policy.models.clone(),
            no_web_search: !policy.permits(Permission::WebSearch),
            no_server_tools: !policy.permits(Permission::ServerTools),
            rates: policy.rates,
            budget: policy.budget,
            project_rates: known.map(|known| known.rates).unwrap_or_default(),
            project_budget: known.map(|known| known.budget).unwrap_or_default(),
            end_users: EndUserTerms::default(),
        }
    }

    /// Display name of `project`; `None` if it is empty or is the id of a project.
    pub(super) fn project_name(&self, project: &str) -> Option<Arc<str>> {
        let inner = self.read();
        let name = &inner.projects.get(project)?.name;
        (!name.is_empty() && !inner.projects.contains_key(name)).then(|| Arc::clone(name))
    }

    // Lock poisoning is ignored: every change ends in one insertion, so a panic leaves none half
    // done.
    fn read(&self) -> RwLockReadGuard<'_, KeyIndexInner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, KeyIndexInner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyIndex")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

impl IndexedKey {
    fn new(stored: &KeyRecord, project: Arc<str>, policy: Arc<KeyPolicy>, used_at: u64) -> Self {
        let previous = stored.previous.clone().zip(stored.key.previous_until);
        Self {
            digest: stored.digest.clone(),
            previous: previous.map(|(digest, until)| Box::new(PreviousSecret { digest, until })),
            project,
            policy,
            expires_at: stored.key.expires_at.unwrap_or(u64::MAX),
            is_revoked: stored.key.revoked_at.is_some(),
            used_at: AtomicU64::new(used_at),
        }
    }

    /// Checks the secret of the key and its validity. A wrong secret always gives
    /// [`AuthError::Wrong`], so it does not reveal that the key is revoked or expired.
    ///
    /// # Errors
    /// Fails when the digest `given` is not that of the key, or the key is no longer valid.
    pub(super) fn check_secret(&self, given: &KeyDigest, now: u64) -> Result<(), AuthError> {
        let is_present = self.digest.matches(given);
        let previous = self
            .previous
            .as_ref()
            .filter(|previous| previous.digest.matches(given));
        match previous {
            _ if is_present => self.check_validity(now),
            Some(previous) => {
                self.check_validity(now)?;
                if now < previous.until {
                    Ok(())
                } else {
                    Err(AuthError::Expired)
                }
            }
            None => Err(AuthError::Wrong),
        }
    }

    /// Checks that the key is neither revoked nor expired, whatever its secret.
    ///
    /// # Errors
    /// Fails when it is revoked or expired.
    pub(super) fn check_validity(&self, now: u64) -> Result<(), AuthError> {
        match () {
            () if self.is_revoked => Err(AuthError::Revoked),
            () if now >= self.expires_at => Err(AuthError::Expired),
            () => Ok(()),
        }
    }

    /// Records a use at `now` if the last one is old enough; returns true if the caller is to write
    /// it to the store.
    pub(super) fn record_use(&self, now: u64) -> bool {
        let last = self.used_at.load(Ordering::Relaxed);
        // One winner: of concurrent uses only one exchange succeeds, so each use is written once.
        let is_due = now >= last.saturating_add(USE_WRITE_INTERVAL_SECONDS);
        is_due
            && self
                .used_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Time of the last use, in seconds of Unix time.
    pub(super) fn used_at(&self) -> Option<u64> {
        Some(self.used_at.load(Ordering::Relaxed)).filter(|used_at| *used_at > 0)
    }
}

#[cfg(test)]
#[path = "key_index_tests.rs"]
mod tests;
