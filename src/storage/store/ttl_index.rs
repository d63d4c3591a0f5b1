//! Expiry index entries of a TTL table, and its totals.

use super::record_parts::StoredParts;

/// Separator of owner and id in a key. Neither contains it.
pub(super) const KEY_SEPARATOR: char = '\0';

/// Number and size of records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct TtlTotals {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// An entry of the expiry indexes.
pub(super) struct TtlEntry {
    /// Key of the record: owner and id.
    pub(super) key: Vec<u8>,
    /// Expiry time, in seconds of Unix time.
    pub(super) expires_at: u64,
    /// Size of the record with its parts, in bytes.
    pub(super) size: u64,
    pub(super) parts: StoredParts,
}

impl TtlEntry {
    pub(super) fn from_index(key: &[u8], place: &[u8]) -> Self {
        let (ends, key) = key.split_at(size_of::<u64>().min(key.len()));
        let (size, parts) = decode_index_value(place);
        Self {
            key: key.to_vec(),
            expires_at: decode_u64(ends),
            size,
            parts,
        }
    }

    pub(super) fn from_owner_index(owner: &[u8], rest: &[u8], place: &[u8]) -> Self {
        let (ends, id) = rest.split_at(size_of::<u64>().min(rest.len()));
        let (size, parts) = decode_index_value(place);
        Self {
            key: [owner, id].concat(),
            expires_at: decode_u64(ends),
            size,
            parts,
        }
    }

    pub(super) fn index_key(&self) -> Vec<u8> {
        [&self.expires_at.to_be_bytes(), self.key.as_slice()].concat()
    }

    pub(super) fn owner_index_key(&self) -> Vec<u8> {
        let (owner, id) = self.key.split_at(owner_prefix(&self.key).len());
        [owner, &self.expires_at.to_be_bytes(), id].concat()
    }
}

impl TtlTotals {
    pub(super) fn read(value: &[u8]) -> Self {
        let (records, bytes) = value.split_at(size_of::<u64>().min(value.len()));
        Self {
            records: decode_u64(records),
            bytes: decode_u64(bytes),
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        [self.records.to_be_bytes(), self.bytes.to_be_bytes()].concat()
    }
}

/// Returns the key of the record `id` of `owner`.
pub(super) fn record_key(owner: &str, id: &str) -> Vec<u8> {
    format!("{owner}{KEY_SEPARATOR}{id}").into_bytes()
}

/// Returns the owner in `key`, including the separator.
pub(super) fn owner_prefix(key: &[u8]) -> &[u8] {
    let end = key.iter().position(|byte| *byte == KEY_SEPARATOR as u8);
    end.map_or(key, |end| &key[..=end])
}

/// Decodes the value of an index entry: size and parts.
pub(super) fn decode_index_value(value: &[u8]) -> (u64, StoredParts) {
    let (size, parts) = value.split_at(size_of::<u64>().min(value.len()));
    (decode_u64(size), StoredParts::read(parts))
}

/// Decodes a big-endian `u64`; 0 if `bytes` has another length.
pub(super) fn decode_u64(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// Returns owner and id from a record key, the inverse of [`record_key`].
pub(super) fn owner_and_id(key: &[u8]) -> Option<(String, String)> {
    let key = String::from_utf8_lossy(key);
    let (owner, id) = key.split_once(KEY_SEPARATOR)?;
    Some((owner.to_owned(), id.to_owned()))
}
