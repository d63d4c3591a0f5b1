//! Migration of ledgers written by earlier versions.

use crate::storage::store::Transaction;

use super::Error;
use super::records::LedgerHead;
use super::records::LedgerRecord as _;
use super::records::VERSION;
use super::records::load_record;
use super::storage_keys;

/// Migration step from one version to the next. Runs in the transaction that opens the ledger.
pub(super) type MigrationStep = fn(&mut Transaction<'_>) -> Result<(), Error>;

/// Migration steps, each with the version it starts from.
const STEPS: &[(u8, MigrationStep)] = &[(1, write_head), (2, write_head)];

/// Migrates the records to the current version; does nothing if there is no ledger yet.
pub(super) fn migrate(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    run_steps(transaction, STEPS, VERSION)
}

/// Writes the head in the current version, so that earlier programs refuse the ledger. The other
/// records are written anew as they change, because those of earlier versions are still read.
fn write_head(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    let place = storage_keys::head();
    if let Some(head) = load_record::<LedgerHead>(transaction, &place)? {
        transaction.put(place, head.encode());
    }
    Ok(())
}

/// Runs the steps from the version on disk to `last`.
pub(super) fn run_steps(
    transaction: &mut Transaction<'_>,
    steps: &[(u8, MigrationStep)],
    last: u8,
) -> Result<(), Error> {
    let Some(head) = transaction.get(&storage_keys::head())? else {
        return Ok(());
    };
    let mut version = version_of(&head, last)?;
    while version < last {
        let step = steps.iter().find(|(begin, _)| *begin == version);
        let (_, step) = step.ok_or_else(unknown_version)?;
        step(transaction)?;
        version += 1;
    }
    Ok(())
}

/// Returns the version of the ledger whose head is `head`.
///
/// # Errors
/// [`Error::Newer`] if it is above `newest`.
pub(super) fn version_of(head: &[u8], newest: u8) -> Result<u8, Error> {
    let version = *head.first().ok_or_else(unknown_version)?;
    if version > newest {
        return Err(Error::Newer {
            found: version,
            known: newest,
        });
    }
    Ok(version)
}

fn unknown_version() -> Error {
    Error::unreadable(
        LedgerHead::KIND,
        &storage_keys::head(),
        "its version is unknown",
    )
}
