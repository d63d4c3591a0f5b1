//! Operations on client files.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Config;
use super::ContentLocation;
use super::Error;
use super::FileContent;
use super::FileDraft;
use super::FinishedFile;
use super::content_parts::remove_content;
use super::contents::ContentPlaces;
use super::record::TABLE;
use super::record::decode_file;
use super::record::read_file;
use super::space_records;
use super::usage::ProjectUsage;
use super::usage::SpaceCounter;
use super::usage::SpaceLimits;
use crate::api::openai::PageRequest;
use crate::api::openai::files::File;
use crate::api::openai::files::Purpose;
use crate::domain::unix_now;
use crate::storage::store;
use crate::storage::store::FreeSpaceFloor;
use crate::storage::store::Store;
use crate::storage::store::Transaction;
use crate::storage::store::skip_unreadable;
use crate::telemetry::logs::ErrorChain;

/// Interval between removals of expired files.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Time for which an expired file is left to the server that has its content, in seconds, so that the
/// content goes with the record.
const HOLDER_SECONDS: u64 = 24 * 60 * 60;

/// The files of all projects. Clones share them.
#[derive(Debug, Clone)]
pub struct Files(Arc<FilesInner>);

#[derive(Debug)]
struct FilesInner {
    store: Store,
    places: ContentPlaces,
    space: SpaceCounter,
    config: Config,
    /// Required free space for uploads and for files of the server; `None` for contents in the store.
    floors: Option<(FreeSpaceFloor, FreeSpaceFloor)>,
}

impl Files {
    /// Opens the files with records in `store` and contents at the place of `config`, or in the folder at
    /// `path`, and removes contents without a record.
    ///
    /// # Errors
    /// Fails when the store or a folder cannot be used.
    pub async fn open(store: Store, path: &Path, config: Config) -> Result<Self, Error> {
        let places = ContentPlaces::open(store.clone(), path, &config).await?;
        let folder = match config.location {
            ContentLocation::DataDir => Some(path),
            ContentLocation::Folder => Some(config.folder.as_path()),
            ContentLocation::Store => None,
        };
        let floors = folder.map(|folder| {
            let floor = |bytes| FreeSpaceFloor::new(folder, bytes);
            (
                floor(config.min_free_bytes),
                floor(config.min_free_bytes_for_server),
            )
        });
        let space = if store.is_shared() || places.is_store() {
            SpaceCounter::Stored(store.clone())
        } else {
            SpaceCounter::Local(ProjectUsage::default())
        };
        let files = Self(Arc::new(FilesInner {
            store,
            places,
            space,
            config,
            floors,
        }));
        let ids = files.count_files().await?;
        match files.0.places.remove_unknown(&ids).await? {
            0 => {}
            removed => {
                tracing::warn!(removed, "incomplete files removed");
            }
        }
        Ok(files)
    }

    /// Counts the space of all files, and returns their ids.
    async fn count_files(&self) -> Result<HashSet<String>, Error> {
        let FilesInner { store, space, .. } = &*self.0;
        // The ids come from the keys, so that the content of an unreadable record stays.
        let mut ids = HashSet::new();
        for entry in &store.scan(TABLE.key("")).await? {
            let (project, id) = TABLE
                .owner_and_id(&entry.0)
                .ok_or_else(|| unknown_key(&entry.0))?;
            ids.insert(id);
            if let Some(file) = skip_unreadable(read_file(entry))?
                && let SpaceCounter::Local(space) = space
            {
                space.add(&project, file.bytes);
            }
        }
        if let SpaceCounter::Stored(store) = space {
            match space_records::recount(store).await {
                // The other servers change files all the time, and have counted them.
                Err(store::Error::Conflict) => {}
                counted => counted?,
            }
        }
        Ok(ids)
    }

    /// Opens files with an in-memory store and contents in `path`.
    ///
    /// # Errors
    /// Fails when the folder cannot be used.
    #[cfg(test)]
    pub(crate) async fn temporary(path: &Path) -> Result<Self, Error> {
        let config = Config {
            max_file_bytes: 10_000,
            max_project_bytes: 15_000,
            ..Config::default()
        };
        Self::open(Store::in_memory(TaskTracker::new()), path, config).await
    }

