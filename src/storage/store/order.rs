//! Expiry index entries of a TTL table, and its totals.

use super::parts::Parts;

/// Separator of owner and id in a key. Neither contains it.
pub(super) const BETWEEN: char = '\0';

/// Number and size of records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// An entry of the expiry indexes.
pub(super) struct Entry {
    /// Key of the record: owner and id.
    pub(super) key: Vec<u8>,
    /// Expiry time, in seconds of Unix time.
    pub(super) ends: u64,
    /// Size of the record with its parts, in bytes.
    pub(super) size: u64,
    pub(super) parts: Parts,
}

impl Entry {
    pub(super) fn in_order(key: &[u8], place: &[u8]) -> Self {
        let (ends, key) = key.split_at(size_of::<u64>().min(key.len()));
        let (size, parts) = read_place(place);
        Self {
            key: key.to_vec(),
            ends: number(ends),
            size,
            parts,
        }
    }

    pub(super) fn in_own_order(owner: &[u8], rest: &[u8], place: &[u8]) -> Self {
        let (ends, id) = rest.split_at(size_of::<u64>().min(rest.len()));
        let (size, parts) = read_place(place);
        Self {
            key: [owner, id].concat(),
            ends: number(ends),
            size,
            parts,
        }
    }

    pub(super) fn order(&self) -> Vec<u8> {
        [&self.ends.to_be_bytes(), self.key.as_slice()].concat()
    }

    pub(super) fn own_order(&self) -> Vec<u8> {
        let (owner, id) = self.key.split_at(owner(&self.key).len());
        [owner, &self.ends.to_be_bytes(), id].concat()
    }
}

impl Totals {
    pub(super) fn read(value: &[u8]) -> Self {
        let (records, bytes) = value.split_at(size_of::<u64>().min(value.len()));
        Self {
            records: number(records),
            bytes: number(bytes),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.records.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }
}

/// Returns the key of the record `id` of `owner`.
pub(super) fn key(owner: &str, id: &str) -> Vec<u8> {
    format!("{owner}{BETWEEN}{id}").into_bytes()
}

/// Returns the owner in `key`, including the separator.
pub(super) fn owner(key: &[u8]) -> &[u8] {
    let end = key.iter().position(|byte| *byte == BETWEEN as u8);
    end.map_or(key, |end| &key[..=end])
}

/// Decodes the value of an index entry: size and parts.
pub(super) fn read_place(value: &[u8]) -> (u64, Parts) {
    let (size, parts) = value.split_at(size_of::<u64>().min(value.len()));
    (number(size), Parts::read(parts))
}

/// Decodes a big-endian `u64`; 0 if `bytes` has another length.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}
