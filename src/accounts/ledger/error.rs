//! Why the ledger refuses.

use crate::storage::store;

use super::budget::Over;

/// Why something is not held, charged or found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A budget has no room.
    #[error("{0}")]
    Over(Over),
    /// The id is that of another hold, or of a charge.
    #[error("`{id}` is held or charged already")]
    Duplicate {
        /// The id.
        id: String,
    },
    /// The records are those of a later program.
    #[error("the ledger has version {found}, and this program knows versions up to {known}")]
    Newer {
        /// The version of the records.
        found: u8,
        /// The version that this program writes.
        known: u8,
    },
    /// A record is damaged.
    #[error("a record of the ledger cannot be read ({what})")]
    Unreadable {
        /// What kind of record it is.
        what: &'static str,
    },
    /// The store failed.
    #[error("the ledger cannot be read or written")]
    Store(#[from] store::Error),
    /// A file that is to be restored is no backup, or not whole.
    #[error("the file {0}")]
    Backup(&'static str),
    /// What is to be restored would replace what is there.
    #[error("there is a ledger already, with {records} records")]
    Occupied {
        /// How many records it has.
        records: usize,
    },
}

impl Error {
    /// What whoever runs the server is to do, if the ledger is at fault.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Newer { .. } => Some(
                "use the program that has written it, or restore an older backup with `claude-switchboard ledger restore FILE \
                 --replace`",
            ),
            Self::Unreadable { .. } => Some(
                "stop the server and restore the last backup with `claude-switchboard ledger restore FILE --replace`; it does \
                 not touch keys and responses",
            ),
            _ => None,
        }
    }
}
