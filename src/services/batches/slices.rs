//! Slices of the lines of a batch, by which several servers run it.
//!
//! A batch in progress on a shared store has a plan: the first line that is in no slice yet, and the
//! slices that run, each with the epoch of its server and the number of its claims. A server claims a
//! slice in a transaction. The slice of a server whose lease is over is open again, and the next claim
//! of it has a greater number. Epoch and number are the fence: the outcome of a line is written only
//! by a transaction that finds them as they were claimed.
//!
//! The plan is removed before the files of the batch are made, so no outcome comes too late for them.

use std::collections::HashSet;

use serde::Deserialize;
use serde::Serialize;

use super::Error;
use super::records::BatchRecord;
use super::records::BatchRecords;
use super::records::batch_key;
use super::records::outcome_key;
use crate::accounts::ledger::WorkOwners;
use crate::storage::store;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// Plans of the batches in progress on a shared store: project and id -> [`SlicePlan`].
const PLANS: StoreTable = StoreTable::new("batch-slices");
/// Number of lines of a slice: few enough that the servers finish at about the same time, many enough
/// that claims are rare beside outcomes.
const SLICE_LINES: u64 = 20;

/// Division of the lines of a batch among servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SlicePlan {
    /// Number of the last line of the input file.
    lines: u64,
    /// First line that is in no slice yet.
    next: u64,
    /// Slices that are not finished.
    slices: Vec<PlannedSlice>,
}

/// Slice that was claimed and is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PlannedSlice {
    first: u64,
    last: u64,
    /// Epoch of the server that runs the slice; `None` if it was given back.
    epoch: Option<u64>,
    /// Number of times that the slice was claimed.
    claims: u64,
}

/// Slice that this server has claimed, with its fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SliceClaim {
    /// Key of the plan.
    place: Vec<u8>,
    slice: PlannedSlice,
}

/// Result of asking for a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SliceOffer {
    /// This server runs the slice from now on.
    Claimed(SliceClaim),
    /// All slices that are left are run by servers that live.
    Taken,
    /// No line is left.
    Finished,
    /// There is no plan: the lines are no longer run, or Redis has lost it in a fail-over.
    Unplanned,
}

/// Validity of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimStanding {
    /// The slice is still that of the claim.
    Valid,
    /// Another claim has replaced it.
    Replaced,
    /// The lines of the batch are no longer run.
    Ended,
}

/// Batch in progress, as its plan names it.
#[derive(Debug)]
pub(super) struct PlannedBatch {
    pub(super) project: String,
    pub(super) id: String,
    pub(super) plan: Result<SlicePlan, store::Error>,
}

impl SlicePlan {
    /// Creates the plan of a batch of `lines` lines, of which none is in a slice.
    fn new(lines: u64) -> Self {
        Self {
            lines,
            next: 1,
            slices: Vec::new(),
        }
    }

    /// Returns true if a slice can be claimed without knowing which servers live.
    pub(super) fn has_open_slice(&self) -> bool {
        self.next <= self.lines || self.slices.iter().any(|slice| slice.epoch.is_none())
    }

    fn is_finished(&self) -> bool {
        self.next > self.lines && self.slices.is_empty()
    }

    /// Claims a slice for `epoch`: one that no server of the `live` epochs runs, or else the next lines.
    fn claim(&mut self, epoch: u64, live: &HashSet<u64>) -> Option<PlannedSlice> {
        let open = self
            .slices
            .iter_mut()
            .find(|slice| slice.epoch.is_none_or(|epoch| !live.contains(&epoch)));
        if let Some(slice) = open {
            slice.epoch = Some(epoch);
            slice.claims += 1;
            return Some(*slice);
        }
        if self.next > self.lines {
            return None;
        }
        let last = self.next.saturating_add(SLICE_LINES - 1).min(self.lines);
        let slice = PlannedSlice {
            first: self.next,
            last,
            epoch: Some(epoch),
            claims: 1,
        };
        self.next = last + 1;
        self.slices.push(slice);
        Some(slice)
    }

    /// Removes the slice of a claim, unless another claim has replaced it. Returns true if it did.
    fn finish(&mut self, claimed: &PlannedSlice) -> bool {
        let before = self.slices.len();
        self.slices.retain(|slice| slice != claimed);
        self.slices.len() < before
    }

    /// Opens the slice of a claim again, unless another claim has replaced it. Returns true if it did.
    fn reopen(&mut self, claimed: &PlannedSlice) -> bool {
        let found = self.slices.iter_mut().find(|slice| **slice == *claimed);
        found.is_some_and(|slice| slice.epoch.take().is_some())
    }

