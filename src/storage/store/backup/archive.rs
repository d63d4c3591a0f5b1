//! The record file of a backup, and its verification.

use std::fs;
use std::fs::File;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Read;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use sha2::Digest as _;
use sha2::Sha256;

use super::files::check_file_list;
use crate::storage::store::Error;
use crate::storage::store::backend::StoreRecord;
use crate::storage::store::large_values::referenced_file;

/// Name of the record file in the folder of a backup.
const RECORDS: &str = "records";
/// Name of the folder of large values, in a store and in a backup.
pub(in crate::storage::store) const LARGE_VALUES: &str = "large";
/// Header of the record file. The records follow: length of the key and length of the value (4
/// bytes each), key, value, and for a reference to a file the size of that file (8 bytes).
const MAGIC: &[u8] = b"claude-switchboard backup 1\n";
/// End marker in place of a key length. The number of records (8 bytes) and the SHA-256 of
/// everything before it follow.
const END: u32 = u32::MAX;

/// Bytes between two reports of progress.
const REPORT_INTERVAL_BYTES: u64 = 1 << 20;

/// Receiver of progress: the bytes that are done, and all bytes.
pub type ByteProgress<'a> = &'a mut dyn FnMut(u64, u64);

/// Number of records and large values in a backup or a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupContents {
    /// Number of records, including those with large values.
    pub records: u64,
    /// Number of values stored in separate files.
    pub large_values: u64,
    /// Total size of those files, in bytes.
    pub large_bytes: u64,
}

/// Writer of the record file.
pub(in crate::storage::store) struct ArchiveWriter {
    output: BufWriter<File>,
    checksum: Sha256,
    contents: BackupContents,
}

impl ArchiveWriter {
    pub(in crate::storage::store) fn create(folder: &Path) -> Result<Self, Error> {
        let output = BufWriter::new(File::create_new(folder.join(RECORDS))?);
        let mut writer = Self {
            output,
            checksum: Sha256::new(),
            contents: BackupContents::default(),
        };
        writer.write(MAGIC)?;
        Ok(writer)
    }

    /// Adds a record as stored in the database. `file_size` is the size of the file it references,
    /// if any.
    pub(in crate::storage::store) fn add(
        &mut self,
        key: &[u8],
        value: &[u8],
        file_size: Option<u64>,
    ) -> Result<(), Error> {
        self.write(&length(key)?.to_be_bytes())?;
        self.write(&length(value)?.to_be_bytes())?;
        self.write(key)?;
        self.write(value)?;
        self.contents.records += 1;
        if let Some(size) = file_size {
            self.write(&size.to_be_bytes())?;
            self.contents.large_values += 1;
            self.contents.large_bytes += size;
        }
        Ok(())
    }

    /// Writes the end marker and the checksum. The file is on disk when this returns.
    pub(in crate::storage::store) fn finish(mut self) -> Result<BackupContents, Error> {
        self.write(&END.to_be_bytes())?;
        self.write(&self.contents.records.to_be_bytes())?;
        let checksum = self.checksum.finalize();
        self.output.write_all(&checksum)?;
        self.output
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        Ok(self.contents)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.checksum.update(bytes);
        Ok(self.output.write_all(bytes)?)
    }
}

fn length(bytes: &[u8]) -> Result<u32, Error> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|length| *length < END)
        .ok_or(Error::Damaged("a record is too long"))
}

/// Reader of the record file.
pub(super) struct ArchiveReader {
    input: BufReader<File>,
    checksum: Sha256,
    folder: PathBuf,
    contents: BackupContents,
    /// Bytes of the file that were read, of `total_bytes`.
    bytes_read: u64,
    total_bytes: u64,
    /// Number of read bytes from which progress is reported again.
    next_report: u64,
}

impl ArchiveReader {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let file = File::open(folder.join(RECORDS))?;
        let total_bytes = file.metadata()?.len();
        let mut reader = Self {
            input: BufReader::new(file),
            checksum: Sha256::new(),
            folder: folder.to_owned(),
            contents: BackupContents::default(),
            bytes_read: 0,
            total_bytes,
            next_report: REPORT_INTERVAL_BYTES,
        };
        match reader.read(MAGIC.len()) {
            Ok(magic) if magic == MAGIC => Ok(reader),
            _ => Err(Error::Damaged(
                "its file of records is not one of this program",
            )),
        }
    }

    /// Reads the next record and checks the size of the file it references. Returns `None` after
    /// the last record, once the checksum matches.
    pub(super) fn next(&mut self) -> Result<Option<StoreRecord>, Error> {
        let key_length = self.number()?;
        if key_length == END {
            return self.end().map(|()| None);
        }
        let value_length = self.number()?;
        let key = self.read(key_length as usize)?;
        let value = self.read(value_length as usize)?;
        self.contents.records += 1;
        if let Some(name) = referenced_file(&value) {
            let size = u64::from_be_bytes(self.array()?);
            let found =
                fs::metadata(self.folder.join(LARGE_VALUES).join(name)).map(|file| file.len());
            if !found.is_ok_and(|found| found == size) {
                return Err(Error::Damaged(
                    "a file of a large value is missing or has another size",
                ));
            }
            self.contents.large_values += 1;
            self.contents.large_bytes += size;
        }
        Ok(Some((key, value)))
    }

    pub(super) fn contents(&self) -> BackupContents {
        self.contents
    }

    /// Size of the record file, in bytes.
    pub(super) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Returns the bytes that were read, once for each mebibyte.
    pub(super) fn due_report(&mut self) -> Option<u64> {
        if self.bytes_read < self.next_report {
            return None;
        }
        self.next_report = self.bytes_read + REPORT_INTERVAL_BYTES;
        Some(self.bytes_read)
    }

    fn end(&mut self) -> Result<(), Error> {
        let records = u64::from_be_bytes(self.array()?);
        let expected = self.checksum.clone().finalize();
        let checksum = self.read(expected.len())?;
        let is_last = self.input.read(&mut [0])? == 0;
        if records != self.contents.records || checksum != expected.as_slice() || !is_last {
            return Err(Error::Damaged(
                "its file of records does not have its checksum",
            ));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.read(N)?.try_into().map_err(|_| CUT_SHORT)
    }

    /// Reads `length` bytes. A corrupt length allocates no more memory than the file has bytes.
    fn read(&mut self, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.input
            .by_ref()
            .take(length as u64)
            .read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(CUT_SHORT);
        }
        self.checksum.update(&bytes);
        self.bytes_read += bytes.len() as u64;
        Ok(bytes)
    }
}

const CUT_SHORT: Error = Error::Damaged("its file of records is cut short");

/// Verifies a backup and returns its contents. Record data are verified by checksum, files by size
/// only. Reports the bytes of records that were read.
///
/// # Errors
/// [`Error::Damaged`] if it differs from what was written, [`Error::Files`] if it cannot be read.
pub fn verify_backup(folder: &Path, progress: ByteProgress<'_>) -> Result<BackupContents, Error> {
    let mut reader = ArchiveReader::open(folder)?;
    let total = reader.total_bytes();
    while reader.next()?.is_some() {
        if let Some(done) = reader.due_report() {
            progress(done, total);
        }
    }
    progress(total, total);
    check_file_list(folder)?;
    Ok(reader.contents())
}
