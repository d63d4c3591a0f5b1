//! Stored form of files.
//!
//! Separate from the form on the wire: a field that clients see from now on does not change what is
//! read and written here.

use serde::Deserialize;
use serde::Serialize;

use crate::api::openai::files::File;
use crate::api::openai::files::Purpose;
use crate::storage::store::Error;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;

/// Table of file records: project and id -> [`FileRecord`].
pub(super) const TABLE: StoreTable = StoreTable::new("files");

/// Record of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct FileRecord(#[serde(with = "StoredFile")] pub(super) File);

impl Stored for FileRecord {
    const KIND: &'static str = "file";
}

/// Serialised form of [`File`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "File")]
struct StoredFile {
    id: String,
    object: String,
    bytes: u64,
    created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    filename: String,
    #[serde(with = "StoredPurpose")]
    purpose: Purpose,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mime_type: Option<String>,
}

/// Serialised form of [`Purpose`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Purpose", rename_all = "snake_case")]
enum StoredPurpose {
    Batch,
    BatchOutput,
    UserData,
    Vision,
    MessageBatch,
}

/// Encodes the record of `file`.
pub(super) fn encode_file(file: File) -> Result<(File, Vec<u8>), Error> {
    let record = FileRecord(file);
    let bytes = encode_record(&record)?;
    Ok((record.0, bytes))
}

/// Decodes the record of the file `id`.
pub(super) fn decode_file(id: &str, bytes: &[u8]) -> Result<File, Error> {
    decode_record(id, bytes).map(|FileRecord(file)| file)
}

/// Decodes a record of the table; the key names the file.
pub(super) fn read_file((key, record): &(Vec<u8>, Vec<u8>)) -> Result<File, Error> {
    let (_, id) = TABLE.owner_and_id(key).unwrap_or_default();
    decode_file(&id, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn file_of_each_version_is_read() {
        for earlier in [
            &include_bytes!("fixtures/file-v0.json")[..],
            include_bytes!("fixtures/file-v1.json"),
        ] {
            let FileRecord(file) = read_earlier_record(earlier);
            assert_eq!((file.bytes, file.purpose), (825, Purpose::BatchOutput));
            let (file, bytes) = encode_file(file).unwrap();
            assert_eq!(decode_file(&file.id, &bytes).unwrap(), file);
        }
    }
}
