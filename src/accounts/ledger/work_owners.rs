//! Owners of work that outlives its request: which server runs it, where several share a store.
//!
//! An entry has the epoch of the server that runs the work. It is written before the work begins and
//! removed after its end is stored. An entry whose epoch has no lease is abandoned, as a hold is, and one
//! of the other servers claims it.

use std::collections::HashSet;

use crate::storage::store;
use crate::storage::store::StoreTable;
use crate::storage::store::Transaction;

use super::Error;
use super::Ledger;
use super::LedgerInner;
use super::node_lease::LeasedNode;
use super::node_lease::NodeLease;

/// Running work: kind, owner and id to the epoch of the server that runs it.
const WORK: StoreTable = StoreTable::new("work");

/// Owners of the work of all servers. Clones share them.
///
/// The default one is for a server that shares its store with no other: it writes nothing, and all
/// work is its own.
#[derive(Debug, Clone, Default)]
pub struct WorkOwners(pub(super) Option<Ledger>);

/// Kind of work that outlives its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// Background response.
    Response,
    /// Batch of requests.
    Batch,
    /// Task of an agent.
    Task,
}

/// Other server that runs work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkOwner {
    /// Server with a lease.
    Live {
        /// Name of the server.
        node: String,
        /// URL at which the others reach it; `None` if they do not.
        address: Option<String>,
    },
    /// Server without a lease, from which one of the others takes over.
    Lost,
}

/// Work of a server that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonedWork {
    /// Kind of the work.
    pub kind: WorkKind,
    /// Owner of its record.
    pub owner: String,
    /// Id of its record.
    pub id: String,
    epoch: u64,
}

impl WorkKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Batch => "batch",
            Self::Task => "task",
        }
    }
}

impl WorkOwners {
    /// Creates the owners of the servers that share the store of `ledger`.
    pub fn of(ledger: &Ledger) -> Self {
        let is_shared = ledger.0.store.is_shared();
        Self(is_shared.then(|| ledger.clone()))
    }

    /// Returns true if other servers may run work, so that not all of it is this server's.
    pub fn is_shared(&self) -> bool {
        self.0.is_some()
    }