    /// Opens the slices of `epoch` again. Returns true if there were any.
    fn give_back(&mut self, epoch: u64) -> bool {
        let mut is_changed = false;
        for slice in &mut self.slices {
            if slice.epoch == Some(epoch) {
                slice.epoch = None;
                is_changed = true;
            }
        }
        is_changed
    }
}

impl Stored for SlicePlan {
    const KIND: &'static str = "slices of batch";
}

impl SliceClaim {
    /// Number of the first line.
    pub(super) fn first(&self) -> u64 {
        self.slice.first
    }

    /// Number of the last line.
    pub(super) fn last(&self) -> u64 {
        self.slice.last
    }

    /// Returns whether the claim still holds, within `transaction`.
    ///
    /// # Errors
    /// Fails when the plan cannot be read.
    pub(super) fn standing(&self, transaction: &Transaction<'_>) -> Result<ClaimStanding, Error> {
        let plan = read_plan(&self.place, transaction.get(&self.place)?)?;
        Ok(self.standing_in(plan.as_ref()))
    }

    fn standing_in(&self, plan: Option<&SlicePlan>) -> ClaimStanding {
        match plan {
            None => ClaimStanding::Ended,
            Some(plan) if plan.slices.contains(&self.slice) => ClaimStanding::Valid,
            Some(_) => ClaimStanding::Replaced,
        }
    }
}

impl BatchRecords {
    /// Lists the batches that have a plan. A plan that cannot be read is an error in its entry.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub(super) async fn list_planned(&self) -> Result<Vec<PlannedBatch>, Error> {
        let entries = self.0.scan(PLANS.key("")).await?;
        let planned = entries.into_iter().filter_map(|(key, bytes)| {
            let (project, id) = PLANS.owner_and_id(&key)?;
            let plan = decode_record(&id, &bytes);
            Some(PlannedBatch { project, id, plan })
        });
        Ok(planned.collect())
    }

    /// Plans the lines of `record`. Keeps a plan that is there, and opens the slices that this server
    /// has claimed in it before.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn open_plan(
        &self,
        owners: &WorkOwners,
        record: &BatchRecord,
    ) -> Result<(), Error> {
        let place = plan_key(&record.project, &record.batch.id);
        let lines = record.lines;
        let epoch = owners.epoch();
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(mut plan) = read_plan(&place, transaction.get(&place)?)? else {
                return put_plan(transaction, &place, &SlicePlan::new(lines));
            };
            if plan.give_back(epoch) {
                put_plan(transaction, &place, &plan)?;
            }
            Ok(())
        };
        self.0.transaction(work).await
    }

    /// Claims a slice of the batch for this server.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn claim_slice(
        &self,
        owners: &WorkOwners,
        record: &BatchRecord,
    ) -> Result<SliceOffer, Error> {
        let place = plan_key(&record.project, &record.batch.id);
        let owners = owners.clone();
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(mut plan) = read_plan(&place, transaction.get(&place)?)? else {
                return Ok(SliceOffer::Unplanned);
            };
            if plan.is_finished() {
                return Ok(SliceOffer::Finished);
            }
            let live = owners.live_epochs(transaction)?;
            let Some(slice) = plan.claim(owners.epoch(), &live) else {
                return Ok(SliceOffer::Taken);
            };
            // Without a lease the slice would be open again at once.
            owners.leased_epoch(transaction)?;
            put_plan(transaction, &place, &plan)?;
            let place = place.clone();
            Ok::<_, Error>(SliceOffer::Claimed(SliceClaim { place, slice }))
        };
        self.0.transaction(work).await
    }

    /// Returns true if the claim holds now, so that its lines are worth running.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub(super) async fn is_claim_valid(&self, claim: &SliceClaim) -> Result<bool, Error> {
        let bytes = self.0.get(claim.place.clone()).await?;
        let plan = read_plan(&claim.place, bytes)?;
        Ok(claim.standing_in(plan.as_ref()) == ClaimStanding::Valid)
    }

    /// Removes a slice whose lines all have an outcome from the plan, if the claim still holds. A shared
    /// store that loses this change gets it again: the owner would wait for the slice.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn finish_slice(&self, claim: &SliceClaim) -> Result<(), Error> {
        let SliceClaim { place, slice } = claim.clone();
        let work = move |transaction: &mut Transaction<'_>| {
            let plan = read_plan(&place, transaction.get(&place)?)?;
            if let Some(mut plan) = plan
                && plan.finish(&slice)
            {
                put_plan(transaction, &place, &plan)?;
                let name = [place.as_slice(), b"\0", &slice.first.to_be_bytes()].concat();
                let place = place.clone();
                transaction.remember_result(name, place.len(), move |transaction| {
                    finish_again(transaction, &place, &slice)
                });
            }
            Ok::<_, Error>(())
        };
        self.0.transaction(work).await
    }

    /// Opens the slices of the batch that this server has claimed, so that any server may claim them.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn give_back_slices(
        &self,
        owners: &WorkOwners,
        record: &BatchRecord,
    ) -> Result<(), Error> {
        let place = plan_key(&record.project, &record.batch.id);
        let epoch = owners.epoch();
        self.change_plan(place, move |plan| plan.give_back(epoch))
            .await
    }

    /// Removes a plan that is left of a batch that has ended or is gone.
    ///
    /// # Errors
    /// Fails when the store fails.
    pub(super) async fn remove_leftover_plan(&self, project: &str, id: &str) -> Result<(), Error> {
        let place = plan_key(project, id);
        let batch = batch_key(project, id);
        let id = id.to_owned();
        let work = move |transaction: &mut Transaction<'_>| {
            let bytes = transaction.get(&batch)?;
            let record = bytes.map(|bytes| decode_record::<BatchRecord>(&id, &bytes));
            if record
                .transpose()?
                .is_none_or(|record| record.batch.status.is_final())
            {
                transaction.remove(place.clone());
            }
            Ok::<_, Error>(())
        };
        self.0.transaction(work).await
    }

    /// Applies `change` to the plan at `place`, if there is one, and writes it if that returns true.
    async fn change_plan(
        &self,
        place: Vec<u8>,
        change: impl Fn(&mut SlicePlan) -> bool + Send + 'static,
    ) -> Result<(), Error> {
        let work = move |transaction: &mut Transaction<'_>| {
            let plan = read_plan(&place, transaction.get(&place)?)?;
            if let Some(mut plan) = plan
                && change(&mut plan)
            {
                put_plan(transaction, &place, &plan)?;
            }
            Ok::<_, Error>(())
        };
        self.0.transaction(work).await
    }
}

