//! Files in the place of their ids.
//!
//! A turn may name files that its caller has uploaded before, and whoever runs it meets what is in them, as if the caller had
//! sent that. So everybody who counts, compares or remembers parts knows one form of them. Knows no wire format, nor how a refusal is worded.

mod native;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::openai::files::Purpose;
use crate::api::request_schema::media;
use crate::api::request_schema::media::Media;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::NativeUpload;
use crate::domain::Part;
use crate::domain::Source;
use crate::domain::Turn;
use crate::engine::gateway::Error;
use crate::engine::gateway::FileFault;
use crate::engine::gateway::Fit;
use crate::engine::gateway::ModelCard;
use crate::engine::gateway::Readiness;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::Turns;
use crate::storage::files;
use crate::storage::files::Files;

/// Bytes that memory is counted in.
const BLOCK: u64 = 1024;
/// The number of turns with the most files that may hold them in memory while they wait for a worker; further ones wait up to
/// [`WAIT`] for memory.
const WAITING: u64 = 8;
/// The same for turns in the background, which have memory of their own because they wait without limit.
const WAITING_BEHIND: u64 = 2;
/// How long a turn waits for memory, and how long after a refusal to try again.
const WAIT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(5);

/// Turns that may name files.
#[derive(Clone)]
pub struct Uploads {
    turns: Arc<dyn Turns>,
    files: Files,
    limit: u64,
    /// Blocks of memory that may be taken by turns which are not under way yet.
    memory: Arc<Semaphore>,
    /// Blocks of memory for turns in the background that are not under way yet.
    behind: Arc<Semaphore>,
}

impl fmt::Debug for Uploads {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Uploads")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Uploads {
    /// Has `turns` run with what is in `files`, of which one turn may name so many that they have `limit` bytes in base64.
    pub fn new(turns: Arc<dyn Turns>, files: Files, limit: u64) -> Self {
        let room_of = |turns| {
            let blocks =
                usize::try_from(limit.saturating_mul(turns).div_ceil(BLOCK)).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(blocks.min(Semaphore::MAX_PERMITS)))
        };
        Self {
            turns,
            files,
            limit,
            memory: room_of(WAITING),
            behind: room_of(WAITING_BEHIND),
        }
    }

    /// Puts the files in their places. What comes back is held until the turn is under way: so much of memory is taken until
    /// then, whatever the turn waits for.
    async fn fill(
        &self,
        caller: &Caller,
        turn: &mut Turn,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if parts(turn).all(|part| named_by(part).is_empty()) {
            return Ok(None);
        }
        let encoded = self.size(caller, turn).await?;
        let memory = self.room(caller, encoded).await?;
        for part in parts(turn) {
            if let Part::Native(block) = part {
                self.fill_native(caller, block).await?;
            } else if let Some(file) = Named::by(part) {
                let fault = |fault| Error::File {
                    place: file.place.to_owned(),
                    fault,
                };
                *part = self.read(caller, &file).await.map_err(fault)?;
            }
        }
        Ok(memory)
    }

    /// Memory for `bytes` of files. Who waits for an answer waits no longer than [`WAIT`] for it.
    async fn room(
        &self,
        caller: &Caller,
        bytes: u64,
    ) -> Result<Option<OwnedSemaphorePermit>, Error> {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX);
        // They are never closed.
        if caller.in_background {
            return Ok(Arc::clone(&self.behind)
                .acquire_many_owned(blocks)
                .await
                .ok());
        }
        let full = |_| Error::FilesFull {
            bytes: self.limit.saturating_mul(WAITING),
            retry_after: RETRY,
        };
        Ok(
            timeout(WAIT, Arc::clone(&self.memory).acquire_many_owned(blocks))
                .await
                .map_err(full)?
                .ok(),
        )
    }

    /// How many bytes the files of a turn have in base64.
    async fn size(&self, caller: &Caller, turn: &mut Turn) -> Result<u64, Error> {
        let mut size = 0;
        for part in parts(turn) {
            for (id, place) in named_by(part) {
                let fault = |fault| Error::File {
                    place: place.clone(),
                    fault,
                };
                size += self.size_of(caller, &id).await.map_err(fault)?;
                if size > self.limit {
                    return Err(fault(FileFault::TooLarge { limit: self.limit }));
                }
            }
        }
        Ok(size)
    }

    async fn size_of(&self, caller: &Caller, id: &str) -> Result<u64, FileFault> {
        let record = self.files.get(&caller.project, id).await?;
        if !matches!(record.purpose, Purpose::UserData | Purpose::Vision) {
            let words =
                "the file was uploaded for batches. Upload it with the purpose `user_data`.";
            return Err(FileFault::Unfit(words.to_owned()));
        }
        Ok(record.bytes.div_ceil(3).saturating_mul(4))
    }

    /// What is in `file`.
    async fn read(&self, caller: &Caller, file: &Named<'_>) -> Result<Part, FileFault> {
        let (name, bytes) = self.content(caller, file.id).await?;
        part(&bytes, file.title.unwrap_or(&name), file.is_image)
    }

    /// The name and the bytes of the file `id`.
    async fn content(&self, caller: &Caller, id: &str) -> Result<(String, Vec<u8>), FileFault> {
        let (record, mut content) = self.files.open_content(&caller.project, id).await?;
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .await
            .map_err(files::Error::from)?;
        Ok((record.filename, bytes))
    }
}

