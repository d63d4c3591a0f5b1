//! Errors of the ledger.

use crate::storage::store;

use super::budget::BudgetExceeded;
use super::storage_keys;

/// Error of the ledger.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A budget has no room for the request.
    #[error("{0}")]
    BudgetExceeded(BudgetExceeded),
    /// The id belongs to another hold or charge.
    #[error("`{id}` is held or charged already")]
    Duplicate {
        /// Id that is already taken.
        id: String,
    },
    /// The records were written by a newer program.
    #[error("the ledger has version {found}, and this program knows versions up to {known}")]
    Newer {
        /// Version of the stored records.
        found: u8,
        /// Newest version that this program knows.
        known: u8,
    },
    /// A record of the ledger is damaged, or of a version that this program does not know.
    #[error(transparent)]
    Unreadable(store::Error),
    /// Another server with the same name uses the ledger.
    #[error("another server with the name {node} uses the ledger")]
    Superseded {
        /// Name of the server.
        node: String,
    },
    /// The store failed to read or write.
    #[error("the ledger cannot be read or written")]
    Store(#[source] store::Error),
    /// The file to restore is no backup, or is damaged.
    #[error("the file {0}")]
    Backup(&'static str),
    /// The store already holds a ledger, which a restore would replace.
    #[error("there is a ledger already, with {records} records")]
    Occupied {
        /// Number of its records.
        records: usize,
    },
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Unreadable { .. } => Self::Unreadable(error),
            error => Self::Store(error),
        }
    }
}

impl Error {
    /// Creates the error of the record at `key`.
    pub(super) fn unreadable(kind: &'static str, key: &[u8], reason: &str) -> Self {
        Self::Unreadable(store::Error::Unreadable {
            kind,
            name: storage_keys::record_name(key),
            reason: reason.to_owned(),
        })
    }

    /// Converts the error for work that knows the store alone.
    pub(super) fn into_store_error(self) -> store::Error {
        match self {
            Self::Store(error) | Self::Unreadable(error) => error,
            error => store::Error::Unreadable {
                kind: "lease",
                name: "of a server".to_owned(),
                reason: error.to_string(),
            },
        }
    }

    /// Advice for the operator, for errors of the stored ledger itself.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Newer { .. } => Some(
                "use the program that has written it, or restore an older backup with `claude-switchboard ledger restore FILE \
                 --replace`",
            ),
            Self::Unreadable(_) => Some(
                "if a later version of the program has written it, use that one; if it is damaged, stop the server and \
                 restore the last backup with `claude-switchboard ledger restore FILE --replace`, which does not touch keys \
                 and responses",
            ),
            _ => None,
        }
    }
}
