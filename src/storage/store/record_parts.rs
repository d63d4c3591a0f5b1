//! Encoding of a record and of the parts appended to it.
//!
//! Appending does not rewrite a record: each addition is a part under its own key. Replacing a
//! record drops its parts. The parts of the new record get another generation, so a reader never
//! mixes old and new parts.

use uuid::Uuid;

use super::Error;
use super::ttl_index::decode_u64;
use super::ttl_index::owner_and_id;

/// First byte of a record without parts.
const WHOLE: u8 = 1;
/// First byte of a record with parts.
const WITH_PARTS: u8 = 2;
/// Length of the header in bytes: the first byte and the expiry time (Unix seconds).
const HEADER_BYTES: usize = 9;
/// Length in bytes of the generation and the number of parts.
const PARTS_BYTES: usize = 12;
/// Maximum number of attempts to read a record whose parts are removed concurrently.
const MAX_READS: usize = 8;

/// Reference of a record to its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredParts {
    generation: u64,
    count: u32,
}

impl StoredParts {
    pub(super) const NONE: Self = Self {
        generation: 0,
        count: 0,
    };

    /// Decodes what [`to_bytes`](Self::to_bytes) writes.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let Some((generation, count)) = bytes.split_at_checked(size_of::<u64>()) else {
            return Self::NONE;
        };
        Self {
            generation: decode_u64(generation),
            count: count.try_into().map_or(0, u32::from_be_bytes),
        }
    }

    /// Encodes the reference; empty if there are no parts.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self.count {
            0 => Vec::new(),
            count => [
                self.generation.to_be_bytes().as_slice(),
                &count.to_be_bytes(),
            ]
            .concat(),
        }
    }

    /// Adds a part and returns its key. `key` is the key of the record.
    pub(super) fn add(&mut self, key: &[u8]) -> Vec<u8> {
        if self.count == 0 {
            self.generation = Uuid::new_v4().as_u64_pair().0;
        }
        self.count += 1;
        self.key(key, self.count - 1)
    }

    /// Returns the keys of the parts in order. `key` is the key of the record.
    pub(super) fn keys(self, key: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..self.count).map(move |number| self.key(key, number))
    }

    fn key(self, key: &[u8], number: u32) -> Vec<u8> {
        [
            key,
            &[0],
            &self.generation.to_be_bytes(),
            &number.to_be_bytes(),
        ]
        .concat()
    }
}

/// A decoded record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredRecord<'a> {
    /// Expiry time, in seconds of Unix time.
    pub(super) expires_at: u64,
    pub(super) parts: StoredParts,
    /// Content as stored by the owner.
    pub(super) record: &'a [u8],
}

impl<'a> StoredRecord<'a> {
    /// Decodes `bytes`, the record of `key`.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a record in an unknown format.
    pub(super) fn read(key: &[u8], bytes: &'a [u8]) -> Result<Self, Error> {
        Self::parse(bytes).ok_or_else(|| Error::Unreadable {
            kind: "record",
            // The owner may be the digest of a key, so only the id is shown.
            name: owner_and_id(key).map(|(_, id)| id).unwrap_or_default(),
            reason: "its format is unknown".to_owned(),
        })
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let expires_at = decode_u64(&head[1..]);
        match (head[0], rest.split_at_checked(PARTS_BYTES)) {
            (WHOLE, _) => Some(Self {
                expires_at,
                parts: StoredParts::NONE,
                record: rest,
            }),
            (WITH_PARTS, Some((parts, record))) => Some(Self {
                expires_at,
                parts: StoredParts::read(parts),
                record,
            }),
            _ => None,
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let version = if self.parts == StoredParts::NONE {
            WHOLE
        } else {
            WITH_PARTS
        };
        [
            &[version],
            self.expires_at.to_be_bytes().as_slice(),
            &self.parts.to_bytes(),
            self.record,
        ]
        .concat()
    }
}

/// A record with its appended parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWithParts {
    /// The record without its parts.
    pub record: Vec<u8>,
    /// The parts, in the order of the appends.
    pub parts: Vec<Vec<u8>>,
}

/// Returns the content of the record `value` of `key`, unless it is expired.
///
/// # Errors
/// [`Error::Unreadable`] for a record in an unknown format.
pub(super) fn live_content(key: &[u8], value: &[u8], now: u64) -> Result<Option<Vec<u8>>, Error> {
    let stored = StoredRecord::read(key, value)?;
    Ok((stored.expires_at > now).then(|| stored.record.to_vec()))
}

/// Reads a record with its parts, unless it is expired. `record` reads the record, `part` reads a
/// part by its key.
///
/// # Errors
/// Fails when a read fails, or parts are still missing after [`MAX_READS`] attempts.
pub(super) fn read_with_parts(
    key: &[u8],
    now: u64,
    record: impl Fn() -> Result<Option<Vec<u8>>, Error>,
    part: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, Error>,
) -> Result<Option<RecordWithParts>, Error> {
    for _ in 0..MAX_READS {
        let Some(value) = record()? else {
            return Ok(None);
        };
        let stored = StoredRecord::read(key, &value)?;
        if stored.expires_at <= now {
            return Ok(None);
        }
        let parts: Option<Vec<_>> = stored
            .parts
            .keys(key)
            .map(|key| part(&key))
            .collect::<Result<_, _>>()?;
        // Race with a writer: the parts were removed after the record was read. Read the record
        // again.
        if let Some(parts) = parts {
            return Ok(Some(RecordWithParts {
                record: stored.record.to_vec(),
                parts,
            }));
        }
    }
    Err(Error::MissingFile)
}
