//! A record in bytes, and the parts that were appended to it.
//!
//! A record that is appended to is not written again: each addition is a part under a key of its own. A record that is replaced
//! loses its parts, and those of the new one have another generation, so a reader never mixes the two.

use uuid::Uuid;

use super::Error;
use super::order::number;

/// The first byte of a record without parts.
const WHOLE: u8 = 1;
/// The first byte of a record with parts.
const WITH_PARTS: u8 = 2;
/// Bytes of the first byte and of the end of the record's time, in seconds of Unix time.
const HEAD: usize = 9;
/// Bytes of the generation and the number of parts.
const PARTS: usize = 12;
/// How often a record is read again whose parts were removed meanwhile.
const MAX_READS: usize = 8;

/// The parts of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    generation: u64,
    count: u32,
}

impl Parts {
    pub(super) const NONE: Self = Self {
        generation: 0,
        count: 0,
    };

    /// The parts in `bytes`, as [`to_bytes`](Self::to_bytes) writes them.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let Some((generation, count)) = bytes.split_at_checked(size_of::<u64>()) else {
            return Self::NONE;
        };
        Self {
            generation: number(generation),
            count: count.try_into().map_or(0, u32::from_be_bytes),
        }
    }

    /// Nothing where there are none.
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

    /// Counts one more part, and returns its key in the record called `key`.
    pub(super) fn add(&mut self, key: &[u8]) -> Vec<u8> {
        if self.count == 0 {
            self.generation = Uuid::new_v4().as_u64_pair().0;
        }
        self.count += 1;
        self.key(key, self.count - 1)
    }

    /// The keys of the parts of the record called `key`, in their order.
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

/// A record in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredRecord<'a> {
    /// When its time is over, in seconds of Unix time.
    pub(super) ends: u64,
    pub(super) parts: Parts,
    /// What its owner knows as the record.
    pub(super) record: &'a [u8],
}

impl<'a> StoredRecord<'a> {
    /// The record in `bytes`. One that another version has written ends at 0.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let nothing = Self {
            ends: 0,
            parts: Parts::NONE,
            record: &[],
        };
        let Some((head, rest)) = bytes.split_at_checked(HEAD) else {
            return nothing;
        };
        let ends = number(&head[1..]);
        match (head[0], rest.split_at_checked(PARTS)) {
            (WHOLE, _) => Self {
                ends,
                parts: Parts::NONE,
                record: rest,
            },
            (WITH_PARTS, Some((parts, record))) => Self {
                ends,
                parts: Parts::read(parts),
                record,
            },
            _ => nothing,
        }
    }

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let version = if self.parts == Parts::NONE {
            WHOLE
        } else {
            WITH_PARTS
        };
        [
            &[version],
            self.ends.to_be_bytes().as_slice(),
            &self.parts.to_bytes(),
            self.record,
        ]
        .concat()
    }
}

/// A record with all that was appended to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeRecord {
    /// The record itself.
    pub record: Vec<u8>,
    /// Each addition, in their order.
    pub parts: Vec<Vec<u8>>,
}

/// The record in `value`, if it can be read and its time is not over.
pub(super) fn content(value: &[u8], now: u64) -> Option<Vec<u8>> {
    let stored = StoredRecord::read(value);
    (stored.ends > now).then(|| stored.record.to_vec())
}

/// Reads the record called `key` with its parts, if its time is not over: `record` gets the record, `part` one part by its key.
///
/// # Errors
/// When something cannot be read.
pub(super) fn read_whole(
    key: &[u8],
    now: u64,
    record: impl Fn() -> Result<Option<Vec<u8>>, Error>,
    part: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, Error>,
) -> Result<Option<WholeRecord>, Error> {
    for _ in 0..MAX_READS {
        let Some(value) = record()? else {
            return Ok(None);
        };
        let stored = StoredRecord::read(&value);
        if stored.ends <= now {
            return Ok(None);
        }
        let parts: Option<Vec<_>> = stored
            .parts
            .keys(key)
            .map(|key| part(&key))
            .collect::<Result<_, _>>()?;
        // A part that is gone was removed with its record after that was read.
        if let Some(parts) = parts {
            return Ok(Some(WholeRecord {
                record: stored.record.to_vec(),
                parts,
            }));
        }
    }
    Err(Error::MissingFile)
}
