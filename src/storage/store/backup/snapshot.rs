//! A copy-on-write snapshot: the old values of records that change while a backup runs.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::storage::store::backend::StoreRecord;

/// Old values of the records changed since the backup began, and the files that it still needs.
#[derive(Debug, Default)]
pub(in crate::storage::store) struct SnapshotRecords {
    /// Values at the time of the snapshot; `None` for records that did not exist then.
    old_values: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Files of large values to remove after the backup.
    pub(in crate::storage::store) replaced_files: Vec<String>,
}

impl SnapshotRecords {
    /// Records the value of `key` before a change of it is written. Only the first change counts.
    pub(in crate::storage::store) fn record_old_value(
        &mut self,
        key: &[u8],
        value: Option<&Vec<u8>>,
    ) {
        if !self.old_values.contains_key(key) {
            self.old_values.insert(key.to_vec(), value.cloned());
        }
    }

    /// Returns the first record of the snapshot after `after`. `live` is the first record after
    /// `after` in the database.
    ///
    /// Race-free only if `live` was read before this call: a record that was removed since then is
    /// found in the snapshot.
    pub(in crate::storage::store) fn next(
        &self,
        after: Option<&[u8]>,
        live: Option<StoreRecord>,
    ) -> NextRecord {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let recorded = self
            .old_values
            .range::<[u8], _>((after, Bound::Unbounded))
            .next();
        match (recorded, live) {
            (Some((recorded, _)), Some(live)) if live.0 < *recorded => NextRecord::Found(live),
            (Some((key, Some(value))), _) => NextRecord::Found((key.clone(), value.clone())),
            (Some((key, None)), _) => NextRecord::CreatedLater(key.clone()),
            (None, Some(live)) => NextRecord::Found(live),
            (None, None) => NextRecord::End,
        }
    }
}

/// Result of a step through the snapshot.
pub(in crate::storage::store) enum NextRecord {
    Found(StoreRecord),
    /// A key created after the snapshot; continue after it.
    CreatedLater(Vec<u8>),
    End,
}
