//! Authentication of requests.

use std::fmt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::time::Duration;

use super::AdminError;
use super::AuthError;
use super::InvalidKey;
use super::ReconfigureError;
use super::ScraperError;
use super::admin::AdminKey;
use super::configured::ConfiguredKeys;
use super::digest::KeyDigest;
use super::end_users::EndUserConfig;
use super::key::KeyPolicy;
use super::key::Permission;
use super::key::id_of;
use super::key::prefix_of;
use super::key_index::KeyIndex;
use super::registry::Registry;
use super::registry::RegistryFollower;
use super::tables;
use super::text::KeyPrefix;
use crate::domain::Caller;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::Grant;
use crate::domain::NamedEndUsers;
use crate::domain::unix_now;
use crate::storage::store::Error;
use crate::storage::store::Store;

/// Name of every caller of a server without keys.
const LOCAL_CALLER: &str = "local";
/// Number of bytes of a configured key's digest that form its owner id.
const OWNER_BYTES: usize = 8;

/// Keys of this server, for authentication. Clones share them; texts are not kept.
#[derive(Clone, Default)]
pub struct Keys {
    /// Shared, so that a change reaches every clone.
    configured: Arc<RwLock<ConfiguredKeys>>,
    index: Arc<KeyIndex>,
    /// Store for the last use of stored keys.
    store: Option<Store>,
    /// Follower of the changes of other servers; `None` if there are none.
    pub(super) follower: Option<Arc<RegistryFollower>>,
    /// Time for which stored keys are trusted after the store was last reached; `None` for no key at all
    /// while it is away.
    pub(super) key_grace: Option<Duration>,
    admin: Option<AdminKey>,
    /// Key of the metrics, which opens nothing else.
    scraper: Option<AdminKey>,
    requires_key: bool,
    /// Settings of the end users of all keys; `None` for the defaults.
    end_users: Option<Arc<EndUserConfig>>,
    /// Terms of single end users.
    named_end_users: NamedEndUsers,
}

/// Credentials of a request.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// Value of the header `Authorization`, of the form `Bearer …`.
    pub authorization: Option<&'a str>,
    /// Value of the header `x-api-key`.
    pub api_key: Option<&'a str>,
    /// Project that the request is meant for, by id or name; counts for stored keys alone.
    pub project: Option<&'a str>,
}

/// Key that was identified.
struct IdentifiedKey {
    name: String,
    project: Arc<str>,
    policy: Arc<KeyPolicy>,
}

impl Keys {
    /// Creates the configured keys of a server; an empty list is [`Keys::none`].
    ///
    /// # Errors
    /// Fails when a key is empty, as from an unset variable, or cannot be sent in a header.
    pub fn new<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Result<Self, InvalidKey> {
        Ok(Self {
            configured: Arc::new(RwLock::new(ConfiguredKeys::new(keys)?)),
            ..Self::default()
        })
    }

    /// Replaces the configured keys, for all clones. Keys that stay keep their names and what they
    /// own; removed ones are invalid from now on, also on open connections. Returns the new number
    /// of keys.
    ///
    /// # Errors
    /// Fails when a key is invalid, or no key would be left at all. Nothing is changed then.
    pub fn reconfigure<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize, ReconfigureError> {
        let mut configured = self
            .configured
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let changed = configured.with_keys(keys)?;
        let count = changed.len();
        // An emptied list must not open a running server to every client.
        if count == 0 && configured.len() > 0 && !self.index.has_unrevoked() {
            return Err(ReconfigureError::WouldOpen);
        }
        *configured = changed;
        Ok(count)
    }

    pub(super) fn configured(&self) -> RwLockReadGuard<'_, ConfiguredKeys> {
        self.configured
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an empty list: every client that reaches the server is admitted as `local`.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the stored keys of `registry`, which always reflect its current state.
    #[must_use]
    pub fn with_stored(self, registry: &Registry) -> Self {
        Self {
            index: Arc::clone(&registry.index),
            store: Some(registry.store.clone()),
            follower: registry.follower.clone(),
            ..self
        }
    }

    /// Sets the key of the admin API; without one no request is admitted there.
    #[must_use]
    pub fn with_admin(self, admin: Option<AdminKey>) -> Self {
        Self { admin, ..self }
    }

    /// True if there is a key of the admin API.
    pub fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// Returns the names of callers that no stored key stands for: the configured keys or, on a server
    /// without keys, the one of every client.
    pub fn unstored_callers(&self) -> Vec<String> {
        let mut names = self.configured().names();
        if self.is_open() {
            names.push(LOCAL_CALLER.to_owned());
        }
        names
    }

    /// Sets the key for the metrics. Without one no request for them is authenticated.
    #[must_use]
    pub fn with_scraper(self, scraper: Option<AdminKey>) -> Self {
        Self { scraper, ..self }
    }

