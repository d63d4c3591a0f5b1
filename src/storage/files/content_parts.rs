//! Contents as records of the store, in parts.
//!
//! The header of a content has its size and hash. It is written by the transaction that records the
//! file, after all parts, and removed with them and with the file, so a header is never without its
//! parts. Parts without a header belong to an unfinished file ([`space_records`](super::space_records)),
//! and are removed with its record.

use std::fmt;
use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use futures::stream::BoxStream;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;
use tokio_util::io::StreamReader;

use super::Error;
use super::space_records::is_begun;
use crate::storage::store;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// Table of headers: id -> [`ContentHeader`].
pub(super) const HEADERS: StoreTable = StoreTable::new("file-contents");
/// Table of parts: id and number -> bytes.
const PARTS: StoreTable = StoreTable::new("file-parts");
/// Size of each part but the last, in bytes. A commit has two of them at most.
const PART_BYTES: u64 = 512 << 10;

/// Reader of a content in the store.
pub(super) type PartReader = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

/// Size and hash of a content in the store.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ContentHeader {
    pub(super) bytes: u64,
    /// Size of each part but the last, in bytes.
    part_bytes: u64,
    /// Hash of the whole, in hexadecimal digits.
    sha256: String,
}

/// Error: a content in the store is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("the content of the file was removed while it was read, or is damaged")]
struct DamagedContent;

/// Writer of a content. Holds one part in memory.
pub(super) struct PartWriter {
    store: Store,
    id: String,
    part: Vec<u8>,
    number: u64,
    bytes: u64,
    digest: Sha256,
}

/// Position within a content that is read.
struct PartCursor {
    store: Store,
    id: String,
    header: ContentHeader,
    number: u64,
    left: u64,
    digest: Sha256,
}

impl Stored for ContentHeader {
    const KIND: &'static str = "content of a file";
}

impl fmt::Debug for PartWriter {
    /// Omits the content.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PartWriter")
            .field("id", &self.id)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl PartWriter {
    /// Creates the writer of the content `id`, whose space is reserved in the store before each write.
    pub(super) fn new(store: Store, id: &str) -> Self {
        Self {
            store,
            id: id.to_owned(),
            part: Vec::new(),
            number: 0,
            bytes: 0,
            digest: Sha256::new(),
        }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`Error::Abandoned`] if the beginning was removed meanwhile; otherwise when the store fails.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let part_bytes = usize::try_from(PART_BYTES).unwrap_or(usize::MAX);
        while !bytes.is_empty() {
            let room = part_bytes.saturating_sub(self.part.len());
            let (piece, rest) = bytes.split_at(room.min(bytes.len()));
            self.part.extend_from_slice(piece);
            bytes = rest;
            if self.part.len() >= part_bytes {
                self.write_part().await?;
            }
        }
        Ok(())
    }

    /// Writes what is left, and returns the header of the content.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub(super) async fn finish(mut self) -> Result<ContentHeader, Error> {
        if !self.part.is_empty() {
            self.write_part().await?;
        }
        Ok(ContentHeader {
            bytes: self.bytes,
            part_bytes: PART_BYTES,
            sha256: hash_text(self.digest),
        })
    }

    async fn write_part(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.part);
        self.digest.update(&part);
        self.bytes += part.len() as u64;
        let id = self.id.clone();
        let key = part_key(&id, self.number);
        self.number += 1;
        let work = move |transaction: &mut Transaction<'_>| {
            // A part that came after the removal of the others would stay forever.
            if !is_begun(transaction, &id)? {
                return Err(Error::Abandoned);
            }
            transaction.put(key.clone(), part.clone());
            Ok(())
        };
        self.store.transaction(work).await
    }
}

impl ContentHeader {
    /// Reads the header of the content `id`; `None` if the store has none.
    pub(super) async fn load(store: &Store, id: &str) -> Result<Option<Self>, store::Error> {
        let header = store.get(HEADERS.key(id)).await?;
        header.map(|header| decode_record(id, &header)).transpose()
    }

    /// Returns key and value of the record.
    pub(super) fn to_record(&self, id: &str) -> Result<(Vec<u8>, Vec<u8>), store::Error> {
        Ok((HEADERS.key(id), encode_record(self)?))
    }

    /// Returns a reader of the content `id` with this header. It fails instead of its end if the content
    /// is not what was written.
    pub(super) fn read(self, store: Store, id: &str) -> PartReader {
        let cursor = PartCursor {
            store,
            id: id.to_owned(),
            number: 0,
            left: self.bytes,
            digest: Sha256::new(),
            header: self,
        };
        let parts = futures::stream::try_unfold(cursor, async |mut cursor| {
            let part = cursor.next_part().await?;
            Ok::<_, io::Error>(part.map(|part| (part, cursor)))
        });
        let parts: BoxStream<'static, io::Result<Bytes>> = Box::pin(parts);
        StreamReader::new(parts)
    }
}

impl PartCursor {
    async fn next_part(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, DamagedContent);
        let read = self.store.get(part_key(&self.id, self.number)).await;
        let part = read.map_err(io::Error::other)?.ok_or_else(damaged)?;
        let bytes = self.left.min(self.header.part_bytes);
        if part.len() as u64 != bytes {
            return Err(damaged());
        }
        self.digest.update(&part);
        self.number += 1;
        self.left -= bytes;
        if self.left == 0 && hash_text(self.digest.clone()) != self.header.sha256 {
            return Err(damaged());
        }
        Ok(Some(Bytes::from(part)))
    }
}

/// Removes the content `id`. Returns its size; `None` if the store has none.
pub(super) fn remove_content(
    transaction: &mut Transaction<'_>,
    id: &str,
) -> Result<Option<u64>, store::Error> {
    let key = HEADERS.key(id);
    let Some(header) = transaction.get(&key)? else {
        return Ok(None);
    };
    let ContentHeader {
        bytes, part_bytes, ..
    } = decode_record(id, &header)?;
    transaction.remove(key);
    remove_parts(transaction, id, bytes.div_ceil(part_bytes.max(1)));
    Ok(Some(bytes))
}

/// Removes the parts of an unfinished content `id`, which has `bytes` bytes at most.
pub(super) fn remove_unfinished(transaction: &mut Transaction<'_>, id: &str, bytes: u64) {
    remove_parts(transaction, id, bytes.div_ceil(PART_BYTES));
}

fn remove_parts(transaction: &mut Transaction<'_>, id: &str, parts: u64) {
    for number in 0..parts {
        transaction.remove(part_key(id, number));
    }
}

fn part_key(id: &str, number: u64) -> Vec<u8> {
    PARTS.key(format!("{id}\0{number:08x}"))
}

fn hash_text(digest: Sha256) -> String {
    let mut text = String::new();
    for byte in digest.finalize() {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn header_of_each_version_is_read() {
        let header: ContentHeader =
            read_earlier_record(include_bytes!("fixtures/file-content-v1.json"));
        assert_eq!((header.bytes, header.part_bytes), (825, PART_BYTES));
    }
}
