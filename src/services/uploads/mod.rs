//! Replaces file ids in a turn with the contents of the files, before the turn is run.
//!
//! A turn may name files that its caller uploaded. Their contents are inlined, so that the later
//! steps of the pipeline (token counting, cache keys, history hashes) see the same parts as if the
//! caller had sent the contents. Independent of wire formats and of the wording of errors.

mod native;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::openai::files::Purpose;
use crate::api::request_schema::media;
use crate::api::request_schema::media::Media;
use crate::domain::Caller;
use crate::domain::MediaSource;
use crate::domain::NativeUpload;
use crate::domain::Part;
use crate::domain::Turn;
use crate::engine::gateway::BusyReason;
use crate::engine::gateway::Error;
use crate::engine::gateway::FileFault;
use crate::engine::gateway::FileMemory;
use crate::engine::gateway::SharedCause;
use crate::engine::gateway::TurnFiles;
use crate::storage::files;
use crate::storage::files::Files;

/// Size of one unit of the memory semaphores, in bytes.
const BLOCK_BYTES: u64 = 1024;
/// Memory for waiting turns, as a number of turns with the maximum size of files. Further turns
/// wait for memory until a timeout.
const MAX_WAITING_TURNS: u64 = 8;
/// Memory for waiting background turns, in the same unit. Separate, because these wait without a
/// timeout.
const MAX_WAITING_BACKGROUND_TURNS: u64 = 2;

/// Limits on the files of turns.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Maximum size of the files of one turn, in bytes of base64.
    pub max_turn_bytes: u64,
    /// Maximum wait of a foreground turn for memory: that for a worker.
    pub queue_timeout: Duration,
    /// Maximum number of workers, which the error of a wait that was too long names.
    pub max_workers: usize,
}

/// Uploaded files for turns, with a bound on the memory that they take. Clones share it.
#[derive(Clone)]
pub struct Uploads {
    files: Files,
    config: Config,
    /// Memory for foreground turns that have not started, in blocks.
    memory: Arc<Semaphore>,
    /// Memory for background turns that have not started, in blocks.
    background_memory: Arc<Semaphore>,
}

impl fmt::Debug for Uploads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Uploads")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Uploads {
    /// Creates the source of the contents of `files`.
    pub fn new(files: Files, config: Config) -> Self {
        let room_of = |turns| {
            let bytes = config.max_turn_bytes.saturating_mul(turns);
            let blocks = usize::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS)))
        };
        Self {
            files,
            config,
            memory: room_of(MAX_WAITING_TURNS),
            background_memory: room_of(MAX_WAITING_BACKGROUND_TURNS),
        }
    }

    async fn inline_files(&self, caller: &Caller, turn: &mut Turn) -> Result<FileMemory, Error> {
        if !self.are_named_in(turn) {
            return Ok(None);
        }
        let encoded = self.encoded_size(caller, turn).await?;
        let memory = self.reserve_memory(caller, encoded).await?;
        for part in leaf_parts_mut(turn) {
            if let Part::Native(block) = part {
                self.inline_native_files(caller, block).await?;
            } else if let Some(file) = FileReference::from_part(part) {
                let fault = |fault| Error::File {
                    place: file.place.to_owned(),
                    fault,
                };
                *part = self.read_part(caller, &file).await.map_err(fault)?;
            }
        }
        Ok(memory)
    }

    /// Reserves memory for `bytes` of file contents. A foreground turn waits no longer than one that
    /// waits for a worker: it is the turns in that queue which hold the memory.
    async fn reserve_memory(&self, caller: &Caller, bytes: u64) -> Result<FileMemory, Error> {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX);
        // The semaphores are never closed, so `ok()` loses no error.
        if caller.in_background {
            return Ok(Arc::clone(&self.background_memory)
                .acquire_many_owned(blocks)
                .await
                .ok());
        }
        let Config {
            queue_timeout,
            max_workers,
            ..
        } = self.config;
        // Backpressure: a foreground client is asked to retry instead of waiting without bound.
        let reserving = Arc::clone(&self.memory).acquire_many_owned(blocks);
        let reserved = timeout(queue_timeout, reserving).await;
        let waited = BusyReason::WaitedTooLong(queue_timeout);
        Ok(reserved.map_err(|_| Error::busy(max_workers, waited))?.ok())
    }

    /// Returns the total size of the files of a turn in base64, checked against the limit per turn.
    async fn encoded_size(&self, caller: &Caller, turn: &Turn) -> Result<u64, Error> {
        let mut size = 0;
        for part in leaf_parts(turn) {
            for (id, place) in files_named_by(part) {
                let fault = |fault| Error::File {
                    place: place.clone(),
                    fault,
                };
                size += self.encoded_file_size(caller, &id).await.map_err(fault)?;
                let limit = self.config.max_turn_bytes;
                if size > limit {
                    return Err(fault(FileFault::TooLarge { limit }));
                }
            }
        }
        Ok(size)
    }

    async fn encoded_file_size(&self, caller: &Caller, id: &str) -> Result<u64, FileFault> {
        let record = self.files.get(&caller.project, id).await?;
        if !matches!(record.purpose, Purpose::UserData | Purpose::Vision) {
            let words =
                "the file was uploaded for batches. Upload it with the purpose `user_data`.";
            return Err(FileFault::Unfit(words.to_owned()));
        }
        Ok(record.bytes.div_ceil(3).saturating_mul(4))
    }

    /// Reads a file and converts it to a part.
    async fn read_part(
        &self,
        caller: &Caller,
        file: &FileReference<'_>,
    ) -> Result<Part, FileFault> {
        let (name, bytes) = self.read_content(caller, file.id).await?;
        part_from_bytes(&bytes, file.title.unwrap_or(&name), file.is_image)
    }

    /// Reads the name and the content of the file `id`.
    async fn read_content(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<(String, Vec<u8>), FileFault> {
        let (record, mut content) = self.files.open_content(&caller.project, id).await?;
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .await
            .map_err(files::Error::from)?;
        Ok((record.filename, bytes))
    }
}