    /// True if the metrics have a key of their own.
    pub fn has_scraper(&self) -> bool {
        self.scraper.is_some()
    }

    /// Sets who names end users, and the terms on which they are served.
    #[must_use]
    pub fn with_end_users(self, end_users: EndUserConfig) -> Self {
        Self {
            named_end_users: end_users.named_terms(),
            end_users: Some(Arc::new(end_users)),
            ..self
        }
    }

    /// Returns the name of the header that names the end user of a request, in lower case; `None` if
    /// none does.
    pub fn end_user_header(&self) -> Option<&str> {
        self.end_users.as_ref()?.header.as_deref()
    }

    /// Requires a key even if none exists, for a server that is reachable from other machines.
    #[must_use]
    pub fn requiring_key(self) -> Self {
        Self {
            requires_key: true,
            ..self
        }
    }

    /// True if there is a configured key, or a stored one that is not revoked.
    pub fn any_exist(&self) -> bool {
        self.configured().len() > 0 || self.index.has_unrevoked()
    }

    /// True if every client is admitted because there are no keys.
    pub fn is_open(&self) -> bool {
        !self.requires_key && !self.any_exist()
    }

    /// Brings the stored keys up to date with what other servers have changed before this call, if
    /// they share the store.
    ///
    /// Comes before each authentication: who was told of a revocation by one
    /// server does not see the key work at another one.
    ///
    /// # Errors
    /// Fails when the store cannot be read; no key may be trusted then.
    pub async fn refresh(&self) -> Result<(), super::Error> {
        match &self.follower {
            Some(follower) => follower.refresh().await,
            None => Ok(()),
        }
    }

