//! Queue of work that waits for a server with room, where several share a store.
//!
//! Work is in the queue, and no server's, or it has an owner (`work_owners`). One transaction moves it
//! from the one to the other, so no work has two owners, and none is lost with a server.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::unix_now_ms;
use crate::storage::store;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;

use super::Error;
use super::WorkKind;
use super::WorkOwners;
use super::work_owners::epoch_of;
use super::work_owners::leased_epoch;
use super::work_owners::parse_name;
use super::work_owners::work_key;

/// Waiting work: kind, owner and id to the time of its entry and the epoch of the server that queued it.
const QUEUE: StoreTable = StoreTable::new("work-queue");

/// Work that waits for a server with room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingWork {
    /// Kind of the work.
    pub kind: WorkKind,
    /// Owner of its record.
    pub owner: String,
    /// Id of its record.
    pub id: String,
    /// True if this server has queued it.
    pub is_own: bool,
    queued_at_ms: u64,
}

impl WaitingWork {
    /// Returns true if the work has waited for longer than `time`, by the clock of this server.
    pub fn has_waited_for(&self, time: Duration) -> bool {
        let waited = unix_now_ms().saturating_sub(self.queued_at_ms);
        Duration::from_millis(waited) > time
    }
}

impl WorkOwners {
    /// Puts the work `id` of `owner` into the queue, within `transaction`. Does nothing without a shared
    /// store.
    pub fn enqueue_in(
        &self,
        transaction: &mut Transaction<'_>,
        kind: WorkKind,
        owner: &str,
        id: &str,
    ) {
        if let Some(ledger) = &self.0 {
            let entry = encode_entry(unix_now_ms(), ledger.0.lease.epoch());
            transaction.put(queue_key(kind, owner, id), entry);
        }
    }

    /// Takes the work `id` of `owner` out of the queue, within `transaction`. Returns false if it is not
    /// there: it was taken before, or never queued.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub fn withdraw_in(
        &self,
        transaction: &mut Transaction<'_>,
        kind: WorkKind,
        owner: &str,
        id: &str,
    ) -> Result<bool, store::Error> {
        if self.0.is_none() {
            return Ok(false);
        }
        let key = queue_key(kind, owner, id);
        let is_waiting = transaction.get(&key)?.is_some();
        if is_waiting {
            transaction.remove(key);
        }
        Ok(is_waiting)
    }

    /// Takes `work` out of the queue and notes that this server runs it, within `transaction`. Returns
    /// false if another server was first, or it was withdrawn.
    ///
    /// # Errors
    /// Fails when the store cannot be read, or another server has the name of this one.
    pub fn take_in(
        &self,
        transaction: &mut Transaction<'_>,
        work: &WaitingWork,
    ) -> Result<bool, store::Error> {
        let WaitingWork {
            kind, owner, id, ..
        } = work;
        let Some(ledger) = &self.0 else {
            return Ok(false);
        };
        if !self.withdraw_in(transaction, *kind, owner, id)? {
            return Ok(false);
        }
        let epoch = leased_epoch(ledger, transaction).map_err(Error::into_store_error)?;
        transaction.put(work_key(*kind, owner, id), epoch.to_be_bytes().to_vec());
        Ok(true)
    }

    /// Puts work of this server, which has not begun, back into the queue, within `transaction`. Returns
    /// false if it is not this server's any more.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub fn requeue_in(
        &self,
        transaction: &mut Transaction<'_>,
        kind: WorkKind,
        owner: &str,
        id: &str,
    ) -> Result<bool, store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(false);
        };
        let key = work_key(kind, owner, id);
        let epoch = epoch_of(transaction.get(&key)?.as_deref());
        if epoch != Some(ledger.0.lease.epoch()) {
            return Ok(false);
        }
        transaction.remove(key);
        self.enqueue_in(transaction, kind, owner, id);
        Ok(true)
    }

    /// Lists the work of `kind` that waits, fairly: the oldest of each owner, then the second oldest of
    /// each, and so on.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub async fn list_waiting(&self, kind: WorkKind) -> Result<Vec<WaitingWork>, store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(Vec::new());
        };
        let own_epoch = ledger.0.lease.epoch();
        let prefix = QUEUE.key(format!("{}\0", kind.name()));
        let entries = ledger.0.store.scan(prefix.clone()).await?;
        let waiting = entries.iter().filter_map(|(key, value)| {
            let (owner, id) = key.get(prefix.len()..).and_then(parse_name)?;
            let (queued_at_ms, epoch) = decode_entry(value)?;
            Some(WaitingWork {
                kind,
                owner,
                id,
                is_own: epoch == own_epoch,
                queued_at_ms,
            })
        });
        Ok(order_fairly(waiting.collect()))
    }
}

/// Sorts waiting work by its place among that of its owner, and by age among equal places.
fn order_fairly(mut waiting: Vec<WaitingWork>) -> Vec<WaitingWork> {
    waiting.sort_by(|a, b| (a.queued_at_ms, &a.id).cmp(&(b.queued_at_ms, &b.id)));
    let mut counts: HashMap<String, usize> = HashMap::new();
    let place = |work: WaitingWork| {
        let count = counts.entry(work.owner.clone()).or_default();
        *count += 1;
        (*count, work)
    };
    let mut placed: Vec<(usize, WaitingWork)> = waiting.into_iter().map(place).collect();
    // Stable: among equal places the oldest stays first.
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, work)| work).collect()
}

fn queue_key(kind: WorkKind, owner: &str, id: &str) -> Vec<u8> {
    QUEUE.key(format!("{}\0{owner}\0{id}", kind.name()))
}

fn encode_entry(queued_at_ms: u64, epoch: u64) -> Vec<u8> {
    [queued_at_ms.to_be_bytes(), epoch.to_be_bytes()].concat()
}

/// Returns the time and the epoch of an entry; `None` for one that this version does not know.
fn decode_entry(entry: &[u8]) -> Option<(u64, u64)> {
    let (time, epoch) = entry.split_first_chunk::<8>()?;
    let epoch: [u8; 8] = epoch.try_into().ok()?;
    Some((u64::from_be_bytes(*time), u64::from_be_bytes(epoch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(owner: &str, id: &str, queued_at_ms: u64) -> WaitingWork {
        WaitingWork {
            kind: WorkKind::Response,
            owner: owner.to_owned(),
            id: id.to_owned(),
            is_own: true,
            queued_at_ms,
        }
    }

    #[test]
    fn waiting_work_of_one_owner_does_not_delay_that_of_others() {
        let ordered = order_fairly(vec![
            waiting("a", "a3", 3),
            waiting("b", "b1", 9),
            waiting("a", "a1", 1),
            waiting("a", "a2", 2),
            waiting("c", "c1", 5),
        ]);
        let ids: Vec<&str> = ordered.iter().map(|work| work.id.as_str()).collect();
        assert_eq!(ids, ["a1", "c1", "b1", "a2", "a3"]);
    }

    #[test]
    fn waiting_time_is_compared_with_the_present() {
        let hour = Duration::from_secs(3600);
        assert!(waiting("a", "a1", 1).has_waited_for(hour));
        assert!(!waiting("a", "a2", unix_now_ms()).has_waited_for(hour));
    }

    #[test]
    fn entry_of_the_queue_is_read_back() {
        assert_eq!(decode_entry(&encode_entry(7, 3)), Some((7, 3)));
        assert_eq!(decode_entry(&[0; 15]), None);
        assert_eq!(decode_entry(&[0; 17]), None);
    }
}
