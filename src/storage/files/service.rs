//! What can be done with files.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Draft;
use super::Error;
use super::Finished;
use super::folder::Folder;
use super::space::Space;
use crate::api::openai::Page;
use crate::api::openai::files::File;
use crate::api::openai::files::Purpose;
use crate::domain::unix_now;
use crate::storage::store::FreeSpaceFloor;
use crate::storage::store::Store;
use crate::storage::store::Stored;
use crate::storage::store::Table;
use crate::storage::store::Transaction;
use crate::storage::store::decode_record;

/// Project and id to the file as its client sees it.
const TABLE: Table = Table::new("files");
/// Between project and id in a key; neither has it.
const BETWEEN: char = '\0';
/// How often files are looked for whose time is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// How much may be kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// Bytes a file may have.
    pub max_file_bytes: u64,
    /// Bytes all files of a project may have together.
    pub max_project_bytes: u64,
    /// Bytes that stay free on the disk: no upload is taken that would leave less.
    pub min_free_bytes: u64,
    /// Bytes that stay free on the disk beside what this server writes itself: more than the store needs for what is spent.
    pub min_free_bytes_for_ours: u64,
}

/// The files of all projects. Clones share them.
#[derive(Debug, Clone)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    folder: Folder,
    space: Space,
    config: Config,
    floor: FreeSpaceFloor,
    floor_of_ours: FreeSpaceFloor,
}

