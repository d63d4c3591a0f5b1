//! Leases of the servers (nodes) that share a ledger.
//!
//! Each start of a node takes an epoch, which its holds carry. In a store that is shared, the node
//! also has a lease on its epoch, and renews it while it runs. A hold whose epoch has no lease is one
//! that no node will close: the next sweep of any node closes it. A store that is not shared is
//! locked by its one server, so there are no leases, and only the present epoch is live.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use crate::domain::Grant;
use crate::storage::store::Transaction;

use super::Error;
use super::hold::HoldClosing;
use super::hold_facts::remember_epoch;
use super::migration;
use super::records::AddressRecord;
use super::records::HoldRecord;
use super::records::LeaseRecord;
use super::records::LedgerHead;
use super::records::LedgerRecord as _;
use super::records::load_record;
use super::storage_keys;
use super::transactions::close_hold;
use super::transactions::is_charged_after_crash;

/// Time for which a lease is valid, in seconds. Much longer than the clocks of nodes differ, if the
/// store has no clock of its own, and than a node may be silent before the store refuses it.
pub(super) const LEASE_SECONDS: u64 = 30;
/// Time without a failure of the store after which a node takes over from others, whose leases may
/// have ended because they could not reach the store either.
pub(super) const TAKEOVER_PAUSE: Duration = Duration::from_secs(15);

/// The epoch of this start of a node, with its lease.
#[derive(Debug, Clone)]
pub(super) struct NodeLease {
    node: String,
    epoch: u64,
    is_shared: bool,
    /// URL at which the other nodes reach this one; unset if they do not.
    address: Arc<OnceLock<String>>,
}

/// Node that has a lease.
#[derive(Debug)]
pub(super) struct LeasedNode {
    pub(super) name: String,
    /// URL at which the other nodes reach it.
    pub(super) address: Option<String>,
}

/// Epoch that has just begun.
#[derive(Debug)]
pub(super) struct StartedEpoch {
    pub(super) lease: NodeLease,
    /// Number of holds of other epochs that were charged in full.
    pub(super) charged_holds: usize,
    /// Number of other nodes that have a lease, or had one that nobody has removed: they may be about
    /// to renew it.
    pub(super) other_nodes: usize,
}

impl NodeLease {
    /// Starts a new epoch of `node`, and closes the holds of epochs without a lease. Leases of other
    /// nodes stay, even if they are over: [`renew`](Self::renew) removes them.
    pub(super) fn open(
        transaction: &mut Transaction<'_>,
        node: &str,
        is_shared: bool,
        now: u64,
    ) -> Result<StartedEpoch, Error> {
        migration::migrate(transaction)?;
        let mut head: LedgerHead =
            load_record(transaction, &storage_keys::head())?.unwrap_or_default();
        head.epoch += 1;
        transaction.put(storage_keys::head(), head.encode());
        let lease = Self {
            node: node.to_owned(),
            epoch: head.epoch,
            is_shared,
            address: Arc::default(),
        };
        if is_shared {
            remember_epoch(transaction, head.epoch);
            lease.extend(transaction, now);
        } else {
            lease.remove_lapsed(transaction, now)?;
        }
        Ok(StartedEpoch {
            charged_holds: lease.close_orphaned_holds(transaction, now)?,
            other_nodes: transaction
                .scan(&storage_keys::nodes())?
                .len()
                .saturating_sub(usize::from(is_shared)),
            lease,
        })
    }

    /// Epoch of this start of the node.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the epochs that have a lease, and that of this node.
    pub(super) fn live_epochs(&self, transaction: &Transaction<'_>) -> Result<HashSet<u64>, Error> {
        let mut live = HashSet::from([self.epoch]);
        for (key, value) in transaction.scan(&storage_keys::nodes())? {
            live.insert(LeaseRecord::decode(&key, &value)?.epoch);
        }
        Ok(live)
    }

    /// Sets the address that is written with each renewal from now on. Only the first one counts.
    pub(super) fn set_address(&self, address: &str) {
        self.address.get_or_init(|| address.to_owned());
    }

    /// Writes the address, if it is set.
    pub(super) fn put_address(&self, transaction: &mut Transaction<'_>) {
        if let Some(address) = self.address.get() {
            let record = AddressRecord {
                epoch: self.epoch,
                address: address.clone(),
            };
            transaction.put(storage_keys::node_address(&self.node), record.encode());
        }
    }