impl TurnFiles for Uploads {
    fn are_named_in(&self, turn: &Turn) -> bool {
        leaf_parts(turn).any(|part| !files_named_by(part).is_empty())
    }

    fn inline<'a>(
        &'a self,
        caller: &'a Caller,
        turn: &'a mut Turn,
    ) -> BoxFuture<'a, Result<FileMemory, Error>> {
        Box::pin(self.inline_files(caller, turn))
    }
}

/// File reference in a part.
struct FileReference<'a> {
    id: &'a str,
    place: &'a str,
    /// Title of the document, as the caller named it.
    title: Option<&'a str>,
    /// True if the file must be an image.
    is_image: bool,
}

impl<'a> FileReference<'a> {
    fn from_part(part: &'a Part) -> Option<Self> {
        match part {
            Part::Image(MediaSource::Upload {
                id,
                field_path: place,
            }) => Some(Self {
                id,
                place,
                title: None,
                is_image: true,
            }),
            Part::Document {
                source:
                    MediaSource::Upload {
                        id,
                        field_path: place,
                    },
                title,
            } => Some(Self {
                id,
                place,
                title: title.as_deref(),
                is_image: false,
            }),
            _ => None,
        }
    }
}

/// Returns the ids of the files that a part names, each with the field of the request in which it
/// stands.
fn files_named_by(part: &Part) -> Vec<(String, String)> {
    match part {
        Part::Native(block) => {
            let place = |upload: NativeUpload| (upload.id, native::NATIVE_FIELD.to_owned());
            block.uploads().into_iter().map(place).collect()
        }
        part => FileReference::from_part(part)
            .map(|file| (file.id.to_owned(), file.place.to_owned()))
            .into_iter()
            .collect(),
    }
}

/// Iterates over all parts of history and prompt, with tool results replaced by their inner parts.
fn leaf_parts(turn: &Turn) -> impl Iterator<Item = &Part> {
    let messages = turn.history.iter().map(|message| &message.parts);
    messages
        .chain([&turn.prompt])
        .flatten()
        .flat_map(|part| match part {
            Part::ToolResult(result) => result.parts.as_slice(),
            part => std::slice::from_ref(part),
        })
}

/// Iterates like [`leaf_parts`], over parts that can be changed.
fn leaf_parts_mut(turn: &mut Turn) -> impl Iterator<Item = &mut Part> {
    let messages = turn.history.iter_mut().map(|message| &mut message.parts);
    messages
        .chain([&mut turn.prompt])
        .flatten()
        .flat_map(|part| match part {
            Part::ToolResult(result) => result.parts.as_mut_slice(),
            part => std::slice::from_mut(part),
        })
}

/// Converts file content to a part, by its detected media type. Text becomes a text part headed by
/// the title.
fn part_from_bytes(bytes: &[u8], title: &str, is_image: bool) -> Result<Part, FileFault> {
    let source = |media_type: &str| MediaSource::Base64 {
        media_type: media_type.to_owned(),
        data: BASE64_STANDARD.encode(bytes),
    };
    match media::of(bytes) {
        Some(Media::Image(media_type)) => Ok(Part::Image(source(media_type))),
        _ if is_image => Err(FileFault::Unfit(media::NOT_AN_IMAGE.to_owned())),
        Some(Media::Document(media_type)) => Ok(Part::Document {
            source: source(media_type),
            title: Some(title.to_owned()),
        }),
        Some(Media::Text(words)) => Ok(Part::text_file(Some(title), words)),
        None => {
            let words = "Claude can read nothing of the file. It reads PNG, JPEG, GIF, WebP, PDF and text in UTF-8.";
            Err(FileFault::Unfit(words.to_owned()))
        }
    }
}

impl From<files::Error> for FileFault {
    fn from(error: files::Error) -> Self {
        match error {
            files::Error::NotFound(id) => Self::Missing { id },
            error => Self::Unreadable(SharedCause::new(error)),
        }
    }
}
