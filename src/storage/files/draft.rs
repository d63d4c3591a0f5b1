//! A file that is being written.

use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::Error;
use super::folder::Bytes;
use super::folder::Folder;
use super::service;
use super::space::Room;
use crate::api::openai::files::File;
use crate::api::openai::files::Purpose;
use crate::domain::UPLOAD;
use crate::domain::unix_now;
use crate::storage::store::FreeSpaceFloor;
use crate::storage::store::Transaction;
use crate::storage::store::encode_record;

/// Default time to live of batch input and output files, in seconds: 30 days.
const LIFE_OF_BATCHES: u64 = 2_592_000;

/// A file that is being written. Deleted on drop unless it is finished.
#[derive(Debug)]
pub struct Draft {
    pub(super) id: String,
    pub(super) file: fs::File,
    pub(super) bytes: Bytes,
    pub(super) room: Room,
    pub(super) folder: Folder,
    /// Maximum size of the file and of all files of its project, in bytes; `u64::MAX` for no limit.
    pub(super) file_limit: u64,
    pub(super) project_limit: u64,
    /// Required free space on the disk; `None` disables the check.
    pub(super) floor: Option<FreeSpaceFloor>,
}

/// A complete file on disk that no record references yet. Deleted on drop unless it is recorded.
#[derive(Debug)]
pub struct Finished {
    file: File,
    bytes: Bytes,
    room: Room,
}

impl Draft {
    /// Returns a new file id, ordered by time.
    pub(super) fn new_id() -> String {
        format!("{UPLOAD}{}", Uuid::now_v7().simple())
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// When a size limit or the free space is exceeded, or the bytes cannot be written.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let more = bytes.len() as u64;
        if self.room.bytes() + more > self.file_limit {
            return Err(Error::TooLarge {
                limit: self.file_limit,
            });
        }
        if !self.room.take(more, self.project_limit) {
            return Err(Error::Full {
                limit: self.project_limit,
            });
        }
        self.floor
            .as_ref()
            .map_or(Ok(()), |floor| floor.check(more))
            .map_err(Error::DiskFull)?;
        Ok(self.file.write_all(bytes).await?)
    }

    /// Returns true if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.room.bytes() == 0
    }

    /// Completes the file under the name `filename`. `expires_after` is its time to live in
    /// seconds; by default only batch files expire.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn finish(
        self,
        filename: String,
        purpose: Purpose,
        expires_after: Option<u64>,
    ) -> Result<Finished, Error> {
        let Self {
            id,
            mut file,
            mut bytes,
            room,
            folder,
            ..
        } = self;
        file.flush().await?;
        folder.finish(&id, file, &mut bytes).await?;
        let is_of_batch = matches!(
            purpose,
            Purpose::Batch | Purpose::BatchOutput | Purpose::MessageBatch
        );
        let usual = is_of_batch.then_some(LIFE_OF_BATCHES);
        let now = unix_now();
        let file = File {
            id,
            object: "file".to_owned(),
            bytes: room.bytes(),
            created_at: now,
            expires_at: expires_after
                .or(usual)
                .map(|seconds| now.saturating_add(seconds)),
            filename,
            purpose,
            status: "processed".to_owned(),
            mime_type: None,
        };
        Ok(Finished { file, bytes, room })
    }
}

impl Finished {
    /// Sets the MIME type that the producer declared.
    #[must_use]
    pub fn of_type(mut self, mime_type: Option<String>) -> Self {
        self.file.mime_type = mime_type;
        self
    }

    /// Returns the file and a function that records it in a transaction. Once the transaction has
    /// run, the content is kept; if it never runs, the content is deleted, also when the caller was
    /// cancelled.
    pub fn entry(
        self,
    ) -> Result<(File, impl FnOnce(&mut Transaction<'_>) + Send + 'static), Error> {
        let Self { file, bytes, room } = self;
        let (key, value) = (
            service::key(room.project(), &file.id),
            encode_record(&file)?,
        );
        let enter = move |transaction: &mut Transaction<'_>| {
            transaction.put(key, value);
            transaction.afterwards(move |is_made| {
                // A write that was reported as failed may be on disk nevertheless, so the content
                // stays. The next start removes contents without a record.
                bytes.keep();
                if is_made {
                    room.keep();
                }
            });
        };
        Ok((file, enter))
    }
}