    /// Notes that this server runs the work `id` of `owner`.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub async fn begin(&self, kind: WorkKind, owner: &str, id: &str) -> Result<(), store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(());
        };
        let key = work_key(kind, owner, id);
        let leased = ledger.clone();
        let noted = ledger.0.store.transaction(move |transaction| {
            let epoch = leased_epoch(&leased, transaction)?;
            transaction.put(key.clone(), epoch.to_be_bytes().to_vec());
            Ok::<_, Error>(())
        });
        noted.await.map_err(Error::into_store_error)
    }

    /// Removes the note of work whose end is stored, unless another server has claimed it.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub async fn end(&self, kind: WorkKind, owner: &str, id: &str) -> Result<(), store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(());
        };
        let key = work_key(kind, owner, id);
        let epoch = ledger.0.lease.epoch();
        let removed = ledger.0.store.transaction(move |transaction| {
            if epoch_of(transaction.get(&key)?.as_deref()) == Some(epoch) {
                transaction.remove(key.clone());
            }
            Ok(())
        });
        removed.await
    }

    /// Returns true if the work `id` of `owner` is this server's. A server that was taken for dead
    /// loses its work to the others.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub async fn is_own(
        &self,
        kind: WorkKind,
        owner: &str,
        id: &str,
    ) -> Result<bool, store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(true);
        };
        let entry = ledger.0.store.get(work_key(kind, owner, id)).await?;
        Ok(epoch_of(entry.as_deref()) == Some(ledger.0.lease.epoch()))
    }

    /// Returns true as [`is_own`](Self::is_own) does, within `transaction`.
    ///
    /// # Errors
    /// As [`is_own`](Self::is_own).
    pub fn is_own_in(
        &self,
        transaction: &Transaction<'_>,
        kind: WorkKind,
        owner: &str,
        id: &str,
    ) -> Result<bool, store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(true);
        };
        let entry = transaction.get(&work_key(kind, owner, id))?;
        Ok(epoch_of(entry.as_deref()) == Some(ledger.0.lease.epoch()))
    }

    /// Tells the other servers the URL at which they reach this one. Does nothing if no store is shared.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub async fn announce(&self, address: &str) -> Result<(), store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(());
        };
        ledger.0.lease.set_address(address);
        let lease = ledger.0.lease.clone();
        let announced = ledger.0.store.transaction(move |transaction| {
            lease.put_address(transaction);
            Ok(())
        });
        announced.await
    }

    /// Returns the server that runs the work `id` of `owner`; `None` if it is this one, or none does.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub async fn owner_of(
        &self,
        kind: WorkKind,
        owner: &str,
        id: &str,
    ) -> Result<Option<WorkOwner>, store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(None);
        };
        let LedgerInner {
            store,
            clock,
            lease,
            ..
        } = &*ledger.0;
        let entry = store.get(work_key(kind, owner, id)).await?;
        let epoch = epoch_of(entry.as_deref()).filter(|epoch| *epoch != lease.epoch());
        let Some(epoch) = epoch else {
            return Ok(None);
        };
        let clock = clock.clone();
        let found = store
            .transaction(move |transaction| NodeLease::find_node(transaction, epoch, clock.now()));
        let found = found.await.map_err(Error::into_store_error)?;
        Ok(Some(match found {
            Some(LeasedNode { name, address }) => WorkOwner::Live {
                node: name,
                address,
            },
            None => WorkOwner::Lost,
        }))
    }

    /// Lists the work of servers whose lease is over.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub async fn list_abandoned(&self, kind: WorkKind) -> Result<Vec<AbandonedWork>, store::Error> {
        let Some(ledger) = self.0.clone() else {
            return Ok(Vec::new());
        };
        let store = ledger.0.store.clone();
        let listed = store.transaction(move |transaction| {
            let live = ledger.0.lease.live_epochs(transaction)?;
            let prefix = kind_prefix(kind);
            let mut abandoned = Vec::new();
            for (key, value) in transaction.scan(&prefix)? {
                let named = key.get(prefix.len()..).and_then(parse_name);
                if let (Some((owner, id)), Some(epoch)) = (named, epoch_of(Some(value.as_slice())))
                    && !live.contains(&epoch)
                {
                    abandoned.push(AbandonedWork {
                        kind,
                        owner,
                        id,
                        epoch,
                    });
                }
            }
            Ok::<_, Error>(abandoned)
        });
        listed.await.map_err(Error::into_store_error)
    }

    /// Makes abandoned work that of this server. Returns false if another one was first.
    ///
    /// # Errors
    /// Fails when the store cannot be written.
    pub async fn claim(&self, work: &AbandonedWork) -> Result<bool, store::Error> {
        let Some(ledger) = &self.0 else {
            return Ok(false);
        };
        let key = work_key(work.kind, &work.owner, &work.id);
        let abandoned = work.epoch;
        let leased = ledger.clone();
        let claimed = ledger
            .0
            .store
            .transaction(move |transaction: &mut Transaction<'_>| {
                let is_abandoned = epoch_of(transaction.get(&key)?.as_deref()) == Some(abandoned);
                if is_abandoned {
                    let epoch = leased_epoch(&leased, transaction)?;
                    transaction.put(key.clone(), epoch.to_be_bytes().to_vec());
                }
                Ok::<_, Error>(is_abandoned)
            });
        claimed.await.map_err(Error::into_store_error)
    }

    /// Returns the epoch of this server, for a note that `transaction` writes of what it runs. Takes a
    /// new lease first if that of the epoch has ended. 0 on a store that is not shared.
    ///
    /// # Errors
    /// Fails when the store cannot be read, or another start of this server has replaced it.
    pub fn leased_epoch(&self, transaction: &mut Transaction<'_>) -> Result<u64, store::Error> {
        match &self.0 {
            Some(ledger) => leased_epoch(ledger, transaction).map_err(Error::into_store_error),
            None => Ok(0),
        }
    }

    /// Returns the epoch of this server, which may have no lease any more. 0 on a store that is not
    /// shared.
    pub fn epoch(&self) -> u64 {
        self.0.as_ref().map_or(0, |ledger| ledger.0.lease.epoch())
    }

    /// Returns the epochs of the servers that have a lease, and that of this one. What is noted with
    /// another epoch is abandoned.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub fn live_epochs(&self, transaction: &Transaction<'_>) -> Result<HashSet<u64>, store::Error> {
        match &self.0 {
            Some(ledger) => {
                let live = ledger.0.lease.live_epochs(transaction);
                live.map_err(Error::into_store_error)
            }
            None => Ok(HashSet::from([0])),
        }
    }

    /// Removes the note of abandoned work, within the `transaction` that ends it. Returns false if another
    /// server was first, or the one that runs it has a lease again.
    ///
    /// # Errors
    /// Fails when the store cannot be read.
    pub fn end_abandoned_in(
        &self,
        transaction: &mut Transaction<'_>,
        work: &AbandonedWork,
    ) -> Result<bool, store::Error> {
        let key = work_key(work.kind, &work.owner, &work.id);
        let is_listed = epoch_of(transaction.get(&key)?.as_deref()) == Some(work.epoch);
        if !is_listed || self.live_epochs(transaction)?.contains(&work.epoch) {
            return Ok(false);
        }
        transaction.remove(key);
        Ok(true)
    }

    /// Claims all abandoned work of `kind`.
    ///
    /// # Errors
    /// Fails when the store fails. What was claimed until then is abandoned with this server.
    #[cfg(test)]
    pub(crate) async fn claim_abandoned(
        &self,
        kind: WorkKind,
    ) -> Result<Vec<AbandonedWork>, store::Error> {
        let mut claimed = Vec::new();
        for work in self.list_abandoned(kind).await? {
            if self.claim(&work).await? {
                claimed.push(work);
            }
        }
        Ok(claimed)
    }
}

/// Returns the epoch of this server. Takes a new lease first if it has expired: without one the work
/// is abandoned at once.
pub(super) fn leased_epoch(
    ledger: &Ledger,
    transaction: &mut Transaction<'_>,
) -> Result<u64, Error> {
    let LedgerInner { clock, lease, .. } = &*ledger.0;
    lease.epoch_of_hold(transaction, clock.now())
}

fn kind_prefix(kind: WorkKind) -> Vec<u8> {
    WORK.key(format!("{}\0", kind.name()))
}

pub(super) fn work_key(kind: WorkKind, owner: &str, id: &str) -> Vec<u8> {
    WORK.key(format!("{}\0{owner}\0{id}", kind.name()))
}

/// Returns owner and id from the end of a key.
pub(super) fn parse_name(rest: &[u8]) -> Option<(String, String)> {
    let (owner, id) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
    Some((owner.to_owned(), id.to_owned()))
}

pub(super) fn epoch_of(entry: Option<&[u8]>) -> Option<u64> {
    entry?.try_into().ok().map(u64::from_be_bytes)
}