    /// Returns the node that has a lease on `epoch` now.
    pub(super) fn find_node(
        transaction: &Transaction<'_>,
        epoch: u64,
        now: u64,
    ) -> Result<Option<LeasedNode>, Error> {
        let lease_time = lease_time(transaction, now);
        for (key, value) in transaction.scan(&storage_keys::nodes())? {
            let lease = LeaseRecord::decode(&key, &value)?;
            if lease.epoch != epoch || lease.ends_at <= lease_time {
                continue;
            }
            let name = storage_keys::parse_id(LeaseRecord::KIND, &key)?;
            let record: Option<AddressRecord> =
                load_record(transaction, &storage_keys::node_address(&name))?;
            let record = record.filter(|record| record.epoch == epoch);
            return Ok(Some(LeasedNode {
                name,
                address: record.map(|record| record.address),
            }));
        }
        Ok(None)
    }

    /// Returns the epoch for a new hold. Takes a new lease first if it has expired, since holds
    /// without a lease are closed.
    pub(super) fn epoch_of_hold(
        &self,
        transaction: &mut Transaction<'_>,
        now: u64,
    ) -> Result<u64, Error> {
        if self.is_shared
            && self
                .load(transaction)?
                .is_none_or(|lease| lease.ends_at <= lease_time(transaction, now))
        {
            self.extend(transaction, now);
        }
        Ok(self.epoch)
    }

    /// Renews the lease. If `takes_over`, also closes the holds of nodes whose lease is over, and
    /// returns the number of those that were charged in full.
    pub(super) fn renew(
        &self,
        transaction: &mut Transaction<'_>,
        now: u64,
        takes_over: bool,
    ) -> Result<usize, Error> {
        let lease_time = lease_time(transaction, now);
        // If this lease is over too, the others may have been suspended together with this node.
        let is_live = self
            .load(transaction)?
            .is_some_and(|lease| lease.ends_at > lease_time);
        self.extend(transaction, now);
        if takes_over && is_live && self.remove_lapsed(transaction, now)? {
            self.close_orphaned_holds(transaction, now)
        } else {
            Ok(0)
        }
    }

    /// Reads the lease of this node; `None` if another node has removed it after its end.
    fn load(&self, transaction: &Transaction<'_>) -> Result<Option<LeaseRecord>, Error> {
        let lease: Option<LeaseRecord> = load_record(transaction, &storage_keys::node(&self.node))?;
        match lease {
            // Another start under the same name has closed the holds of this one.
            Some(lease) if lease.epoch != self.epoch => Err(Error::Superseded {
                node: self.node.clone(),
            }),
            lease => Ok(lease),
        }
    }

    fn extend(&self, transaction: &mut Transaction<'_>, now: u64) {
        let lease = LeaseRecord {
            epoch: self.epoch,
            ends_at: lease_time(transaction, now).saturating_add(LEASE_SECONDS),
        };
        transaction.put(storage_keys::node(&self.node), lease.encode());
        self.put_address(transaction);
    }

    /// Removes the leases that are over, and every lease in a store that is not shared. Returns true
    /// if there were any.
    fn remove_lapsed(&self, transaction: &mut Transaction<'_>, now: u64) -> Result<bool, Error> {
        let lease_time = lease_time(transaction, now);
        let mut has_lapsed = false;
        for (key, value) in transaction.scan(&storage_keys::nodes())? {
            let lease = LeaseRecord::decode(&key, &value)?;
            if !self.is_shared || lease.ends_at <= lease_time {
                let name = storage_keys::parse_id(LeaseRecord::KIND, &key)?;
                transaction.remove(storage_keys::node_address(&name));
                transaction.remove(key);
                has_lapsed = true;
            }
        }
        Ok(has_lapsed)
    }

    /// Closes the holds whose epoch has no lease. Returns the number of those that were charged in
    /// full.
    fn close_orphaned_holds(
        &self,
        transaction: &mut Transaction<'_>,
        now: u64,
    ) -> Result<usize, Error> {
        let live = self.live_epochs(transaction)?;
        let mut charged = 0;
        for (key, value) in transaction.scan(&storage_keys::holds())? {
            let id = storage_keys::parse_id(HoldRecord::KIND, &key)?;
            if live.contains(&HoldRecord::decode(&key, &value)?.epoch) {
                continue;
            }
            // Resumable runs place another hold when they run again; waiting runs never went
            // upstream.
            let closing = if is_charged_after_crash(&id) {
                charged += 1;
                HoldClosing::Unknown
            } else {
                HoldClosing::Released
            };
            // The budgets are unknown here (they come with the caller), so no alert is raised; the
            // next charge raises it.
            close_hold(transaction, now, &id, closing, &Grant::default())?;
        }
        Ok(charged)
    }
}

/// Returns the time by which leases are judged: that of the store, if its servers have one, so that
/// their own clocks may differ.
pub(super) fn lease_time(transaction: &Transaction<'_>, now: u64) -> u64 {
    transaction.shared_seconds().unwrap_or(now)
}
