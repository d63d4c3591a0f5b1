//! Operations on sessions.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Error;
use super::record::SessionRecord;
use super::session_turn::SessionTurn;
use crate::accounts::auth::Keys;
use crate::accounts::ledger::LockKind;
use crate::accounts::ledger::SharedLocks;
use crate::api::openai::PageRequest;
use crate::api::openai::sessions::ChatSession;
use crate::api::openai::sessions::CreateSessionRequest;
use crate::api::openai::sessions::SessionEntry;
use crate::api::openai::sessions::SessionUsage;
use crate::domain::Caller;
use crate::domain::unix_now;
use crate::runtime::run_registry::RunRegistry;
use crate::runtime::setting;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;

/// Table of session records.
const TABLE: StoreTable = StoreTable::new("sessions");

/// Limits of sessions. The defaults are those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Idle time after which a session expires. Default: 86400 s (one day).
    #[serde(rename = "idle_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub idle: Duration,
    /// Maximum number of sessions per key. Default: 1000.
    #[serde(deserialize_with = "setting::number::<1, { u32::MAX as u64 }, _, _>")]
    pub max_sessions: usize,
    /// Maximum total size of all sessions, in bytes. Above it, the longest idle sessions of the
    /// largest owner are evicted. Default: 1073741824 (1 GiB).
    #[serde(deserialize_with = "setting::number::<{ 1 << 20 }, { u32::MAX as u64 }, _, _>")]
    pub max_bytes: u64,
}

/// The session service. Clones share the state.
#[derive(Clone)]
pub struct Sessions(pub(super) Arc<SessionsInner>);

pub(super) struct SessionsInner {
    keys: Arc<Keys>,
    pub(super) table: TtlTable,
    /// Registry of the sessions whose message is being answered.
    turns: RunRegistry,
    /// Locks of the same over all servers.
    locks: SharedLocks,
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
        Self::with_locks(store, keys, config, SharedLocks::default())
    }

    /// Creates the service as [`new`](Self::new) does, for several servers that share `store`: each locks
    /// a session in `locks`, too.
    pub fn with_locks(store: &Store, keys: Arc<Keys>, config: Config, locks: SharedLocks) -> Self {
        let limits = TtlLimits {
            time_to_live: config.idle,
            max_records: u64::from(u32::MAX),
            max_bytes: config.max_bytes,
        };
        let table = TtlTable::new(store.clone(), TABLE, limits);
        Self(Arc::new(SessionsInner {
            keys,
            table,
            turns: RunRegistry::default(),
            locks,
            config,
        }))
    }

    /// Starts a task that removes expired sessions, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, stop: CancellationToken) {
        self.0.table.spawn_cleanup(stop);
    }

    /// Creates a session.
    ///
    /// # Errors
    /// Fails when the caller has reached the maximum number of sessions.
    pub async fn create(
        &self,
        caller: &Caller,
        request: CreateSessionRequest,
    ) -> Result<ChatSession, Error> {
        let SessionsInner { table, config, .. } = &*self.0;
        let now = unix_now();
        let session = ChatSession {
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
            usage: SessionUsage::default(),
        };
        let record = SessionRecord::new(session);
        let owner = self.owner(caller);
        let id = &record.session.id;
        let bytes = record.to_bytes()?;
        if table
            .insert_within_quota(&owner, id, bytes, config.max_sessions)
            .await?
        {
            return Ok(record.session);
        }
        Err(Error::TooMany(config.max_sessions))
    }

    /// Returns a page of the caller's sessions, and whether there are more.
    ///
    /// # Errors
    /// Fails when the page begins after an unknown session.
    pub async fn list(
        &self,
        caller: &Caller,
        page: &PageRequest,
    ) -> Result<(Vec<ChatSession>, bool), Error> {
        let sessions = SessionRecord::load_sessions(&self.0.table, &self.owner(caller)).await?;
        Ok(page.select(sessions, |session| Some(&session.id))?)
    }

    /// Returns the current state of a session.
    ///
    /// # Errors
    /// Fails when the caller has no session with this id.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<ChatSession, Error> {
        SessionRecord::load_session(&self.0.table, &self.owner(caller), id).await
    }

    /// Returns a page of the session's messages, and whether there are more.
    ///
    /// # Errors
    /// Fails when the caller has no session with this id, or the page begins after an unknown
    /// message.
    pub async fn messages(
        &self,
        caller: &Caller,
        id: &str,
        page: &PageRequest,
    ) -> Result<(Vec<SessionEntry>, bool), Error> {
        let entries = SessionRecord::load(&self.0.table, &self.owner(caller), id)
            .await?
            .entries;
        Ok(page.select(entries, |entry| Some(&entry.id))?)
    }

    /// Deletes a session. An answer that is still being generated is not stored.
    ///
    /// # Errors
    /// Fails when the caller has no session with this id.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        if self.0.table.remove(&self.owner(caller), id).await? {
            return Ok(());
        }
        Err(Error::NotFound(id.to_owned()))
    }

    /// Locks a session for one message and its answer.
    ///
    /// # Errors
    /// Fails when the caller has no session with this id, or it is locked.
    pub async fn begin_turn(&self, caller: &Caller, id: &str) -> Result<SessionTurn, Error> {
        let owner = self.owner(caller);
        // Ownership is checked before the lock, so that the existence of other owners' sessions
        // does not leak.
        SessionRecord::load_session(&self.0.table, &owner, id).await?;
        // Registered as a lock alone: a turn of a session ends with its client's connection, so it
        // has no state to follow, and nothing cancels, waits for or recovers it.
        let lock = self
            .0
            .turns
            .try_register(&owner, id, ())
            .ok_or_else(|| Error::Busy(id.to_owned()))?;
        let shared = self
            .0
            .locks
            .try_take(LockKind::Session, &owner, id)
            .await?
            .ok_or_else(|| Error::Busy(id.to_owned()))?;
        // Read under the lock: an answer may have been appended in between.
        let mut record = SessionRecord::load(&self.0.table, &owner, id).await?;
        self.extend_for_turn(&owner, &mut record).await?;
        Ok(SessionTurn {
            inner: Arc::clone(&self.0),
            owner,
            record,
            shared,
            lock,
        })
    }

    /// Extends a session whose idle time is half over, so that it does not expire during the turn.
    async fn extend_for_turn(&self, owner: &str, record: &mut SessionRecord) -> Result<(), Error> {
        let now = unix_now();
        let idle = self.0.config.idle.as_secs();
        if record.session.expires_at.saturating_sub(now) > idle / 2 {
            return Ok(());
        }
        record.session.expires_at = now + idle;
        let id = record.session.id.clone();
        if self
            .0
            .table
            .append(owner, &id, record.to_bytes()?, Vec::new())
            .await?
        {
            Ok(())
        } else {
            Err(Error::NotFound(id))
        }
    }

    fn owner(&self, caller: &Caller) -> String {
        self.0.keys.owner_id(caller)
    }
}
