//! A file being made.

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

/// Files of this purpose and of outputs go by themselves after so many seconds: 30 days.
const LIFE_OF_BATCHES: u64 = 2_592_000;

/// A file that is being written. Dropped, it was never there.
#[derive(Debug)]
pub struct Draft {
    pub(super) id: String,
    pub(super) file: fs::File,
    pub(super) bytes: Bytes,
    pub(super) room: Room,
    pub(super) folder: Folder,
    /// How large it may be, and how large all files of its project; `u64::MAX` for as large as it comes.
    pub(super) file_limit: u64,
    pub(super) project_limit: u64,
    /// Space that stays free on the disk; none for files that have to go somewhere.
    pub(super) floor: Option<FreeSpaceFloor>,
}

/// A file whose bytes are on disk and which nobody knows yet. Dropped, it was never there.
#[derive(Debug)]
pub struct Finished {
    file: File,
    bytes: Bytes,
    room: Room,
}

impl Draft {
    /// The id of a file that is made now.
    pub(super) fn new_id() -> String {
        format!("{UPLOAD}{}", Uuid::now_v7().simple())
    }

    /// Adds `bytes` at the end.
    ///
    /// # Errors
    /// When there is no room for them, or they cannot be written.
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

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.room.bytes() == 0
    }

    /// Makes the file whole. It is called `filename`, and goes after so many seconds, if it goes by itself.
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
    /// The same with what its maker says it is.
    #[must_use]
    pub fn of_type(mut self, mime_type: Option<String>) -> Self {
        self.file.mime_type = mime_type;
        self
    }

    /// The file, and what makes it known in a transaction. With that it stays; and if that is not made it goes, whether or not
    /// anybody waits for it any more.
    ///
    /// # Errors
    /// Fails when the record cannot be encoded.
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
                // Where that was reported as failed it may be on disk all the same; the next start removes bytes without a record.
                bytes.keep();
                if is_made {
                    room.keep();
                }
            });
        };
        Ok((file, enter))
    }
}
