//! Outcomes of lines that this server has recorded, to be made again if the store loses them.

use std::sync::Arc;

use super::records::BatchRecord;
use super::records::LineOutcome;
use super::records::batch_key;
use super::records::count_outcome;
use super::records::outcome_key;
use super::slices::has_plan;
use crate::api::openai::batches::BatchStatus;
use crate::domain::Usage;
use crate::storage::store;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// Remembers the outcome of a line, so that a shared store which loses commits gets it again: the line
/// would run, and be paid, a second time.
pub(super) fn remember_outcome(
    transaction: &mut Transaction<'_>,
    record: &BatchRecord,
    number: u64,
    outcome: &Arc<LineOutcome>,
    usage: Usage,
) {
    if !transaction.is_shared() {
        return;
    }
    let (project, id) = (record.project.clone(), record.batch.id.clone());
    let (name, bytes) = (outcome_key(&id, number), outcome.line.len());
    let outcome = Arc::clone(outcome);
    transaction.remember_result(name, bytes, move |transaction| {
        restore_outcome(transaction, &project, &id, number, &outcome, usage)
    });
}

/// Records the outcome of a line again, and counts it. Returns false if it is there, or the lines of the
/// batch are no longer run: its files have been made without it, or it was deleted.
fn restore_outcome(
    transaction: &mut Transaction<'_>,
    project: &str,
    id: &str,
    number: u64,
    outcome: &LineOutcome,
    usage: Usage,
) -> Result<bool, store::Error> {
    let place = outcome_key(id, number);
    let batch = batch_key(project, id);
    if transaction.get(&place)?.is_some() {
        return Ok(false);
    }
    let Some(bytes) = transaction.get(&batch)? else {
        return Ok(false);
    };
    let mut record: BatchRecord = decode_record(id, &bytes)?;
    let is_run = match record.batch.status {
        BatchStatus::InProgress => true,
        // The plan ends with the lines, and the status stays.
        BatchStatus::Cancelling => has_plan(transaction, project, id)?,
        _ => false,
    };
    if is_run {
        count_outcome(&mut record.batch, outcome, usage);
        transaction.put(batch, encode_record(&record)?);
        transaction.put(place, outcome.encode());
    }
    Ok(is_run)
}
