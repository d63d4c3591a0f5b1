//! Nodes that may still use a store, for commands that need it alone.

use std::collections::BTreeMap;

use crate::storage::store::Store;

use super::Clock;
use super::Error;
use super::node_lease::lease_time;
use super::records::LeaseRecord;
use super::records::LedgerRecord as _;
use super::storage_keys;

/// Leases of the nodes of a store that have not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveNodes {
    /// Ends of the leases by the keys of their nodes, in seconds of Unix time.
    ends: BTreeMap<Vec<u8>, u64>,
    now: u64,
}

impl LiveNodes {
    /// Reads the leases in `store`, by its clock if its servers have one, and else by `clock`.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn read(store: &Store, clock: Clock) -> Result<Self, Error> {
        store
            .transaction(move |transaction| {
                let now = lease_time(transaction, clock.now());
                let mut ends = BTreeMap::new();
                for (key, value) in transaction.scan(&storage_keys::nodes())? {
                    let ends_at = LeaseRecord::decode(&key, &value)?.ends_at;
                    if ends_at > now {
                        ends.insert(key, ends_at);
                    }
                }
                Ok::<_, Error>(Self { ends, now })
            })
            .await
    }

    /// Returns true if no node has a lease.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Seconds until the last of the leases ends, if nobody renews it.
    pub fn seconds_left(&self) -> u64 {
        let last = self.ends.values().max();
        last.map_or(0, |last| last.saturating_sub(self.now))
    }

    /// Returns true if a node has renewed its lease or has come since `earlier` was read: it runs.
    pub fn has_running(&self, earlier: &Self) -> bool {
        self.ends
            .iter()
            .any(|(node, ends_at)| earlier.ends.get(node) != Some(ends_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ends: &[(&str, u64)]) -> LiveNodes {
        let ends = ends
            .iter()
            .map(|(node, ends_at)| (node.as_bytes().to_vec(), *ends_at));
        LiveNodes {
            ends: ends.collect(),
            now: 100,
        }
    }

    #[test]
    fn node_that_renews_its_lease_or_comes_runs() {
        let earlier = nodes(&[("a", 110), ("b", 125)]);
        assert_eq!(earlier.seconds_left(), 25);
        assert!(!nodes(&[("b", 125)]).has_running(&earlier));
        assert!(!nodes(&[]).has_running(&earlier));
        assert!(nodes(&[("b", 128)]).has_running(&earlier));
        assert!(nodes(&[("b", 125), ("c", 125)]).has_running(&earlier));
        assert!(nodes(&[]).is_empty());
        assert_eq!(nodes(&[]).seconds_left(), 0);
    }
}
