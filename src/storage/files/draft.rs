//! A file that is being written.

use std::sync::Arc;

use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

use super::Error;
use super::content_parts::PartWriter;
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
    pub(super) content: DraftContent,
    pub(super) reservation: SpaceReservation,
    /// Maximum size of the file, in bytes; `u64::MAX` for no limit.
    pub(super) file_limit: u64,
    /// Required free space on the disk; `None` disables the check.
    pub(super) floor: Option<FreeSpaceFloor>,
}

/// Content that is being written.
#[derive(Debug)]
pub(super) enum DraftContent {
    /// File in a folder.
    Folder {
        /// File under its temporary name.
        file: fs::File,
        /// Guard that deletes the file.
        guard: ContentGuard,
        /// Folder of the file.
        folder: ContentFolder,
    },
    /// Records of the store. The reservation of the file removes them.
    Store(PartWriter),
}

/// A complete file that no record references yet. Deleted on drop unless it is recorded.
#[derive(Debug)]
pub struct FinishedFile {
    file: File,
    content: FinishedContent,
    reservation: SpaceReservation,
}

/// Content that is complete.
#[derive(Debug)]
enum FinishedContent {
    Folder(ContentGuard),
    /// Record of the header, by which the parts in the store are found.
    Store((Vec<u8>, Vec<u8>)),
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
        self.reservation.reserve_more(more).await?;
        self.floor
            .as_ref()
            .map_or(Ok(()), |floor| floor.check(more))
            .map_err(Error::DiskFull)?;
        match &mut self.content {
            DraftContent::Folder { file, .. } => Ok(file.write_all(bytes).await?),
            DraftContent::Store(parts) => parts.write(bytes).await,
        }
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
            content,
            reservation: mut room,
            ..
        } = self;
        let content = content.finish(&id).await?;
        room.settle().await?;
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
            content,
            reservation: room,
        })
    }
}

impl DraftContent {
    /// Completes the content `id`, so that a record may reference it.
    async fn finish(self, id: &str) -> Result<FinishedContent, Error> {
        match self {
            Self::Folder {
                mut file,
                mut guard,
                folder,
            } => {
                file.flush().await?;
                folder.finish(id, file, &mut guard).await?;
                Ok(FinishedContent::Folder(guard))
            }
            Self::Store(parts) => {
                let header = parts.finish().await?;
                Ok(FinishedContent::Store(header.to_record(id)?))
            }
        }
    }
}

impl FinishedContent {
    /// Makes the content that of the file which `transaction` records.
    fn enter(&self, transaction: &mut Transaction<'_>) {
        match self {
            Self::Folder(_) => {}
            Self::Store((key, header)) => transaction.put(key.clone(), header.clone()),
        }
    }

    /// Keeps the content after the drop.
    fn keep(&self) {
        match self {
            Self::Folder(guard) => guard.keep(),
            Self::Store(_) => {}
        }
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
            content,
            reservation: room,
        } = self;
        let (file, value) = record::encode_file(file)?;
        let key = record::TABLE.owned_key(room.project(), &file.id);
        let guards = Arc::new((content, room));
        let enter = move |transaction: &mut Transaction<'_>| {
            transaction.put(key.clone(), value.clone());
            guards.0.enter(transaction);
            guards.1.enter(transaction);
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
