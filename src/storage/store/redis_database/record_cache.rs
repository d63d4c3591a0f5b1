//! Records that the writer has read or written, so that it need not ask for them again.

use std::collections::HashMap;
use std::fmt;

use super::versioned_value::VersionedValue;

/// Size of the records in each of the two halves, in bytes.
const MAX_HALF_BYTES: usize = 4 << 20;
/// Maximum size of a record that is kept, in bytes.
const MAX_RECORD_BYTES: usize = 64 << 10;
/// Size that is counted for each record beside key and value, in bytes.
const RECORD_OVERHEAD_BYTES: usize = 128;

/// Bounded copies of records. They may be out of date: a commit compares their versions. The half
/// that was not used for longest is dropped when the other one is full.
#[derive(Default)]
pub(super) struct RecordCache {
    recent: HashMap<Vec<u8>, VersionedValue>,
    recent_bytes: usize,
    earlier: HashMap<Vec<u8>, VersionedValue>,
}

impl fmt::Debug for RecordCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the records, which hold what clients have sent.
        formatter
            .debug_struct("RecordCache")
            .field("recent_bytes", &self.recent_bytes)
            .finish_non_exhaustive()
    }
}

impl RecordCache {
    /// Returns a copy of the record `key`, if there is one in memory.
    pub(super) fn get(&mut self, key: &[u8]) -> Option<VersionedValue> {
        if let Some(record) = self.recent.get(key) {
            return Some(record.clone());
        }
        let (key, record) = self.earlier.remove_entry(key)?;
        self.insert(key, record.clone());
        Some(record)
    }

    /// Keeps a copy of the record `key`, unless it is large.
    pub(super) fn insert(&mut self, key: Vec<u8>, record: VersionedValue) {
        self.remove(&key);
        let size = size_of_record(&key, &record);
        if size > MAX_RECORD_BYTES {
            return;
        }
        if self.recent_bytes + size > MAX_HALF_BYTES {
            self.earlier = std::mem::take(&mut self.recent);
            self.recent_bytes = 0;
        }
        self.recent_bytes += size;
        self.recent.insert(key, record);
    }

    /// Replaces the copy of the record `key`, if there is one in memory.
    pub(super) fn refresh(&mut self, key: &[u8], record: &VersionedValue) {
        if self.recent.contains_key(key) || self.earlier.contains_key(key) {
            self.insert(key.to_vec(), record.clone());
        }
    }

    /// Drops the copy of the record `key`.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.earlier.remove(key);
        if let Some(record) = self.recent.remove(key) {
            self.recent_bytes -= size_of_record(key, &record);
        }
    }

    /// Drops all copies.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn size_of_record(key: &[u8], record: &VersionedValue) -> usize {
    let value = record.value.as_ref().map_or(0, Vec::len);
    RECORD_OVERHEAD_BYTES + key.len() + value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: usize) -> VersionedValue {
        VersionedValue::written(b"version", Some(&vec![0; bytes]))
    }

    #[test]
    fn record_cache_keeps_what_is_used_and_is_bounded() {
        let mut cache = RecordCache::default();
        cache.insert(b"used".to_vec(), record(1));
        for number in 0..1000_u32 {
            cache.insert(number.to_be_bytes().to_vec(), record(60 << 10));
            assert!(cache.get(b"used").is_some(), "{number}");
            assert!(cache.recent_bytes <= MAX_HALF_BYTES);
        }
        assert!(cache.get(&0_u32.to_be_bytes()).is_none());
        let count = cache.recent.len() + cache.earlier.len();
        assert!(count <= 2 * MAX_HALF_BYTES / (60 << 10), "{count}");
        cache.clear();
        assert!(cache.get(b"used").is_none());
    }

    #[test]
    fn record_cache_replaces_and_removes_copies() {
        let mut cache = RecordCache::default();
        cache.insert(b"a".to_vec(), record(1));
        cache.insert(b"a".to_vec(), VersionedValue::default());
        assert_eq!(cache.get(b"a"), Some(VersionedValue::default()));
        cache.refresh(b"a", &record(2));
        assert_eq!(cache.get(b"a"), Some(record(2)));
        cache.refresh(b"b", &record(2));
        assert_eq!(cache.get(b"b"), None, "a long range does not fill it");
        cache.insert(b"a".to_vec(), record(MAX_RECORD_BYTES));
        assert_eq!(cache.get(b"a"), None, "the old copy would be wrong");
        assert_eq!(cache.recent_bytes, 0);
    }
}