/// Removes the plan of a batch whose lines are no longer run. No outcome is written after that.
pub(super) fn remove_plan(transaction: &mut Transaction<'_>, project: &str, id: &str) {
    transaction.remove(plan_key(project, id));
}

/// Returns true if the batch has a plan, so that outcomes of its lines may be written.
pub(super) fn has_plan(
    transaction: &Transaction<'_>,
    project: &str,
    id: &str,
) -> Result<bool, store::Error> {
    Ok(transaction.get(&plan_key(project, id))?.is_some())
}

/// Removes a finished slice from the plan again. It is opened for other claims instead if an outcome of
/// its lines is lost for good. Returns false if the claim no longer holds.
fn finish_again(
    transaction: &mut Transaction<'_>,
    place: &[u8],
    slice: &PlannedSlice,
) -> Result<bool, store::Error> {
    let Some(mut plan) = read_plan(place, transaction.get(place)?)? else {
        return Ok(false);
    };
    let (_, id) = PLANS.owner_and_id(place).unwrap_or_default();
    let mut is_whole = true;
    for number in slice.first..=slice.last {
        is_whole &= transaction.get(&outcome_key(&id, number))?.is_some();
    }
    let is_changed = if is_whole {
        plan.finish(slice)
    } else {
        plan.reopen(slice)
    };
    if is_changed {
        transaction.put(place.to_vec(), encode_record(&plan)?);
    }
    Ok(is_changed)
}

fn plan_key(project: &str, id: &str) -> Vec<u8> {
    PLANS.owned_key(project, id)
}

fn read_plan(place: &[u8], bytes: Option<Vec<u8>>) -> Result<Option<SlicePlan>, store::Error> {
    let read = |bytes: Vec<u8>| {
        let (_, id) = PLANS.owner_and_id(place).unwrap_or_default();
        decode_record(&id, &bytes)
    };
    bytes.map(read).transpose()
}

fn put_plan(
    transaction: &mut Transaction<'_>,
    place: &[u8],
    plan: &SlicePlan,
) -> Result<(), Error> {
    transaction.put(place.to_vec(), encode_record(plan)?);
    Ok(())
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
