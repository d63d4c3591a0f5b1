//! Errors of the store.

use std::sync::Arc;

/// Reasons why the store fails.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The engine cannot read or write.
    #[error("the store failed")]
    Engine(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Another server has changed what a transaction read, each time that it ran.
    #[error("the store's records are changed by others too often")]
    Conflict,
    /// A write would leave less free space than [`Config::min_free_bytes`](super::Config::min_free_bytes).
    #[error("the disk is full: {free_mib} MiB are free, {needed_mib} MiB are needed")]
    DiskFull {
        /// Free space, in MiB.
        free_mib: u64,
        /// Free space that the write needs, in MiB.
        needed_mib: u64,
    },
    /// A write failed, and the database is being reopened.
    #[error("the store failed to write, and is being opened again")]
    Recovering,
    /// The server that keeps the records cannot be reached.
    #[error("the Redis of the store cannot be reached")]
    Unreachable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The server that keeps the records has no memory for a write.
    #[error("the memory of the store's Redis is full")]
    OutOfMemory(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The server that keeps the records answers, and takes no writes or scripts for the time being.
    #[error("the Redis of the store takes no changes now")]
    Suspended(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// A change is made, and may be lost if the server that keeps the records fails: too few of its replicas
    /// have confirmed it.
    #[error(
        "{confirmed} of {wanted} replicas of the store's Redis have confirmed a change in time"
    )]
    NotReplicated {
        /// Number of replicas that have to confirm it.
        wanted: u64,
        /// Number of replicas that have.
        confirmed: u64,
    },
    /// This server was silent for so long that the others take it for dead.
    #[error("this server was silent for too long, and the others have taken over from it")]
    Fenced,
    /// The server that keeps the records cannot be used as it is set up.
    #[error("{reason}")]
    Unsuitable {
        /// The reason.
        reason: String,
        /// Advice for the operator.
        hint: &'static str,
    },
    /// A value refers to a file in a way that this program does not know.
    #[error("a reference to a file of the store cannot be read")]
    UnknownReference,
    /// The file of a large value is missing.
    #[error("a file of the store is missing")]
    MissingFile,
    /// A stored value cannot be read.
    #[error("the stored {kind} {name} cannot be read: {reason}")]
    Unreadable {
        /// The kind of value.
        kind: &'static str,
        /// The id of the value.
        name: String,
        /// The cause, without what the value holds.
        reason: String,
    },
    /// A value cannot be encoded for the store.
    #[error("the {kind} cannot be stored: {reason}")]
    Unwritable {
        /// The kind of value.
        kind: &'static str,
        /// The cause.
        reason: String,
    },
    /// A backup is not as it was written.
    #[error("the backup is damaged: {0}")]
    Damaged(&'static str),
    /// Backups of an in-memory store are not possible.
    #[error("the store is not on disk, so it has no backups")]
    NotOnDisk,
    /// A file or folder of the store cannot be used.
    #[error("the store's files cannot be used")]
    Files(#[source] Arc<std::io::Error>),
    /// The store is shutting down, or the transaction panicked.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Wraps an error of an engine.
    pub(super) fn engine(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Engine(Arc::new(error))
    }

    /// Advice for the operator, for errors of a Redis that keeps the records.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some(
                "see that Redis runs, and that redis.url is its address from this machine; `redis-cli -u URL ping` tries it",
            ),
            Self::OutOfMemory(_) => Some("raise `maxmemory` of Redis, or remove stored records"),
            Self::Suspended(_) => Some(
                "see the log of Redis: its disk is full or fails (MISCONF), its replicas are missing (NOREPLICAS), or a script runs \
                 for long (BUSY)",
            ),
            Self::NotReplicated { .. } => Some(
                "see that the replicas of Redis run and keep up (`redis-cli INFO replication`), or raise redis.wait_timeout_ms, or lower \
                 redis.wait",
            ),
            Self::Unsuitable { hint, .. } => Some(hint),
            _ => None,
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Files(Arc::new(error))
    }
}
