//! Migration of ledgers written by earlier versions.

use crate::storage::store::Transaction;

use super::Error;
use super::places;
use super::records::Head;
use super::records::Record as _;
use super::records::VERSION;

/// Migration step from one version to the next. Runs in the transaction that opens the ledger.
pub(super) type Step = fn(&mut Transaction<'_>) -> Result<(), Error>;

/// Migration steps, each with the version it starts from. The first version needs none.
const STEPS: &[(u8, Step)] = &[];

/// Migrates the records to the current version; does nothing if there is no ledger yet.
pub(super) fn migrate(transaction: &mut Transaction<'_>) -> Result<(), Error> {
    through(transaction, STEPS, VERSION)
}

/// Runs the steps from the version on disk to `last`.
pub(super) fn through(
    transaction: &mut Transaction<'_>,
    steps: &[(u8, Step)],
    last: u8,
) -> Result<(), Error> {
    let Some(head) = transaction.get(&places::head())? else {
        return Ok(());
    };
    let mut version = *head.first().ok_or(Error::Unreadable { what: Head::WHAT })?;
    if version > last {
        return Err(Error::Newer {
            found: version,
            known: last,
        });
    }
    while version < last {
        let step = steps.iter().find(|(begin, _)| *begin == version);
        let (_, step) = step.ok_or(Error::Unreadable { what: Head::WHAT })?;
        step(transaction)?;
        version += 1;
    }
    Ok(())
}
