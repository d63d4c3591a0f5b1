//! Records that transactions have read, for engines that several servers share.

use std::collections::BTreeMap;

/// Records and ranges that a group of transactions has read, with their versions. An engine that
/// other servers change too compares them at the commit; for other engines it stays empty.
#[derive(Debug, Default)]
pub struct ReadSet {
    records: BTreeMap<Vec<u8>, ReadVersion>,
    ranges: Vec<ReadRange>,
    /// True if a record was read twice, with different versions.
    is_torn: bool,
}

/// Version of a record that was read.
#[derive(Debug)]
pub(super) struct ReadVersion {
    /// Version in the engine's own encoding.
    pub(super) version: Vec<u8>,
    /// True if it was read from a copy in memory, which may be out of date.
    pub(super) is_cached: bool,
}

/// Keys that a read of a range has found.
#[derive(Debug)]
pub(super) struct ReadRange {
    pub(super) prefix: Vec<u8>,
    pub(super) after: Option<Vec<u8>>,
    /// Keys that were found, in their order.
    pub(super) keys: Vec<Vec<u8>>,
    /// True if the range has no keys after these.
    pub(super) is_last: bool,
}

impl ReadSet {
    /// Returns true if nothing was read.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.ranges.is_empty()
    }

    /// Returns true if all that was read is of one moment: nothing, or one record of the engine
    /// itself.
    pub(super) fn is_of_one_moment(&self) -> bool {
        self.ranges.is_empty()
            && self.records.len() <= 1
            && self.records.values().all(|read| !read.is_cached)
    }

    /// Returns true if a record was read twice, with different versions. A comparison with one of
    /// them does not show that the other was out of date, so nothing may be committed.
    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Notes that `key` was read with `version`.
    pub(super) fn add_record(&mut self, key: &[u8], version: &[u8], is_cached: bool) {
        if let Some(earlier) = self.records.get(key) {
            self.is_torn |= earlier.version != version;
            return;
        }
        let read = ReadVersion {
            version: version.to_vec(),
            is_cached,
        };
        self.records.insert(key.to_vec(), read);
    }

    /// Notes the keys that a read of a range has found.
    pub(super) fn add_range(&mut self, range: ReadRange) {
        self.ranges.push(range);
    }

    /// Records that were read, in key order.
    pub(super) fn records(&self) -> impl Iterator<Item = (&Vec<u8>, &ReadVersion)> {
        self.records.iter()
    }

    /// Ranges that were read, in the order of the reads.
    pub(super) fn ranges(&self) -> &[ReadRange] {
        &self.ranges
    }

    /// Number of keys that a comparison of everything reads.
    pub(super) fn count_keys(&self) -> usize {
        let ranges = self.ranges.iter().map(|range| range.keys.len() + 1);
        self.records.len() + ranges.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_versions_of_a_record_tear_the_set() {
        let mut reads = ReadSet::default();
        assert!(reads.is_empty() && reads.is_of_one_moment());
        reads.add_record(b"a", b"1", false);
        reads.add_record(b"a", b"1", true);
        assert!(reads.is_of_one_moment() && !reads.is_torn());
        reads.add_record(b"b", b"1", false);
        assert!(!reads.is_of_one_moment() && !reads.is_torn());
        reads.add_record(b"a", b"2", true);
        assert!(reads.is_torn());
        let versions: Vec<_> = reads.records().map(|(_, read)| &read.version).collect();
        assert_eq!(versions, [b"1", b"1"]);
    }

    #[test]
    fn record_from_memory_and_range_are_not_of_one_moment() {
        let mut cached = ReadSet::default();
        cached.add_record(b"a", b"1", true);
        assert!(!cached.is_of_one_moment());
        let mut ranged = ReadSet::default();
        ranged.add_range(ReadRange {
            prefix: b"a".to_vec(),
            after: None,
            keys: vec![b"a1".to_vec(), b"a2".to_vec()],
            is_last: true,
        });
        assert!(!ranged.is_of_one_moment() && !ranged.is_empty());
        assert_eq!(ranged.count_keys(), 3);
    }
}
