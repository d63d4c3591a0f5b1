//! A copy-on-write snapshot: the old values of records that change while a backup runs.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::storage::store::backend::Record;

/// The old values of the records changed since the backup began, and the files that it still needs.
#[derive(Debug, Default)]
pub(in crate::storage::store) struct FrozenRecords {
    /// The values that records had at that moment; none for those that were not there.
    before: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Files of large values that are to be removed when the backup is over.
    pub(in crate::storage::store) replaced_files: Vec<String>,
}

impl FrozenRecords {
    /// Notes the value of `key` before its change is written. Only the first change after the moment counts.
    pub(in crate::storage::store) fn note(&mut self, key: &[u8], value: Option<&Vec<u8>>) {
        if !self.before.contains_key(key) {
            self.before.insert(key.to_vec(), value.cloned());
        }
    }

    /// The first record of the moment after `after`, or the key from which to look on. `live` is the first record after `after`
    /// that the database has now.
    ///
    /// `live` must have been read before this is asked: a record that was removed by then is noted here.
    pub(in crate::storage::store) fn next(
        &self,
        after: Bound<&[u8]>,
        live: Option<Record>,
    ) -> NextRecord {
        let noted = self
            .before
            .range::<[u8], _>((after, Bound::Unbounded))
            .next();
        match (noted, live) {
            (Some((noted, _)), Some(live)) if live.0 < *noted => NextRecord::Found(live),
            (Some((key, Some(value))), _) => NextRecord::Found((key.clone(), value.clone())),
            (Some((key, None)), _) => NextRecord::NotThereYet(key.clone()),
            (None, Some(live)) => NextRecord::Found(live),
            (None, None) => NextRecord::End,
        }
    }
}

/// What comes next in the records of a moment.
pub(in crate::storage::store) enum NextRecord {
    Found(Record),
    /// A record that was made later; the next one comes after its key.
    NotThereYet(Vec<u8>),
    End,
}