    /// Authenticates a request and returns the caller with its current grant. One valid key
    /// suffices.
    ///
    /// # Errors
    /// Fails when no key of the request is valid and has the permission `needed`.
    pub fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        needed: Option<Permission>,
    ) -> Result<Caller, AuthError> {
        self.authenticate_at(unix_now(), credentials, needed)
    }

    pub(super) fn authenticate_at(
        &self,
        now: u64,
        credentials: &Credentials<'_>,
        needed: Option<Permission>,
    ) -> Result<Caller, AuthError> {
        let found = match self.identify(credentials, now) {
            Err(AuthError::Missing | AuthError::Wrong) if self.is_open() => {
                IdentifiedKey::unrestricted(LOCAL_CALLER)
            }
            found => found?,
        };
        if let Some(permission) = needed.filter(|permission| !found.policy.permits(*permission)) {
            return Err(AuthError::NotPermitted(permission));
        }
        let caller = self.caller(found);
        // SDKs send the header by themselves, so it binds only keys that were made in a project.
        let project = credentials
            .project
            .filter(|_| prefix_of(&caller.name).is_some());
        if project.is_some_and(|project| !caller.is_in_project(project)) {
            return Err(AuthError::ForeignProject);
        }
        Ok(caller)
    }

    /// Authenticates the caller of an open connection again, for its next request: returns it with
    /// its current grant.
    ///
    /// # Errors
    /// Fails when its key is no longer valid, or lacks the permission `needed`.
    pub fn authenticate_again(
        &self,
        caller: &Caller,
        needed: Option<Permission>,
    ) -> Result<Caller, AuthError> {
        let Some(prefix) = prefix_of(&caller.name) else {
            let is_local = caller.name == LOCAL_CALLER;
            let is_allowed = if is_local {
                self.is_open()
            } else {
                self.configured().is_present(caller)
            };
            if is_allowed {
                return Ok(self.caller(IdentifiedKey::unrestricted(&caller.name)));
            }
            return Err(if is_local {
                AuthError::Missing
            } else {
                AuthError::Wrong
            });
        };
        let entry = self.index.find(prefix).ok_or(AuthError::Wrong)?;
        entry.check_validity(unix_now())?;
        if let Some(permission) = needed.filter(|permission| !entry.policy.permits(*permission)) {
            return Err(AuthError::NotPermitted(permission));
        }
        let project = Arc::clone(&entry.project);
        let policy = Arc::clone(&entry.policy);
        Ok(self.caller(IdentifiedKey {
            name: caller.name.clone(),
            project,
            policy,
        }))
    }

    /// Authenticates a request for the metrics. The admin key does not open them: it has no place
    /// in the configuration of a scraper.
    ///
    /// # Errors
    /// Fails when the request does not have the key for the metrics, or none is set.
    pub fn authenticate_scraper(&self, credentials: &Credentials<'_>) -> Result<(), ScraperError> {
        let scraper = self.scraper.as_ref().ok_or(ScraperError::NotConfigured)?;
        if credentials.key_texts().any(|text| scraper.matches(text)) {
            return Ok(());
        }
        Err(match self.authenticate_admin(credentials) {
            Ok(()) | Err(AdminError::Ordinary) => ScraperError::OtherKey,
            Err(AdminError::Missing) => ScraperError::Missing,
            Err(AdminError::Wrong) => ScraperError::Wrong,
        })
    }

    /// Authenticates a request to the admin API.
    ///
    /// # Errors
    /// Fails when the request does not have the admin key.
    pub fn authenticate_admin(&self, credentials: &Credentials<'_>) -> Result<(), AdminError> {
        let is_admin = |text| self.admin.as_ref().is_some_and(|admin| admin.matches(text));
        if credentials.key_texts().any(is_admin) {
            return Ok(());
        }
        Err(match self.identify(credentials, unix_now()) {
            Ok(_) => AdminError::Ordinary,
            Err(AuthError::Missing) => AdminError::Missing,
            Err(_) => AdminError::Wrong,
        })
    }

    /// Stable owner id for data that `caller` stores. Survives reordering of the configuration and
    /// rotation of the key.
    pub fn owner_id(&self, caller: &Caller) -> String {
        match self.configured().digest(caller) {
            Some(digest) => digest.hex_prefix(OWNER_BYTES),
            None => caller.name.clone(),
        }
    }

    /// Returns the caller with the owner id `owner` (see [`owner_id`](Self::owner_id)), with its
    /// current grant.
    ///
    /// # Errors
    /// Fails when its key is no longer valid, or lacks the permission `needed`.
    pub fn caller_of_owner(
        &self,
        owner: &str,
        needed: Option<Permission>,
    ) -> Result<Caller, AuthError> {
        let name = self
            .configured()
            .find_name(|digest| digest.hex_prefix(OWNER_BYTES) == owner);
        if let Some(name) = name {
            return Ok(self.caller(IdentifiedKey::unrestricted(&name)));
        }
        if owner != LOCAL_CALLER && prefix_of(owner).is_none() {
            return Err(AuthError::Wrong);
        }
        self.authenticate_again(&Caller::named(owner), needed)
    }

    /// Returns the first valid key of `credentials`, or else the greatest of their errors.
    fn identify(
        &self,
        credentials: &Credentials<'_>,
        now: u64,
    ) -> Result<IdentifiedKey, AuthError> {
        let mut error = AuthError::Missing;
        for text in credentials.key_texts() {
            match self.find_key(text, now) {
                Ok(found) => return Ok(found),
                Err(this) => error = error.max(this),
            }
        }
        Err(error)
    }

    fn find_key(&self, text: &str, now: u64) -> Result<IdentifiedKey, AuthError> {
        let given = KeyDigest::of(text);
        let name = self.configured().name(&given);
        if let Some(name) = name {
            return Ok(IdentifiedKey::unrestricted(&name));
        }
        let prefix = KeyPrefix::of_key(text).ok_or(AuthError::Wrong)?;
        let entry = self.index.find(prefix).ok_or(AuthError::Wrong)?;
        entry.check_secret(&given, now)?;
        if entry.record_use(now) {
            self.write_last_use(prefix, now);
        }
        let project = Arc::clone(&entry.project);
        let policy = Arc::clone(&entry.policy);
        Ok(IdentifiedKey {
            name: id_of(prefix),
            project,
            policy,
        })
    }

    /// Writes the last use of a key to the store, fire and forget.
    fn write_last_use(&self, prefix: KeyPrefix, now: u64) {
        let Some(store) = &self.store else { return };
        let written = store.transaction::<_, Error, _>(move |transaction| {
            transaction.put(tables::last_use(prefix), now.to_be_bytes().to_vec());
            Ok(())
        });
        // The transaction is queued by the call itself; its result does not matter to the request.
        drop(written);
    }

    fn caller(&self, found: IdentifiedKey) -> Caller {
        let end_users = self.end_users.as_deref();
        let end_users = end_users.map(|config| config.terms(&self.named_end_users));
        let grant = Arc::new(Grant {
            end_users: end_users.unwrap_or_default(),
            ..self.index.grant(&found.policy, &found.project)
        });
        let project_name = self.index.project_name(&found.project);
        let project = found.project.as_ref().to_owned();
        Caller {
            project,
            project_name,
            grant,
            ..Caller::named(found.name)
        }
    }
}

impl IdentifiedKey {
    /// Key of the default project with all permissions by default and no limits.
    fn unrestricted(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            project: DEFAULT_PROJECT.into(),
            policy: Arc::default(),
        }
    }
}

impl<'a> Credentials<'a> {
    /// Keys in the request, without empty ones.
    pub(super) fn key_texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let texts = [
            self.authorization.and_then(bearer),
            self.api_key.map(str::trim),
        ];
        texts.into_iter().flatten().filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.configured().len() + self.index.count();
        formatter
            .debug_struct("Keys")
            .field("count", &count)
            .finish_non_exhaustive()
    }
}

/// Key of a `Bearer` header. Other schemes are ignored: proxies use them for their own credentials.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