impl Files {
    /// The files whose records are in `store` and whose bytes are in the folder at `path`, where what a crash has left is
    /// removed.
    ///
    /// # Errors
    /// When the store or the folder cannot be used.
    pub async fn open(store: Store, path: &Path, config: Config) -> Result<Self, Error> {
        let folder = Folder::open(path).await?;
        let floor = FreeSpaceFloor::new(path, config.min_free_bytes);
        let floor_of_ours = FreeSpaceFloor::new(path, config.min_free_bytes_for_ours);
        let inner = Inner {
            store,
            folder,
            space: Space::default(),
            config,
            floor,
            floor_of_ours,
        };
        let files = Self(Arc::new(inner));
        let records = files.0.store.scan(TABLE.key("")).await?;
        // By the keys: the bytes of a record that cannot be read stay as well.
        let ids: HashSet<String> = records
            .iter()
            .filter_map(|(key, _)| owner_and_id(key))
            .map(|(_, id)| id)
            .collect();
        match files.0.folder.sweep(&ids).await? {
            0 => {}
            removed => {
                tracing::warn!(
                    removed,
                    "files that were not whole when an earlier server ended were removed"
                );
            }
        }
        for (key, record) in &records {
            let Some((project, id)) = owner_and_id(key) else {
                continue;
            };
            match decode_record::<File>(&id, record) {
                Ok(file) => {
                    let mut room = files.0.space.room(&project);
                    room.take(file.bytes, u64::MAX);
                    room.keep();
                }
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "stored file unreadable"
                ),
            }
        }
        Ok(files)
    }

    /// Files that leave nothing behind but in `path`.
    ///
    /// # Errors
    /// When the folder cannot be used.
    #[cfg(test)]
    pub(crate) async fn temporary(path: &Path) -> Result<Self, Error> {
        let config = Config {
            max_file_bytes: 10_000,
            max_project_bytes: 15_000,
            ..Config::default()
        };
        Self::open(Store::in_memory(TaskTracker::new()), path, config).await
    }

    /// Files that cannot be written, for servers whose tests need none.
    #[cfg(test)]
    pub(crate) fn nowhere() -> Self {
        let store = Store::in_memory(TaskTracker::new());
        let (folder, floor) = (
            Folder::nowhere(),
            FreeSpaceFloor::new(Path::new("/nonexistent"), 0),
        );
        let (config, floor_of_ours) = (Config::default(), floor.clone());
        Self(Arc::new(Inner {
            store,
            folder,
            space: Space::default(),
            config,
            floor,
            floor_of_ours,
        }))
    }

    /// The store of their records, for what is to become known together with a file.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Takes files away whose time is over, from time to time, until `stop`.
    pub fn keep_tidy(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let files = self.clone();
        tracker.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = files.sweep(unix_now()).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the files were not swept"
                    );
                }
            }
        });
    }

    pub(super) async fn sweep(&self, now: u64) -> Result<(), Error> {
        for (key, record) in self.0.store.scan(TABLE.key("")).await? {
            let Some((project, id)) = owner_and_id(&key) else {
                continue;
            };
            // A record that cannot be read was logged at the start, and stays.
            if decode_record::<File>(&id, &record).is_ok_and(|file| is_over(&file, now)) {
                self.remove(&project, &id).await?;
            }
        }
        Ok(())
    }

    /// A file of `project` to be written, within the limits of size.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn draft(&self, project: &str) -> Result<Draft, Error> {
        let Config {
            max_file_bytes,
            max_project_bytes,
            ..
        } = self.0.config;
        self.0.floor.check(0).map_err(Error::DiskFull)?;
        let floor = Some(self.0.floor.clone());
        Ok(Draft {
            floor,
            ..self
                .begin(project, max_file_bytes, max_project_bytes)
                .await?
        })
    }

    /// A file of `project` to be written by this server, which has to go somewhere whatever its size.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn draft_of_ours(&self, project: &str) -> Result<Draft, Error> {
        let floor = Some(self.0.floor_of_ours.clone());
        Ok(Draft {
            floor,
            ..self.begin(project, u64::MAX, u64::MAX).await?
        })
    }

    async fn begin(
        &self,
        project: &str,
        file_limit: u64,
        project_limit: u64,
    ) -> Result<Draft, Error> {
        let Inner { folder, space, .. } = &*self.0;
        let id = Draft::new_id();
        let (file, bytes) = folder.create(&id).await?;
        let (room, folder) = (space.room(project), folder.clone());
        Ok(Draft {
            id,
            file,
            bytes,
            room,
            folder,
            file_limit,
            project_limit,
            floor: None,
        })
    }

    /// Has it known that there is such a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep(&self, finished: Finished) -> Result<File, Error> {
        let (file, enter) = finished.entry()?;
        let work = move |transaction: &mut Transaction<'_>| {
            enter(transaction);
            Ok::<_, Error>(file)
        };
        self.0.store.transaction(work).await
    }

    /// The file of `project` called `id`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn get(&self, project: &str, id: &str) -> Result<File, Error> {
        let record = self.0.store.get(key(project, id)).await?;
        let file = record
            .map(|record| decode_record::<File>(id, &record))
            .transpose()?;
        file.filter(|file| !is_over(file, unix_now()))
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// The file of `project` called `id`, and its bytes.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open_content(&self, project: &str, id: &str) -> Result<(File, fs::File), Error> {
        let file = self.get(project, id).await?;
        match self.0.folder.read(&file.id).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NotFound(id.to_owned()))
            }
            bytes => Ok((file, bytes?)),
        }
    }

    /// A page of the files of `project`, those of `purpose` if one is given, and whether there are more.
    ///
    /// # Errors
    /// When the page begins after a file that is not there.
    pub async fn list(
        &self,
        project: &str,
        purpose: Option<Purpose>,
        page: &Page,
    ) -> Result<(Vec<File>, bool), Error> {
        let mut files = self.of_project(project).await?;
        files.retain(|file| purpose.is_none_or(|purpose| file.purpose == purpose));
        Ok(page.of(files, |file: &File| Some(&file.id))?)
    }

    /// The files of `project` that clients see, the oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn of_project(&self, project: &str) -> Result<Vec<File>, Error> {
        let now = unix_now();
        let records = self.0.store.scan(key(project, "")).await?;
        let mut files = records.iter().map(read).collect::<Result<Vec<File>, _>>()?;
        files.retain(|file| !is_over(file, now) && file.purpose != Purpose::MessageBatch);
        Ok(files)
    }

    /// Takes the file of `project` called `id` away.
    ///
    /// # Errors
    /// When there is none.
    pub async fn delete(&self, project: &str, id: &str) -> Result<(), Error> {
        self.get(project, id).await?;
        self.remove(project, id).await
    }

    /// First the record, so that none is ever without its bytes.
    async fn remove(&self, project: &str, id: &str) -> Result<(), Error> {
        let (key, space, owner) = (key(project, id), self.0.space.clone(), project.to_owned());
        let name = id.to_owned();
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(record) = transaction.get(&key)? else {
                return Ok(None);
            };
            let file: File = decode_record(&name, &record)?;
            transaction.remove(key);
            let bytes = file.bytes;
            transaction.afterwards(move |is_made| {
                if is_made {
                    space.give_back(&owner, bytes);
                }
            });
            Ok::<_, Error>(Some(file))
        };
        match self.0.store.transaction(work).await? {
            Some(file) => Ok(self.0.folder.remove(&file.id).await?),
            None => Ok(()),
        }
    }
}

impl Stored for File {
    const KIND: &'static str = "file";
}

/// The project and the id in the key of a record.
fn owner_and_id(key: &[u8]) -> Option<(String, String)> {
    let name = String::from_utf8_lossy(TABLE.rest(key)).into_owned();
    let (project, id) = name.split_once(BETWEEN)?;
    Some((project.to_owned(), id.to_owned()))
}

fn read((key, record): &(Vec<u8>, Vec<u8>)) -> Result<File, Error> {
    let id = owner_and_id(key).map(|(_, id)| id).unwrap_or_default();
    Ok(decode_record(&id, record)?)
}

pub(super) fn key(project: &str, id: &str) -> Vec<u8> {
    TABLE.key(format!("{project}{BETWEEN}{id}"))
}

fn is_over(file: &File, now: u64) -> bool {
    file.expires_at.is_some_and(|expires_at| expires_at <= now)
}