impl Turns for Uploads {
    fn enter(&self, caller: Caller) -> Result<Caller, Error> {
        self.turns.enter(caller)
    }

    fn run(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        Box::pin(async move {
            let _memory = self.fill(&caller, &mut turn).await?;
            self.turns.run(caller, turn).await
        })
    }

    fn count_tokens(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        Box::pin(async move {
            let _memory = self.fill(&caller, &mut turn).await?;
            self.turns.count_tokens(caller, turn).await
        })
    }

    fn resolve(&self, caller: Caller, mut turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        Box::pin(async move {
            let _memory = self.fill(&caller, &mut turn).await?;
            self.turns.resolve(caller, turn).await
        })
    }

    fn fit<'a>(&'a self, caller: &'a Caller, turn: &'a Turn) -> BoxFuture<'a, Result<Fit, Error>> {
        self.turns.fit(caller, turn)
    }

    fn model(&self, name: ModelName) -> BoxFuture<'_, Result<ModelCard, Error>> {
        self.turns.model(name)
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        self.turns.models()
    }

    fn readiness(&self) -> Readiness {
        self.turns.readiness()
    }
}

/// A file that a part names.
struct Named<'a> {
    id: &'a str,
    place: &'a str,
    /// The name under which the caller knows it.
    title: Option<&'a str>,
    /// Whether only a picture will do.
    is_image: bool,
}

impl<'a> Named<'a> {
    fn by(part: &'a Part) -> Option<Self> {
        match part {
            Part::Image(Source::Upload { id, place }) => Some(Self {
                id,
                place,
                title: None,
                is_image: true,
            }),
            Part::Document {
                source: Source::Upload { id, place },
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

/// The files that a part names, each with its place in the request.
fn named_by(part: &Part) -> Vec<(String, String)> {
    match part {
        Part::Native(block) => {
            let place = |upload: NativeUpload| (upload.id, native::PLACE.to_owned());
            block.uploads().into_iter().map(place).collect()
        }
        part => Named::by(part)
            .map(|file| (file.id.to_owned(), file.place.to_owned()))
            .into_iter()
            .collect(),
    }
}

/// Every part of the conversation that is no list of parts itself.
fn parts(turn: &mut Turn) -> impl Iterator<Item = &mut Part> {
    let messages = turn.history.iter_mut().map(|message| &mut message.parts);
    messages
        .chain([&mut turn.prompt])
        .flatten()
        .flat_map(|part| match part {
            Part::ToolResult(result) => result.parts.as_mut_slice(),
            part => std::slice::from_mut(part),
        })
}

/// What `bytes` are to the model: a file of words is told as its title and its words.
fn part(bytes: &[u8], title: &str, is_image: bool) -> Result<Part, FileFault> {
    let source = |media_type: &str| Source::Base64 {
        media_type: media_type.to_owned(),
        data: BASE64_STANDARD.encode(bytes),
    };
    match media::of(bytes) {
        Some(Media::Image(media_type)) => Ok(Part::Image(source(media_type))),
        _ if is_image => Err(FileFault::Unfit(media::NO_IMAGE.to_owned())),
        Some(Media::Document(media_type)) => Ok(Part::Document {
            source: source(media_type),
            title: Some(title.to_owned()),
        }),
        Some(Media::Text(words)) => Ok(Part::file_of_words(Some(title), words)),
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
            error => Self::Unreadable(error.to_string()),
        }
    }
}