    /// Returns files that cannot be written, for tests that need none.
    #[cfg(test)]
    pub(crate) fn unwritable() -> Self {
        let store = Store::in_memory(TaskTracker::new());
        let floor = FreeSpaceFloor::new(Path::new("/nonexistent"), 0);
        Self(Arc::new(FilesInner {
            places: ContentPlaces::missing(store.clone()),
            store,
            space: SpaceCounter::Local(ProjectUsage::default()),
            config: Config::default(),
            floors: Some((floor.clone(), floor)),
        }))
    }

    /// Returns the store of the records, to write a file's record together with others.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Starts a task that removes expired files periodically, until `stop` is cancelled.
    pub fn spawn_cleanup(&self, tracker: &TaskTracker, stop: CancellationToken) {
        let files = self.clone();
        tracker.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(SWEEP_INTERVAL))
                .await
                .is_some()
            {
                if let Err(error) = files.sweep(unix_now()).await {
                    tracing::warn!(
                        error = %ErrorChain(&error),
                        "expired files not removed"
                    );
                }
            }
        });
    }

    pub(super) async fn sweep(&self, now: u64) -> Result<(), Error> {
        let holder_gone = now.saturating_sub(HOLDER_SECONDS);
        for entry in self.0.store.scan(TABLE.key("")).await? {
            // Unreadable records were logged at the start, and stay.
            if let Some((project, id)) = TABLE.owner_and_id(&entry.0)
                && let Ok(file) = read_file(&entry)
                && is_expired(&file, now)
                && (is_expired(&file, holder_gone) || self.holds_content(&id).await)
            {
                self.remove(&project, &id).await?;
            }
        }
        if let SpaceCounter::Stored(store) = &self.0.space {
            match space_records::remove_abandoned(store).await? {
                0 => {}
                removed => {
                    tracing::warn!(removed, "incomplete files removed");
                }
            }
        }
        Ok(())
    }

    /// True if this server reaches the content of the file `id`, so that it is the one to remove it.
    async fn holds_content(&self, id: &str) -> bool {
        let FilesInner {
            store,
            places,
            config,
            ..
        } = &*self.0;
        !store.is_shared()
            || config.is_reached_by_all()
            || matches!(places.read(id).await, Ok(Some(_)))
    }

    /// Creates a file of `project`, subject to the size limits.
    ///
    /// # Errors
    /// Fails when the disk lacks free space or the file cannot be created.
    pub async fn draft(&self, project: &str) -> Result<FileDraft, Error> {
        let FilesInner { config, floors, .. } = &*self.0;
        let floor = floors.as_ref().map(|(uploads, _)| uploads.clone());
        if let Some(floor) = &floor {
            floor.check(0).map_err(Error::DiskFull)?;
        }
        let limits = SpaceLimits {
            project_bytes: config.max_project_bytes,
            store_bytes: config.max_store_bytes,
        };
        self.create_draft(project, config.max_file_bytes, limits, floor)
            .await
    }

    /// Creates a file of `project` that the server writes itself. Subject to free space only, not
    /// to the size limits.
    ///
    /// # Errors
    /// Fails when the file cannot be created.
    pub async fn draft_for_server(&self, project: &str) -> Result<FileDraft, Error> {
        let floors = self.0.floors.as_ref();
        let floor = floors.map(|(_, server)| server.clone());
        let limits = SpaceLimits {
            project_bytes: u64::MAX,
            store_bytes: u64::MAX,
        };
        self.create_draft(project, u64::MAX, limits, floor).await
    }

    async fn create_draft(
        &self,
        project: &str,
        file_limit: u64,
        limits: SpaceLimits,
        floor: Option<FreeSpaceFloor>,
    ) -> Result<FileDraft, Error> {
        let FilesInner { places, space, .. } = &*self.0;
        let id = FileDraft::new_id();
        Ok(FileDraft {
            content: places.create(&id).await?,
            reservation: space.begin_reservation(&id, project, places.is_store(), limits),
            id,
            file_limit,
            floor,
        })
    }

    /// Records a finished file.
    ///
    /// # Errors
    /// Fails when the record cannot be written.
    pub async fn record(&self, finished: FinishedFile) -> Result<File, Error> {
        let (file, enter) = finished.into_record()?;
        let work = move |transaction: &mut Transaction<'_>| {
            enter(transaction);
            Ok::<_, Error>(())
        };
        self.0.store.transaction(work).await?;
        Ok(file)
    }

    /// Returns the file `id` of `project`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none or it has expired.
    pub async fn get(&self, project: &str, id: &str) -> Result<File, Error> {
        let record = self.0.store.get(TABLE.owned_key(project, id)).await?;
        let file = record.map(|record| decode_file(id, &record)).transpose()?;
        file.filter(|file| !is_expired(file, unix_now()))
            .ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Returns the file `id` of `project` and its content.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none or it has expired.
    pub async fn open_content(
        &self,
        project: &str,
        id: &str,
    ) -> Result<(File, FileContent), Error> {
        let file = self.get(project, id).await?;
        let content = self.0.places.read(&file.id).await?;
        let content = content.ok_or_else(|| Error::NotFound(id.to_owned()))?;
        Ok((file, content))
    }

    /// Returns a page of the files of `project`, filtered by `purpose` if given, and whether there
    /// are more.
    ///
    /// # Errors
    /// Fails when the page begins after an unknown file.
    pub async fn list(
        &self,
        project: &str,
        purpose: Option<Purpose>,
        page: &PageRequest,
    ) -> Result<(Vec<File>, bool), Error> {
        let mut files = self.list_visible(project).await?;
        files.retain(|file| purpose.is_none_or(|purpose| file.purpose == purpose));
        Ok(page.select(files, |file: &File| Some(&file.id))?)
    }

    /// Returns the files of `project` that clients may see, oldest first.
    ///
    /// # Errors
    /// Fails when they cannot be read.
    pub async fn list_visible(&self, project: &str) -> Result<Vec<File>, Error> {
        let now = unix_now();
        let records = self.0.store.scan(TABLE.owned_key(project, "")).await?;
        let mut files: Vec<File> = records.iter().map(read_file).collect::<Result<_, _>>()?;
        files.retain(|file| !is_expired(file, now) && file.purpose != Purpose::MessageBatch);
        Ok(files)
    }

    /// Deletes the file `id` of `project`.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none.
    pub async fn delete(&self, project: &str, id: &str) -> Result<(), Error> {
        self.get(project, id).await?;
        self.remove(project, id).await
    }

    /// Removes the record before a content in a folder, so that no record is left without content.
    async fn remove(&self, project: &str, id: &str) -> Result<(), Error> {
        let key = TABLE.owned_key(project, id);
        let space = self.0.space.clone();
        let owner = project.to_owned();
        let name = id.to_owned();
        let work = move |transaction: &mut Transaction<'_>| {
            let Some(record) = transaction.get(&key)? else {
                return Ok(None);
            };
            let file = decode_file(&name, &record)?;
            transaction.remove(key.clone());
            let stored_bytes = remove_content(transaction, &name)?.unwrap_or_default();
            space.release(transaction, &owner, file.bytes, stored_bytes)?;
            Ok::<_, Error>(Some(file))
        };
        match self.0.store.transaction(work).await? {
            Some(file) => Ok(self.0.places.remove_from_folders(&file.id).await?),
            None => Ok(()),
        }
    }
}

/// Error of a record whose key names no file. Which content belongs to it is unknown, so none is
/// removed.
fn unknown_key(key: &[u8]) -> store::Error {
    store::Error::Unreadable {
        kind: "file",
        name: String::from_utf8_lossy(key).escape_debug().to_string(),
        reason: "its key names no file".to_owned(),
    }
}

fn is_expired(file: &File, now: u64) -> bool {
    file.expires_at.is_some_and(|expires_at| expires_at <= now)
}
