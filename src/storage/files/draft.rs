//! A file that is being written.

use std::sync::Arc;

use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::Error;
use super::folder::ContentFolder;
use super::folder::ContentGuard;
use super::record;
use super::usage::SpaceReservation;
use crate::api::openai::files::File;
use crate::api::openai::files::Purpose;
use crate::domain::UPLOAD_ID_PREFIX;
use crate::domain::unix_now;
use crate::storage::store::FreeSpaceFloor;
use crate::storage::store::Transaction;

/// Default time to live of batch input and output files, in seconds: 30 days.
const DEFAULT_BATCH_FILE_TTL: u64 = 2_592_000;

/// A file that is being written. Deleted on drop unless it is finished.
#[derive(Debug)]
pub struct FileDraft {
    pub(super) id: String,
    pub(super) file: fs::File,
    pub(super) bytes: ContentGuard,
    pub(super) reservation: SpaceReservation,
    pub(super) folder: ContentFolder,
    /// Maximum size of the file and of all files of its project, in bytes; `u64::MAX` for no limit.
    pub(super) file_limit: u64,
    pub(super) project_limit: u64,
    /// Required free space on the disk; `None` disables the check.
    pub(super) floor: Option<FreeSpaceFloor>,
}

/// A complete file on disk that no record references yet. Deleted on drop unless it is recorded.
#[derive(Debug)]
pub struct FinishedFile {
    file: File,
    bytes: ContentGuard,
    reservation: SpaceReservation,
}

impl FileDraft {
    /// Returns a new file id, ordered by time.
    pub(super) fn new_id() -> String {
        format!("{UPLOAD_ID_PREFIX}{}", Uuid::now_v7().simple())
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// Fails when a size limit or the free space is exceeded, or the bytes cannot be written.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let more = bytes.len() as u64;
        if self.reservation.bytes() + more > self.file_limit {
            return Err(Error::TooLarge {
                limit: self.file_limit,
            });
        }
        if !self.reservation.reserve_more(more, self.project_limit) {
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
        self.reservation.bytes() == 0
    }

    /// Completes the file under the name `filename`. `expires_after` is its time to live in
    /// seconds; by default only batch files expire.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub async fn finish(
        self,
        filename: String,
        purpose: Purpose,
        expires_after: Option<u64>,
    ) -> Result<FinishedFile, Error> {
        let Self {
            id,
            mut file,
            mut bytes,
            reservation: room,
            folder,
            ..
        } = self;
        file.flush().await?;
        folder.finish(&id, file, &mut bytes).await?;
        let is_of_batch = matches!(
            purpose,
            Purpose::Batch | Purpose::BatchOutput | Purpose::MessageBatch
        );
        let usual = is_of_batch.then_some(DEFAULT_BATCH_FILE_TTL);
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
        Ok(FinishedFile {
            file,
            bytes,
            reservation: room,
        })
    }
}

impl FinishedFile {
    /// Sets the MIME type that the producer declared.
    #[must_use]
    pub fn with_mime_type(mut self, mime_type: Option<String>) -> Self {
        self.file.mime_type = mime_type;
        self
    }

    /// Returns the file and a function that records it in a transaction. Once the transaction has
    /// run, the content is kept; if it never runs, the content is deleted, also when the caller was
    /// cancelled.
    pub fn into_record(
        self,
    ) -> Result<(File, impl Fn(&mut Transaction<'_>) + Send + 'static), Error> {
        let Self {
            file,
            bytes,
            reservation: room,
        } = self;
        let (file, value) = record::encode_file(file)?;
        let key = record::TABLE.owned_key(room.project(), &file.id);
        let guards = Arc::new((bytes, room));
        let enter = move |transaction: &mut Transaction<'_>| {
            transaction.put(key.clone(), value.clone());
            let guards = Arc::clone(&guards);
            transaction.after_write(move |is_made| {
                let (content, reservation) = &*guards;
                // A write that was reported as failed may be on disk nevertheless, so the content
                // stays. The next start removes contents without a record.
                content.keep();
                if is_made {
                    reservation.keep();
                }
            });
        };
        Ok((file, enter))
    }
}
