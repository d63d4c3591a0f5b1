//! Whose request it is.

use std::fmt;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;

use super::AdminError;
use super::AuthError;
use super::InvalidKey;
use super::ReconfigureError;
use super::admin::AdminKey;
use super::configured::Configured;
use super::digest::Digest;
use super::key::Permission;
use super::key::Terms;
use super::key::id_of;
use super::key::prefix_of;
use super::places;
use super::registry::Registry;
use super::ring::Ring;
use super::text::Prefix;
use crate::domain::Caller;
use crate::domain::DEFAULT_PROJECT;
use crate::domain::unix_now;
use crate::storage::store::Error;
use crate::storage::store::Store;

/// Who everybody is to a server without keys.
const LOCAL: &str = "local";
/// How much of a configured key's digest names what it stores, in bytes.
const OWNER_BYTES: usize = 8;

/// The keys that open this server. Their texts are not kept.
#[derive(Clone, Default)]
pub struct Keys {
    /// Shared, so that all clones hear of a change.
    configured: Arc<RwLock<Configured>>,
    ring: Arc<Ring>,
    /// Where it is written when stored keys are used.
    store: Option<Store>,
    admin: Option<AdminKey>,
    is_never_open: bool,
}

/// What a request says of who sends it.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The value of `Authorization: Bearer …`.
    pub authorization: Option<&'a str>,
    /// The value of `x-api-key`.
    pub api_key: Option<&'a str>,
    /// The project it is meant for, by its id or its name.
    pub project: Option<&'a str>,
}

/// Whose key it is.
struct Found {
    name: String,
    project: Arc<str>,
    terms: Arc<Terms>,
}

impl Keys {
    /// The configured keys of a server; an empty list is [`Keys::none`].
    ///
    /// # Errors
    /// When a key is empty, as an unset variable makes it, or cannot stand in a header.
    pub fn new<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Result<Self, InvalidKey> {
        Ok(Self {
            configured: Arc::new(RwLock::new(Configured::new(keys)?)),
            ..Self::default()
        })
    }

    /// Puts other configured keys in the place of those there are, for all clones. Those that stay keep their names, and what they own;
    /// those that go are good for nothing from now on, also on connections that are open. Gives the number of keys that there are.
    ///
    /// # Errors
    /// When a key could never be sent, or nobody would need a key any more: nothing is changed then.
    pub fn reconfigure<K: AsRef<str>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<usize, ReconfigureError> {
        let mut configured = self
            .configured
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let changed = configured.changed(keys)?;
        let count = changed.len();
        // An emptied list must not open a running server to everybody.
        if count == 0 && configured.len() > 0 && !self.ring.has_unrevoked() {
            return Err(ReconfigureError::WouldOpen);
        }
        *configured = changed;
        Ok(count)
    }

    fn configured(&self) -> RwLockReadGuard<'_, Configured> {
        self.configured
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// No keys: everyone who reaches the server is let in as `local`.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same, with the stored keys of `registry`, as they are at each moment.
    #[must_use]
    pub fn with_stored(self, registry: &Registry) -> Self {
        Self {
            ring: Arc::clone(&registry.ring),
            store: Some(registry.store.clone()),
            ..self
        }
    }

    /// The same, with the key of the admin API; without one nobody is let in there.
    #[must_use]
    pub fn with_admin(self, admin: Option<AdminKey>) -> Self {
        Self { admin, ..self }
    }

    /// The same, but nobody is let in without a key even when there is none: the server can be reached from elsewhere.
    #[must_use]
    pub fn never_open(self) -> Self {
        Self {
            is_never_open: true,
            ..self
        }
    }

    /// Whether there is a configured key, or a stored one that is not revoked.
    pub fn exist(&self) -> bool {
        self.configured().len() > 0 || self.ring.has_unrevoked()
    }

    /// Whether everybody who reaches the server is let in, because there are no keys.
    pub fn is_open(&self) -> bool {
        !self.is_never_open && !self.exist()
    }

