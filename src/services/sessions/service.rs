//! Operations on sessions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Error;
use super::record::Record;
use super::talk::Talk;
use crate::accounts::auth::Keys;
use crate::api::openai::Page;
use crate::api::openai::sessions::CreateRequest;
use crate::api::openai::sessions::Entry;
use crate::api::openai::sessions::Session;
use crate::api::openai::sessions::Totals;
use crate::domain::Caller;
use crate::domain::unix_now;
use crate::storage::store::Busy;
use crate::storage::store::Limits;
use crate::storage::store::Shelf;
use crate::storage::store::Store;
use crate::storage::store::Table;

/// Table of session records.
const TABLE: Table = Table::new("sessions");

/// Limits of sessions. The defaults are those of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Idle time after which a session expires. Default: 86400 s (one day).
    pub idle: Duration,
    /// Maximum number of sessions per key. Default: 1000.
    pub max_sessions: usize,
    /// Maximum total size of all sessions, in bytes. Above it, the longest idle sessions of the
    /// largest owner are evicted. Default: 1073741824 (1 GiB).
    pub max_bytes: u64,
}

/// The session service. Clones share the state.
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<Inner>);

pub(super) struct Inner {
    keys: Arc<Keys>,
    pub(super) shelf: Shelf,
    busy: Busy,
    pub(super) config: Config,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sessions")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Creates the service on the sessions in `store`. Each belongs to the key in `keys` that
    /// created it.
    pub fn new(store: &Store, keys: Arc<Keys>, config: Config) -> Self {
        let limits = Limits {
            time_to_live: config.idle,
            max_records: u64::from(u32::MAX),
            max_bytes: config.max_bytes,
        };
        let shelf = Shelf::new(store.clone(), TABLE, limits);
        Self(Arc::new(Inner {
            keys,
            shelf,
            busy: Busy::default(),
            config,
        }))
    }

    /// Starts a task that removes expired sessions, until `stop` is cancelled.
    pub fn keep_tidy(&self, stop: CancellationToken) {
        self.0.shelf.keep_tidy(stop);
    }

    /// Creates a session.
    ///
    /// # Errors
    /// When the caller has reached the maximum number of sessions.
    pub async fn create(&self, caller: &Caller, request: CreateRequest) -> Result<Session, Error> {
        let Inner { shelf, config, .. } = &*self.0;
        let now = unix_now();
        let session = Session {
            id: format!("sess_{}", Uuid::new_v4().simple()),
            object: "session".to_owned(),
            created_at: now,
            last_active_at: now,
            expires_at: now + config.idle.as_secs(),
            model: request.model,
            instructions: request.instructions,
            metadata: request.metadata,
            project_id: caller.project.clone(),
            message_count: 0,
            usage: Totals::default(),
        };
        let record = Record::new(session);
        let (owner, id, bytes) = (self.owner(caller), &record.session.id, record.to_bytes()?);
        if shelf.add(&owner, id, bytes, config.max_sessions).await? {
            return Ok(record.session);
        }
        Err(Error::TooMany(config.max_sessions))
    }

    /// Returns a page of the caller's sessions, and whether there are more.
    ///
    /// # Errors
    /// When the page begins after an unknown session.
    pub async fn list(&self, caller: &Caller, page: &Page) -> Result<(Vec<Session>, bool), Error> {
        let sessions = Record::sessions(&self.0.shelf, &self.owner(caller)).await?;
        Ok(page.of(sessions, |session| Some(&session.id))?)
    }

    /// Returns the current state of a session.
    ///
    /// # Errors
    /// When the caller has no session with this id.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Session, Error> {
        Record::session(&self.0.shelf, &self.owner(caller), id).await
    }

    /// Returns a page of the session's messages, and whether there are more.
    ///
    /// # Errors
    /// When the caller has no session with this id, or the page begins after an unknown message.
    pub async fn messages(
        &self,
        caller: &Caller,
        id: &str,
        page: &Page,
    ) -> Result<(Vec<Entry>, bool), Error> {
        let entries = Record::load(&self.0.shelf, &self.owner(caller), id)
            .await?
            .entries;
        Ok(page.of(entries, |entry| Some(&entry.id))?)
    }

    /// Deletes a session. An answer that is still being generated is not stored.
    ///
    /// # Errors
    /// When the caller has no session with this id.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        if self.0.shelf.remove(&self.owner(caller), id).await? {
            return Ok(());
        }
        Err(Error::NotFound(id.to_owned()))
    }

    /// Locks a session for one message and its answer.
    ///
    /// # Errors
    /// When the caller has no session with this id, or it is locked.
    pub async fn talk(&self, caller: &Caller, id: &str) -> Result<Talk, Error> {
        let owner = self.owner(caller);
        // Ownership is checked before the lock, so that the existence of other owners' sessions
        // does not leak.
        Record::session(&self.0.shelf, &owner, id).await?;
        let taken = self
            .0
            .busy
            .take(&owner, id)
            .ok_or_else(|| Error::Busy(id.to_owned()))?;
        // Read under the lock: an answer may have been appended in between.
        let mut record = Record::load(&self.0.shelf, &owner, id).await?;
        self.keep(&owner, &mut record).await?;
        Ok(Talk {
            inner: Arc::clone(&self.0),
            owner,
            record,
            taken,
        })
    }

    /// Extends a session whose idle time is half over, so that it does not expire during the turn.
    async fn keep(&self, owner: &str, record: &mut Record) -> Result<(), Error> {
        let (now, idle) = (unix_now(), self.0.config.idle.as_secs());
        if record.session.expires_at.saturating_sub(now) > idle / 2 {
            return Ok(());
        }
        record.session.expires_at = now + idle;
        let id = record.session.id.clone();
        if self
            .0
            .shelf
            .append(owner, &id, record.to_bytes()?, Vec::new())
            .await?
        {
            Ok(())
        } else {
            Err(Error::NotFound(id))
        }
    }

    fn owner(&self, caller: &Caller) -> String {
        self.0.keys.owner(caller)
    }
}