    /// Who asks, and what their grant is now; one right key is enough.
    ///
    /// # Errors
    /// When the request brings no key that is good for this.
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
            Err(AuthError::Missing | AuthError::Wrong) if self.is_open() => Found::plain(LOCAL),
            found => found?,
        };
        if let Some(permission) = needed.filter(|permission| !found.terms.permit(*permission)) {
            return Err(AuthError::NotPermitted(permission));
        }
        let caller = self.caller(found);
        if credentials
            .project
            .is_some_and(|project| !caller.is_of(project))
        {
            return Err(AuthError::ForeignProject);
        }
        Ok(caller)
    }

    /// The same caller once more, for the next request of a connection that stays: with the grant of this moment.
    ///
    /// # Errors
    /// When its key is no longer good for this.
    pub fn authenticate_again(
        &self,
        caller: &Caller,
        needed: Option<Permission>,
    ) -> Result<Caller, AuthError> {
        let Some(prefix) = prefix_of(&caller.name) else {
            let is_local = caller.name == LOCAL;
            let is_welcome = if is_local {
                self.is_open()
            } else {
                self.configured().is_good(caller)
            };
            if is_welcome {
                return Ok(self.caller(Found::plain(&caller.name)));
            }
            return Err(if is_local {
                AuthError::Missing
            } else {
                AuthError::Wrong
            });
        };
        let entry = self.ring.find(prefix).ok_or(AuthError::Wrong)?;
        entry.check_life(unix_now())?;
        if let Some(permission) = needed.filter(|permission| !entry.terms.permit(*permission)) {
            return Err(AuthError::NotPermitted(permission));
        }
        let (project, terms) = (Arc::clone(&entry.project), Arc::clone(&entry.terms));
        Ok(self.caller(Found {
            name: caller.name.clone(),
            project,
            terms,
        }))
    }

    /// Whether whoever asks may use the admin API.
    ///
    /// # Errors
    /// When the request does not bring its key.
    pub fn authenticate_admin(&self, credentials: &Credentials<'_>) -> Result<(), AdminError> {
        let is_admin = |text| self.admin.as_ref().is_some_and(|admin| admin.is(text));
        if credentials.texts().any(is_admin) {
            return Ok(());
        }
        Err(match self.identify(credentials, unix_now()) {
            Ok(_) => AdminError::Ordinary,
            Err(AuthError::Missing) => AdminError::Missing,
            Err(_) => AdminError::Wrong,
        })
    }

    /// Whose what `caller` stores is: the same as long as its key is, wherever in the list that stands and whatever its
    /// secret has become.
    pub fn owner(&self, caller: &Caller) -> String {
        match self.configured().digest(caller) {
            Some(digest) => digest.hex(OWNER_BYTES),
            None => caller.name.clone(),
        }
    }

    /// Whoever stored what belongs to `owner`, as [`owner`](Self::owner) names it, with the grant of this moment.
    ///
    /// # Errors
    /// When its key is no longer good for this.
    pub fn caller_of(&self, owner: &str, needed: Option<Permission>) -> Result<Caller, AuthError> {
        let name = self
            .configured()
            .name_of(|digest| digest.hex(OWNER_BYTES) == owner);
        if let Some(name) = name {
            return Ok(self.caller(Found::plain(&name)));
        }
        if owner != LOCAL && prefix_of(owner).is_none() {
            return Err(AuthError::Wrong);
        }
        self.authenticate_again(&Caller::named(owner), needed)
    }

    /// The first right key of `credentials`, or what is most to be said of the wrong ones.
    fn identify(&self, credentials: &Credentials<'_>, now: u64) -> Result<Found, AuthError> {
        let mut error = AuthError::Missing;
        for text in credentials.texts() {
            match self.find(text, now) {
                Ok(found) => return Ok(found),
                Err(this) => error = error.max(this),
            }
        }
        Err(error)
    }

    fn find(&self, text: &str, now: u64) -> Result<Found, AuthError> {
        let given = Digest::of(text);
        let name = self.configured().name(&given);
        if let Some(name) = name {
            return Ok(Found::plain(&name));
        }
        let prefix = Prefix::of_key(text).ok_or(AuthError::Wrong)?;
        let entry = self.ring.find(prefix).ok_or(AuthError::Wrong)?;
        entry.check(&given, now)?;
        if entry.is_noted(now) {
            self.note(prefix, now);
        }
        let (project, terms) = (Arc::clone(&entry.project), Arc::clone(&entry.terms));
        Ok(Found {
            name: id_of(prefix),
            project,
            terms,
        })
    }

    /// Has it written that a key is used; nobody waits for it.
    fn note(&self, prefix: Prefix, now: u64) {
        let Some(store) = &self.store else { return };
        let written = store.transaction::<_, Error, _>(move |transaction| {
            transaction.put(places::used(prefix), now.to_be_bytes().to_vec());
            Ok(())
        });
        drop(written);
    }

    fn caller(&self, found: Found) -> Caller {
        let grant = Arc::new(self.ring.grant(&found.terms, &found.project));
        let project_name = self.ring.name_of(&found.project);
        let project = found.project.as_ref().to_owned();
        Caller {
            project,
            project_name,
            grant,
            ..Caller::named(found.name)
        }
    }
}

impl Found {
    /// Somebody of the default project who may do everything.
    fn plain(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            project: DEFAULT_PROJECT.into(),
            terms: Arc::default(),
        }
    }
}

impl<'a> Credentials<'a> {
    /// The keys it brings.
    fn texts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
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
        let count = self.configured().len() + self.ring.count();
        formatter
            .debug_struct("Keys")
            .field("count", &count)
            .finish_non_exhaustive()
    }
}

/// The key of a `Bearer` header. Another scheme is no key: proxies put theirs there.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, key) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
